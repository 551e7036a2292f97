//! A SHA-256, written in hexadecimal.

use std::{fmt, str::FromStr};

use ring::digest::{Context, SHA256};

use crate::{id::text_form, rule::BrokenRule};

const BYTES: usize = 32;
/// Before the bytes of a leaf, of an inner node (RFC 6962, 2.1), and of a record of a chain.
const LEAF: &[u8] = &[0];
const NODE: &[u8] = &[1];
const RECORD: &[u8] = &[2];

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

    pub(super) fn of_leaf(bytes: &[u8]) -> Self {
        Self::of(&[LEAF, bytes])
    }

    pub(super) fn of_node(left: &Self, right: &Self) -> Self {
        Self::of(&[NODE, &left.0, &right.0])
    }

    /// Of a record of a chain, as it is written.
    pub fn of_record(text: &str) -> Self {
        Self::of(&[RECORD, text.as_bytes()])
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl FromStr for Digest {
    type Err = BrokenRule;

    fn from_str(text: &str) -> Result<Self, BrokenRule> {
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Some(byte - b'0'),
            b'a'..=b'f' => Some(byte - b'a' + 10),
            _ => None,
        };
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        let bytes: Option<Vec<u8>> = pairs
            .iter()
            .map(|&[high, low]| Some((digit(high)? << 4) | digit(low)?))
            .collect();
        let bytes = bytes.filter(|_| rest.is_empty());
        let bytes = bytes.and_then(|bytes| bytes.try_into().ok());
        bytes
            .map(Self)
            .ok_or_else(|| BrokenRule::new("must be a SHA-256: 64 hexadecimal digits"))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0 {
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

text_form!(Digest);
