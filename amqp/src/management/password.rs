//! Passwords of RabbitMQ's users, and what RabbitMQ keeps of them.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use rand::distr::{Alphanumeric, SampleString as _};
use ring::digest::{Context, SHA256};
use secrecy::{ExposeSecret as _, SecretString};

/// Letters and digits: 238 bits.
const LENGTH: usize = 40;
/// RabbitMQ's salt, in bytes.
const SALT: usize = 4;

/// A password that nobody had before, of letters and digits.
pub(super) fn make() -> SecretString {
    Alphanumeric.sample_string(&mut rand::rng(), LENGTH).into()
}

/// What RabbitMQ keeps of it. <https://www.rabbitmq.com/docs/passwords#computing-password-hash>
pub(super) fn hash(password: &SecretString) -> String {
    salted(password, rand::random())
}

fn salted(password: &SecretString, salt: [u8; SALT]) -> String {
    let mut context = Context::new(&SHA256);
    context.update(&salt);
    context.update(password.expose_secret().as_bytes());
    let mut kept = salt.to_vec();
    kept.extend_from_slice(context.finish().as_ref());
    BASE64_STANDARD.encode(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RabbitMQ's documentation.
    #[test]
    fn the_hash_is_rabbitmqs() {
        let hash = salted(&"test12".to_owned().into(), [0x90, 0x8d, 0xc6, 0x0a]);
        assert_eq!(hash, "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR");
    }

    /// No two are the same, and none has to be escaped anywhere.
    #[test]
    fn passwords_are_new_and_plain() {
        let (one, other) = (make(), make());
        assert_ne!(one.expose_secret(), other.expose_secret());
        assert_eq!(one.expose_secret().len(), LENGTH);
        let plain = |byte: u8| byte.is_ascii_alphanumeric();
        assert!(one.expose_secret().bytes().all(plain));
    }
}
