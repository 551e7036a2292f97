//! What tests share: one RabbitMQ and one Redis, started by `with-servers`, and names that keep tests apart.
//!
//! Invariant: a test that stops, restarts or overloads a server starts its own; the shared ones serve everybody.

use std::{env, sync::Once};

use anyhow::{Context, Result};

/// The variable with the shared RabbitMQ's AMQP address.
pub const AMQP: &str = "FEDERATION_TEST_AMQP";
/// The variable with the address of the shared RabbitMQ's management API.
pub const MANAGEMENT: &str = "FEDERATION_TEST_MANAGEMENT";
/// The variable with the shared Redis' address.
pub const REDIS: &str = "FEDERATION_TEST_REDIS";

/// The addresses of the servers that all tests of one run share.
#[derive(Clone, Debug)]
pub struct Shared {
    /// `amqp://user:password@127.0.0.1:port/%2f`
    pub amqp: String,
    /// `http://user:password@127.0.0.1:port`
    pub management: String,
    /// `redis://127.0.0.1:port`
    pub redis: String,
}

/// The shared servers' addresses. The error says how to run tests so that they are there.
pub fn shared() -> Result<Shared> {
    Ok(Shared {
        amqp: address(AMQP)?,
        management: address(MANAGEMENT)?,
        redis: address(REDIS)?,
    })
}

fn address(variable: &str) -> Result<String> {
    env::var(variable).with_context(|| {
        format!(
            "{variable} is not set: `make test` sets it, or for one crate \
             `cargo run -p tests --bin with-servers -- cargo test -p CRATE`"
        )
    })
}

/// A name prefix that no other test has: a letter and twelve hexadecimal digits.
pub fn prefix() -> String {
    format!("t{:012x}", rand::random::<u64>() >> 16)
}

/// An HTTP client without proxies or redirects. Installs the TLS provider that the client asks for.
pub fn http() -> reqwest::Client {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| {
        // An error means that the program under test was first, with the same provider.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
    reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .expect("a client without special settings can be built")
}
