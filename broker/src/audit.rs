//! Who did what, written down: what was done at once, what was refused counted by the second.
//!
//! Invariant: a storm of refusals costs a bounded number of records, for those of one caller, call and reason within a second
//! are one. What the store does not take now is kept for later, within a bound, and what goes beyond is counted in the log.
//! An accepted command is not written here: the script that accepts it does that.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use domain::Timestamp;
use service::exit::Chain;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::{
    authorise::Rpc,
    config::AuditSettings,
    error::Error,
    pipeline::now,
    store::{AuditRecord, Shard, Store, StoreError},
};

/// How often refusals are written and records sealed.
const EVERY: Duration = Duration::from_secs(1);
/// How often old records are looked for.
const TRIM_EVERY: u32 = 60;
/// Records that wait for the store, and kinds of refusals of one second.
const WAITING: usize = 10_000;
/// The longest name of a resource that is kept; a caller chooses it.
const RESOURCE_LENGTH: usize = 200;

/// What waits to be written.
#[derive(Default)]
struct Waiting {
    done: Vec<AuditRecord>,
    refused: HashMap<(String, Rpc, &'static str), AuditRecord>,
    lost: u64,
}

/// The audit log of one replica.
#[derive(Clone)]
pub struct Audit {
    store: Store,
    settings: AuditSettings,
    waiting: Arc<Mutex<Waiting>>,
}

impl Audit {
    /// Into this store.
    pub fn new(store: Store, settings: AuditSettings) -> Self {
        Self {
            store,
            settings,
            waiting: Arc::default(),
        }
    }

    /// An act that was done. It is on disk when this returns, unless the store is away.
    pub async fn done(&self, caller: &str, rpc: Rpc, resource: String) {
        let record = record(caller.to_owned(), rpc, resource, "OK");
        let Some(shard) = self.shard() else { return };
        if let Err(error) = self
            .store
            .append_audit(shard, std::slice::from_ref(&record))
            .await
        {
            warn!(error = %Chain(&error), "cannot write to the audit log now");
            self.keep(vec![record]);
        }
    }

    /// A refusal, where it is one of those that are written down.
    pub fn refused(&self, caller: &str, rpc: Rpc, resource: String, error: &Error) {
        let (code, reason) = error.code();
        if !is_kept(rpc, code) {
            return;
        }
        let mut waiting = self.waiting();
        let full = waiting.refused.len() >= WAITING;
        let key = (caller.to_owned(), rpc, reason);
        match waiting.refused.get_mut(&key) {
            Some(before) => before.count += 1,
            None if full => waiting.lost += 1,
            None => {
                let record = record(key.0.clone(), rpc, resource, reason);
                waiting.refused.insert(key, record);
            }
        }
    }

    /// Writes and seals until asked to stop, and then what is left.
    pub async fn run(self, stop: CancellationToken) {
        let mut rounds = 0_u32;
        loop {
            let ended = stop.run_until_cancelled(tokio::time::sleep(EVERY)).await;
            rounds = rounds.wrapping_add(1);
            if let Err(error) = self.round(rounds.is_multiple_of(TRIM_EVERY)).await {
                warn!(error = %Chain(&error), "cannot keep the audit log");
            }
            if ended.is_none() {
                return;
            }
        }
    }

    async fn round(&self, trims: bool) -> Result<(), StoreError> {
        self.flush().await?;
        for shard in self.store.keys().shards() {
            // A little less than the pause, so that there is a sealer in every round.
            if self.store.may_seal(shard, EVERY.mul_f64(0.8)).await? {
                self.store.seal_audit(shard).await?;
            }
            if trims {
                let kept = u64::try_from(self.settings.retention.as_millis()).unwrap_or(u64::MAX);
                let before = Timestamp::from_millis(now().as_millis().saturating_sub(kept));
                let most = self.settings.records;
                self.store.trim_audit(shard, before, most).await?;
            }
        }
        Ok(())
    }

    async fn flush(&self) -> Result<(), StoreError> {
        let (records, lost) = {
            let mut waiting = self.waiting();
            let mut records = std::mem::take(&mut waiting.done);
            records.extend(waiting.refused.drain().map(|(_, record)| record));
            (records, std::mem::take(&mut waiting.lost))
        };
        if lost > 0 {
            warn!(
                records = lost,
                "the audit log lacks records: too many at a time"
            );
        }
        let Some(shard) = self.shard().filter(|_| !records.is_empty()) else {
            return Ok(());
        };
        let written = self.store.append_audit(shard, &records).await;
        if written.is_err() {
            self.keep(records);
        }
        written
    }

    fn keep(&self, records: Vec<AuditRecord>) {
        let mut waiting = self.waiting();
        let space = WAITING.saturating_sub(waiting.done.len());
        let lost = records.len().saturating_sub(space);
        waiting.lost += lost as u64;
        waiting.done.extend(records.into_iter().take(space));
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What belongs to no configuration's shard stands in the first.
    fn shard(&self) -> Option<Shard> {
        self.store.keys().shards().next()
    }
}

/// Every refused act, and every look at what is another's; not the mistakes of those who only look.
fn is_kept(rpc: Rpc, code: tonic::Code) -> bool {
    use tonic::Code;
    match code {
        Code::NotFound
        | Code::PermissionDenied
        | Code::Unauthenticated
        | Code::ResourceExhausted => true,
        Code::InvalidArgument | Code::AlreadyExists | Code::FailedPrecondition => rpc.is_act(),
        _ => false,
    }
}

fn record(caller: String, rpc: Rpc, mut resource: String, result: &str) -> AuditRecord {
    if let Some((cut, _)) = resource.char_indices().nth(RESOURCE_LENGTH) {
        resource.truncate(cut);
    }
    AuditRecord {
        at: now(),
        caller,
        call: rpc.name().to_owned(),
        resource,
        result: result.to_owned(),
        count: 1,
    }
}
