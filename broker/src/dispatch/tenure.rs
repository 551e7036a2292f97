//! What the holder of a lease knows of its outbox: how far it has come, and what was handed over to it meanwhile.
//!
//! Invariant: what is handed over is sent only where it comes right behind all that was dealt with before, so the order is that of
//! the outbox; and what may have been sent before, by whomever, is never called new.

use std::time::{Duration, Instant};

use amqp::PublishError;
use tokio::sync::SemaphorePermit;

use super::lane::LOOK_EVERY;
use crate::store::{BatchLimits, Entry, Gone, Handed, Lease, Mark, Reach};

/// How long a confirm may take before nothing more is marked ahead.
const SLOW: Duration = Duration::from_millis(100);

/// A turn to send.
pub type Permit<'a> = Option<SemaphorePermit<'a>>;

/// The right to empty a lane, from the moment at which it was taken.
pub struct Tenure {
    /// By which the store knows it.
    pub lease: Lease,
    /// What was sent last, or has ended, and still lies in the outbox.
    pub gone: Gone,
    handed: Handed,
    /// All up to this sequence has been dealt with; unknown where the outbox may hold more.
    dealt_with: Option<u64>,
    /// Nothing behind this sequence has ever been tried; unknown before the first look.
    tried: Option<u64>,
    /// When the outbox was read.
    read_at: Instant,
}

impl Tenure {
    /// A tenure that knows nothing yet.
    pub fn new(lease: Lease, handed: Handed) -> Self {
        Self {
            lease,
            gone: Gone::default(),
            handed,
            dealt_with: None,
            tried: None,
            read_at: Instant::now(),
        }
    }

    /// Whether it may be worth waiting for a turn. It is not where the outbox has not been read for long: what is not handed over
    /// must not wait for ever for what is.
    pub fn has_something_handed(&self) -> bool {
        self.dealt_with.is_some() && self.read_at.elapsed() < LOOK_EVERY && self.handed.has_any()
    }

    /// What was handed over and is next, as much as fits into a message.
    pub fn take(&mut self, limits: BatchLimits) -> Vec<Entry> {
        let Some(after) = self.dealt_with else {
            return Vec::new();
        };
        let entries = self.handed.take(after, limits);
        if let Some(last) = entries.last() {
            self.dealt_with = Some(last.sequence);
            self.tried = self.tried.max(self.dealt_with);
        }
        entries
    }

    /// The outbox was read.
    pub fn has_read(&mut self, reach: Reach) {
        self.gone = Gone::default();
        self.read_at = Instant::now();
        // What is accepted from now on is behind all that was given by then, of which other owners may have sent some.
        self.tried.get_or_insert(reach.given);
        self.dealt_with = None;
        if reach.is_all {
            self.handed.open();
        } else {
            self.handed.shut();
        }
    }

    /// All that was read is confirmed, or has ended.
    pub fn has_dealt_with(&mut self, reach: Reach) {
        self.dealt_with = reach.is_all.then_some(reach.given);
    }

    /// These of what was read are tried now. Of what was marked at its acceptance and not tried before, the mark says that now.
    pub fn tries<'a>(&mut self, marks: impl Iterator<Item = (u64, &'a mut Mark)>) {
        let (tried, mut last) = (self.tried, None);
        for (sequence, mark) in marks {
            last = last.max(Some(sequence));
            if Some(sequence) > tried && *mark == Mark::SendAgain {
                *mark = Mark::Send;
            }
        }
        self.tried = tried.max(last);
    }

    /// Something went wrong, or more waits than a message takes: the outbox says what comes next.
    pub fn fell_behind(&mut self) {
        self.dealt_with = None;
        self.handed.shut();
    }

    /// Waits for a confirm. One that takes so long stands for a RabbitMQ that is slow or stands still: nothing more is marked when
    /// it is accepted then, so that what waits can be taken back for certain, and other lanes get their turn.
    pub async fn confirmed(
        &self,
        publishing: impl Future<Output = Result<(), PublishError>>,
        permit: Permit<'_>,
    ) -> Result<(), PublishError> {
        tokio::pin!(publishing);
        if let Ok(confirmed) = tokio::time::timeout(SLOW, &mut publishing).await {
            return confirmed;
        }
        drop(permit);
        self.handed.close();
        publishing.await
    }
}
