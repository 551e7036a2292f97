//! What says who is who: our certificate and key, the authorities that are trusted, the deny list. They follow their files.
//!
//! Invariant: what is in force was whole when it was read. A new file that cannot be used is told once, counted, and changes
//! nothing. Files are read anew each time and compared, so a link that was put elsewhere (as Kubernetes does) counts as a
//! change, and a time stamp does not.

use std::{
    convert::Infallible,
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use ring::digest::{SHA256, digest};
use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::{NoServerSessionStorage, WebPkiClientVerifier},
};
use service::exit::Chain;
use thiserror::Error;
use tokio::{io::AsyncReadExt as _, sync::watch};
use tracing::{info, warn};

use super::revoked::Revoked;
use crate::{config::Listen, metrics::count_reload};

/// A certificate is a few kilobytes; a deny list of a hundred thousand lines is a few megabytes.
const FILE_LIMIT_BYTES: u64 = 16 << 20;

/// What is in force now.
pub struct Trust {
    /// With TLS.
    tls: Option<Followed<ServerConfig>>,
    revoked: Followed<Revoked>,
    every: Duration,
}

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

impl Trust {
    /// Reads what the configuration names.
    ///
    /// # Errors
    /// The first file that cannot be used.
    pub async fn open(listen: &Listen) -> Result<Self, TrustError> {
        let tls = match (&listen.certificate, &listen.key, &listen.client_authority) {
            (Some(certificate), Some(key), Some(authority)) if !listen.insecure => {
                let files = vec![certificate.clone(), key.clone(), authority.clone()];
                Some(Followed::open("certificate", files, server_config).await?)
            }
            _ => None,
        };
        let list = listen.revoked.iter().cloned().collect();
        Ok(Self {
            tls,
            revoked: Followed::open("revoked", list, deny_list).await?,
            every: listen.reload_every,
        })
    }

    /// How handshakes are made; `None` where the configuration allows plain text.
    pub(super) fn tls(&self) -> Option<watch::Receiver<Arc<ServerConfig>>> {
        self.tls.as_ref().map(|tls| tls.current.subscribe())
    }

    /// The deny list.
    pub(super) fn revoked(&self) -> watch::Receiver<Arc<Revoked>> {
        self.revoked.current.subscribe()
    }

    /// Follows the files, until it is dropped.
    pub(super) async fn follow(mut self) -> Infallible {
        loop {
            tokio::time::sleep(self.every).await;
            // What denies comes first.
            self.revoked.look().await;
            if let Some(tls) = &mut self.tls {
                tls.look().await;
            }
        }
    }
}

type Make<T> = fn(&[PathBuf], &[Vec<u8>]) -> Result<T, TrustError>;

/// Something that is made of files.
struct Followed<T> {
    what: &'static str,
    files: Vec<PathBuf>,
    make: Make<T>,
    seen: Vec<Vec<u8>>,
    current: watch::Sender<Arc<T>>,
    /// Why the files as they are now cannot be used, and whether that was told.
    refused: Option<(String, bool)>,
}

impl<T> Followed<T> {
    async fn open(
        what: &'static str,
        files: Vec<PathBuf>,
        make: Make<T>,
    ) -> Result<Self, TrustError> {
        let contents = read(&files).await?;
        let current = make(&files, &contents)?;
        Ok(Self {
            what,
            make,
            seen: digests(&contents),
            files,
            current: watch::Sender::new(Arc::new(current)),
            refused: None,
        })
    }

    /// Looks at the files, and puts in force what is new and can be used.
    async fn look(&mut self) {
        let contents = match read(&self.files).await {
            Ok(contents) => contents,
            Err(error) => return self.refuse(&error),
        };
        let now = digests(&contents);
        if now == self.seen {
            self.refused = None;
            return;
        }
        match (self.make)(&self.files, &contents) {
            Ok(made) => {
                self.seen = now;
                self.refused = None;
                self.current.send_replace(Arc::new(made));
                count_reload(self.what, "loaded");
                info!(trust.what = self.what, "put new files in force");
            }
            Err(error) => self.refuse(&error),
        }
    }

    /// Told when it is still so at the second look: while several files are being replaced they do not fit each other.
    fn refuse(&mut self, error: &TrustError) {
        let why = Chain(error).to_string();
        let told = match self.refused.take() {
            Some((before, told)) if before == why => {
                if !told {
                    count_reload(self.what, "refused");
                    warn!(
                        trust.what = self.what,
                        error = why,
                        "new files cannot be used; those before stay in force"
                    );
                }
                true
            }
            _ => false,
        };
        self.refused = Some((why, told));
    }
}

/// A key is not kept in memory twice in order to compare it.
fn digests(contents: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let digests = contents.iter().map(|content| digest(&SHA256, content));
    digests.map(|digest| digest.as_ref().to_vec()).collect()
}

async fn read(files: &[PathBuf]) -> Result<Vec<Vec<u8>>, TrustError> {
    let mut contents = Vec::with_capacity(files.len());
    for path in files {
        let content = read_one(path).await.map_err(|source| TrustError::Read {
            path: path.display().to_string(),
            source,
        });
        contents.push(content?);
    }
    Ok(contents)
}

async fn read_one(path: &Path) -> io::Result<Vec<u8>> {
    let file = tokio::fs::File::open(path).await?;
    let mut content = Vec::new();
    let mut file = file.take(FILE_LIMIT_BYTES + 1);
    if file.read_to_end(&mut content).await? as u64 > FILE_LIMIT_BYTES {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("it has more than {FILE_LIMIT_BYTES} bytes"),
        ));
    }
    Ok(content)
}

fn deny_list(files: &[PathBuf], contents: &[Vec<u8>]) -> Result<Revoked, TrustError> {
    let (Some(path), Some(content)) = (files.first(), contents.first()) else {
        return Ok(Revoked::default());
    };
    let revoked = Revoked::read(content).map_err(|malformed| TrustError::Revoked {
        path: path.display().to_string(),
        rule: malformed.to_string(),
    })?;
    info!(certificates = revoked.len(), "read the deny list");
    Ok(revoked)
}

/// Our certificate, key and the authorities, in this order.
fn server_config(files: &[PathBuf], contents: &[Vec<u8>]) -> Result<ServerConfig, TrustError> {
    let path = |at: usize| files[at].display().to_string();
    let holds = |at: usize, what| TrustError::Holds {
        path: path(at),
        what,
    };
    let chain = certificates(&contents[0]).ok_or_else(|| holds(0, "certificate"))?;
    let key = PrivateKeyDer::from_pem_slice(&contents[1]).map_err(|_| holds(1, "private key"))?;
    let mut roots = RootCertStore::empty();
    for authority in certificates(&contents[2]).ok_or_else(|| holds(2, "certificate"))? {
        roots
            .add(authority)
            .map_err(|source| TrustError::Authority {
                path: path(2),
                source: source.into(),
            })?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .build()
        .map_err(|source| TrustError::Authority {
            path: path(2),
            source: source.into(),
        })?;
    let own = |source| TrustError::Own {
        path: path(0),
        source,
    };
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

/// All certificates of a file; `None` where it holds none, or something broken.
fn certificates(pem: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    certificates.ok().filter(|them| !them.is_empty())
}
