//! The command broker: takes commands over gRPC, verifies them, finds their targets, says them in each participant's
//! language, puts them on RabbitMQ, and folds what comes back into one honest answer.
//!
//! The modules stand in the order in which a command travels.

#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        reason = "a test that unwraps nothing fails there"
    )
)]

pub mod config;

pub mod app;
pub mod error;
mod finished;
pub mod metrics;

pub mod approval;
pub mod audit;
pub mod authorise;
pub mod ingress;
pub mod pipeline;
pub mod quotas;
pub mod verify;

pub mod directory;
pub mod registry;
pub mod resolve;

pub mod translate;
pub mod weigh;

pub mod store;

pub mod signing;

pub mod dispatch;

pub mod track;

pub mod receipts;

pub mod dead_letters;
