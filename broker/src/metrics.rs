//! Every metric of the broker, once: `docs/metrics.md` is compared with this table by a test.

use amqp::PublishError;
use domain::{ParticipantId, State};
use metrics::{counter, gauge};
use service::telemetry::{Description, Kind, Unit};

/// Commands by operation and what became of the call.
pub const COMMANDS_TOTAL: &str = "broker_commands_total";
/// Executions that reached a state.
pub const EXECUTIONS_TOTAL: &str = "broker_executions_total";
/// From acceptance to the settled state of an execution.
pub const SETTLE_SECONDS: &str = "broker_execution_settle_seconds";
/// Entries that wait in the outbox.
pub const OUTBOX_EXECUTIONS: &str = "broker_outbox_executions";
/// Age of the oldest entry.
pub const OUTBOX_AGE_SECONDS: &str = "broker_outbox_age_seconds";
/// Executions that are marked as dispatched and not reported.
pub const UNREPORTED_EXECUTIONS: &str = "broker_unreported_executions";
/// Dispatches by what became of them.
pub const DISPATCHES_TOTAL: &str = "broker_dispatches_total";
/// Executions in one dispatch.
pub const DISPATCH_EXECUTIONS: &str = "broker_dispatch_executions";
/// From publish to confirm.
pub const PUBLISH_SECONDS: &str = "broker_publish_seconds";
/// Reports by what became of them.
pub const REPORTS_TOTAL: &str = "broker_reports_total";
/// Receipts by what became of them.
pub const RECEIPTS_TOTAL: &str = "broker_receipts_total";
/// Reports that RabbitMQ delivered again.
pub const REDELIVERIES_TOTAL: &str = "broker_redeliveries_total";
/// Outcomes that were known already.
pub const REPEATED_TOTAL: &str = "broker_repeated_outcomes_total";
/// Watchers now.
pub const WATCHERS: &str = "broker_watchers";
/// Lanes that this replica dispatches.
pub const LANES_OWNED: &str = "broker_lanes_owned";
/// Commands deleted after their retention.
pub const RETIRED_TOTAL: &str = "broker_commands_retired_total";

/// Dead letters that wait for somebody to work on them.
pub const DEAD_LETTERS: &str = "broker_dead_letters";
/// Dead letters that somebody worked on.
pub const DEAD_LETTERS_WORKED_TOTAL: &str = "broker_dead_letters_worked_total";
/// Executions whose work a later one did too.
pub const ABSORBED_TOTAL: &str = "broker_absorbed_executions_total";
/// Executions that an adapter was asked to leave.
pub const CANCELS_ASKED_TOTAL: &str = "broker_cancels_asked_total";
/// Executions whose scheduled time came.
pub const RELEASED_TOTAL: &str = "broker_scheduled_released_total";

/// Connections that are open.
pub const CONNECTIONS: &str = "broker_connections";
/// Connections by what became of them at the door.
pub const CONNECTIONS_TOTAL: &str = "broker_connections_total";
/// Calls and streams that were refused or ended before anything looked at what they ask.
pub const CALLS_REFUSED_TOTAL: &str = "broker_calls_refused_total";
/// Changes of the files that say who is who.
pub const TRUST_RELOADS_TOTAL: &str = "broker_trust_reloads_total";

/// The table.
pub const TABLE: &[Description] = &[
    Description::new(
        COMMANDS_TOTAL,
        Kind::Counter,
        Unit::Count,
        &["operation", "result", "reason"],
        "Submits by what became of them: accepted or repeated, by operation; refused, plans included, by the reason of the error.",
    ),
    Description::new(
        EXECUTIONS_TOTAL,
        Kind::Counter,
        Unit::Count,
        &["participant", "state"],
        "Executions that reached a state.",
    ),
    Description::new(
        SETTLE_SECONDS,
        Kind::Histogram,
        Unit::Seconds,
        &["participant"],
        "From the acceptance of a command to the settled state of an execution.",
    ),
    Description::new(
        OUTBOX_EXECUTIONS,
        Kind::Gauge,
        Unit::Count,
        &["participant", "shard"],
        "Executions that wait in the outbox; shown by the replica that empties it.",
    ),
    Description::new(
        OUTBOX_AGE_SECONDS,
        Kind::Gauge,
        Unit::Seconds,
        &["participant", "shard"],
        "Age of the oldest execution in the outbox.",
    ),
    Description::new(
        UNREPORTED_EXECUTIONS,
        Kind::Gauge,
        Unit::Count,
        &["participant", "shard"],
        "Executions that are marked as dispatched and have not been reported; what RabbitMQ has not confirmed is in the outbox, too.",
    ),
    Description::new(
        DISPATCHES_TOTAL,
        Kind::Counter,
        Unit::Count,
        &["participant", "result"],
        "Messages to adapters: confirmed, refused, unroutable, timed_out or unavailable.",
    ),
    Description::new(
        DISPATCH_EXECUTIONS,
        Kind::Histogram,
        Unit::Count,
        &[],
        "Executions in one message to an adapter.",
    ),
    Description::new(
        PUBLISH_SECONDS,
        Kind::Histogram,
        Unit::Seconds,
        &[],
        "From the publishing of a message to its confirm.",
    ),
    Description::new(
        REPORTS_TOTAL,
        Kind::Counter,
        Unit::Count,
        &["result"],
        "Messages from adapters: applied, or why they are dead-lettered: unreadable, foreign, unknown_execution, store_broken, or what is wrong with the signature (unsigned, malformed_signature, unknown_key, forged, other_participant, key_out_of_time, too_old, from_the_future).",
    ),
    Description::new(
        RECEIPTS_TOTAL,
        Kind::Counter,
        Unit::Count,
        &["result"],
        "Receipts of participants: chained, told_otherwise (chained too, and not of what the broker told), not_signed or unreadable.",
    ),
    Description::new(
        REDELIVERIES_TOTAL,
        Kind::Counter,
        Unit::Count,
        &[],
        "Messages from adapters that RabbitMQ delivered again.",
    ),
    Description::new(
        REPEATED_TOTAL,
        Kind::Counter,
        Unit::Count,
        &["participant"],
        "Outcomes of executions that changed nothing: delivered or sent again, come too late, or played back by somebody else.",
    ),
    Description::new(
        WATCHERS,
        Kind::Gauge,
        Unit::Count,
        &[],
        "Calls of WatchCommand that are open.",
    ),
    Description::new(
        LANES_OWNED,
        Kind::Gauge,
        Unit::Count,
        &[],
        "Outboxes that this replica empties.",
    ),
    Description::new(
        RETIRED_TOTAL,
        Kind::Counter,
        Unit::Count,
        &[],
        "Commands deleted when their retention had passed.",
    ),
    Description::new(
        ABSORBED_TOTAL,
        Kind::Counter,
        Unit::Count,
        &["participant"],
        "Executions that were sent as part of a later one that covers them, because the participant was behind.",
    ),
    Description::new(
        CANCELS_ASKED_TOTAL,
        Kind::Counter,
        Unit::Count,
        &["participant"],
        "Executions that had been sent when they were cancelled, so that the adapter was asked to leave them.",
    ),
    Description::new(
        RELEASED_TOTAL,
        Kind::Counter,
        Unit::Count,
        &["participant"],
        "Scheduled executions whose time came and that went to the outbox.",
    ),
    Description::new(
        DEAD_LETTERS,
        Kind::Gauge,
        Unit::Count,
        &["participant"],
        "Messages that could not be handled, `replies` for reports; every replica shows all of them.",
    ),
    Description::new(
        DEAD_LETTERS_WORKED_TOTAL,
        Kind::Counter,
        Unit::Count,
        &["work"],
        "Dead letters that were sent again (`retried`) or thrown away (`discarded`).",
    ),
    Description::new(
        CONNECTIONS,
        Kind::Gauge,
        Unit::Count,
        &[],
        "Connections of callers that are open.",
    ),
    Description::new(
        CONNECTIONS_TOTAL,
        Kind::Counter,
        Unit::Count,
        &["result"],
        "Connections at the door: accepted, failed (the handshake), timed_out, evicted or full.",
    ),
    Description::new(
        CALLS_REFUSED_TOTAL,
        Kind::Counter,
        Unit::Count,
        &["reason"],
        "Calls refused, and streams ended: for what their connection is (unidentified, aged or full), unread, or late with their answer.",
    ),
    Description::new(
        TRUST_RELOADS_TOTAL,
        Kind::Counter,
        Unit::Count,
        &["what", "result"],
        "New files of the certificate or of the deny list (revoked): loaded or refused.",
    ),
];

/// Counts a submit that was refused, by the reason that its caller is told.
pub fn count_refused(reason: &'static str) {
    counter!(COMMANDS_TOTAL, "result" => "refused", "reason" => reason).increment(1);
}

/// Counts an execution that reached a state.
pub fn count_execution(participant: &ParticipantId, state: &State) {
    count_executions(participant, state.as_str(), 1);
}

/// Counts executions that reached a state.
pub fn count_executions(participant: &ParticipantId, state: &'static str, count: u64) {
    counter!(EXECUTIONS_TOTAL, "participant" => participant.to_string(), "state" => state)
        .increment(count);
}

/// Counts executions that were sent as part of later ones.
pub fn count_absorbed(participant: &ParticipantId, count: usize) {
    if count > 0 {
        counter!(ABSORBED_TOTAL, "participant" => participant.to_string()).increment(count as u64);
    }
}

/// Counts an execution that an adapter is asked to leave.
pub fn count_cancel_asked(participant: &ParticipantId) {
    counter!(CANCELS_ASKED_TOTAL, "participant" => participant.to_string()).increment(1);
}

/// Counts an execution whose scheduled time came.
pub fn count_released(participant: &ParticipantId) {
    counter!(RELEASED_TOTAL, "participant" => participant.to_string()).increment(1);
}

/// How a dispatch that was not confirmed is counted.
pub fn dispatch_result(error: &PublishError) -> &'static str {
    match error {
        PublishError::Unroutable { .. }
        | PublishError::Denied { .. }
        | PublishError::TooLong { .. } => "unroutable",
        PublishError::Refused { .. } => "refused",
        PublishError::TimedOut { .. } | PublishError::Lost { .. } => "timed_out",
        PublishError::Unavailable { .. } => "unavailable",
    }
}

/// Counts a connection by what became of it at the door.
pub fn count_connection(result: &'static str) {
    counter!(CONNECTIONS_TOTAL, "result" => result).increment(1);
}

/// One connection more, or one less.
pub fn show_connections(change: f64) {
    gauge!(CONNECTIONS).increment(change);
}

/// Counts a call that was refused for what its connection is.
pub fn count_call_refused(reason: &'static str) {
    counter!(CALLS_REFUSED_TOTAL, "reason" => reason).increment(1);
}

/// Counts new files.
pub fn count_reload(what: &'static str, result: &'static str) {
    counter!(TRUST_RELOADS_TOTAL, "what" => what, "result" => result).increment(1);
}
