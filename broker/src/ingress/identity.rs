//! Who is calling. The one place where that is found; what an identity is, `caller` knows.
//!
//! Invariant: with TLS the identity is the one URI in the caller's certificate and nothing else; the metadata field counts
//! only where the configuration says `insecure = true`, which it may only say on a loopback address.

use tonic::Request;

pub use super::caller::Identity;
use super::peer::Peer;
use crate::error::Error;

/// The metadata field of callers without TLS: `participant/<id>`, `participant/<id>/person/<name>` or `operator/<name>`.
pub const METADATA_KEY: &str = "x-federation-identity";

/// Where an identity comes from.
#[derive(Debug, Clone, Copy)]
pub enum IdentitySource {
    /// The URI in the client's certificate, which the connection was opened with.
    Certificate,
    /// The metadata field.
    Metadata,
}

impl IdentitySource {
    /// Who sent this request.
    pub fn identify<T>(&self, request: &Request<T>) -> Result<Identity, Error> {
        match self {
            Self::Certificate => {
                let peer = request.extensions().get::<Peer>();
                let identity = peer.and_then(Peer::identity);
                let identity =
                    identity.ok_or(Error::Unidentified("a client certificate is required"))?;
                Ok(identity.clone())
            }
            Self::Metadata => {
                let value = request.metadata().get(METADATA_KEY);
                let value = value.ok_or(Error::Unidentified(
                    "metadata field x-federation-identity is required",
                ))?;
                let path = value
                    .to_str()
                    .map_err(|_| Error::Unidentified("x-federation-identity must be ASCII"))?;
                Identity::from_path(path).map_err(Error::Unidentified)
            }
        }
    }
}
