//! Every call passes here: whether its connection still counts, whether there is room for one more, and how long it takes.
//!
//! Invariant: a call that runs holds one of `limits.open_calls`, a stream as long as it is open. A stream whose connection counts
//! no more ends with the reason, between two answers, without waiting for the next.

use std::{
    convert::Infallible,
    future::{Future, ready},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::Frame;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::{Status, body::Body};
use tower_layer::Layer;
use tower_service::Service;

use super::{peer::Peer, unread};
use crate::{config::Limits, error::Error, metrics::count_call_refused};

type Request = http::Request<Body>;
type Response = http::Response<Body>;

/// The limits that all calls share.
#[derive(Debug, Clone)]
pub(super) struct Admission {
    open: Arc<Semaphore>,
    limit: usize,
    request_bytes: usize,
    call_time: Duration,
}

impl Admission {
    /// Room for as many calls and streams as the limits say.
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            open: Arc::new(Semaphore::new(limits.open_calls)),
            limit: limits.open_calls,
            request_bytes: limits.request_bytes.0,
            call_time: limits.call_time,
        }
    }

    fn admit(&self, request: &Request) -> Result<(Peer, OwnedSemaphorePermit), Error> {
        let peer = request.extensions().get::<Peer>();
        let peer = peer.ok_or(Error::Unidentified("the connection is not known"))?;
        peer.admit()?;
        let permit = Arc::clone(&self.open).try_acquire_owned();
        let permit = permit.map_err(|_| Error::TooManyCalls { limit: self.limit })?;
        Ok((peer.clone(), permit))
    }
}

impl<S> Layer<S> for Admission {
    type Service = Admitted<S>;

    fn layer(&self, inner: S) -> Admitted<S> {
        Admitted {
            inner,
            admission: self.clone(),
        }
    }
}

/// What is behind it.
#[derive(Debug, Clone)]
pub(super) struct Admitted<S> {
    inner: S,
    admission: Admission,
}

impl<S> Service<Request> for Admitted<S>
where
    S: Service<Request, Response = Response, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let (peer, permit) = match self.admission.admit(&request) {
            Ok(admitted) => admitted,
            Err(error) => return Box::pin(ready(Ok(refused(error).into_http()))),
        };
        let (limit, request_bytes) = (self.admission.call_time, self.admission.request_bytes);
        let answering = tokio::time::timeout(limit, self.inner.call(request));
        Box::pin(async move {
            let Ok(answer) = answering.await else {
                return Ok(refused(Error::TooSlow { limit }).into_http());
            };
            let mut answer = answer?;
            unread::explain(answer.headers_mut(), request_bytes);
            let answers = |body| Body::new(Answers::new(body, peer, permit, request_bytes));
            Ok(answer.map(answers))
        })
    }
}

fn refused(error: Error) -> Status {
    count_call_refused(match &error {
        Error::TooManyCalls { .. } => "full",
        Error::ConnectionAged => "aged",
        Error::TooSlow { .. } => "late",
        _ => "unidentified",
    });
    error.into()
}

/// The answers to one call.
struct Answers {
    body: Body,
    peer: Peer,
    /// Made when an answer lets wait for itself for the first time: most calls have one answer, and it is there.
    ended: Option<Pin<Box<dyn Future<Output = Error> + Send>>>,
    is_over: bool,
    request_bytes: usize,
    _permit: OwnedSemaphorePermit,
}

impl Answers {
    fn new(body: Body, peer: Peer, permit: OwnedSemaphorePermit, request_bytes: usize) -> Self {
        Self {
            body,
            peer,
            ended: None,
            is_over: false,
            request_bytes,
            _permit: permit,
        }
    }

    /// The last word, which gRPC puts into the trailers.
    fn end(&mut self, error: Error) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        self.is_over = true;
        // What made the answers is dropped, so that it stops.
        self.body = Body::empty();
        let mut trailers = http::HeaderMap::new();
        let status = refused(error);
        Poll::Ready(Some(match status.add_header(&mut trailers) {
            Ok(()) => Ok(Frame::trailers(trailers)),
            Err(error) => Err(error),
        }))
    }
}

impl http_body::Body for Answers {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        match Pin::new(&mut self.body).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) if frame.is_data() => match self.peer.admit() {
                Ok(()) => Poll::Ready(Some(Ok(frame))),
                Err(error) => self.end(error),
            },
            Poll::Ready(mut answer) => {
                let trailers = match &mut answer {
                    Some(Ok(frame)) => frame.trailers_mut(),
                    Some(Err(_)) | None => None,
                };
                if let Some(trailers) = trailers {
                    unread::explain(trailers, self.request_bytes);
                }
                Poll::Ready(answer)
            }
            Poll::Pending => {
                let this = &mut *self;
                let ended = this
                    .ended
                    .get_or_insert_with(|| Box::pin(this.peer.ended()));
                match ended.as_mut().poll(context) {
                    Poll::Ready(error) => self.end(error),
                    Poll::Pending => Poll::Pending,
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.is_over || self.body.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        // A stream may be cut short.
        http_body::SizeHint::default()
    }
}
