//! Where the invocation system may call: "this execution has ended".
//!
//! Invariant: nothing in a call is believed. A call with the right token makes the poller ask at once, and every call gets
//! the same answer, so that nobody learns which executions there are.

mod guarded;

use std::{net::SocketAddr, time::Duration};

use axum::{
    Router,
    extract::{DefaultBodyLimit, Path, State},
    http::StatusCode,
    routing::post,
};
use domain::ExecutionId;
use thiserror::Error;
use tokio::{net::TcpListener, sync::mpsc};
use tokio_util::sync::CancellationToken;

use self::guarded::Guarded;
use crate::jobs::News;

/// Below it stand the execution and its token.
pub(super) const PATH: &str = "/v1/callbacks";

/// Bytes of a body; none is read.
const BODY_LIMIT: usize = 64 * 1024;

/// Connections at a time; more wait. The HTTP library takes at most 100 headers of 400 KB in all.
const CONNECTIONS_LIMIT: usize = 256;

/// How long a connection may last.
const CONNECTION_LIFETIME: Duration = Duration::from_secs(30);

/// The address cannot be bound.
#[derive(Debug, Error)]
#[error("cannot listen for callbacks on {address}")]
pub(crate) struct BindError {
    address: SocketAddr,
    source: std::io::Error,
}

/// The open port.
#[derive(Debug)]
pub(crate) struct Callbacks {
    listener: TcpListener,
    news: mpsc::Sender<News>,
}

impl Callbacks {
    pub(crate) async fn bind(
        address: SocketAddr,
        news: mpsc::Sender<News>,
    ) -> Result<Self, BindError> {
        let listener = TcpListener::bind(address).await;
        let listener = listener.map_err(|source| BindError { address, source })?;
        Ok(Self { listener, news })
    }

    /// Serves until shutdown.
    pub(crate) async fn run(self, shutdown: CancellationToken) -> std::io::Result<()> {
        let router = Router::new()
            .route(&format!("{PATH}/{{execution}}/{{token}}"), post(called))
            .layer(DefaultBodyLimit::max(BODY_LIMIT))
            .with_state(self.news);
        let guarded = Guarded::new(self.listener, CONNECTIONS_LIMIT, CONNECTION_LIFETIME);
        axum::serve(guarded, router)
            .with_graceful_shutdown(shutdown.cancelled_owned())
            .await
    }
}

async fn called(
    State(news): State<mpsc::Sender<News>>,
    Path((execution, token)): Path<(String, String)>,
) -> StatusCode {
    let Ok(execution) = execution.parse::<ExecutionId>() else {
        return StatusCode::ACCEPTED;
    };
    // When the poller is busy the call is lost, and the next poll finds out.
    match news.try_send(News::Called { execution, token }) {
        Ok(()) => StatusCode::ACCEPTED,
        Err(_) => StatusCode::SERVICE_UNAVAILABLE,
    }
}
