//! The gRPC side's configuration: where it listens, whom it trusts, and the limits of a connection.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use serde::Deserialize;
use service::configuration::{Check, Checked};

use super::Bytes;

/// HTTP/2 counts these in 32 bits (RFC 9113, 6.5.2), and a header is never that large.
const MOST_HEADER_BYTES: usize = 1 << 20;

/// Where gRPC is served, and who is trusted.
#[derive(Debug, Clone, Deserialize)]
pub struct Listen {
    /// Where it is served.
    pub address: SocketAddr,
    /// Without TLS, with the caller's name from metadata.
    pub insecure: bool,
    /// The trust domain of certificates.
    pub federation: String,
    /// PEM.
    pub certificate: Option<PathBuf>,
    /// PEM.
    pub key: Option<PathBuf>,
    /// PEM.
    pub client_authority: Option<PathBuf>,
    /// The deny list.
    pub revoked: Option<PathBuf>,
    /// How often the files are looked at.
    #[serde(with = "humantime_serde")]
    pub reload_every: Duration,
}

/// The limits of a connection.
#[derive(Debug, Clone, Deserialize)]
pub struct Connections {
    /// How many may be open, and of one caller.
    pub most: usize,
    /// How many one caller may have.
    pub most_of_one_caller: usize,
    /// TLS handshakes that may be under way.
    pub handshakes: usize,
    /// How long a handshake may take, and the first bytes of HTTP/2 after it.
    #[serde(with = "humantime_serde")]
    pub handshake_time: Duration,
    /// When the caller is asked to connect anew.
    #[serde(with = "humantime_serde")]
    pub age: Duration,
    /// How long its open calls may go on then.
    #[serde(with = "humantime_serde")]
    pub grace: Duration,
    /// How often an idle one is asked whether it lives.
    #[serde(with = "humantime_serde")]
    pub keepalive_every: Duration,
    /// How long the answer may take.
    #[serde(with = "humantime_serde")]
    pub keepalive_answer: Duration,
    /// How long the caller may take to read what is written.
    #[serde(with = "humantime_serde")]
    pub write_time: Duration,
    /// Streams that may be open.
    pub streams: u32,
    /// Streams that were reset and not yet looked at.
    pub pending_resets: usize,
    /// Bytes of a request's headers.
    pub header_bytes: Bytes,
}

impl Checked for Listen {
    fn check(&self, check: &mut Check<'_>) {
        let given = [
            self.certificate.is_some(),
            self.key.is_some(),
            self.client_authority.is_some(),
        ];
        if self.insecure {
            let loopback = self.address.ip().is_loopback();
            check.require(
                "insecure",
                loopback,
                "may only be true on a loopback address",
            );
            check.require(
                "insecure",
                given == [false; 3] && self.revoked.is_none(),
                "may not be true beside a certificate or a deny list",
            );
        } else {
            let rule = "must be given, or `listen.insecure = true` on a loopback address";
            for (key, given) in ["certificate", "key", "client_authority"]
                .into_iter()
                .zip(given)
            {
                check.require(key, given, rule);
            }
        }
        let domain = |name: &str| {
            let plain = |byte: u8| {
                byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-_".contains(&byte)
            };
            !name.is_empty() && name.len() <= 255 && name.bytes().all(plain)
        };
        // SPIFFE ID, section 2.1.
        check.require(
            "federation",
            domain(&self.federation),
            "must be lower case letters, digits, dots, dashes and underscores, at most 255",
        );
        check.positive("reload_every", self.reload_every);
    }
}

impl Checked for Connections {
    fn check(&self, check: &mut Check<'_>) {
        for (key, number) in [
            ("most", self.most),
            ("most_of_one_caller", self.most_of_one_caller),
            ("handshakes", self.handshakes),
            ("streams", self.streams as usize),
        ] {
            check.positive(key, number);
        }
        // More permits than that a semaphore does not have.
        let most = self.most <= tokio::sync::Semaphore::MAX_PERMITS;
        check.require("most", most, "is too large");
        for (key, time) in [
            ("handshake_time", self.handshake_time),
            ("age", self.age),
            ("grace", self.grace),
            ("keepalive_every", self.keepalive_every),
            ("keepalive_answer", self.keepalive_answer),
            ("write_time", self.write_time),
        ] {
            check.positive(key, time);
        }
        check.require(
            "header_bytes",
            (1024..=MOST_HEADER_BYTES).contains(&self.header_bytes.0),
            "must be 1KiB to 1MiB",
        );
    }
}
