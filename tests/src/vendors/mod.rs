//! Providers' HTTP APIs, played as their own documentation describes them: method, path, proof of who calls, limits, errors.
//!
//! Invariant: written from what the providers say, never from our client: a signature is computed anew from the request as
//! it came, and what the documentation does not allow is answered as it says.

pub mod acme;
pub mod akamai;
pub mod alibaba;
pub mod broadcaster;
pub mod bunny;
pub mod cloudflare;
pub mod cloudfront;
pub mod edgecast;
pub mod fastly;
pub mod google;
pub mod moto;
mod stage;

pub use stage::{Provider, Stage};

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Result;
use axum::{
    Router,
    body::Bytes,
    http::{
        HeaderMap, Method, StatusCode, Uri,
        header::{LOCATION, RETRY_AFTER},
    },
    response::{IntoResponse, Response},
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

/// What whoever is too busy says to wait for, in seconds.
pub const RETRY_AFTER_SECONDS: u64 = 1;

/// What is answered: status and body.
pub type Answer = (u16, String);

/// A provider.
pub trait Vendor: Send + 'static {
    /// The answer to a request, as the documentation says.
    fn answer(&mut self, request: &Request) -> Answer;

    /// The answer to a call too many; it goes out with `Retry-After`.
    fn busy(&self) -> Answer;
}

/// A text without its percent-encoding.
fn decoded(text: &str) -> String {
    let mut octets = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.bytes().next() {
        let digits = rest.get(1..3).filter(|_| first == b'%');
        if let Some(octet) = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            octets.push(octet);
            rest = &rest[3..];
        } else {
            let letter = rest.chars().next().map_or(1, char::len_utf8);
            octets.extend_from_slice(&rest.as_bytes()[..letter]);
            rest = &rest[letter..];
        }
    }
    String::from_utf8_lossy(&octets).into_owned()
}

#[derive(Debug)]
struct Taken {
    request: Request,
    status: u16,
    at: Instant,
}

/// What stands in front of a provider and answers in its place: a page to sign in at, a proxy that is broken.
#[derive(Debug, Clone, Default)]
pub struct Front {
    /// The status.
    pub status: u16,
    /// Where it sends whoever asks.
    pub location: Option<&'static str>,
    /// What it says.
    pub body: String,
}

/// A running provider. Dropping it ends it.
#[derive(Debug)]
pub struct Peer {
    address: SocketAddr,
    taken: Arc<Mutex<Vec<Taken>>>,
    /// Calls that are still answered as one too many.
    busy_for: Arc<AtomicU32>,
    front: Arc<Mutex<Option<Front>>>,
    server: JoinHandle<()>,
}

impl Peer {
    /// Starts it on a free port of 127.0.0.1.
    pub async fn start(vendor: impl Vendor) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", ports::free()?)).await?;
        let address = listener.local_addr()?;
        let taken = Arc::new(Mutex::new(Vec::new()));
        let busy_for = Arc::new(AtomicU32::new(0));
        let (log, vendor) = (Arc::clone(&taken), Arc::new(Mutex::new(vendor)));
        let busy = Arc::clone(&busy_for);
        let front: Arc<Mutex<Option<Front>>> = Arc::default();
        let before = Arc::clone(&front);
        let router = Router::new().fallback(
            async move |method: Method, uri: Uri, headers: HeaderMap, body: Bytes| {
                if let Some(front) = before
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .clone()
                {
                    return front.into_response();
                }
                let request = Request {
                    method: method.to_string(),
                    path: uri.to_string(),
                    headers,
                    body: String::from_utf8_lossy(&body).into_owned(),
                };
                let mut vendor = vendor.lock().unwrap_or_else(PoisonError::into_inner);
                let one_less = |left: u32| left.checked_sub(1);
                let is_busy = busy.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less);
                let (status, body) = match is_busy {
                    Ok(_) => vendor.busy(),
                    Err(_) => vendor.answer(&request),
                };
                let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
                log.push(Taken {
                    request,
                    status,
                    at: Instant::now(),
                });
                let status = StatusCode::from_u16(status);
                let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                let wait = [(RETRY_AFTER, RETRY_AFTER_SECONDS.to_string())];
                match is_busy {
                    Ok(_) => (status, wait, body).into_response(),
                    Err(_) => (status, body).into_response(),
                }
            },
        );
        let server = tokio::spawn(async move {
            // Serving ends only when the task is aborted: accepting goes on after an error.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self {
            address,
            taken,
            busy_for,
            front,
            server,
        })
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers the next calls as too many, with `Retry-After`.
    pub fn be_busy(&self, calls: u32) {
        self.busy_for.store(calls, Ordering::Relaxed);
    }

    /// Puts something in front of it that answers every call from now on.
    pub fn stand_behind(&self, front: Front) {
        *self.front.lock().unwrap_or_else(PoisonError::into_inner) = Some(front);
    }

    /// All requests, each with the status that it was answered with.
    pub fn taken(&self) -> Vec<(Request, u16)> {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let each = taken.iter();
        each.map(|one| (one.request.clone(), one.status)).collect()
    }

    /// Method, path without its query, and status of all requests.
    pub fn lines(&self) -> Vec<(String, u16)> {
        let line = |(request, status): (Request, u16)| {
            let line = request.line();
            let line = line.split('?').next().unwrap_or_default();
            (line.to_owned(), status)
        };
        self.taken().into_iter().map(line).collect()
    }

    /// How long after the first request the second came.
    pub fn pause(&self) -> Option<Duration> {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let [first, second, ..] = &taken[..] else {
            return None;
        };
        Some(second.at.duration_since(first.at))
    }
}

impl IntoResponse for Front {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status);
        let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        match self.location {
            Some(place) => (status, [(LOCATION, place)], self.body).into_response(),
            None => (status, self.body).into_response(),
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.server.abort();
    }
}
