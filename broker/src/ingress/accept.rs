//! The door: takes connections in, each after its own handshake, and no more of them than there are places.
//!
//! Invariant: a caller who is slow, silent or many delays nobody else. Handshakes run side by side, each within its time; past
//! the limit the oldest one gives way, so whoever opens connections and says nothing throws out his own.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rustls::ServerConfig;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch},
    task::{AbortHandle, JoinSet},
    time::{Instant, sleep, timeout},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::either::Either;
use tracing::{debug, warn};

use super::{
    certificate::Certificate,
    connection::Connection,
    identity::Identity,
    peer::{Peer, Shown},
    revoked::Revoked,
};
use crate::{
    config::Connections,
    metrics::{count_connection, show_connections},
};

/// Connections that are ready and wait for the server to take them.
const READY: usize = 16;
/// How long it waits when the system has no more descriptors or memory.
const PAUSE: Duration = Duration::from_millis(100);

/// Takes connections in. Clones share their places.
#[derive(Clone)]
pub(super) struct Door {
    tls: Option<watch::Receiver<Arc<ServerConfig>>>,
    revoked: watch::Receiver<Arc<Revoked>>,
    federation: Arc<str>,
    limits: Arc<Connections>,
    places: Arc<Semaphore>,
    callers: Callers,
}

impl Door {
    /// A door with its limits; without TLS where `tls` is `None`.
    pub(super) fn new(
        tls: Option<watch::Receiver<Arc<ServerConfig>>>,
        revoked: watch::Receiver<Arc<Revoked>>,
        federation: &str,
        limits: &Connections,
    ) -> Self {
        Self {
            tls,
            revoked,
            federation: federation.into(),
            places: Arc::new(Semaphore::new(limits.most)),
            callers: Callers::default(),
            limits: Arc::new(limits.clone()),
        }
    }

    /// Opens: what comes out is ready. It closes, with all handshakes, when the receiver is dropped.
    pub(super) fn open(self, listener: TcpListener) -> mpsc::Receiver<Connection> {
        let (ready, connections) = mpsc::channel(READY);
        tokio::spawn(self.run(listener, ready));
        connections
    }

    async fn run(self, listener: TcpListener, ready: mpsc::Sender<Connection>) {
        let mut handshakes = Handshakes::default();
        let mut exhausted = false;
        loop {
            tokio::select! {
                () = ready.closed() => return,
                Some(_) = handshakes.running.join_next() => {}
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        exhausted = false;
                        self.begin(stream, &mut handshakes, &ready);
                    }
                    Err(error) if is_about_one(&error) => {}
                    Err(error) => {
                        if !exhausted {
                            warn!(%error, "cannot accept connections");
                        }
                        exhausted = true;
                        sleep(PAUSE).await;
                    }
                },
            }
        }
    }

    /// Begins a handshake, if there is a place.
    fn begin(
        &self,
        stream: TcpStream,
        handshakes: &mut Handshakes,
        ready: &mpsc::Sender<Connection>,
    ) {
        let Ok(permit) = Arc::clone(&self.places).try_acquire_owned() else {
            return count_connection("full");
        };
        if handshakes.make_room(self.limits.handshakes) {
            count_connection("evicted");
        }
        let (door, ready) = (self.clone(), ready.clone());
        handshakes.start(async move {
            if let Some(connection) = door.admit(stream, permit).await {
                // Closed means that the process is about to end.
                let _ = ready.send(connection).await;
            }
        });
    }

    async fn admit(self, stream: TcpStream, permit: OwnedSemaphorePermit) -> Option<Connection> {
        // Without it every answer waits 40 ms for the acknowledgement of the one before.
        let _ = stream.set_nodelay(true);
        let (bytes, shown) = match &self.tls {
            None => (Either::Left(stream), Shown::Nothing),
            Some(tls) => {
                let config = Arc::clone(&tls.borrow());
                let stream = shake_hands(config, stream, self.limits.handshake_time).await?;
                let shown = self.read(&stream);
                (Either::Right(Box::new(stream)), shown)
            }
        };
        let until = Instant::now() + self.limits.age + self.limits.grace;
        let peer = Peer::new(shown, self.revoked.clone(), until);
        let most = self.limits.most_of_one_caller;
        // Without TLS callers are told apart by nothing.
        let most = if self.tls.is_some() {
            most
        } else {
            self.limits.most
        };
        let Some(caller) = self
            .callers
            .take(peer.identity().map(Identity::acts_as), most)
        else {
            count_connection("full");
            return None;
        };
        count_connection("accepted");
        let place = Place::new(permit, caller);
        Some(Connection::new(bytes, peer, &self.limits, place))
    }

    fn read(&self, stream: &TlsStream<TcpStream>) -> Shown {
        let chain = stream.get_ref().1.peer_certificates();
        let Some(leaf) = chain.and_then(|chain| chain.first()) else {
            return Shown::Unusable("a client certificate is required");
        };
        match Certificate::read(leaf, &self.federation) {
            Ok(certificate) => Shown::Certificate(certificate),
            Err(why) => Shown::Unusable(why),
        }
    }
}

/// One handshake, within its time.
async fn shake_hands(
    config: Arc<ServerConfig>,
    stream: TcpStream,
    limit: Duration,
) -> Option<TlsStream<TcpStream>> {
    match timeout(limit, TlsAcceptor::from(config).accept(stream)).await {
        Ok(Ok(stream)) => Some(stream),
        Ok(Err(error)) => {
            debug!(%error, "a handshake failed");
            count_connection("failed");
            None
        }
        Err(_) => {
            count_connection("timed_out");
            None
        }
    }
}

/// The caller went away before it was accepted; nothing is wrong here.
fn is_about_one(error: &std::io::Error) -> bool {
    use std::io::ErrorKind;
    matches!(
        error.kind(),
        ErrorKind::ConnectionAborted
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionRefused
            | ErrorKind::Interrupted
    )
}

/// The handshakes that are under way; dropping it ends them.
#[derive(Default)]
struct Handshakes {
    running: JoinSet<()>,
    /// The oldest first; some may have ended.
    started: VecDeque<AbortHandle>,
}

impl Handshakes {
    /// Ends the oldest when there are as many as there may be; whether it did.
    fn make_room(&mut self, most: usize) -> bool {
        while self.started.front().is_some_and(AbortHandle::is_finished) {
            self.started.pop_front();
        }
        if self.started.len() < most {
            return false;
        }
        self.started.retain(|handshake| !handshake.is_finished());
        if self.started.len() < most {
            return false;
        }
        let oldest = self.started.pop_front();
        oldest.inspect(AbortHandle::abort).is_some()
    }

    fn start(&mut self, handshake: impl Future<Output = ()> + Send + 'static) {
        self.started.push_back(self.running.spawn(handshake));
    }
}

/// A connection's place, given back when it is dropped.
pub(super) struct Place {
    _permit: OwnedSemaphorePermit,
    _caller: CallersPlace,
}

impl Place {
    fn new(permit: OwnedSemaphorePermit, caller: CallersPlace) -> Self {
        show_connections(1.0);
        Self {
            _permit: permit,
            _caller: caller,
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        show_connections(-1.0);
    }
}

/// How many connections each caller has, a participant with its people. All who are nobody are one.
#[derive(Debug, Clone, Default)]
struct Callers(Arc<Mutex<HashMap<Option<Identity>, usize>>>);

#[derive(Debug)]
struct CallersPlace {
    callers: Callers,
    caller: Option<Identity>,
}

impl Callers {
    fn take(&self, caller: Option<Identity>, most: usize) -> Option<CallersPlace> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(caller.clone()).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        Some(CallersPlace {
            callers: self.clone(),
            caller,
        })
    }
}

impl Drop for CallersPlace {
    fn drop(&mut self) {
        let mut counts = self
            .callers
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.caller) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.caller);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One caller's connections are counted, and given back; the others' are theirs.
    #[test]
    fn a_caller_has_its_own_places() {
        let callers = Callers::default();
        let acme = || Some(Identity::Operator("acme".to_owned()));
        let (first, second) = (callers.take(acme(), 2), callers.take(acme(), 2));
        assert!(first.is_some() && second.is_some());
        assert!(callers.take(acme(), 2).is_none());
        assert!(callers.take(None, 2).is_some());
        drop(first);
        assert!(callers.take(acme(), 2).is_some());
        drop(second);
        assert!(callers.0.lock().unwrap().is_empty());
    }

    /// Whoever fills the door with handshakes throws out the oldest of them.
    #[tokio::test]
    async fn the_oldest_handshake_gives_way() {
        let mut handshakes = Handshakes::default();
        for _ in 0..3 {
            assert!(!handshakes.make_room(3));
            handshakes.start(std::future::pending());
        }
        assert!(handshakes.make_room(3));
        let ended = handshakes.running.join_next().await.unwrap();
        assert!(ended.unwrap_err().is_cancelled());
        assert_eq!(handshakes.running.len(), 2);
        handshakes.start(async {});
        handshakes.running.join_next().await.unwrap().unwrap();
        assert!(!handshakes.make_room(3), "what ended takes no room");
    }
}
