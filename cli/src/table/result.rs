//! What a participant or a server made of a command, in a few words.

use std::collections::BTreeMap;

use super::proof;
use crate::{
    view::{ExecutionView, FaultView, FidelityView, FindingView, ServerResultView},
    words,
};

/// Stands for the state of a server of which nothing will be heard.
const NO_REPORT: &str = "-";

/// `removed 2`; with several selectors `3 removed (5 objects), 1 nothing held`; with a fault its words.
pub(crate) fn server_result(server: &ServerResultView) -> String {
    let fault = server.fault.as_ref();
    let is_said = |words: &str| fault.is_some_and(|fault| fault.message.contains(words));
    let found = findings(&server.findings).filter(|found| !is_said(found));
    let mut words: Vec<String> = found.into_iter().chain(fault.map(fault_words)).collect();
    if let Some(time) = &server.estimated_time {
        words.push(format!("should be done by {} UTC", words::readable(time)));
    }
    if let Some(proof) = &server.proof {
        let why = proof.why.as_deref().filter(|why| !is_said(why));
        words.push(proof::proof_words(proof, why));
    }
    if server.attempts > 1 {
        words.push(format!("{} calls", server.attempts));
    }
    words.join("; ")
}

/// A server that has not reported says nothing of its own: it is where its participant is, or was never told.
pub(crate) fn server_state<'a>(
    server: &'a ServerResultView,
    execution: &'a ExecutionView,
) -> &'a str {
    match (server.state.as_str(), execution.state.as_str()) {
        ("accepted", "accepted" | "dispatched" | "running") => &execution.state,
        ("accepted", _) => NO_REPORT,
        (state, _) => state,
    }
}

/// What is to be said of the participant beyond its servers: a fault of its own, or that it says something else.
pub(crate) fn execution_result(execution: &ExecutionView) -> String {
    let told_by_a_server = execution
        .servers
        .iter()
        .any(|server| server.fault.is_some());
    let fault = execution.fault.as_ref().filter(|_| !told_by_a_server);
    let fidelity = execution.fidelity.as_ref().and_then(fidelity_words);
    let absorbed = execution.absorbed_by_command_id.as_ref();
    let absorbed = absorbed.map(|id| format!("done by {id}, which covers it"));
    let asked = execution.cancel_request_time.as_ref();
    let asked = asked.map(|time| format!("asked at {} UTC to leave it", words::readable(time)));
    let all = fault.map(fault_words).into_iter();
    let words: Vec<String> = all.chain(fidelity).chain(absorbed).chain(asked).collect();
    words.join("; ")
}

/// The same, and until when a report is awaited.
pub(super) fn execution_remarks(execution: &ExecutionView) -> String {
    let result = execution_result(execution);
    let deadline = execution.deadline.as_ref();
    let Some(time) = deadline.filter(|_| execution.is_under_way()) else {
        return result;
    };
    let deadline = format!("to be reported by {} UTC", words::readable(time));
    if result.is_empty() {
        return deadline;
    }
    format!("{result}; {deadline}")
}

/// `widened to host: why`, or nothing when the command is said exactly.
pub(super) fn fidelity_words(fidelity: &FidelityView) -> Option<String> {
    if matches!(fidelity.fidelity.as_str(), "exact" | "unspecified") {
        return None;
    }
    let name = fidelity_name(fidelity);
    Some(match &fidelity.why {
        Some(why) => format!("{name}: {why}"),
        None => name,
    })
}

/// `widened to host`; where the same content is meant and more is done with it, that.
pub(super) fn fidelity_name(fidelity: &FidelityView) -> String {
    match fidelity.widened_to.as_deref() {
        Some("operation") => format!("{} by a stronger operation", fidelity.fidelity),
        Some(breadth) => format!("{} to {breadth}", fidelity.fidelity),
        None => fidelity.fidelity.clone(),
    }
}

/// One selector's finding: `removed 2`, `origin answered 404`.
pub(super) fn finding_words(finding: &FindingView) -> String {
    let word = finding.finding.replace('_', " ");
    match (finding.count, finding.origin_status) {
        (Some(count), _) => format!("{word} {count}"),
        (None, Some(status)) => format!("origin answered {status}"),
        (None, None) => word,
    }
}

/// How often something was found, and how many objects that were, where they are counted.
#[derive(Default)]
struct Tally {
    times: usize,
    objects: Option<u64>,
}

fn findings(findings: &[FindingView]) -> Option<String> {
    if let [only] = findings {
        return Some(finding_words(only));
    }
    let mut tallies: BTreeMap<String, Tally> = BTreeMap::new();
    for finding in findings {
        let uncounted = FindingView {
            count: None,
            ..finding.clone()
        };
        let tally = tallies.entry(finding_words(&uncounted)).or_default();
        tally.times += 1;
        if let Some(count) = finding.count {
            tally.objects = Some(tally.objects.unwrap_or(0).saturating_add(count));
        }
    }
    let words = tallies.iter().map(|(name, tally)| tally.words(name));
    let words: Vec<String> = words.collect();
    (!words.is_empty()).then(|| words.join(", "))
}

impl Tally {
    fn words(&self, name: &str) -> String {
        let times = self.times;
        match self.objects {
            Some(1) => format!("{times} {name} (1 object)"),
            Some(objects) => format!("{times} {name} ({objects} objects)"),
            None => format!("{times} {name}"),
        }
    }
}

/// `timed out (participant's side, may be tried again): no answer in 5 s`.
pub(super) fn fault_words(fault: &FaultView) -> String {
    let mut remarks = Vec::new();
    if !fault.side.is_empty() {
        remarks.push(format!("{}'s side", fault.side));
    }
    if fault.retryable {
        remarks.push("may be tried again".to_owned());
    }
    let mut words = fault.code.replace('_', " ");
    if !remarks.is_empty() {
        words = format!("{words} ({})", remarks.join(", "));
    }
    if !fault.message.is_empty() {
        words = format!("{words}: {}", fault.message);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::ProofView;

    fn finding(word: &str, count: Option<u64>) -> FindingView {
        FindingView {
            selector: 0,
            finding: word.to_owned(),
            count,
            origin_status: None,
            success: true,
        }
    }

    /// One selector is told as it is; many are counted, and so are the objects where a server counts them.
    #[test]
    fn findings_are_counted_when_there_are_many() {
        let one = [finding("removed", Some(2))];
        assert_eq!(findings(&one).as_deref(), Some("removed 2"));
        let many = [
            finding("removed", Some(2)),
            finding("removed", Some(3)),
            finding("nothing_held", None),
        ];
        assert_eq!(
            findings(&many).as_deref(),
            Some("1 nothing held, 2 removed (5 objects)")
        );
    }

    /// What the fault says already stands beside it no second time.
    #[test]
    fn nothing_is_said_twice_of_a_server() {
        let fault = |code: &str, side: &str, message: &str| FaultView {
            code: code.to_owned(),
            side: side.to_owned(),
            retryable: false,
            message: message.to_owned(),
        };
        let server = ServerResultView {
            findings: vec![FindingView {
                origin_status: Some(404),
                ..finding("origin_error", None)
            }],
            fault: Some(fault("origin_error", "origin", "the origin answered 404")),
            ..ServerResultView::default()
        };
        let said = "origin error (origin's side): the origin answered 404";
        assert_eq!(server_result(&server), said);
        let why = "an answer 60 s old was served 3 s after the command";
        let server = ServerResultView {
            fault: Some(fault("not_verified", "participant", why)),
            proof: Some(ProofView {
                verdict: "not_verified".to_owned(),
                why: Some(why.to_owned()),
                repeats: 2,
                probes: Vec::new(),
            }),
            ..ServerResultView::default()
        };
        assert_eq!(
            server_result(&server),
            format!("not verified (participant's side): {why}; not verified, told again 2 times")
        );
    }

    /// A stronger operation means the same content.
    #[test]
    fn a_stronger_operation_is_no_breadth() {
        let fidelity = |to: &str| FidelityView {
            fidelity: "widened".to_owned(),
            widened_to: Some(to.to_owned()),
            why: Some("why".to_owned()),
        };
        let said = |to| fidelity_words(&fidelity(to));
        assert_eq!(said("host").as_deref(), Some("widened to host: why"));
        assert_eq!(
            said("operation").as_deref(),
            Some("widened by a stronger operation: why")
        );
    }

    /// A fault says what, whose side it is on, whether to try again, and the native system's own words.
    #[test]
    fn a_fault_reads_as_a_sentence() {
        let fault = FaultView {
            code: "timed_out".to_owned(),
            side: "participant".to_owned(),
            retryable: true,
            message: "no answer in 5 s".to_owned(),
        };
        assert_eq!(
            fault_words(&fault),
            "timed out (participant's side, may be tried again): no answer in 5 s"
        );
    }
}
