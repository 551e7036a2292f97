//! Host names, as they stand in a configuration and in a URL.
//!
//! Invariant: lower case, no port, no trailing dot, never an IP address: a configuration is known by names.

use std::{borrow::Cow, fmt, str::FromStr, sync::Arc};

use crate::{id::text_form, rule::BrokenRule};

/// Octets in a host name (RFC 1035, 2.3.4).
const HOST_LENGTH: usize = 253;

/// A DNS host name in lower case; international names in their ASCII form.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostName(Arc<str>);

impl HostName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for HostName {
    type Err = BrokenRule;

    fn from_str(text: &str) -> Result<Self, BrokenRule> {
        let name = if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            Cow::Owned(text.to_ascii_lowercase())
        } else {
            Cow::Borrowed(text)
        };
        let label = |label: &str| {
            let edge = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
            let bytes = label.as_bytes();
            (1..=63).contains(&bytes.len())
                && bytes.iter().all(|byte| edge(*byte) || *byte == b'-')
                && edge(bytes[0])
                && edge(bytes[bytes.len() - 1])
        };
        let last_is_a_number = name
            .rsplit('.')
            .next()
            .is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit()));
        if name.len() <= HOST_LENGTH && name.split('.').all(label) && !last_is_a_number {
            Ok(Self(Arc::from(&*name)))
        } else {
            Err(BrokenRule::new(
                "must be a DNS host name without port, not an IP address",
            ))
        }
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

text_form!(HostName);

#[cfg(test)]
mod tests {
    use super::*;

    /// Case means nothing in a host name, an address is not a name, and labels have their limits.
    #[test]
    fn a_host_name_is_a_name() {
        assert_eq!(
            "WWW.Example.COM".parse::<HostName>().unwrap().as_str(),
            "www.example.com"
        );
        for wrong in [
            "",
            "a..b",
            "a.b.",
            "-a.b",
            "10.0.0.1",
            "[::1]",
            "a:80",
            "a_b.c",
            &"a".repeat(64),
            "é.fr",
        ] {
            assert!(wrong.parse::<HostName>().is_err(), "{wrong}");
        }
    }
}
