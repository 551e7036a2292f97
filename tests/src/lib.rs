//! The harness: real servers for tests, the demo and measurements, each in a private folder on free ports.
//!
//! Invariant: what a process starts here ends with that process, however it ends.
//! Not here: what the broker and the adapters do; `tests/it` asks that, a file per behaviour.

pub mod adapter;
pub mod binaries;
pub mod caches;
pub mod chaos;
pub mod demo;
pub mod federation;
pub mod front;
pub mod origin;
pub mod pki;
pub mod ports;
pub mod process;
pub mod rabbitmq;
pub mod redis;
pub mod relay;
pub mod shared;
pub mod vendors;
pub mod wait;

pub use shared::{Shared, http, prefix, shared};
