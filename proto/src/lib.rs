//! The gRPC contract as Rust: messages, clients and servers of `federation.v1`, generated from `federation/v1/*.proto`.
//!
//! Invariant: nothing here but what the proto files say; they are the documentation.

/// Version 1 of the contract.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]
pub mod v1 {
    tonic::include_proto!("federation.v1");

    impl std::fmt::Debug for AdapterCredentials {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.debug_struct("AdapterCredentials")
                .field("url", &self.url)
                .field("user", &self.user)
                .finish_non_exhaustive()
        }
    }

    /// The compiled proto files, for gRPC reflection.
    pub const FILE_DESCRIPTOR_SET: &[u8] = tonic::include_file_descriptor_set!("federation");
}
