//! A small HTTP server that answers as a test says.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{
    Router,
    extract::Request,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use futures::future::BoxFuture;
use tokio::net::TcpListener;

type Answers = Arc<dyn Fn(usize, Request) -> BoxFuture<'static, Response> + Send + Sync>;

/// A server on a free port, and how often it was called.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    calls: Arc<AtomicUsize>,
}

impl Server {
    /// How often it was called.
    pub(super) fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }
}

/// Answers with what `answer` makes of the number of the call, from 0, and the request.
pub(super) async fn server<F>(
    answer: impl Fn(usize, Request) -> F + Send + Sync + 'static,
) -> Server
where
    F: Future<Output = Response> + Send + 'static,
{
    let answers: Answers = Arc::new(move |number, request| Box::pin(answer(number, request)));
    let calls = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&calls);
    let router = Router::new().fallback(move |request: Request| {
        let number = count.fetch_add(1, Ordering::SeqCst);
        answers(number, request)
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    Server { address, calls }
}

/// A server that always answers with one status.
pub(super) async fn answering(status: u16) -> Server {
    server(move |_, _| async move { StatusCode::from_u16(status).unwrap().into_response() }).await
}
