//! The adapter: takes its participant's executions from RabbitMQ, carries them out on real caches or hands them to the
//! participant's invocation system or its provider's API, and reports what happened.
//!
//! Invariant: nothing is acknowledged before its report is confirmed; nothing that is finished is done again; what may
//! not be repeated is begun at most once.
//! Not here: what a command means (`domain`), how a native system is spoken to (`dialects`), the broker.
//!
//! The modules stand in the order in which a dispatch travels.
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        reason = "in a test, an unwrap that fails is the message"
    )
)]

pub mod address;
pub mod app;
pub mod caches;
pub mod config;
pub mod metrics;

mod intake;
mod ledger;
mod progress;
mod receipt;

mod lanes;

mod worker;

mod ending;

mod journal;

mod jobs;

mod api;
mod system;
mod verify;

mod attempt;
mod circuit;
mod hidden;
mod http;
mod tally;

mod report;
mod signing;
