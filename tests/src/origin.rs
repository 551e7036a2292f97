//! The origin of the content that caches hold: a small HTTP server in this process.
//!
//! Invariant: what it serves changes only when the test says so, and every fetch is counted. So a test knows
//! whether an answer came from a cache, and how often a cache came to ask.
//! Paths are shared by all hosts; counts are kept per host and path.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use anyhow::Result;
use axum::{
    Router,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use tokio::{net::TcpListener, task::JoinHandle};

use crate::ports;

/// What the origin answers for one path.
#[derive(Clone, Debug)]
pub struct Object {
    status: StatusCode,
    body: Bytes,
    tags: Vec<String>,
    headers: HeaderMap,
}

impl Object {
    /// An object that may be cached for an hour.
    pub fn new(body: impl Into<Bytes>) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        headers.insert(
            header::CACHE_CONTROL,
            HeaderValue::from_static("public, max-age=3600"),
        );
        Self {
            status: StatusCode::OK,
            body: body.into(),
            tags: Vec::new(),
            headers,
        }
    }

    /// An object of so many bytes.
    pub fn of_size(bytes: usize) -> Self {
        Self::new(vec![b'x'; bytes])
    }

    /// An answer with an error status, and a body that says so.
    pub fn failing(status: u16) -> Self {
        let status = StatusCode::from_u16(status).expect("tests name statuses that exist");
        Self {
            status,
            ..Self::new(format!("{status}\n"))
        }
    }

    /// Marks it for purges by tag, in the headers `xkey` and `Surrogate-Key`.
    #[must_use]
    pub fn tagged(mut self, tags: &[&str]) -> Self {
        self.tags = tags.iter().map(|&tag| tag.to_owned()).collect();
        self
    }

    /// Sets a header, `cache-control` for example.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        let value = HeaderValue::from_str(value).expect("tests name values that HTTP can carry");
        self.headers.insert(name, value);
        self
    }

    /// The body's tag: equal for equal bodies.
    fn entity_tag(&self) -> String {
        let sum = self
            .body
            .iter()
            .fold(0xcbf2_9ce4_8422_2325_u64, |sum, &byte| {
                (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
            });
        format!("\"{sum:016x}\"")
    }

    fn answer(&self, request: &HeaderMap) -> Response {
        let mut headers = self.headers.clone();
        let mut set = |name, value: &str| {
            let value = HeaderValue::from_str(value).expect("tags are printable");
            headers.insert(header::HeaderName::from_static(name), value);
        };
        let entity_tag = self.entity_tag();
        set("etag", &entity_tag);
        if !self.tags.is_empty() {
            set("xkey", &self.tags.join(" "));
            set("surrogate-key", &self.tags.join(" "));
        }
        let known = request
            .get(header::IF_NONE_MATCH)
            .is_some_and(|tag| *tag == entity_tag);
        if known && self.status == StatusCode::OK {
            return (StatusCode::NOT_MODIFIED, headers).into_response();
        }
        (self.status, headers, self.body.clone()).into_response()
    }
}

/// A running origin. Dropping it ends it.
#[derive(Debug)]
pub struct Origin {
    address: SocketAddr,
    content: Arc<Mutex<Content>>,
    server: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Content {
    objects: HashMap<String, Object>,
    fetches: HashMap<(String, String), u64>,
}

impl Origin {
    /// Starts it on a free port of 127.0.0.1. Without objects it answers 404.
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", ports::free()?)).await?;
        let address = listener.local_addr()?;
        let content = Arc::new(Mutex::new(Content::default()));
        let router = Router::new()
            .fallback(serve)
            .with_state(Arc::clone(&content));
        let server = tokio::spawn(async move {
            // Serving ends only when the task is aborted: accepting goes on after an error.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self {
            address,
            content,
            server,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The port of 127.0.0.1 where it listens.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Puts an object under a path (with its query, if any), in the place of the one before.
    pub fn set(&self, path: &str, object: Object) {
        lock(&self.content).objects.insert(path.to_owned(), object);
    }

    /// Takes the object away: its path answers 404.
    pub fn remove(&self, path: &str) {
        lock(&self.content).objects.remove(path);
    }

    /// How often a path was asked for under this host name, in requests that reached the origin.
    pub fn fetches(&self, host: &str, path: &str) -> u64 {
        let key = (host.to_owned(), path.to_owned());
        lock(&self.content)
            .fetches
            .get(&key)
            .copied()
            .unwrap_or_default()
    }

    /// How often a path was asked for under any host name.
    pub fn fetches_of(&self, path: &str) -> u64 {
        let content = lock(&self.content);
        content
            .fetches
            .iter()
            .filter(|((_, of), _)| of == path)
            .map(|(_, count)| count)
            .sum()
    }

    /// How many requests reached the origin in all.
    pub fn fetches_in_all(&self) -> u64 {
        lock(&self.content).fetches.values().sum()
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve(
    State(content): State<Arc<Mutex<Content>>>,
    uri: Uri,
    request: HeaderMap,
) -> Response {
    let path = uri
        .path_and_query()
        .map_or("/", |path| path.as_str())
        .to_owned();
    let host = host_name(&request);
    let mut content = lock(&content);
    *content.fetches.entry((host, path.clone())).or_default() += 1;
    match content.objects.get(&path) {
        Some(object) => object.answer(&request),
        None => Object::failing(404)
            .header("cache-control", "no-store")
            .answer(&request),
    }
}

/// The name in the Host header, without the port.
fn host_name(request: &HeaderMap) -> String {
    let host = request
        .get(header::HOST)
        .and_then(|host| host.to_str().ok())
        .unwrap_or_default();
    host.rsplit_once(':')
        .map_or(host, |(name, _)| name)
        .to_ascii_lowercase()
}

/// A test that failed while it held the lock has failed already; the content is whole.
fn lock(content: &Mutex<Content>) -> MutexGuard<'_, Content> {
    content.lock().unwrap_or_else(PoisonError::into_inner)
}
