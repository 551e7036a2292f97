//! One execution from its lane to the journal: look whether it was here before, carry it out, remember and report.
//!
//! Invariant: what is finished is answered and not done again. What may not be repeated is begun only when the journal
//! has written that down, and never when this adapter or another one may have begun it before.
//! Not here: how it is carried out (`caches`, `system`).

use std::{sync::Arc, time::Instant};

use amqp::envelope::{ExecutionReport, Order, ReportedOutcome};
use domain::{
    Fault, Outcome, ParticipantId, ServerResult, Timestamp,
    fault::{Again, FaultCode, Side},
};
use service::trace::TraceContext;
use tracing::{debug, info};

use crate::{
    caches::Caches,
    journal::{Entry, Journal, JournalError},
    metrics,
    receipt::Receipt,
    report::Reportable,
    system::{Jobs, Submitted},
};

/// One order of one dispatch.
#[derive(Debug)]
pub(crate) struct Work {
    /// What is to be done.
    pub(crate) order: Order,
    /// The dispatch that waits for it.
    pub(crate) receipt: Receipt,
    /// Whether the broker may have sent it before in another message.
    pub(crate) sent_before: bool,
}

/// Who carries orders out.
#[derive(Debug)]
pub(crate) enum Carrier {
    /// This adapter, on each server.
    Caches(Box<Caches>),
    /// The participant's invocation system.
    System(Jobs),
}

/// Takes executions one at a time; many tasks share one.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) participant: ParticipantId,
    pub(crate) journal: Journal,
    pub(crate) carrier: Carrier,
}

impl Worker {
    /// From the lane to the journal. Only a broken journal is an error; everything else is a report.
    pub(crate) async fn carry_out(&self, work: Work) -> Result<(), JournalError> {
        if !work.receipt.is_current() {
            // It comes again, perhaps to another adapter; whoever gets it then begins it.
            debug!(execution.id = %work.order.execution, "left for its next delivery");
            return Ok(());
        }
        let _counted = metrics::in_flight();
        match (self.journal.find(&work.order.execution)?, &self.carrier) {
            (Some(entry), _) => self.answer(work, entry).await,
            (None, Carrier::System(jobs)) => self.submit(jobs, work).await,
            (None, Carrier::Caches(_)) if may_be_begun_elsewhere(&work) => {
                self.unknown(work, "elsewhere").await
            }
            (None, Carrier::Caches(caches)) => self.tell(caches, work).await,
        }
    }

    /// It was here before.
    async fn answer(&self, work: Work, entry: Entry) -> Result<(), JournalError> {
        let report = match entry {
            Entry::Begun => return self.unknown(work, "begun").await,
            Entry::Finished(report) => {
                metrics::journal_answered("finished");
                report
            }
            Entry::Running(job) => {
                metrics::journal_answered("running");
                let outcome = ReportedOutcome::Running {
                    job: job.name.clone(),
                };
                let report = report(&work.order, outcome, Vec::new());
                return self.journal.answer(reportable(&report, work)).await;
            }
        };
        info!(execution.id = %work.order.execution, "answered from the journal");
        let traceparent = work.order.traceparent;
        self.journal
            .answer(Reportable {
                report,
                traceparent,
                receipt: Some(work.receipt),
            })
            .await
    }

    /// It was begun, here or perhaps elsewhere, and may not be repeated.
    async fn unknown(&self, work: Work, entry: &'static str) -> Result<(), JournalError> {
        metrics::journal_answered(entry);
        let servers = work.order.native.iter().flat_map(|native| &native.servers);
        let results = servers.map(|server| ServerResult {
            server: server.id.clone(),
            outcome: Outcome::Unknown,
            findings: Vec::new(),
            attempts: 0,
            took_ms: 0,
        });
        let results = results.collect();
        self.finish(work, results, Instant::now()).await
    }

    async fn tell(&self, caches: &Caches, work: Work) -> Result<(), JournalError> {
        let began = Instant::now();
        if !work.order.repeatable {
            self.journal.begin(&work.order.execution).await?;
        }
        let trace = TraceContext::continued(work.order.traceparent.as_deref(), None);
        let is_current = || work.receipt.is_current();
        let Some(results) = caches.carry_out(&work.order, &trace, &is_current).await else {
            debug!(execution.id = %work.order.execution, "left half-way for its next delivery");
            return Ok(());
        };
        self.finish(work, results, began).await
    }

    async fn submit(&self, jobs: &Jobs, work: Work) -> Result<(), JournalError> {
        let began = Instant::now();
        let (job, place) = match jobs.submit(&work.order).await {
            Submitted::Settled(results) => return self.finish(work, results, began).await,
            Submitted::Running(job, place) => (Arc::new(job), place),
        };
        let outcome = ReportedOutcome::Running {
            job: job.name.clone(),
        };
        log(&self.participant, &work.order, &outcome, began);
        metrics::execution(&outcome);
        let report = report(&work.order, outcome, Vec::new());
        self.journal
            .run(Arc::clone(&job), reportable(&report, work))
            .await?;
        jobs.follow(job, place).await;
        Ok(())
    }

    async fn finish(
        &self,
        work: Work,
        results: Vec<ServerResult>,
        began: Instant,
    ) -> Result<(), JournalError> {
        let outcome = fold(&results);
        log(&self.participant, &work.order, &outcome, began);
        metrics::execution(&outcome);
        let execution = work.order.execution.clone();
        let report = report(&work.order, outcome, results);
        self.journal
            .finish(&execution, reportable(&report, work))
            .await
    }
}

/// A predecessor that had the same order may have begun it, and its journal is not ours.
fn may_be_begun_elsewhere(work: &Work) -> bool {
    !work.order.repeatable && (work.sent_before || work.receipt.is_redelivered())
}

fn report(order: &Order, outcome: ReportedOutcome, results: Vec<ServerResult>) -> ExecutionReport {
    ExecutionReport {
        execution: order.execution.clone(),
        outcome,
        results,
        reported_at: Timestamp::from(std::time::SystemTime::now()),
    }
}

fn reportable(report: &ExecutionReport, work: Work) -> Reportable {
    Reportable::new(report, work.order.traceparent, Some(work.receipt))
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

fn log(participant: &ParticipantId, order: &Order, outcome: &ReportedOutcome, began: Instant) {
    let servers: usize = order.native.iter().map(|native| native.servers.len()).sum();
    let (fault, message) = match outcome {
        ReportedOutcome::Failed(fault) => (Some(fault.code.as_str()), Some(fault.message.as_str())),
        ReportedOutcome::Running { .. } | ReportedOutcome::Done(_) | ReportedOutcome::Unknown => {
            (None, None)
        }
    };
    info!(
        execution.id = %order.execution,
        participant.id = %participant,
        configuration.id = %order.configuration,
        operation = order.operation,
        execution.servers = servers,
        outcome = metrics::word(outcome),
        fault.code = fault,
        fault.message = message,
        took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
        trace.id = order.traceparent.as_deref().and_then(trace_id),
        "carried out"
    );
}

/// The second field of a `traceparent`.
fn trace_id(traceparent: &str) -> Option<&str> {
    traceparent.split('-').nth(1)
}

#[cfg(test)]
mod tests;
