//! Keys: the private one that signs, the public one that verifies, and the name that both have.
//!
//! Invariant: a key's id is made from the public key, so a key cannot be given another's name; neither `Debug` nor an
//! error shows anything of a private key.

use std::{fmt, str::FromStr};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use ring::{
    digest::{SHA256, digest},
    rand::SystemRandom,
    signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey},
};

use crate::{id::text_form, rule::BrokenRule};

/// Bytes of a public key (RFC 8032, 5.1.5).
const PUBLIC_BYTES: usize = 32;
/// Bytes of a key's digest that are its id.
const ID_BYTES: usize = 8;
const BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const END: &str = "-----END PRIVATE KEY-----";
/// Characters of a line of PEM (RFC 7468, 2).
const LINE: usize = 64;

/// Names a key: the first 8 bytes of the SHA-256 of its public key, in hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId([u8; ID_BYTES]);

/// A public key, written as base64 of its 32 bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey([u8; PUBLIC_BYTES]);

/// A private key.
pub struct SigningKey {
    pair: Ed25519KeyPair,
    public: PublicKey,
    id: KeyId,
}

impl PublicKey {
    /// Its name.
    pub fn id(&self) -> KeyId {
        let mut id = [0; ID_BYTES];
        id.copy_from_slice(&digest(&SHA256, &self.0).as_ref()[..ID_BYTES]);
        KeyId(id)
    }

    /// Whether this key's owner signed exactly these bytes.
    pub fn verifies(&self, bytes: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, self.0)
            .verify(bytes, signature)
            .is_ok()
    }
}

impl SigningKey {
    /// A new key, as PKCS#8 in PEM.
    ///
    /// # Errors
    /// Where the system has no random numbers.
    pub fn generate() -> Result<String, BrokenRule> {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new())
            .map_err(|_| BrokenRule::new("cannot be made: the system gives no random numbers"))?;
        let encoded = BASE64.encode(document.as_ref());
        let mut pem = format!("{BEGIN}\n");
        for line in encoded.as_bytes().chunks(LINE) {
            pem.push_str(&String::from_utf8_lossy(line));
            pem.push('\n');
        }
        pem.push_str(END);
        pem.push('\n');
        Ok(pem)
    }

    /// Reads PKCS#8 in PEM, as `fedctl keys generate` and `openssl genpkey -algorithm ed25519` write it.
    pub fn from_pem(pem: &str) -> Result<Self, BrokenRule> {
        let rule = || BrokenRule::new("must be one Ed25519 private key, PKCS#8 in PEM");
        let (_, rest) = pem.split_once(BEGIN).ok_or_else(rule)?;
        let (encoded, _) = rest.split_once(END).ok_or_else(rule)?;
        let encoded: String = encoded.split_ascii_whitespace().collect();
        let document = BASE64.decode(encoded).map_err(|_| rule())?;
        // OpenSSL leaves the public key out; ring then computes it.
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&document).map_err(|_| rule())?;
        let public = <[u8; PUBLIC_BYTES]>::try_from(pair.public_key().as_ref());
        let public = PublicKey(public.map_err(|_| rule())?);
        let id = public.id();
        Ok(Self { pair, public, id })
    }

    /// The key that verifies what this one signs.
    pub const fn public(&self) -> PublicKey {
        self.public
    }

    /// Its name.
    pub const fn id(&self) -> KeyId {
        self.id
    }

    /// The signature of these bytes.
    pub fn sign(&self, bytes: &[u8]) -> Vec<u8> {
        self.pair.sign(bytes).as_ref().to_vec()
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl FromStr for PublicKey {
    type Err = BrokenRule;

    fn from_str(text: &str) -> Result<Self, BrokenRule> {
        let bytes = BASE64.decode(text).ok();
        let bytes = bytes.and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self).ok_or_else(|| {
            BrokenRule::new("must be an Ed25519 public key: 32 bytes in base64, 44 characters")
        })
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&BASE64.encode(self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for KeyId {
    type Err = BrokenRule;

    fn from_str(text: &str) -> Result<Self, BrokenRule> {
        let rule = || BrokenRule::new("must be the id of a key: 16 hexadecimal digits");
        let is_lower = text.len() == 2 * ID_BYTES
            && text
                .bytes()
                .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
        if !is_lower {
            return Err(rule());
        }
        let number = u64::from_str_radix(text, 16).map_err(|_| rule())?;
        Ok(Self(number.to_be_bytes()))
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{:016x}", u64::from_be_bytes(self.0)))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

text_form!(PublicKey);
text_form!(KeyId);
