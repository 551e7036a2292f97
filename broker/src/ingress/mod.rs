//! The door: who is calling, and proto to domain and back.
//!
//! Invariant: past this module nothing knows a message of gRPC, and every call has an identity.

mod accept;
mod admission;
mod approve;
mod audit;
mod caller;
mod certificate;
mod commands;
mod connection;
mod credentials;
mod dead_letters;
mod draft;
mod gate;
mod identity;
mod mappings;
mod native;
mod peer;
mod progress;
mod receipts;
mod records;
mod registry;
mod revoked;
mod server;
mod stream;
mod submit;
mod trust;
mod unread;
mod view;
mod watch;

pub use gate::Gate;
pub use identity::{Identity, IdentitySource, METADATA_KEY};
pub use server::{Services, serve};
pub use trust::{Trust, TrustError};
