//! One connection: the bytes, who is at the other end, and when it has to be over.
//!
//! Invariant: it ends by itself, whatever the other end does: when it says nothing at first, when it reads nothing for a while,
//! when its certificate counts no more, when it is too old.

use std::{
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Sleep, sleep},
};
use tokio_rustls::server::TlsStream;
use tokio_util::either::Either;
use tonic::transport::server::Connected;

use super::{accept::Place, peer::Peer};
use crate::config::Connections;

/// What HTTP/2 begins with (RFC 9113, 3.4).
const PREFACE_BYTES: usize = 24;
/// What is answered to open calls when a connection has to be over should still arrive.
const GOODBYE: Duration = Duration::from_secs(2);

/// The bytes, plain or encrypted.
pub(super) type Bytes = Either<TcpStream, Box<TlsStream<TcpStream>>>;

/// One connection.
pub(super) struct Connection {
    bytes: Bytes,
    peer: Peer,
    over: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    /// Until the other end has said enough, how much is missing and how long it may take.
    beginning: Option<(usize, Pin<Box<Sleep>>)>,
    /// While the other end does not read, how long it may go on.
    unread: Option<Pin<Box<Sleep>>>,
    write_time: Duration,
    _place: Place,
}

impl Connection {
    /// A connection with its limits. It gives its place back when it is dropped.
    pub(super) fn new(bytes: Bytes, peer: Peer, limits: &Connections, place: Place) -> Self {
        let ended = peer.ended();
        let over = async move {
            ended.await;
            sleep(GOODBYE).await;
        };
        Self {
            bytes,
            peer,
            over: Some(Box::pin(over)),
            beginning: Some((PREFACE_BYTES, Box::pin(sleep(limits.handshake_time)))),
            unread: None,
            write_time: limits.write_time,
            _place: place,
        }
    }

    /// Whether its time is up.
    fn is_over(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        if let Some(over) = &mut self.over
            && over.as_mut().poll(context).is_ready()
        {
            self.over = None;
        }
        if self.over.is_none() {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        if let Some((_, limit)) = &mut self.beginning {
            late(limit, context)?;
        }
        Ok(())
    }

    /// Looks whether the other end takes what is written.
    fn written<T>(
        &mut self,
        context: &mut Context<'_>,
        polled: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.unread = None;
            return polled;
        }
        let time = self.write_time;
        let limit = self.unread.get_or_insert_with(|| Box::pin(sleep(time)));
        late(limit, context)?;
        Poll::Pending
    }
}

fn late(limit: &mut Pin<Box<Sleep>>, context: &mut Context<'_>) -> io::Result<()> {
    match limit.as_mut().poll(context) {
        Poll::Ready(()) => Err(io::ErrorKind::TimedOut.into()),
        Poll::Pending => Ok(()),
    }
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.is_over(context)?;
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.bytes).poll_read(context, buffer))?;
        let read = buffer.filled().len() - before;
        self.beginning = match self.beginning.take() {
            Some((missing, limit)) if missing > read => Some((missing - read, limit)),
            _ => None,
        };
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.is_over(context)?;
        let polled = Pin::new(&mut self.bytes).poll_write(context, bytes);
        self.written(context, polled)
    }

    /// No, so that a short answer is copied behind its head and goes with its trailers in one write, where HTTP/2 would write these
    /// by themselves: two calls of the kernel, and two packets that wake the caller. What has 1,024 bytes or more (h2's limit) pays with
    /// one write more, for its head.
    fn is_write_vectored(&self) -> bool {
        false
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.is_over(context)?;
        let polled = Pin::new(&mut self.bytes).poll_flush(context);
        self.written(context, polled)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.bytes).poll_shutdown(context);
        self.written(context, polled)
    }
}
