//! Dialling: the socket below a connection, with a second handle on it.
//!
//! Invariant: whoever holds the handle can end the connection at once, without a word to the other side. That is
//! the only end after which RabbitMQ gives unsettled messages back together and in order.
//! Not here: what is spoken on the socket.

use std::{
    io,
    net::{Shutdown, TcpStream},
    os::fd::AsFd,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use lapin::{
    Connection, ConnectionProperties,
    tcp::{AsyncTcpStream, OwnedTLSConfig},
    uri::{AMQPScheme, AMQPUri},
};
use tokio::{net::lookup_host, time::timeout};

/// The second handle. Empty until the socket is connected.
#[derive(Debug, Clone, Default)]
pub(crate) struct Socket(Arc<Mutex<Option<TcpStream>>>);

impl Socket {
    fn keep(&self, handle: TcpStream) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(handle);
    }

    /// Ends the connection. What was written before still goes out.
    pub(crate) fn cut(&self) {
        if let Some(handle) = self.0.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // It fails on a socket that has ended already, which is what we want.
            let _ = handle.shutdown(Shutdown::Both);
        }
    }
}

/// Opens a connection. The library dials in a thread of its own; without `limit` in there a host that swallows
/// packets would keep one thread per attempt for minutes.
pub(crate) async fn open(
    uri: AMQPUri,
    tls: OwnedTLSConfig,
    properties: ConnectionProperties,
    limit: Duration,
    socket: Socket,
) -> lapin::Result<Connection> {
    let runtime = lapin::runtime::default_runtime()?;
    let reactor = runtime.clone();
    let dial = async move |uri: AMQPUri, _| {
        let connecting = async {
            let host = uri.authority.host.as_str();
            let addresses: Vec<_> = lookup_host((host, uri.authority.port)).await?.collect();
            let stream = AsyncTcpStream::connect(&reactor, addresses).await?;
            if let AsyncTcpStream::Plain(plain) = &stream {
                let handle = plain.get_ref().as_fd().try_clone_to_owned()?;
                socket.keep(handle.into());
            }
            match uri.scheme {
                AMQPScheme::AMQP => Ok(stream),
                AMQPScheme::AMQPS => stream.into_tls(host, tls.as_ref()).await,
            }
        };
        timeout(limit, connecting)
            .await
            .unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut)))
            .map_err(lapin::Error::from)
    };
    Connection::connector(uri, runtime, dial, properties).await
}
