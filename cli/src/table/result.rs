//! What a participant or a server made of a command, in a few words.

use std::collections::BTreeMap;

use crate::{
    view::{ExecutionView, FaultView, FidelityView, FindingView, ServerResultView},
    words,
};

/// Stands for the state of a server of which nothing will be heard.
const NO_REPORT: &str = "-";

/// `removed 2`; with several selectors `3 removed (5 objects), 1 nothing held`; with a fault its words.
pub(crate) fn server_result(server: &ServerResultView) -> String {
    let mut words = findings(&server.findings);
    if let Some(fault) = &server.fault {
        words.push(fault_words(fault));
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
    let words: Vec<String> = fault.map(fault_words).into_iter().chain(fidelity).collect();
    words.join("; ")
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

/// `widened to host`.
pub(super) fn fidelity_name(fidelity: &FidelityView) -> String {
    match &fidelity.widened_to {
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

fn findings(findings: &[FindingView]) -> Vec<String> {
    if let [only] = findings {
        return vec![finding_words(only)];
    }
    let mut groups: BTreeMap<String, (usize, Option<u64>)> = BTreeMap::new();
    for finding in findings {
        let name = finding_words(&FindingView {
            count: None,
            ..finding.clone()
        });
        let group = groups.entry(name).or_default();
        group.0 += 1;
        group.1 = match (group.1, finding.count) {
            (None, None) => None,
            (sum, count) => Some(sum.unwrap_or(0) + count.unwrap_or(0)),
        };
    }
    let described = groups
        .into_iter()
        .map(|(name, (times, objects))| match objects {
            Some(objects) => {
                let objects = usize::try_from(objects).unwrap_or(usize::MAX);
                format!("{times} {name} ({})", words::count(objects, "object"))
            }
            None => format!("{times} {name}"),
        });
    let described: Vec<String> = described.collect();
    match described.is_empty() {
        true => described,
        false => vec![described.join(", ")],
    }
}

fn fault_words(fault: &FaultView) -> String {
    let code = fault.code.replace('_', " ");
    let again = if fault.retryable {
        ", may be tried again"
    } else {
        ""
    };
    let side = match fault.side.as_str() {
        "" => again.trim_start_matches(", ").to_owned(),
        side => format!("{side}'s side{again}"),
    };
    let message = match fault.message.as_str() {
        "" => String::new(),
        message => format!(": {message}"),
    };
    match side.as_str() {
        "" => format!("{code}{message}"),
        side => format!("{code} ({side}){message}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(findings(&one), ["removed 2"]);
        let many = [
            finding("removed", Some(2)),
            finding("removed", Some(3)),
            finding("nothing_held", None),
        ];
        assert_eq!(findings(&many), ["1 nothing held, 2 removed (5 objects)"]);
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
