//! What every process of ours does the same way: it loads its configuration, logs, measures, passes a
//! trace on, tries again after a pause, and ends.
//!
//! Invariant: two processes that use this crate behave alike to an operator: the same layers of
//! configuration, the same log fields, the same paths for health and metrics, the same exit codes, the same allocator.
//! Not here: anything about commands, AMQP, Redis or gRPC. This crate depends on no other of ours.

#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        reason = "a test says by its name what must not fail"
    )
)]

pub mod backoff;
pub mod configuration;
pub mod crypto;
pub mod exit;
pub mod shutdown;
pub mod telemetry;
pub mod trace;
pub mod watched;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

pub use crypto::install_crypto;
pub use exit::{answer, arguments, main, show};
pub use shutdown::Shutdown;
