//! An edge of a provider, where one can look at what its visitors get.
//!
//! Invariant: it is a host and a port and nothing else; which host name is asked for there is the command's.

use std::{fmt, str::FromStr};

use domain::{BrokenRule, participant::ServerAddress};
use serde::{Deserialize, Serialize};

const HTTPS: &str = "https://";
const HTTP: &str = "http://";

/// Where, and how: `192.0.2.80:80`, or `https://192.0.2.80:443`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Edge {
    /// Host and port.
    pub address: ServerAddress,
    /// Whether it is asked by HTTPS, and so has to prove that it is the host that is asked for.
    pub is_secure: bool,
}

impl FromStr for Edge {
    type Err = BrokenRule;

    fn from_str(text: &str) -> Result<Self, BrokenRule> {
        let below = text.strip_prefix(HTTPS);
        let address = below.or(text.strip_prefix(HTTP)).unwrap_or(text);
        let address = address.parse().map_err(|_| {
            BrokenRule::new(
                "must be `host:port`, for HTTPS with `https://` before it (an IP address of version 6 in brackets)",
            )
        })?;
        Ok(Self {
            address,
            is_secure: below.is_some(),
        })
    }
}

impl TryFrom<String> for Edge {
    type Error = BrokenRule;

    fn try_from(text: String) -> Result<Self, BrokenRule> {
        text.parse()
    }
}

impl From<Edge> for String {
    fn from(edge: Edge) -> Self {
        edge.to_string()
    }
}

impl fmt::Display for Edge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_secure { HTTPS } else { "" };
        write!(f, "{scheme}{}", self.address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Journals of before hold addresses without a scheme: they are asked as they were.
    #[test]
    fn an_edge_is_an_address_with_a_scheme_or_without() {
        for (text, written, is_secure) in [
            ("192.0.2.80:80", "192.0.2.80:80", false),
            ("http://edge.example:8080", "edge.example:8080", false),
            (
                "https://[2001:db8::1]:443",
                "https://[2001:db8::1]:443",
                true,
            ),
        ] {
            let edge: Edge = text.parse().unwrap();
            assert_eq!(
                (edge.to_string().as_str(), edge.is_secure),
                (written, is_secure)
            );
        }
        for wrong in [
            "",
            "https://",
            "https://edge.example",
            "ftp://a:1",
            "https://a:1/x",
        ] {
            assert!(wrong.parse::<Edge>().is_err(), "{wrong}");
        }
    }
}
