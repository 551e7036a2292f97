//! Keeping the directory as the registry is.
//!
//! Invariant: changes are taken in the order of their versions, none is left out: a replica that was away for longer than
//! the log goes back, or whose Redis came back without what had been taken in, reads everything anew.

use std::sync::Arc;

use service::backoff::{Backoff, BackoffSettings};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{Directory, Tables};
use crate::store::{Change, Changes, RecordKind, Store, StoreError};

/// Reads the registry and follows its changes.
#[derive(Clone)]
pub struct Follower {
    store: Store,
    directory: Arc<Directory>,
    /// One catch-up at a time, so that no change is taken in twice or out of order.
    catching_up: Arc<Mutex<()>>,
}

impl Follower {
    /// A follower that has read nothing yet.
    pub fn new(store: Store, directory: Arc<Directory>) -> Self {
        Self {
            store,
            directory,
            catching_up: Arc::default(),
        }
    }

    /// Reads everything.
    pub async fn load(&self) -> Result<(), StoreError> {
        let _alone = self.catching_up.lock().await;
        self.read_all().await
    }

    /// Takes in all changes that were made before this call.
    pub async fn catch_up(&self) -> Result<(), StoreError> {
        let _alone = self.catching_up.lock().await;
        match self.store.changes_since(&self.directory.edition()).await? {
            Changes::Unknown => self.read_all().await,
            Changes::Since(changes) => {
                let mut tables = self.directory.write();
                for (edition, change) in changes {
                    tables.apply(change);
                    tables.edition = edition;
                }
                Ok(())
            }
        }
    }

    /// Follows until asked to stop.
    pub async fn run(self, stop: CancellationToken, backoff: BackoffSettings) {
        let mut backoff = Backoff::new(backoff);
        while let Some(outcome) = stop.run_until_cancelled(self.step()).await {
            match outcome {
                Ok(()) => backoff.reset(),
                Err(error) => {
                    let delay = backoff.next_delay();
                    warn!(error = %service::exit::Chain(&error), retry_ms = delay.as_millis(), "cannot follow the registry");
                    stop.run_until_cancelled(tokio::time::sleep(delay)).await;
                }
            }
        }
    }

    async fn step(&self) -> Result<(), StoreError> {
        // Looked at even when nothing was heard: a registry that went back says nothing.
        self.catch_up().await?;
        let seen = self.directory.edition().version;
        self.store.wait_for_change(seen).await
    }

    async fn read_all(&self) -> Result<(), StoreError> {
        // Read before the records: what changes meanwhile is taken in again from the log, which does no harm.
        let mut tables = Tables::at(self.store.edition().await?);
        for kind in RecordKind::ALL {
            self.store
                .records(kind, |record| {
                    // A scan may show a record twice.
                    tables.apply(Change::Put(record));
                })
                .await?;
        }
        info!(
            registry.version = tables.edition.version,
            participants = tables.participants.len(),
            servers = tables.servers.len(),
            configurations = tables.configurations.len(),
            deployments = tables.deployments.len(),
            mappings = tables.mappings.len(),
            "read the registry"
        );
        let old = std::mem::replace(&mut *self.directory.write(), tables);
        // A million old records are let go when nobody waits for the lock.
        drop(old);
        Ok(())
    }
}
