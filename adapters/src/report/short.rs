//! Keeping one execution's report to a size that RabbitMQ takes.
//!
//! Invariant: the outcome of the execution and of each server stays, and what looking afterwards showed in one word; what was
//! seen of proven servers goes first, then findings of what went well, what was seen of the others, the tries that were not
//! the last, the other findings, and the words of the servers' faults.
//! Not here: how many reports share a message (`fitting`).

use amqp::envelope::ExecutionReport;
use domain::{Outcome, Proof, ServerResult, proof::ProofVerdict};
use serde_json::value::{RawValue, to_raw_value};

/// Bytes of one execution's report. RabbitMQ takes 16 MiB in one message.
pub(super) const EXECUTION_BYTES: usize = 4 * 1_024 * 1_024;

/// What to leave out, the least first.
const STEPS: [fn(&mut ServerResult); 6] = [
    |result| {
        let proven = |proof: &&mut Proof| proof.verdict == ProofVerdict::Verified;
        if let Some(proof) = result.proof.as_mut().filter(proven) {
            proof.forget_sightings();
        }
    },
    |result| result.findings.retain(|found| !found.finding.is_success()),
    |result| {
        if let Some(proof) = &mut result.proof {
            proof.probes.clear();
        }
    },
    |result| result.tries.clear(),
    |result| result.findings.clear(),
    |result| {
        if let Outcome::Failed(fault) = &mut result.outcome {
            fault.message.clear();
        }
    },
];

/// The report as JSON, without what does not fit into so many bytes.
pub(super) fn written(report: &ExecutionReport, bytes: usize) -> Box<RawValue> {
    let mut json = json(report);
    if json.get().len() <= bytes {
        return json;
    }
    let mut report = report.clone();
    for step in STEPS {
        report.results.iter_mut().for_each(step);
        json = self::json(&report);
        if json.get().len() <= bytes {
            break;
        }
    }
    json
}

fn json(report: &ExecutionReport) -> Box<RawValue> {
    to_raw_value(report).expect("a report's maps have text for their keys")
}

#[cfg(test)]
mod tests {
    use amqp::envelope::ReportedOutcome;
    use domain::{
        Fault, Finding, Timestamp, Try,
        fault::{Again, FaultCode},
    };

    use super::*;

    fn report() -> ExecutionReport {
        let fault = Fault::participant(FaultCode::Refused, Again::Never, &"no ".repeat(100));
        let mut result = ServerResult {
            outcome: Outcome::Failed(fault.clone()),
            ..ServerResult::unknown("b-1".parse().unwrap())
        };
        for _ in 0..3 {
            result.tried(Try {
                at: Timestamp::from_millis(1),
                fault: fault.clone(),
                pause_ms: 1,
            });
        }
        result.found(&[0; 100], &Finding::Accepted);
        result.found(&[1; 10], &Finding::TooLarge);
        ExecutionReport {
            execution: "01890a5d-ac96-774b-bcce-b302099a8057_b".parse().unwrap(),
            outcome: ReportedOutcome::Unknown,
            results: vec![result],
            reported_at: Timestamp::from_millis(1),
            traceparent: None,
            absorbed_by: None,
            told: None,
        }
    }

    /// A report that RabbitMQ refuses is heard by nobody; a shorter one still says how every server ended.
    #[test]
    fn a_report_keeps_what_fits_and_the_failures_longest() {
        let whole = json(&report()).get().len();
        for (bytes, findings, tries, words) in [
            (EXECUTION_BYTES, 110, 3, true),
            (whole, 110, 3, true),
            (whole - 1, 10, 3, true),
            (1_200, 10, 0, true),
            (700, 0, 0, true),
            (400, 0, 0, false),
        ] {
            let written = written(&report(), bytes);
            assert!(written.get().len() <= bytes, "{}", written.get());
            let read: ExecutionReport = serde_json::from_str(written.get()).unwrap();
            let result = &read.results[0];
            assert_eq!(
                (result.findings.len(), result.tries.len()),
                (findings, tries),
                "{bytes}"
            );
            assert!(
                matches!(&result.outcome, Outcome::Failed(fault) if fault.message.is_empty() != words)
            );
        }
    }
}
