//! What the adapter measures: every metric once, and the functions that count.
//!
//! Invariant: no label holds an id of a command, an execution, a configuration or a server; what grows with the work
//! does not belong into a time series.
//! Not here: where they are read (`service::telemetry`).

use std::{sync::OnceLock, time::Duration};

use amqp::envelope::ReportedOutcome;
use domain::{fault::FaultCode, proof::ProofVerdict, signing::SealError};
use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use service::telemetry::{Description, Kind, Unit};

const EXECUTIONS: &str = "adapter_executions_total";
const IN_FLIGHT: &str = "adapter_executions_in_flight";
const JOBS: &str = "adapter_native_jobs";
const REDELIVERED: &str = "adapter_redelivered_dispatches_total";
const UNREADABLE: &str = "adapter_unreadable_total";
const NOT_BELIEVED: &str = "adapter_dispatches_refused_total";
const ANSWERED: &str = "adapter_journal_answers_total";
const FLUSHES: &str = "adapter_journal_flush_seconds";
const FLUSHED: &str = "adapter_journal_flush_records";
const CALLS: &str = "adapter_native_calls_total";
const CALL_TIME: &str = "adapter_native_call_seconds";
const PACED: &str = "adapter_pace_wait_seconds";
const SHARED: &str = "adapter_shared_calls_total";
const CIRCUITS: &str = "adapter_circuits_open";
const FAULTS: &str = "adapter_faults_total";
const PROBES: &str = "adapter_probes_total";
const TOLD_AGAIN: &str = "adapter_probe_repeats_total";
const REPORT_SIZE: &str = "adapter_report_executions";
const REPORTS_REFUSED: &str = "adapter_reports_refused_total";

/// All metrics of the adapter.
pub const TABLE: &[Description] = &[
    Description::new(
        EXECUTIONS,
        Kind::Counter,
        Unit::Count,
        &["outcome"],
        "Executions reported, by what was reported.",
    ),
    Description::new(
        IN_FLIGHT,
        Kind::Gauge,
        Unit::Count,
        &[],
        "Executions that are being carried out.",
    ),
    Description::new(
        JOBS,
        Kind::Gauge,
        Unit::Count,
        &[],
        "Executions that the invocation system or the provider works on.",
    ),
    Description::new(
        REDELIVERED,
        Kind::Counter,
        Unit::Count,
        &[],
        "Dispatches that RabbitMQ delivered again.",
    ),
    Description::new(
        UNREADABLE,
        Kind::Counter,
        Unit::Count,
        &["what"],
        "Messages and orders that could not be read; an `unidentified-order` ends unanswered.",
    ),
    Description::new(
        NOT_BELIEVED,
        Kind::Counter,
        Unit::Count,
        &["why"],
        "Dispatches that are not carried out because of their signature; they are dead-lettered.",
    ),
    Description::new(
        ANSWERED,
        Kind::Counter,
        Unit::Count,
        &["entry"],
        "Executions answered from the journal, by what it held.",
    ),
    Description::new(
        FLUSHES,
        Kind::Histogram,
        Unit::Seconds,
        &[],
        "One transaction of the journal, its flush included.",
    ),
    Description::new(
        FLUSHED,
        Kind::Histogram,
        Unit::Count,
        &[],
        "Records that shared one flush.",
    ),
    Description::new(
        CALLS,
        Kind::Counter,
        Unit::Count,
        &["dialect", "status"],
        "Calls to native systems, by class of status; `none` without an answer.",
    ),
    Description::new(
        CALL_TIME,
        Kind::Histogram,
        Unit::Seconds,
        &["dialect"],
        "One call, from the first byte to the last.",
    ),
    Description::new(
        PACED,
        Kind::Histogram,
        Unit::Seconds,
        &[],
        "How long a call to a provider waited for its account's budgets.",
    ),
    Description::new(
        SHARED,
        Kind::Counter,
        Unit::Count,
        &["dialect"],
        "Calls to a provider that were not made, because another one's said them too.",
    ),
    Description::new(
        CIRCUITS,
        Kind::Gauge,
        Unit::Count,
        &[],
        "Servers that are left alone for a while, because they did not answer.",
    ),
    Description::new(
        FAULTS,
        Kind::Counter,
        Unit::Count,
        &["code"],
        "Faults of servers after the last try.",
    ),
    Description::new(
        PROBES,
        Kind::Counter,
        Unit::Count,
        &["verdict"],
        "URLs that were looked at after a command, by what that showed.",
    ),
    Description::new(
        TOLD_AGAIN,
        Kind::Counter,
        Unit::Count,
        &[],
        "Commands told once more, because looking afterwards did not prove them.",
    ),
    Description::new(
        REPORT_SIZE,
        Kind::Histogram,
        Unit::Count,
        &[],
        "Executions in one report message.",
    ),
    Description::new(
        REPORTS_REFUSED,
        Kind::Counter,
        Unit::Count,
        &[],
        "Report messages that RabbitMQ did not take at once.",
    ),
];

/// What could not be read.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Unreadable {
    /// A whole message; it went to the dead letters.
    Message,
    /// One order among others.
    Order,
    /// One order among others that cannot even be reported.
    Unidentified,
}

pub(crate) fn execution(outcome: &ReportedOutcome) {
    counter!(EXECUTIONS, "outcome" => word(outcome)).increment(1);
}

/// One more execution, until the guard is dropped.
pub(crate) fn in_flight() -> InFlight {
    let gauge = gauge!(IN_FLIGHT);
    gauge.increment(1);
    InFlight(gauge)
}

/// Counts one execution as long as it lives.
pub(crate) struct InFlight(Gauge);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.decrement(1);
    }
}

pub(crate) fn jobs(count: usize) {
    gauge!(JOBS).set(u32::try_from(count).unwrap_or(u32::MAX));
}

pub(crate) fn redelivered() {
    counter!(REDELIVERED).increment(1);
}

pub(crate) fn not_believed(why: SealError) {
    counter!(NOT_BELIEVED, "why" => why.word()).increment(1);
}

pub(crate) fn unreadable(what: Unreadable) {
    let what = match what {
        Unreadable::Message => "message",
        Unreadable::Order => "order",
        Unreadable::Unidentified => "unidentified-order",
    };
    counter!(UNREADABLE, "what" => what).increment(1);
}

pub(crate) fn journal_answered(entry: &'static str) {
    counter!(ANSWERED, "entry" => entry).increment(1);
}

pub(crate) fn journal_flushed(records: usize, took: Duration) {
    histogram!(FLUSHES).record(took);
    histogram!(FLUSHED).record(u32::try_from(records).unwrap_or(u32::MAX));
}

/// One call of a native system. Whoever makes many keeps the [`NativeCalls`] of its dialect.
pub(crate) fn native_call(dialect: &'static str, status: Option<u16>, took: Duration) {
    NativeCalls::of(dialect).count(status, took);
}

/// What calls in one dialect are counted by: looked up when the first of a kind is counted, and kept.
#[derive(Debug)]
pub(crate) struct NativeCalls {
    dialect: &'static str,
    answered: [OnceLock<Counter>; STATUSES.len()],
    time: OnceLock<Histogram>,
}

/// The classes of the statuses that calls are answered with; the last is of those without a whole answer.
const STATUSES: [&str; 6] = ["1xx", "2xx", "3xx", "4xx", "5xx", "none"];

impl NativeCalls {
    pub(crate) const fn of(dialect: &'static str) -> Self {
        Self {
            dialect,
            answered: [const { OnceLock::new() }; STATUSES.len()],
            time: OnceLock::new(),
        }
    }

    pub(crate) fn count(&self, status: Option<u16>, took: Duration) {
        let class = match status {
            Some(100..=199) => 0,
            Some(200..=299) => 1,
            Some(300..=399) => 2,
            Some(400..=499) => 3,
            Some(_) => 4,
            None => 5,
        };
        let labels = [("dialect", self.dialect), ("status", STATUSES[class])];
        let answered = self.answered[class].get_or_init(|| counter!(CALLS, &labels));
        answered.increment(1);
        let time = || histogram!(CALL_TIME, "dialect" => self.dialect);
        self.time.get_or_init(time).record(took);
    }
}

pub(crate) fn paced(waited: Duration) {
    histogram!(PACED).record(waited);
}

/// One call served so many more.
pub(crate) fn shared(dialect: &'static str, calls: usize) {
    counter!(SHARED, "dialect" => dialect).increment(calls as u64);
}

pub(crate) fn circuits_open(count: usize) {
    gauge!(CIRCUITS).set(u32::try_from(count).unwrap_or(u32::MAX));
}

pub(crate) fn fault(code: FaultCode) {
    counter!(FAULTS, "code" => code.as_str()).increment(1);
}

pub(crate) fn probed(verdict: ProofVerdict) {
    counter!(PROBES, "verdict" => verdict.as_str()).increment(1);
}

pub(crate) fn told_again() {
    counter!(TOLD_AGAIN).increment(1);
}

pub(crate) fn report_published(executions: usize) {
    histogram!(REPORT_SIZE).record(u32::try_from(executions).unwrap_or(u32::MAX));
}

pub(crate) fn report_refused() {
    counter!(REPORTS_REFUSED).increment(1);
}

/// The outcome's word in metrics and logs.
pub(crate) fn word(outcome: &ReportedOutcome) -> &'static str {
    match outcome {
        ReportedOutcome::Running { .. } => "running",
        ReportedOutcome::Done(_) => "done",
        ReportedOutcome::Failed(_) => "failed",
        ReportedOutcome::Unknown => "unknown",
        ReportedOutcome::Cancelled => "cancelled",
        ReportedOutcome::Expired => "expired",
    }
}
