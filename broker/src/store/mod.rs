//! Redis as the system of record: commands and their executions, the outboxes, and the registry.
//!
//! Invariant: what a caller sees as done is one atomic script, so nothing is ever half written; every script may be
//! run twice. Every script stands beside the function that calls it, every key name in `keys`.
//! Not here: what a command means, who may see it, when something is sent.

mod accept;
mod accept_script;
mod access;
mod ahead;
mod apply;
mod approval;
mod asked;
mod audit;
mod audit_entries;
mod cancel;
mod connection;
mod due;
mod gather;
mod handover;
mod keys;
mod listen;
mod mark;
mod outbox;
mod progress;
mod read;
mod receipts;
mod records;
mod registry;
mod replicas;
mod request;
mod retire;
mod stored;
mod transitions;
mod turn;

use std::sync::Arc;

pub(crate) use accept::Asking;
pub use accept::{Accepted, Bounds, Placed};
pub use access::{acl, rules};
pub use ahead::{AbsorbedEntry, Plans, Waiting};
pub use apply::{Applied, Outcome, Terms};
pub use approval::{Approval, ApprovalAsked, Approved};
pub use audit::{AuditRecord, KeptRecord, Seal};
pub use cancel::Withdrawn;
pub use connection::{StoreError, StoreTls, is_address};
pub use due::{Expired, Released};
pub use handover::Handed;
pub use keys::{Keys, Shard, stable_hash};
pub use listen::Heard;
pub use mark::{Mark, Marked, Marking, Marks};
pub use outbox::{Batch, BatchLimits, Entry, Gone, Lane, Lease, OutboxState, Reach, accepted_at};
pub use progress::Progress;
pub use read::CommandPage;
pub use receipts::{ChainEnd, ChainPage, Chained, Keep};
pub use records::{MappingVersion, Record, RecordKind};
pub use registry::{Change, Changes, Edition, Put};
pub use request::Requested;
pub use retire::Retired;
pub use stored::StoredCommand;
pub use turn::Turn;

use connection::Redis;
use gather::Gatherer;
use handover::Doors;
use service::configuration::SecretUrl;
use tokio::sync::Notify;

/// The layout of `keys`; another number for each that an earlier broker would not read.
const LAYOUT: usize = 2;

/// The store of one replica; clones share its connections.
#[derive(Clone)]
pub struct Store {
    redis: Redis,
    keys: Arc<Keys>,
    scripts: Arc<Scripts>,
    accepts: Gatherer,
    doors: Doors,
}

/// Every script, compiled once.
struct Scripts {
    own: redis::Script,
    release: redis::Script,
    mark: redis::Script,
    next: redis::Script,
    look: redis::Script,
    absorb: redis::Script,
    apply: redis::Script,
    withdraw: redis::Script,
    release_due: redis::Script,
    approve: redis::Script,
    chain: redis::Script,
    note_progress: redis::Script,
    show_progress: redis::Script,
    put: redis::Script,
    beat: redis::Script,
    seal: redis::Script,
    trim_audit: redis::Script,
}

impl Store {
    /// Connects, where the machine's own certificates are trusted.
    pub async fn connect(url: &SecretUrl, keys: Keys) -> Result<Self, StoreError> {
        Self::connect_with(url, &StoreTls::default(), keys).await
    }

    /// Connects.
    pub async fn connect_with(
        url: &SecretUrl,
        tls: &StoreTls,
        keys: Keys,
    ) -> Result<Self, StoreError> {
        let scripts = Scripts {
            own: redis::Script::new(outbox::OWN),
            release: redis::Script::new(outbox::RELEASE),
            mark: connection::with_transitions(mark::SCRIPT),
            next: redis::Script::new(outbox::NEXT),
            look: redis::Script::new(ahead::LOOK),
            absorb: connection::with_transitions(ahead::ABSORB),
            apply: connection::with_transitions(apply::SCRIPT),
            withdraw: connection::with_transitions(cancel::SCRIPT),
            release_due: redis::Script::new(due::RELEASE),
            approve: redis::Script::new(approval::APPROVE),
            chain: redis::Script::new(receipts::SCRIPT),
            note_progress: redis::Script::new(progress::NOTE),
            show_progress: redis::Script::new(progress::SHOW),
            put: redis::Script::new(registry::PUT),
            beat: redis::Script::new(replicas::BEAT),
            seal: redis::Script::new(audit::SEAL),
            trim_audit: redis::Script::new(audit::TRIM),
        };
        let redis = Redis::connect(url, tls).await?;
        let (doors, keys) = (Doors::new(keys.shards().count()), Arc::new(keys));
        let (handing, looking) = (doors.clone(), doors.clone());
        let then = Box::new(move |shard, asked, answer: &_| {
            accept::hand_over(&handing, shard, asked, answer);
        });
        let failed = move |shard| looking.look(shard);
        Ok(Self {
            accepts: Gatherer::new(redis.clone(), Arc::clone(&keys), then, failed),
            doors,
            redis,
            keys,
            scripts: Arc::new(scripts),
        })
    }

    /// Refuses to work on a store that was begun with another number of shards, where nothing would be found again, or with another
    /// layout, where nothing would be read.
    pub async fn check_beginning(&self) -> Result<(), StoreError> {
        let (key, ours) = (self.keys.registry("shards"), self.keys.shards().count());
        let mut pipeline = redis::pipe();
        let beginning = format!("{ours} {LAYOUT}");
        pipeline.cmd("SETNX").arg(&key).arg(beginning).ignore();
        let (begun,): (String,) = self.redis.pipeline(pipeline.get(&key)).await?;
        // A store without a word of its layout has the first.
        let (begun, layout) = begun.split_once(' ').unwrap_or((&begun, "1"));
        let read = |text: &str| text.parse().ok();
        let begun = read(begun).zip(read(layout));
        let (begun, layout) = begun.ok_or_else(|| StoreError::lacking("how it was begun"))?;
        if begun != ours {
            return Err(StoreError::OtherShards { begun, ours });
        }
        if layout != LAYOUT {
            return Err(StoreError::OtherLayout(layout));
        }
        Ok(())
    }

    /// Lets what is accepted here be handed over to who has this lease, at first not and then while it is open and `can_send`.
    pub fn handing_over(
        &self,
        lane: &Lane,
        lease: &Lease,
        waker: Arc<Notify>,
        can_send: impl Fn() -> bool + Send + Sync + 'static,
    ) -> Handed {
        self.doors.build(lane, lease, waker, can_send)
    }

    /// The names.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Whether Redis answers.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.redis.command::<()>(&redis::cmd("PING")).await
    }
}
