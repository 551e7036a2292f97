//! Who is at the other end of a connection, and whether that still counts.
//!
//! Invariant: asked on every call and on every answer of a stream. A certificate that ended, or that was put on the deny list,
//! ends what runs under it at once.

use std::{
    future::{Future, pending},
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::{
    sync::watch,
    time::{Instant, sleep},
};

use super::{certificate::Certificate, identity::Identity, revoked::Revoked};
use crate::error::Error;

/// The longest time without a look at the clock of the day, which somebody may set.
const LOOK_EVERY: Duration = Duration::from_mins(1);
const SHORTEST_WAIT: Duration = Duration::from_millis(1);

/// The other end of one connection. Clones are the same one.
#[derive(Debug, Clone)]
pub(super) struct Peer(Arc<OtherEnd>);

#[derive(Debug)]
struct OtherEnd {
    shown: Shown,
    revoked: watch::Receiver<Arc<Revoked>>,
    /// When the connection has to be over.
    until: Instant,
}

/// What the caller showed.
#[derive(Debug)]
pub(super) enum Shown {
    /// Nothing, where that is allowed: the connection is plain text.
    Nothing,
    /// A certificate of an authority that is trusted.
    Certificate(Certificate),
    /// One that is nobody's, and why.
    Unusable(&'static str),
}

impl Peer {
    /// The other end of a connection that has to be over at some time.
    pub(super) fn new(
        shown: Shown,
        revoked: watch::Receiver<Arc<Revoked>>,
        until: Instant,
    ) -> Self {
        Self(Arc::new(OtherEnd {
            shown,
            revoked,
            until,
        }))
    }

    /// Who it is, by its certificate.
    pub(super) fn identity(&self) -> Option<&Identity> {
        match &self.0.shown {
            Shown::Certificate(certificate) => Some(certificate.identity()),
            Shown::Nothing | Shown::Unusable(_) => None,
        }
    }

    /// Whether it may call now.
    ///
    /// # Errors
    /// What the caller is answered instead.
    pub(super) fn admit(&self) -> Result<(), Error> {
        if Instant::now() >= self.0.until {
            return Err(Error::ConnectionAged);
        }
        let certificate = match &self.0.shown {
            Shown::Nothing => return Ok(()),
            Shown::Unusable(why) => return Err(Error::Unidentified(why)),
            Shown::Certificate(certificate) => certificate,
        };
        let now = SystemTime::now();
        if now < *certificate.valid().start() {
            return Err(Error::Unidentified(
                "the client certificate is not valid yet",
            ));
        }
        if now > *certificate.valid().end() {
            return Err(Error::Unidentified("the client certificate has expired"));
        }
        if self.0.revoked.borrow().names(certificate) {
            return Err(Error::Unidentified("the client certificate is revoked"));
        }
        Ok(())
    }

    /// Waits until it may not call any more, and says why.
    pub(super) fn ended(&self) -> impl Future<Output = Error> + Send + use<> {
        let peer = self.clone();
        async move {
            let mut revoked = peer.0.revoked.clone();
            loop {
                revoked.mark_unchanged();
                if let Err(error) = peer.admit() {
                    return error;
                }
                let changed = async {
                    if revoked.changed().await.is_err() {
                        // Nobody follows the list any more: the process is about to end.
                        pending::<()>().await;
                    }
                };
                tokio::select! {
                    () = changed => {}
                    () = sleep(peer.left()) => {}
                }
            }
        }
    }

    /// How long until it is worth a look.
    fn left(&self) -> Duration {
        let connection = self.0.until.saturating_duration_since(Instant::now());
        let certificate = match &self.0.shown {
            Shown::Certificate(certificate) => {
                let left = certificate.valid().end().duration_since(SystemTime::now());
                left.unwrap_or_default()
            }
            Shown::Nothing | Shown::Unusable(_) => LOOK_EVERY,
        };
        connection.min(certificate).clamp(SHORTEST_WAIT, LOOK_EVERY)
    }
}
