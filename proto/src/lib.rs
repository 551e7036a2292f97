//! The gRPC contract as Rust: messages, clients and servers of `federation.v1`, generated from `federation/v1/*.proto`.
//!
//! Invariant: nothing here but what the proto files say; they are the documentation.

/// Version 1 of the contract.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]
pub mod v1 {
    tonic::include_proto!("federation.v1");

    /// The compiled proto files, for gRPC reflection.
    pub const FILE_DESCRIPTOR_SET: &[u8] = tonic::include_file_descriptor_set!("federation");
}
