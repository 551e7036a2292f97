//! A SHA-256, written in hexadecimal, and the hash chain that is made of them.
//!
//! Invariant: what is hashed may never change, for anybody can check a chain with a few lines of their own: the hash of a record is
//! over the hash of the one before in hexadecimal, a line feed and the record's text, byte for byte.

use std::{fmt, str::FromStr};

use data_encoding::HEXLOWER;
use ring::digest::{Context, SHA256};

use crate::{id::text_form, rule::BrokenRule};

const BYTES: usize = 32;
/// Before the bytes of a leaf and of an inner node (RFC 6962, 2.1). A record of a chain begins with a digit of the hash before it.
const LEAF: &[u8] = &[0];
const NODE: &[u8] = &[1];

/// 32 bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Digest([u8; BYTES]);

impl Digest {
    /// Of these bytes, one part behind the other.
    pub fn of(parts: &[&[u8]]) -> Self {
        let mut context = Context::new(&SHA256);
        for part in parts {
            context.update(part);
        }
        let mut bytes = [0; BYTES];
        bytes.copy_from_slice(context.finish().as_ref());
        Self(bytes)
    }

    /// Of a leaf of a Merkle tree.
    pub(crate) fn of_leaf(bytes: &[u8]) -> Self {
        Self::of(&[LEAF, bytes])
    }

    /// Of two neighbours in a Merkle tree.
    pub(crate) fn of_node(left: &Self, right: &Self) -> Self {
        Self::of(&[NODE, &left.0, &right.0])
    }

    /// The hash of the record that follows the one with this hash; before the first one stands the default, zeros.
    #[must_use]
    pub fn chained(&self, text: &str) -> Self {
        Self::of(&[self.to_string().as_bytes(), b"\n", text.as_bytes()])
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl FromStr for Digest {
    type Err = BrokenRule;

    fn from_str(text: &str) -> Result<Self, BrokenRule> {
        let bytes = HEXLOWER.decode(text.as_bytes()).ok();
        bytes
            .and_then(|bytes| bytes.try_into().ok())
            .map(Self)
            .ok_or_else(|| BrokenRule::new("must be a SHA-256: 64 hexadecimal digits"))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        HEXLOWER.encode_display(&self.0).fmt(f)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

text_form!(Digest);

#[cfg(test)]
mod tests {
    use super::*;

    /// `printf '%064d\na' 0 | sha256sum`, and on from there.
    #[test]
    fn a_hash_covers_the_one_before_and_the_record() {
        let one = Digest::default().chained("a");
        let expected = "2e04306c2c1c72c0567b0630f213452ce913cee8d0772efd39e5699ed22aa637";
        assert_eq!(one.to_string(), expected);
        assert_ne!(one.chained("b"), one.chained("c"));
        assert_ne!(one.chained("b"), Digest::default().chained("b"));
    }
}
