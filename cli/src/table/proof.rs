//! What looking afterwards showed, for people.

use std::fmt::Write as _;

use comfy_table::Cell;

use super::{command::LINES_MAXIMUM, plain, tone_of, toned};
use crate::{
    view::{CommandView, ProbeView, ProofView, SightingView},
    words,
};

/// `looked at 2 URLs: verified`; with what was repeated, and `why` it is not verified where nothing else says so.
pub(super) fn proof_words(proof: &ProofView, why: Option<&str>) -> String {
    let verdict = proof.verdict.replace('_', " ");
    let mut text = match proof.probes.len() {
        0 => verdict,
        looked => format!("looked at {}: {verdict}", words::count(looked, "URL")),
    };
    let repeats = usize::try_from(proof.repeats).unwrap_or(usize::MAX);
    if repeats > 0 {
        // Writing to a String cannot fail.
        let _ = write!(text, ", told again {}", words::count(repeats, "time"));
    }
    if let Some(why) = why {
        let _ = write!(text, " ({why})");
    }
    text
}

/// What was seen of every URL on every server, where anything was.
pub(super) fn proofs(command: &CommandView) -> String {
    let servers = command
        .executions
        .iter()
        .flat_map(|execution| &execution.servers);
    let rows: Vec<_> = servers
        .flat_map(|server| {
            let probes = server.proof.iter().flat_map(|proof| &proof.probes);
            let mut server_id = server.server_id.as_str();
            probes.map(move |probe| row(std::mem::take(&mut server_id), probe))
        })
        .collect();
    if rows.is_empty() {
        return String::new();
    }
    let hidden = rows.len().saturating_sub(LINES_MAXIMUM);
    let shown = rows.into_iter().take(LINES_MAXIMUM);
    let mut text = "\n".to_owned() + &plain(&["SERVER", "LOOKED AT", "PROOF", "SEEN"], shown);
    if hidden > 0 {
        let _ = writeln!(text, "and {hidden} more; --json shows all");
    }
    text
}

fn row(server_id: &str, probe: &ProbeView) -> [Cell; 4] {
    let place = probe.address.as_ref();
    let place = place.map_or(String::new(), |address| format!(" at {address}"));
    let seen: Vec<String> = probe.seen.iter().map(seen_words).collect();
    [
        Cell::new(server_id),
        Cell::new(format!("{}{place}", probe.url)),
        toned(&probe.verdict.replace('_', " "), tone_of(&probe.verdict)),
        Cell::new(seen.join("; ")),
    ]
}

/// `before 200 1f2e3d4c age 12 hit`.
fn seen_words(seen: &SightingView) -> String {
    let when = if seen.before { "before" } else { "after" };
    let hash: String = seen.hash.chars().take(8).collect();
    let mut text = format!("{when} {} {hash}", seen.status);
    if let Some(age) = seen.age {
        let _ = write!(text, " age {age}");
    }
    match seen.hit {
        Some(true) => text.push_str(" hit"),
        Some(false) => text.push_str(" miss"),
        None => {}
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(before: bool, age: Option<u64>, hit: Option<bool>) -> SightingView {
        SightingView {
            time: None,
            before,
            status: 200,
            etag: None,
            last_modified: None,
            age,
            date: None,
            hit,
            vary: None,
            hash: "1f2e3d4c5b6a7988".to_owned(),
        }
    }

    /// What a person compares: before and after, how old, from where.
    #[test]
    fn a_sighting_reads_at_a_glance() {
        assert_eq!(
            seen_words(&seen(true, Some(12), Some(true))),
            "before 200 1f2e3d4c age 12 hit"
        );
        assert_eq!(
            seen_words(&seen(false, None, Some(false))),
            "after 200 1f2e3d4c miss"
        );
    }

    /// The proof in a few words, with what was tried and what is missing.
    #[test]
    fn a_proof_reads_as_a_remark() {
        let probe = ProbeView {
            url: "https://www.shop.example/".to_owned(),
            address: None,
            verdict: "not_verified".to_owned(),
            why: None,
            seen: Vec::new(),
        };
        let proof = ProofView {
            verdict: "not_verified".to_owned(),
            why: Some("an answer 60 s old was served".to_owned()),
            repeats: 2,
            probes: vec![probe],
        };
        assert_eq!(
            proof_words(&proof, proof.why.as_deref()),
            "looked at 1 URL: not verified, told again 2 times (an answer 60 s old was served)"
        );
    }
}
