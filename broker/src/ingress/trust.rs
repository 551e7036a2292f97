//! What says who is who: our certificate and key, the authorities that are trusted, the deny list. They follow their files.
//!
//! Invariant: what is in force was whole when it was read. A new file that cannot be used is told once, counted, and changes
//! nothing. Files are read anew each time and compared, so a link that was put elsewhere (as Kubernetes does) counts as a
//! change, and a time stamp does not.

mod files;

use std::{convert::Infallible, io, path::PathBuf, sync::Arc, time::Duration};

use ring::digest::{SHA256, digest};
use rustls::ServerConfig;
use service::exit::Chain;
use tokio::sync::watch;
use tracing::{info, warn};

pub use self::files::TrustError;
use super::revoked::Revoked;
use crate::{config::Listen, metrics::count_reload};

/// What is in force now.
pub struct Trust {
    /// With TLS.
    tls: Option<Followed<ServerConfig>>,
    revoked: Followed<Revoked>,
    every: Duration,
}

impl Trust {
    /// Every file that cannot be used, with its key.
    pub fn check(listen: &Listen) -> Vec<(&'static str, TrustError)> {
        files::check(listen)
    }

    /// Reads what the configuration names.
    ///
    /// # Errors
    /// The first file that cannot be used.
    pub async fn open(listen: &Listen) -> Result<Self, TrustError> {
        let tls = match (&listen.certificate, &listen.key, &listen.client_authority) {
            (Some(certificate), Some(key), Some(authority)) if !listen.insecure => {
                let files = vec![certificate.clone(), key.clone(), authority.clone()];
                Some(Followed::open("certificate", files, files::server_config).await?)
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
        let of_task = path.clone();
        let reading = tokio::task::spawn_blocking(move || files::read(&of_task)).await;
        contents.push(reading.map_err(|ended| TrustError::Read {
            path: path.display().to_string(),
            source: io::Error::other(ended),
        })??);
    }
    Ok(contents)
}

fn deny_list(files: &[PathBuf], contents: &[Vec<u8>]) -> Result<Revoked, TrustError> {
    let (Some(path), Some(content)) = (files.first(), contents.first()) else {
        return Ok(Revoked::default());
    };
    let revoked = files::deny_list(path, content)?;
    info!(certificates = revoked.len(), "read the deny list");
    Ok(revoked)
}
