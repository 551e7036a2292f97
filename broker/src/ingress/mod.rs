//! The door: who is calling, and proto to domain and back.
//!
//! Invariant: past this module nothing knows a message of gRPC, and every call has an identity.

mod commands;
mod credentials;
mod dead_letters;
mod draft;
mod identity;
mod mappings;
mod native;
mod progress;
mod records;
mod registry;
mod server;
mod view;
mod watch;

pub use identity::{Identity, IdentitySource, METADATA_KEY};
pub use server::{Services, serve};
