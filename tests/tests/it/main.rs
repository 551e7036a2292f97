//! The one integration binary: a file per behaviour, on real servers.

#![allow(clippy::unwrap_used, reason = "in a test an unwrap is an assertion")]

mod access;
mod adapter;
mod agreements;
mod amqp;
mod approval;
mod audit;
mod budgets;
mod caches;
mod cancel_and_expiry;
mod capabilities;
mod chaos;
mod commands;
mod compatibility;
mod compose;
mod configuration;
mod dead_letters;
mod dialects;
mod documents;
mod enemies;
mod fuzz;
mod handover;
mod hardening;
mod harness;
mod identity;
mod killed_adapter;
mod main_road;
mod mapped;
mod missed_commands;
mod model;
mod native;
mod native_limits;
mod quotas;
mod receipts;
mod recovery;
mod redis_user;
mod registry;
mod secrets;
mod signing;
mod six_kinds;
mod tls;
mod tracking;
mod vendors;
mod verified;
mod workspace;
