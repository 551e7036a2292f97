//! Messages that prove who wrote them: Ed25519 over the exact bytes of a body and over what the message says of itself.
//!
//! Invariant: nothing of a body is believed before [`Seal::verify`] said yes, and it says yes to one direction, one
//! participant, one message id and one span of time only. Whoever runs RabbitMQ can delay or drop a message, and neither
//! write one nor turn one into another.
//! Not here: in which headers a seal travels (`amqp`), where keys lie (`service`), the clock.

mod key;
mod keyring;
mod seal;

pub use key::{KeyId, PublicKey, SigningKey};
pub use keyring::{KeyRing, TimedKey};
pub use seal::{Direction, Seal, SealError, Seen, Window};

/// Fields in a row, each behind its length (4 bytes, big endian): no two lists of fields make the same bytes.
#[derive(Debug, Default)]
pub(crate) struct Fields(Vec<u8>);

impl Fields {
    /// Begins with what the bytes are for, so that a signature under one kind of bytes is none under another.
    pub(crate) fn new(purpose: &str) -> Self {
        Self::default().text(purpose)
    }

    pub(crate) fn bytes(mut self, field: &[u8]) -> Self {
        let length = u32::try_from(field.len()).unwrap_or(u32::MAX);
        self.0.extend_from_slice(&length.to_be_bytes());
        self.0.extend_from_slice(field);
        self
    }

    pub(crate) fn text(self, field: &str) -> Self {
        self.bytes(field.as_bytes())
    }

    pub(crate) fn number(self, field: u64) -> Self {
        self.bytes(&field.to_be_bytes())
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        self.0
    }
}

#[cfg(test)]
mod tests;
