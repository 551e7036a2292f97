//! The files behind the trust, one by one: what each must hold, and what they make together.
//!
//! Invariant: an error names the file, and shows nothing of what it holds.

use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::{NoServerSessionStorage, WebPkiClientVerifier, danger::ClientCertVerifier},
};
use thiserror::Error;

use super::super::revoked::Revoked;
use crate::config::Listen;

/// A certificate is a few kilobytes; a deny list of a hundred thousand lines is a few megabytes.
const FILE_LIMIT_BYTES: u64 = 16 << 20;

/// Why it cannot be used.
#[derive(Debug, Error)]
pub enum TrustError {
    /// A file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// Which.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// A file holds something else than it should.
    #[error("{path} holds no {what} in PEM")]
    Holds {
        /// Which.
        path: String,
        /// What it should hold.
        what: &'static str,
    },
    /// The authorities cannot be trusted.
    #[error("the authorities in {path} cannot be used")]
    Authority {
        /// Which.
        path: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Certificate and key do not fit.
    #[error("the certificate {path} and its key cannot be used")]
    Own {
        /// The certificate.
        path: String,
        /// Why.
        source: rustls::Error,
    },
    /// The deny list has a line that cannot be understood.
    #[error("the deny list {path} cannot be used: {rule}")]
    Revoked {
        /// Which.
        path: String,
        /// The line and its rule.
        rule: String,
    },
}

/// Every file that cannot be used, with its key in the configuration; and what they cannot make together.
pub(super) fn check(listen: &Listen) -> Vec<(&'static str, TrustError)> {
    type Look = fn(&Path, &[u8]) -> Result<(), TrustError>;
    let looks: [(&str, &Option<PathBuf>, Look); 4] = [
        ("certificate", &listen.certificate, |path, content| {
            chain(path, content).map(drop)
        }),
        ("key", &listen.key, |path, content| {
            key(path, content).map(drop)
        }),
        (
            "client_authority",
            &listen.client_authority,
            |path, content| verifier(path, content).map(drop),
        ),
        ("revoked", &listen.revoked, |path, content| {
            deny_list(path, content).map(drop)
        }),
    ];
    let mut found = Vec::new();
    for (name, path, look) in looks {
        let Some(path) = path else { continue };
        let looked = read(path).and_then(|content| look(path, &content));
        found.extend(looked.err().map(|error| (name, error)));
    }
    if found.is_empty()
        && let (Some(certificate), Some(key), Some(authority)) =
            (&listen.certificate, &listen.key, &listen.client_authority)
    {
        let files = [certificate.clone(), key.clone(), authority.clone()];
        let contents = files.iter().map(|file| read(file));
        let contents = contents.collect::<Result<Vec<_>, _>>();
        let made = contents.and_then(|contents| server_config(&files, &contents));
        found.extend(made.err().map(|error| ("certificate", error)));
    }
    found
}

/// The content of a file.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, TrustError> {
    read_limited(path).map_err(|source| TrustError::Read {
        path: path.display().to_string(),
        source,
    })
}

fn read_limited(path: &Path) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    let mut file = File::open(path)?.take(FILE_LIMIT_BYTES + 1);
    if file.read_to_end(&mut content)? as u64 > FILE_LIMIT_BYTES {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("it has more than {FILE_LIMIT_BYTES} bytes"),
        ));
    }
    Ok(content)
}

/// The deny list.
pub(super) fn deny_list(path: &Path, content: &[u8]) -> Result<Revoked, TrustError> {
    Revoked::read(content).map_err(|malformed| TrustError::Revoked {
        path: path.display().to_string(),
        rule: malformed.to_string(),
    })
}

/// Our certificate, key and the authorities, in this order.
pub(super) fn server_config(
    files: &[PathBuf],
    contents: &[Vec<u8>],
) -> Result<ServerConfig, TrustError> {
    let chain = chain(&files[0], &contents[0])?;
    let key = key(&files[1], &contents[1])?;
    let verifier = verifier(&files[2], &contents[2])?;
    let own = |source| TrustError::Own {
        path: files[0].display().to_string(),
        source,
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(own)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .map_err(own)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    // Every connection shows its certificate anew; one that was resumed would not.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

fn chain(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TrustError> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let certificates = certificates.ok().filter(|them| !them.is_empty());
    certificates.ok_or_else(|| holds(path, "certificate"))
}

fn key(path: &Path, pem: &[u8]) -> Result<PrivateKeyDer<'static>, TrustError> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|_| holds(path, "private key"))
}

/// What looks at callers' certificates.
fn verifier(path: &Path, pem: &[u8]) -> Result<Arc<dyn ClientCertVerifier>, TrustError> {
    let unusable = |source: Box<dyn std::error::Error + Send + Sync>| TrustError::Authority {
        path: path.display().to_string(),
        source,
    };
    let mut roots = RootCertStore::empty();
    for authority in chain(path, pem)? {
        roots
            .add(authority)
            .map_err(|source| unusable(source.into()))?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(|source| unusable(source.into()))
}

fn holds(path: &Path, what: &'static str) -> TrustError {
    TrustError::Holds {
        path: path.display().to_string(),
        what,
    }
}
