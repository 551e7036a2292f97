//! The port that operators' machines ask: `/metrics`, `/healthz`, `/readyz`.
//!
//! Invariant: it answers from the start of the process to its very end; a process that shuts down is alive but
//! not ready. Nothing secret is served, so it needs no TLS; it is bound where the configuration says.
//! Not here: what is measured or what makes ready.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::time::MissedTickBehavior;

use super::metrics::Metrics;
use super::readiness::Readiness;
use crate::shutdown::Shutdown;

/// How often recorded values move into their buckets.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// Prometheus' text format, as its exposition format document names it.
const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The port could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen for metrics and health on {address}")]
pub struct BindError {
    address: SocketAddr,
    source: std::io::Error,
}

/// The open port, not yet served.
#[derive(Debug)]
pub struct Signals {
    listener: TcpListener,
    address: SocketAddr,
}

#[derive(Clone)]
struct Sources {
    metrics: Metrics,
    readiness: Readiness,
    shutdown: Shutdown,
}

impl Signals {
    /// Opens the port. Port 0 takes a free one.
    ///
    /// # Errors
    /// Where the address cannot be bound.
    pub async fn bind(address: SocketAddr) -> Result<Self, BindError> {
        let failed = |source| BindError { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address })
    }

    /// The address that was bound.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves as a part of the process, until the process is gone.
    pub fn start(self, metrics: Metrics, readiness: Readiness, shutdown: &Shutdown) {
        tracing::info!(signals.address = %self.address, "serving metrics and health");
        shutdown.spawn_beside("metrics upkeep", keep_up(metrics.clone()));
        let sources = Sources {
            metrics,
            readiness,
            shutdown: shutdown.clone(),
        };
        let serving = axum::serve(self.listener, router(sources));
        shutdown.spawn_beside("metrics and health", async move { serving.await });
    }
}

fn router(sources: Sources) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(async || "alive\n"))
        .route("/readyz", get(readiness))
        .with_state(sources)
}

async fn metrics(State(sources): State<Sources>) -> impl IntoResponse {
    (
        [(header::CONTENT_TYPE, TEXT_FORMAT)],
        sources.metrics.render(),
    )
}

async fn readiness(State(sources): State<Sources>) -> (StatusCode, String) {
    let mut unmet = sources.readiness.unmet();
    if sources.shutdown.is_asked() {
        unmet.push("shutting down".to_owned());
    }
    if unmet.is_empty() {
        return (StatusCode::OK, "ready\n".to_owned());
    }
    let body = format!("not ready\n{}\n", unmet.join("\n"));
    (StatusCode::SERVICE_UNAVAILABLE, body)
}

async fn keep_up(metrics: Metrics) {
    let mut ticks = tokio::time::interval(UPKEEP_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        metrics.upkeep();
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;

    async fn answer(address: SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    /// What a load balancer and Prometheus see while a process starts, works and ends.
    #[tokio::test]
    async fn one_port_serves_health_readiness_and_metrics() {
        let (readiness, shutdown) = (Readiness::new(), Shutdown::new());
        let redis = readiness.condition("redis");
        let signals = Signals::bind(SocketAddr::from(([127, 0, 0, 1], 0)))
            .await
            .unwrap();
        let address = signals.address();
        signals.start(Metrics::of_test(), readiness, &shutdown);

        let starting = answer(address, "/readyz").await;
        assert!(
            starting.starts_with("HTTP/1.1 503") && starting.contains("redis: not yet"),
            "{starting}"
        );
        redis.met();
        assert!(answer(address, "/readyz").await.starts_with("HTTP/1.1 200"));
        assert!(answer(address, "/metrics").await.contains("version=0.0.4"));
        shutdown.ask();
        let ending = answer(address, "/readyz").await;
        assert!(
            ending.starts_with("HTTP/1.1 503") && ending.contains("shutting down"),
            "{ending}"
        );
        assert!(
            answer(address, "/healthz")
                .await
                .starts_with("HTTP/1.1 200")
        );
    }

    /// Two processes on one port is a mistake that must be said with the address.
    #[tokio::test]
    async fn a_port_that_is_taken_is_refused_with_its_address() {
        let first = Signals::bind(SocketAddr::from(([127, 0, 0, 1], 0)))
            .await
            .unwrap();
        let error = Signals::bind(first.address()).await.unwrap_err();
        assert!(
            error.to_string().contains(&first.address().to_string()),
            "{error}"
        );
    }
}
