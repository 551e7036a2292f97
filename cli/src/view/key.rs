//! A public key.

use domain::signing::PublicKey;
use proto::v1::SigningKey;
use serde::Serialize;

use crate::words;

/// A public key, and when it counts.
#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct KeyView {
    pub(crate) key_id: String,
    pub(crate) public_key: String,
    pub(crate) valid_from_time: Option<String>,
    pub(crate) valid_until_time: Option<String>,
}

impl KeyView {
    /// A key without bounds.
    pub(crate) fn new(key: &PublicKey) -> Self {
        Self {
            key_id: key.id().to_string(),
            public_key: key.to_string(),
            valid_from_time: None,
            valid_until_time: None,
        }
    }
}

impl From<SigningKey> for KeyView {
    fn from(key: SigningKey) -> Self {
        Self {
            key_id: key.key_id,
            public_key: key.public_key,
            valid_from_time: key.valid_from_time.as_ref().and_then(words::rfc3339),
            valid_until_time: key.valid_until_time.as_ref().and_then(words::rfc3339),
        }
    }
}
