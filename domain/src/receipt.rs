//! Receipts: what a participant says that it did, in a form that anyone can check who has its public key.
//!
//! Invariant: an execution costs hashes, and a report one signature: a statement is a leaf of a Merkle tree over all statements
//! of its report (RFC 6962, 2.1), whose root is signed. The broker's chain holds in each record the hash of the one before, so a
//! record that is changed, taken out or moved shows, whoever did it.
//! Not here: where receipts are kept (`broker::store`), who may have them.

mod bundle;
mod chain;
mod tree;
mod trusted;

use serde::{Deserialize, Serialize};

pub use bundle::{Bundle, Flaw, Head, Opening, Summary};
pub use chain::{Batch, Receipt, Record, root_bytes};
pub use tree::{Tree, root_of};
pub use trusted::Trusted;

pub use crate::digest::Digest;
use crate::{
    id::{CommandId, ConfigurationId, ExecutionId, ServerId},
    signing::Fields,
    time::Timestamp,
};

/// What a statement is signed as; another form has another name.
const STATEMENT: &str = "federation.receipt.v1";

/// What somebody was told to do: the digest of the order, and of which configuration it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// [`order_digest`] of the order as it came.
    pub digest: Digest,
    /// Whose content it was about.
    pub configuration: ConfigurationId,
}

/// What a participant says of one execution that has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statement {
    /// Which execution; it names the participant.
    pub execution: ExecutionId,
    /// Of which configuration.
    pub configuration: ConfigurationId,
    /// Of what it was told to do.
    pub digest: Digest,
    /// `done`, `failed`, `unknown`, `cancelled` or `expired`.
    pub outcome: String,
    /// How sure it is, of what is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<String>,
    /// Why, of what failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
    /// The servers that were told; their count is the length of this list.
    pub servers: Vec<ServerId>,
    /// When it said so, by its own clock.
    pub at: Timestamp,
    /// The command whose execution did this one's work too; then the digest is of that one's order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub absorbed_by: Option<CommandId>,
}

impl Statement {
    /// The leaf of this statement.
    pub fn leaf(&self) -> Digest {
        let word = |word: &Option<String>| word.clone().unwrap_or_default();
        let absorbed_by = self.absorbed_by.map(|command| command.to_string());
        let fields = Fields::new(STATEMENT)
            .text(&self.execution.to_string())
            .text(self.configuration.as_str())
            .bytes(self.digest.as_bytes())
            .text(&self.outcome)
            .text(&word(&self.evidence))
            .text(&word(&self.fault))
            .number(self.at.as_millis())
            .text(&word(&absorbed_by))
            .number(self.servers.len() as u64);
        let servers = self.servers.iter();
        let fields = servers.fold(fields, |fields, server| fields.text(server.as_str()));
        Digest::of_leaf(&fields.finish())
    }
}

/// The digest of an order: SHA-256 of its text as the broker wrote it, without the sequence number in front, which the order
/// gets only when its turn comes. Both sides have this text, whatever of it they understand.
pub fn order_digest(order: &str) -> Digest {
    let without = order.strip_prefix("{\"sequence\":").and_then(|rest| {
        let (number, rest) = rest.split_once(',')?;
        number
            .bytes()
            .all(|byte| byte.is_ascii_digit())
            .then_some(rest)
    });
    match without {
        Some(rest) => order_tail_digest(rest),
        None => Digest::of(&[order.as_bytes()]),
    }
}

/// The digest of an order by what follows its sequence number.
pub fn order_tail_digest(tail: &str) -> Digest {
    Digest::of(&[b"{", tail.as_bytes()])
}

#[cfg(test)]
mod tests;
