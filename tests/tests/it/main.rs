//! The one integration binary: a file per behaviour, on real servers.

#![allow(clippy::unwrap_used, reason = "in a test an unwrap is an assertion")]

mod adapter;
mod amqp;
mod caches;
mod commands;
mod compose;
mod dialects;
mod documents;
mod harness;
mod killed_adapter;
mod main_road;
mod registry;
mod tracking;
mod workspace;
