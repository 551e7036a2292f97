//! One execution from its lane to the journal: look whether it was here before, carry it out, remember and report.
//!
//! Invariant: what is finished is answered and not done again. What may not be repeated is begun only when the journal
//! has written that down, and never when this adapter or another one may have begun it before. What was cancelled before
//! it was begun, or whose time was over by then, is not begun.
//! Not here: how it is carried out (`caches`, `system`, `api`).
//!
//! The time of an order that expires is looked at once, right before it begins, by this machine's clock and without a
//! tolerance: a clock that is fast by a second begins it up to a second too seldom, one that is slow up to a second too
//! late. The clocks of a federation are to be kept by NTP. That such an order was begun stands in the journal first, so
//! one that was interrupted is gone on with after its time, and not called expired. One that another adapter may have begun
//! is not begun after its time either, but nobody knows then how far that one came.

mod neighbours;

use std::{sync::Arc, time::Instant};

use amqp::envelope::{ExecutionReport, MappingDocument, Order, ReportedOutcome};
use domain::{ExecutionId, ParticipantId, ServerResult, receipt::Told};
use serde_json::value::RawValue;
use service::trace::TraceContext;
use tracing::{debug, info};

use crate::{
    caches::{Caches, Surroundings},
    ending::{self, fold, report},
    jobs::{Jobs, Submitted},
    journal::{Entry, Job, Journal, JournalError, now},
    ledger::Ledger,
    metrics,
    receipt::Receipt,
    report::{Reportable, leaf_of},
};

/// One order of one dispatch.
#[derive(Debug)]
pub(crate) struct Work {
    /// What is to be done.
    pub(crate) order: Order,
    /// The document that its calls were made by, where they were made by one and it came with them.
    pub(crate) mapping: Option<Arc<MappingDocument>>,
    /// What a receipt of it says that we were told; none where receipts are not signed.
    pub(crate) told: Option<Told>,
    /// The dispatch that waits for it.
    pub(crate) receipt: Receipt,
    /// Whether the broker may have sent it before in another message.
    pub(crate) sent_before: bool,
    /// Executions of the same dispatch whose work it does too. They are why no cancel holds for it.
    pub(crate) absorbed: Vec<ExecutionId>,
    /// The dispatch that cancelled it.
    pub(crate) asked_by: Option<Receipt>,
}

/// Who carries orders out.
#[derive(Debug)]
pub(crate) enum Carrier {
    /// This adapter, on each server.
    Caches(Box<Caches>),
    /// The participant's invocation system.
    System(Jobs),
    /// The participant's provider, by its API.
    Api(Jobs),
}

/// Takes executions one at a time; many tasks share one.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) participant: ParticipantId,
    pub(crate) journal: Journal,
    pub(crate) ledger: Ledger,
    pub(crate) carrier: Carrier,
}

/// What goes on around an order.
struct Around<'a> {
    receipt: &'a Receipt,
    is_awaited: &'a (dyn Fn() -> bool + Sync),
}

impl Carrier {
    /// Whether it tells a native system itself, so that what may not be repeated is begun at most once here. A submission
    /// to an invocation system can be repeated.
    fn tells(&self) -> bool {
        match self {
            Self::Caches(_) | Self::Api(_) => true,
            Self::System(_) => false,
        }
    }

    /// Whether what waits together may be told together.
    fn shares_calls(&self) -> bool {
        matches!(self, Self::Api(_))
    }
}

impl Surroundings for Around<'_> {
    fn is_current(&self) -> bool {
        self.receipt.is_current()
    }

    fn is_awaited(&self) -> bool {
        (self.is_awaited)()
    }
}

impl Work {
    /// Whether somebody may have had it before, here or elsewhere.
    pub(crate) fn comes_again(&self) -> bool {
        self.sent_before || self.receipt.is_redelivered()
    }

    /// Whether a cancel can hold.
    pub(crate) fn can_be_cancelled(&self) -> bool {
        self.absorbed.is_empty()
    }
}

impl Worker {
    /// From the lane to the journal. Only a broken journal is an error; everything else is a report. `is_awaited` says
    /// whether somebody waits for it to end.
    pub(crate) async fn carry_out(
        &self,
        work: Work,
        is_awaited: &(dyn Fn() -> bool + Sync),
    ) -> Result<(), JournalError> {
        if !work.receipt.is_current() {
            // It comes again, perhaps to another adapter; whoever gets it then begins it.
            debug!(execution.id = %work.order.execution, "left for its next delivery");
            return Ok(());
        }
        let _counted = metrics::in_flight();
        let only_once = self.carrier.tells() && !work.order.repeatable;
        let is_marked = match self.journal.find(&work.order.execution)? {
            Some(Entry::Finished(report)) => return self.answer(work, report).await,
            Some(Entry::Running(job)) => return self.answer_running(work, &job).await,
            Some(Entry::Begun) if only_once => return self.unknown(work, "begun").await,
            None if only_once && work.comes_again() => {
                // A predecessor that had the same order may have begun it, and its journal is not ours.
                return self.unknown(work, "elsewhere").await;
            }
            entry => entry.is_some(),
        };
        if !is_marked {
            if let Some(outcome) = self.is_too_late(&work) {
                return self.end_unbegun(work, outcome).await;
            }
            if self.needs_mark(&work.order) {
                self.journal.begin(&work.order.execution).await?;
            }
        }
        match &self.carrier {
            Carrier::Caches(caches) => self.tell(caches, work, is_awaited).await,
            // On the heap, or each of the many tasks that wait for work would hold room for it.
            Carrier::System(jobs) | Carrier::Api(jobs) => {
                Box::pin(self.submit(jobs, work, is_awaited)).await
            }
        }
    }

    /// Ends an order that was taken out of its lane because it was cancelled. Where the journal knows more of it, the
    /// cancel came too late.
    pub(crate) async fn cancel(&self, work: Work) -> Result<(), JournalError> {
        match self.journal.find(&work.order.execution)? {
            Some(Entry::Finished(report)) => self.answer(work, report).await,
            Some(Entry::Running(job)) => self.answer_running(work, &job).await,
            Some(Entry::Begun) => self.unknown(work, "begun").await,
            None => self.end_unbegun(work, ReportedOutcome::Cancelled).await,
        }
    }

    /// Why it is not begun any more. Otherwise it is begun from now on, and no cancel holds.
    fn is_too_late(&self, work: &Work) -> Option<ReportedOutcome> {
        let (order, execution) = (&work.order, &work.order.execution);
        let is_over = order.expires_at.is_some_and(|end| end <= now());
        if is_over && !self.ledger.has_begun(execution) {
            return Some(if self.ledger.is_doubtful(execution) {
                ReportedOutcome::Unknown
            } else {
                ReportedOutcome::Expired
            });
        }
        let is_begun = self.ledger.begin(execution, work.can_be_cancelled());
        (!is_begun).then_some(ReportedOutcome::Cancelled)
    }

    /// Whether it must stand in the journal that it is begun.
    fn needs_mark(&self, order: &Order) -> bool {
        let only_once = self.carrier.tells() && !order.repeatable;
        only_once || order.expires_at.is_some()
    }

    /// It was finished before.
    async fn answer(&self, work: Work, report: Arc<RawValue>) -> Result<(), JournalError> {
        metrics::journal_answered("finished");
        info!(execution.id = %work.order.execution, "answered from the journal");
        let answer = Reportable {
            report: Arc::clone(&report),
            leaf: leaf_of(&report),
            traceparent: work.order.traceparent,
            receipt: Some(work.receipt.clone()),
            asked_by: work.asked_by,
        };
        self.journal.answer(answer).await?;
        ending::follow(&self.journal, &report, &work.absorbed, work.receipt).await
    }

    /// The invocation system works on it. What it absorbed ends with the job, as far as the job knows of it.
    async fn answer_running(&self, work: Work, job: &Job) -> Result<(), JournalError> {
        metrics::journal_answered("running");
        let outcome = ReportedOutcome::Running {
            job: job.name.clone(),
        };
        let report = report(&work.order, outcome, Vec::new(), &job.trace());
        let receipt = work.receipt.clone();
        let (with_it, strangers): (Vec<_>, Vec<_>) = work
            .absorbed
            .iter()
            .cloned()
            .partition(|execution| job.absorbed.contains(execution));
        self.journal.answer(reportable(&report, work)).await?;
        ending::run(&self.journal, &report, &with_it, &receipt).await?;
        let why = "that was under way already, and known to do no other's work";
        ending::orphan(&self.journal, &strangers, why, &receipt).await
    }

    /// It was begun, here or perhaps elsewhere, and may not be repeated.
    async fn unknown(&self, work: Work, entry: &'static str) -> Result<(), JournalError> {
        metrics::journal_answered(entry);
        let servers = work.order.native.iter().flat_map(|native| &native.servers);
        let results = servers.map(|server| ServerResult::unknown(server.id.clone()));
        let (results, trace) = (results.collect(), trace_of(&work.order));
        self.finish(work, results, Instant::now(), &trace).await
    }

    async fn end_unbegun(&self, work: Work, outcome: ReportedOutcome) -> Result<(), JournalError> {
        info!(
            execution.id = %work.order.execution,
            participant.id = %self.participant,
            configuration.id = %work.order.configuration,
            outcome = metrics::word(&outcome),
            "not begun"
        );
        let trace = trace_of(&work.order);
        self.end(work, outcome, Vec::new(), &trace).await
    }

    async fn tell(
        &self,
        caches: &Caches,
        work: Work,
        is_awaited: &(dyn Fn() -> bool + Sync),
    ) -> Result<(), JournalError> {
        let (began, trace) = (Instant::now(), trace_of(&work.order));
        let around = Around {
            receipt: &work.receipt,
            is_awaited,
        };
        let Some(results) = caches.carry_out(&work.order, &trace, &around).await else {
            debug!(execution.id = %work.order.execution, "left half-way for its next delivery");
            return Ok(());
        };
        self.finish(work, results, began, &trace).await
    }

    async fn submit(
        &self,
        jobs: &Jobs,
        work: Work,
        is_awaited: &(dyn Fn() -> bool + Sync),
    ) -> Result<(), JournalError> {
        let (began, trace) = (Instant::now(), trace_of(&work.order));
        let around = Around {
            receipt: &work.receipt,
            is_awaited,
        };
        let (job, place) = match jobs.submit(&work, &trace, &around).await {
            Some(Submitted::Running(job, place)) => (job, place),
            Some(Submitted::Settled(results)) => {
                return self.finish(work, results, began, &trace).await;
            }
            None => {
                debug!(execution.id = %work.order.execution, "left half-way for its next delivery");
                return Ok(());
            }
        };
        let job = Arc::new(Job {
            absorbed: work.absorbed.clone(),
            told: work.told.clone(),
            ..*job
        });
        let outcome = ReportedOutcome::Running {
            job: job.name.clone(),
        };
        log(&self.participant, &work.order, &outcome, began);
        metrics::execution(&outcome);
        let report = report(&work.order, outcome, Vec::new(), &trace);
        let receipt = work.receipt.clone();
        self.journal
            .run(Arc::clone(&job), reportable(&report, work))
            .await?;
        ending::run(&self.journal, &report, &job.absorbed, &receipt).await?;
        jobs.follow(job, place).await;
        Ok(())
    }

    async fn finish(
        &self,
        work: Work,
        results: Vec<ServerResult>,
        began: Instant,
        trace: &TraceContext,
    ) -> Result<(), JournalError> {
        let outcome = fold(&results);
        log(&self.participant, &work.order, &outcome, began);
        self.end(work, outcome, results, trace).await
    }

    async fn end(
        &self,
        work: Work,
        outcome: ReportedOutcome,
        results: Vec<ServerResult>,
        trace: &TraceContext,
    ) -> Result<(), JournalError> {
        metrics::execution(&outcome);
        let report = ExecutionReport {
            told: work.told.clone(),
            ..report(&work.order, outcome, results, trace)
        };
        if ending::may_leave_early(&work, &report) {
            let own = Reportable::new(&report, Some(work.receipt));
            return self.journal.finish_meanwhile(&report.execution, own).await;
        }
        let receipts = (Some(work.receipt), work.asked_by);
        ending::finish(&self.journal, &report, &work.absorbed, receipts).await
    }
}

/// This adapter's own span: a child of the order's, or the beginning of a trace where it came with none.
fn trace_of(order: &Order) -> TraceContext {
    let (parent, state) = (order.traceparent.as_deref(), order.tracestate.as_deref());
    TraceContext::continued(parent, state).child()
}

fn reportable(report: &ExecutionReport, work: Work) -> Reportable {
    Reportable {
        asked_by: work.asked_by,
        ..Reportable::new(report, Some(work.receipt))
    }
}

fn log(participant: &ParticipantId, order: &Order, outcome: &ReportedOutcome, began: Instant) {
    let servers: usize = order.native.iter().map(|native| native.servers.len()).sum();
    let (fault, message) = match outcome {
        ReportedOutcome::Failed(fault) => (Some(fault.code.as_str()), Some(fault.message.as_str())),
        ReportedOutcome::Running { .. }
        | ReportedOutcome::Done(_)
        | ReportedOutcome::Unknown
        | ReportedOutcome::Cancelled
        | ReportedOutcome::Expired => (None, None),
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
