//! Providers' HTTP APIs, played as their own documentation describes them: method, path, proof of who calls, limits, errors.
//!
//! Invariant: written from what the providers say, never from our client: a signature is computed anew from the request as
//! it came, and what the documentation does not allow is answered as it says.

pub mod akamai;
pub mod cloudflare;
pub mod cloudfront;
pub mod fastly;

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::Result;
use axum::{
    Router,
    body::Bytes,
    http::{HeaderMap, Method, StatusCode, Uri},
};
use tokio::{net::TcpListener, task::JoinHandle};

use crate::ports;

/// One request as it came.
#[derive(Debug, Clone)]
pub struct Request {
    /// Its method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: String,
}

impl Request {
    /// A header; empty where it is not there.
    pub fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or_default()
    }

    /// Method and path.
    pub fn line(&self) -> String {
        format!("{} {}", self.method, self.path)
    }
}

/// What is answered: status and body.
pub type Answer = (u16, String);

/// A provider.
pub trait Vendor: Send + 'static {
    /// The answer to a request, as the documentation says.
    fn answer(&mut self, request: &Request) -> Answer;
}

/// A running provider. Dropping it ends it.
#[derive(Debug)]
pub struct Peer {
    address: SocketAddr,
    taken: Arc<Mutex<Vec<(Request, u16)>>>,
    server: JoinHandle<()>,
}

impl Peer {
    /// Starts it on a free port of 127.0.0.1.
    pub async fn start(vendor: impl Vendor) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", ports::free()?)).await?;
        let address = listener.local_addr()?;
        let taken = Arc::new(Mutex::new(Vec::new()));
        let (log, vendor) = (Arc::clone(&taken), Arc::new(Mutex::new(vendor)));
        let router = Router::new().fallback(
            async move |method: Method, uri: Uri, headers: HeaderMap, body: Bytes| {
                let request = Request {
                    method: method.to_string(),
                    path: uri.to_string(),
                    headers,
                    body: String::from_utf8_lossy(&body).into_owned(),
                };
                let mut vendor = vendor.lock().unwrap_or_else(PoisonError::into_inner);
                let (status, body) = vendor.answer(&request);
                let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
                log.push((request, status));
                let status = StatusCode::from_u16(status);
                (status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), body)
            },
        );
        let server = tokio::spawn(async move {
            // Serving ends only when the task is aborted: accepting goes on after an error.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self {
            address,
            taken,
            server,
        })
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// All requests, each with the status that it was answered with.
    pub fn taken(&self) -> Vec<(Request, u16)> {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.clone()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.server.abort();
    }
}
