//! A configuration's chain of receipts, as its owner takes it away.
//!
//! Invariant: records go out as they are kept, byte for byte, for their hashes are over that; the end of the chain is signed, so
//! that what is missing at the end shows.
//! Not here: who may have them (`ingress::receipts`).

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use domain::{ConfigurationId, receipt::Head};

use crate::{
    directory::Directory,
    pipeline::now,
    signing::Signing,
    store::{ChainEnd, ChainPage, Store, StoreError},
};

/// Reads chains on one replica.
#[derive(Clone)]
pub struct Receipts {
    store: Store,
    directory: Arc<Directory>,
    signing: Arc<Signing>,
}

impl Receipts {
    /// Reads from this store, and signs with this replica's key.
    pub fn new(store: Store, directory: Arc<Directory>, signing: Arc<Signing>) -> Self {
        Self {
            store,
            directory,
            signing,
        }
    }

    /// Whose configurations are whose.
    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    /// The records from this one on, at most `count`.
    pub async fn page(
        &self,
        configuration: &ConfigurationId,
        first: u64,
        count: usize,
    ) -> Result<ChainPage, StoreError> {
        self.store.receipts(configuration, first, count).await
    }

    /// The end of a chain, signed where there is a key.
    pub fn head(&self, configuration: &ConfigurationId, end: ChainEnd) -> Head {
        let key = self.signing.key();
        let mut head = Head {
            sequence: end.sequence,
            hash: end.hash,
            at: now(),
            key: key.as_ref().map(|key| key.public()),
            signature: String::new(),
        };
        if let Some(key) = key {
            head.signature = BASE64.encode(key.sign(&head.bytes(configuration)));
        }
        head
    }
}
