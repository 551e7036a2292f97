//! Faults put into the model on purpose, one at a time: each must be noticed, or the invariants check nothing.

/// What is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mutation {
    /// The adapter acknowledges a dispatch when it comes, not when it is reported.
    AcknowledgedUnreported,
    /// The adapter does not look into its journal.
    JournalIgnored,
    /// The adapter reports before its journal is on disk, and forgets what was not.
    ReportedUnwritten,
    /// What may not be repeated is begun before that is on disk; where there is one journal, nothing else tells either that
    /// it was begun.
    BegunUnwritten,
    /// The adapter does not mind that a dispatch may have been elsewhere.
    RedeliveryIgnored,
    /// The broker removes entries from the outbox before RabbitMQ has confirmed them.
    RemovedUnconfirmed,
    /// The broker sends what it read without marking it as dispatched first.
    SentUnmarked,
    /// The broker goes on with what was handed over behind what RabbitMQ has not confirmed.
    HandedOutOfTurn,
    /// The broker acknowledges a report that is not written.
    ReportUnwritten,
    /// A client that repeats its request gives it a new name.
    RequestRenamed,
}

impl Mutation {
    /// Every one.
    pub(super) const ALL: [Self; 10] = [
        Self::AcknowledgedUnreported,
        Self::JournalIgnored,
        Self::ReportedUnwritten,
        Self::BegunUnwritten,
        Self::RedeliveryIgnored,
        Self::RemovedUnconfirmed,
        Self::SentUnmarked,
        Self::HandedOutOfTurn,
        Self::ReportUnwritten,
        Self::RequestRenamed,
    ];
}
