//! `fedctl` as a process, against a peer that says what each test scripts.
//!
//! Invariant: what a person or a script sees is tested here; the real broker is met in the workspace's own tests.

mod approving;
mod cancelling;
mod commands;
mod connection;
mod directory;
mod examples;
mod fedctl;
mod mappings;
mod peer;
mod pki;
mod registry;
mod status;
mod terminal;
mod watching;
mod when;
