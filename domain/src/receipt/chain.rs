//! A receipt, and the record of the chain that it stands in.
//!
//! Invariant: a receipt carries all that is needed to check it but the participant's name for its key; a record's hash is over
//! the hash of the record before and its own text as it is written ([`Digest::chained`]).

use serde::{Deserialize, Serialize};

use super::{Digest, Statement, root_of};
use crate::{
    id::ParticipantId,
    signing::{Fields, PublicKey},
    time::Timestamp,
};

/// What the root of a report is signed as.
const ROOT: &str = "federation.receipts.v1";

/// One statement and the signature over the tree that it is in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// What is said.
    pub statement: Statement,
    /// The participant's public key.
    pub key: PublicKey,
    /// Where the statement stands in its report's tree.
    pub batch: Batch,
}

/// The place of a leaf, and the signature of the root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// How many leaves there are.
    pub size: u64,
    /// Which leaf it is, from 0.
    pub index: u64,
    /// The hashes beside its way to the root; empty where it is alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub path: Vec<Digest>,
    /// Ed25519 over the root ([`root_bytes`]), base64.
    pub signature: String,
}

/// One record of a configuration's chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Counted from 1 in each configuration.
    pub sequence: u64,
    /// The hash of the record before; zeros before the first.
    pub previous: Digest,
    /// When the broker wrote it.
    pub chained_at: Timestamp,
    /// Whether the participant's digest is that of what the broker told it.
    pub as_told: bool,
    /// The receipt.
    pub receipt: Receipt,
}

/// What a participant signs: how many statements there are, and the root over them.
pub fn root_bytes(participant: &ParticipantId, size: u64, root: &Digest) -> Vec<u8> {
    Fields::new(ROOT)
        .text(participant.as_str())
        .number(size)
        .bytes(root.as_bytes())
        .finish()
}

impl Receipt {
    /// The bytes that must be signed for this receipt to be true; none where its path is impossible.
    pub fn signed(&self) -> Option<Vec<u8>> {
        let batch = &self.batch;
        let root = root_of(self.statement.leaf(), batch.index, batch.size, &batch.path)?;
        let participant = &self.statement.execution.participant;
        Some(root_bytes(participant, batch.size, &root))
    }
}
