//! The end of an execution: its report, and the reports of those whose work it did too.
//!
//! Invariant: who was absorbed ends with the one that absorbed it, in the same transaction of the journal and right behind
//! it in the reports, so that their dispatch is acknowledged when all are reported. What the journal knows better is
//! answered from it.
//! Not here: carrying out (`worker`), and writing down (`journal`).
//!
//! An absorbed execution's own order is not in the message, so it cannot be carried out by itself. Where its absorber was
//! never carried out, or nobody knows, it is reported as failed, on the federation's side and worth another try: that is
//! true, and nobody takes it for done. The broker avoids it by absorbing into nothing that can expire.

use std::sync::Arc;

use amqp::envelope::{ExecutionReport, Order, ReportedOutcome};
use domain::{
    ExecutionId, Fault, Outcome, ServerResult,
    fault::{Again, FaultCode, Side},
};
use serde_json::value::RawValue;
use service::trace::TraceContext;
use tracing::warn;

use crate::{
    journal::{Entry, Journal, JournalError, now},
    metrics,
    receipt::Receipt,
    report::{Reportable, leaf_of},
    worker::Work,
};

/// A report on an order, by the adapter's own span.
pub(crate) fn report(
    order: &Order,
    outcome: ReportedOutcome,
    results: Vec<ServerResult>,
    trace: &TraceContext,
) -> ExecutionReport {
    ExecutionReport {
        execution: order.execution.clone(),
        outcome,
        results,
        reported_at: now(),
        traceparent: Some(trace.to_string()),
        absorbed_by: None,
        told: None,
    }
}

/// Whether the report may leave while it is written down. After a crash between the two it is carried out once more and
/// reported anew. So only what may be repeated, and only that it is done: whatever is said then changes nothing at the broker,
/// whereas what was called cancelled or expired would be begun after all. One that signs receipts says a thing once.
pub(crate) fn may_leave_early(work: &Work, report: &ExecutionReport) -> bool {
    let is_done = matches!(report.outcome, ReportedOutcome::Done(_));
    let is_alone = work.absorbed.is_empty() && work.asked_by.is_none();
    work.order.repeatable && is_done && is_alone && report.told.is_none()
}

/// Writes down that an execution ended, with all that it absorbed, and reports it.
pub(crate) async fn finish(
    journal: &Journal,
    report: &ExecutionReport,
    absorbed: &[ExecutionId],
    (receipt, asked_by): (Option<Receipt>, Option<Receipt>),
) -> Result<(), JournalError> {
    let own = Reportable {
        asked_by,
        ..Reportable::new(report, receipt.clone())
    };
    let mut ends = vec![(report.execution.clone(), own)];
    let known = split(journal, report, absorbed, receipt.as_ref(), &mut ends)?;
    journal.finish_together(ends).await?;
    answer_all(journal, known).await
}

/// Answers for those that an execution absorbed which was answered from the journal.
pub(crate) async fn follow(
    journal: &Journal,
    report: &RawValue,
    absorbed: &[ExecutionId],
    receipt: Receipt,
) -> Result<(), JournalError> {
    if absorbed.is_empty() {
        return Ok(());
    }
    let report = serde_json::from_str(report.get()).map_err(JournalError::Record)?;
    let mut ends = Vec::new();
    let known = split(journal, &report, absorbed, Some(&receipt), &mut ends)?;
    journal.finish_together(ends).await?;
    answer_all(journal, known).await
}

/// Reports of those that an execution absorbed that they run with it.
pub(crate) async fn run(
    journal: &Journal,
    report: &ExecutionReport,
    absorbed: &[ExecutionId],
    receipt: &Receipt,
) -> Result<(), JournalError> {
    let mut running = Vec::new();
    let known = split(journal, report, absorbed, Some(receipt), &mut running)?;
    let running = running.into_iter().map(|(_, report)| report);
    answer_all(journal, running.chain(known)).await
}

/// Ends executions whose absorber does not do their work, because of `why`.
pub(crate) async fn orphan(
    journal: &Journal,
    executions: &[ExecutionId],
    why: &str,
    receipt: &Receipt,
) -> Result<(), JournalError> {
    for execution in executions {
        if let Some(Entry::Finished(report)) = journal.find(execution)? {
            let known = known(report, Some(receipt.clone()));
            journal.answer(known).await?;
            continue;
        }
        let report = ExecutionReport {
            execution: execution.clone(),
            outcome: ReportedOutcome::Failed(not_absorbed(why)),
            results: Vec::new(),
            reported_at: now(),
            traceparent: None,
            absorbed_by: None,
            told: None,
        };
        warn!(execution.id = %execution, reason = why, "the command that was to do its work does not");
        metrics::execution(&report.outcome);
        let reportable = Reportable::new(&report, Some(receipt.clone()));
        journal.finish(execution, reportable).await?;
    }
    Ok(())
}

fn known(report: Arc<RawValue>, receipt: Option<Receipt>) -> Reportable {
    Reportable {
        leaf: leaf_of(&report),
        report,
        traceparent: None,
        receipt,
        asked_by: None,
    }
}

/// The reports of those that were absorbed: new ones go to `ends`, those of the journal are given back.
fn split(
    journal: &Journal,
    report: &ExecutionReport,
    absorbed: &[ExecutionId],
    receipt: Option<&Receipt>,
    ends: &mut Vec<(ExecutionId, Reportable)>,
) -> Result<Vec<Reportable>, JournalError> {
    let mut finished = Vec::new();
    for execution in absorbed {
        match journal.find(execution)? {
            Some(Entry::Finished(report)) => finished.push(known(report, receipt.cloned())),
            Some(Entry::Begun | Entry::Running(_)) | None => {
                let own = absorbed_report(report, execution);
                metrics::execution(&own.outcome);
                ends.push((execution.clone(), Reportable::new(&own, receipt.cloned())));
            }
        }
    }
    Ok(finished)
}

async fn answer_all(
    journal: &Journal,
    reports: impl IntoIterator<Item = Reportable>,
) -> Result<(), JournalError> {
    for report in reports {
        journal.answer(report).await?;
    }
    Ok(())
}

/// What is said of an execution when the one that absorbed it has this report. Findings name the absorber's selectors, and
/// tries its calls, so both are left out.
fn absorbed_report(absorber: &ExecutionReport, execution: &ExecutionId) -> ExecutionReport {
    let not_done = match &absorber.outcome {
        ReportedOutcome::Running { .. } | ReportedOutcome::Done(_) | ReportedOutcome::Failed(_) => {
            None
        }
        ReportedOutcome::Unknown => Some("nobody knows whether it was carried out"),
        ReportedOutcome::Cancelled => Some("it was cancelled"),
        ReportedOutcome::Expired => Some("its time was over before it began"),
    };
    let outcome = not_done.map_or_else(
        || absorber.outcome.clone(),
        |why| ReportedOutcome::Failed(not_absorbed(why)),
    );
    let results = absorber.results.iter().map(|result| ServerResult {
        findings: Vec::new(),
        tries: Vec::new(),
        proof: None,
        ..result.clone()
    });
    ExecutionReport {
        execution: execution.clone(),
        outcome,
        results: match not_done {
            Some(_) => Vec::new(),
            None => results.collect(),
        },
        reported_at: absorber.reported_at,
        traceparent: None,
        absorbed_by: Some(absorber.execution.command),
        told: absorber.told.clone(),
    }
}

fn not_absorbed(why: &str) -> Fault {
    let message = format!("not carried out: a later command was to do its work too, but {why}");
    let (code, side) = (FaultCode::UnreadableOrder, Side::Federation);
    Fault::new(code, side, Again::Soon, &message)
}

/// Done when every server is, as surely as the least sure of them; failed when any is; otherwise nobody knows.
pub(crate) fn fold(results: &[ServerResult]) -> ReportedOutcome {
    let mut faults = results.iter().filter_map(|result| match &result.outcome {
        Outcome::Failed(fault) => Some(fault),
        Outcome::Done(_) | Outcome::Unknown => None,
    });
    if let Some(fault) = Fault::fold(&mut faults) {
        return ReportedOutcome::Failed(fault);
    }
    if results.is_empty() {
        let (code, side) = (FaultCode::UnreadableOrder, Side::Federation);
        let fault = Fault::new(code, side, Again::Never, "the order names no server");
        return ReportedOutcome::Failed(fault);
    }
    let evidence = results.iter().map(|result| match result.outcome {
        Outcome::Done(evidence) => Some(evidence),
        Outcome::Failed(_) | Outcome::Unknown => None,
    });
    // `None` is less than any evidence, so one unknown server makes the whole unknown.
    match evidence.min().flatten() {
        Some(evidence) => ReportedOutcome::Done(evidence),
        None => ReportedOutcome::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use domain::{Evidence, Finding, Timestamp};

    use super::*;

    fn result(outcome: Outcome) -> ServerResult {
        ServerResult {
            outcome,
            ..ServerResult::unknown("b-1".parse().unwrap())
        }
    }

    /// The whole is as good as its worst server.
    #[test]
    fn an_execution_is_as_good_as_its_worst_server() {
        let done = |evidence| result(Outcome::Done(evidence));
        let fault = Fault::participant(FaultCode::Refused, Again::Never, "403");
        let failed = || result(Outcome::Failed(fault.clone()));
        let unknown = || result(Outcome::Unknown);
        assert_eq!(
            fold(&[done(Evidence::Verified), done(Evidence::Acknowledged)]),
            ReportedOutcome::Done(Evidence::Acknowledged)
        );
        assert_eq!(
            fold(&[done(Evidence::Reported), unknown()]),
            ReportedOutcome::Unknown
        );
        assert_eq!(
            fold(&[unknown(), failed(), done(Evidence::Reported)]),
            ReportedOutcome::Failed(fault.clone())
        );
        assert!(
            matches!(fold(&[]), ReportedOutcome::Failed(fault) if fault.code == FaultCode::UnreadableOrder)
        );
    }

    /// Who was absorbed is done when its absorber is, and never where that is not known to have been carried out.
    #[test]
    fn what_was_absorbed_ends_as_its_absorber_or_is_worth_another_try() {
        let execution: ExecutionId = "01890a5d-ac96-774b-bcce-b302099a8057_b".parse().unwrap();
        let mut told = result(Outcome::Done(Evidence::Reported));
        told.found(&[7], &Finding::Banned);
        let absorber = |outcome| ExecutionReport {
            execution: "01890a5d-ac97-774b-bcce-b302099a8057_b".parse().unwrap(),
            outcome,
            results: vec![told.clone()],
            reported_at: Timestamp::from_millis(7),
            traceparent: Some("its own".to_owned()),
            absorbed_by: None,
            told: None,
        };
        let done = absorber(ReportedOutcome::Done(Evidence::Reported));
        let told_too = absorbed_report(&done, &execution);
        assert_eq!(told_too.outcome, done.outcome);
        assert_eq!(told_too.absorbed_by, Some(done.execution.command));
        assert_eq!(
            told_too.results,
            [result(Outcome::Done(Evidence::Reported))]
        );
        assert_eq!(told_too.traceparent, None);
        for outcome in [
            ReportedOutcome::Expired,
            ReportedOutcome::Unknown,
            ReportedOutcome::Cancelled,
        ] {
            let told_too = absorbed_report(&absorber(outcome), &execution);
            assert!(
                matches!(&told_too.outcome, ReportedOutcome::Failed(fault)
                    if fault.side == Side::Federation && fault.again == Again::Soon),
                "{told_too:?}"
            );
            assert_eq!(told_too.results, []);
        }
    }
}
