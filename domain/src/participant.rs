//! Who takes part, and with which servers.

use serde::{Deserialize, Serialize};

use crate::{
    capability::Capability,
    id::{DialectName, ParticipantId, ServerId},
    native_limits::NativeLimits,
    operation::Operation,
    place::Place,
    selector::Selector,
    signing::TimedKey,
};

/// One CDN in the federation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Participant {
    /// Its id.
    pub id: ParticipantId,
    /// What people call it.
    pub display_name: String,
    /// The dialect of its invocation system, where commands go to that and not to the servers (framework 3);
    /// `None` means that the servers are told directly, each in its own dialect (framework 4).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invocation_system: Option<DialectName>,
    /// Whether its own commands also go to its own servers through the broker; some keep that to themselves.
    pub own_servers: OwnServers,
    /// What its invocation system can do, by its own word; empty means everything. Its servers have dialects for that.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub capabilities: Vec<Capability>,
    /// The keys that its adapter signs with; empty as long as it does not sign.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub signing_keys: Vec<TimedKey>,
    /// How much one call to its provider holds, where its account has another number than the dialect knows.
    #[serde(default, skip_serializing_if = "NativeLimits::is_empty")]
    pub native_limits: NativeLimits,
}

impl Participant {
    /// Whether its invocation system can do `operation` with such a `selector`, by its own word.
    pub fn declares(&self, operation: &Operation, selector: &Selector) -> bool {
        let mut declared = self.capabilities.iter();
        self.capabilities.is_empty()
            || declared.any(|capability| capability.covers(operation, selector))
    }
}

/// What happens to a participant's own servers when it is the originator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OwnServers {
    /// The broker tells them as it tells all others.
    #[default]
    Included,
    /// The participant's own invocation system has told them already.
    Excluded,
}

/// One cache.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Server {
    /// Its id.
    pub id: ServerId,
    /// Whose it is.
    pub participant: ParticipantId,
    /// How it is spoken to.
    pub dialect: DialectName,
    /// `host:port`, as the participant's adapter reaches it.
    pub address: ServerAddress,
    /// Where it stands.
    pub place: Place,
}

mod address {
    use std::{fmt, str::FromStr};

    use crate::{host::HostName, id::text_form, rule::BrokenRule};

    /// Where an adapter reaches a server: `host:port`, `address:port` or `[v6 address]:port`.
    ///
    /// Whether the adapter may connect there is the adapter's own configuration.
    #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub struct ServerAddress(String);

    impl ServerAddress {
        /// The address as text.
        pub fn as_str(&self) -> &str {
            &self.0
        }

        /// Host and port apart; a v6 address without its brackets.
        pub fn parts(&self) -> (&str, u16) {
            let (host, port) = self.0.rsplit_once(':').unwrap_or((&self.0, ""));
            (
                host.trim_start_matches('[').trim_end_matches(']'),
                port.parse().unwrap_or_default(),
            )
        }
    }

    impl FromStr for ServerAddress {
        type Err = BrokenRule;

        fn from_str(text: &str) -> Result<Self, BrokenRule> {
            let rule = || {
                BrokenRule::new(
                    "must be `host:port` with a host name or an IP address (v6 in brackets)",
                )
            };
            if let Ok(address) = text.parse::<std::net::SocketAddr>() {
                return if address.port() == 0 {
                    Err(rule())
                } else {
                    Ok(Self(address.to_string()))
                };
            }
            let (host, port) = text.rsplit_once(':').ok_or_else(rule)?;
            let host: HostName = host.parse().map_err(|_| rule())?;
            let port = port
                .parse::<u16>()
                .ok()
                .filter(|port| *port != 0)
                .ok_or_else(rule)?;
            Ok(Self(format!("{host}:{port}")))
        }
    }

    impl fmt::Display for ServerAddress {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.pad(&self.0)
        }
    }

    impl fmt::Debug for ServerAddress {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(&self.0)
        }
    }

    text_form!(ServerAddress);

    #[cfg(test)]
    mod tests {
        use super::*;

        /// An address names a host and a port and nothing else: no scheme, no path, no user.
        #[test]
        fn an_address_is_a_host_and_a_port() {
            for right in ["cache-1.example:6081", "127.0.0.1:80", "[::1]:8080"] {
                assert_eq!(right.parse::<ServerAddress>().unwrap().as_str(), right);
            }
            for wrong in [
                "",
                "a",
                "a:0",
                "a:99999",
                "http://a:80",
                "a:80/x",
                "u@a:80",
                "::1:80",
                "a b:80",
            ] {
                assert!(wrong.parse::<ServerAddress>().is_err(), "{wrong}");
            }
            assert_eq!(
                "[::1]:8080".parse::<ServerAddress>().unwrap().parts(),
                ("::1", 8080)
            );
        }
    }
}

pub use address::ServerAddress;
