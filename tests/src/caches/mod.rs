//! The real caches, each with the configuration that this project ships for it, in front of a given origin.
//!
//! Invariant: a cache runs the very file that operators are given; only what stands between `@` signs is filled in.
//! Not here: how a cache is told to purge or load (`dialects`), what the origin serves (`origin`).

mod nginx;
mod squid;
mod trafficserver;
mod varnish;

use std::{
    fs::{self, Permissions},
    net::{Ipv4Addr, SocketAddr},
    os::unix::fs::PermissionsExt,
    path::Path,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use reqwest::{Client, Method, Response, StatusCode, header};
use tempfile::TempDir;

use crate::{ports, process::Process, shared};

/// How long a cache may take to start. Traffic Server needs a few seconds, more on a busy machine.
const START: Duration = Duration::from_mins(1);

/// How long a cache may take to answer one request.
const ANSWER: Duration = Duration::from_secs(20);

/// The kinds of caches that run here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Varnish with the xkey module.
    Varnish,
    /// nginx with the cache-purge module.
    Nginx,
    /// Squid.
    Squid,
    /// Apache Traffic Server.
    TrafficServer,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Varnish, Self::Nginx, Self::Squid, Self::TrafficServer];

    /// The name of the dialect that speaks to it.
    pub const fn dialect(self) -> &'static str {
        match self {
            Self::Varnish => "varnish",
            Self::Nginx => "nginx",
            Self::Squid => "squid",
            Self::TrafficServer => "traffic-server",
        }
    }
}

/// A running cache on a free port of 127.0.0.1. Dropping it ends it and deletes its folder.
#[derive(Debug)]
pub struct Cache {
    kind: Kind,
    address: SocketAddr,
    client: Client,
    process: Process,
    folder: TempDir,
}

/// What a visitor sees who asks a cache for a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// Whether the cache answered from what it holds, by its own word.
    pub hit: bool,
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub body: String,
    /// How old the answer is in seconds, where the cache says it.
    pub age: Option<u64>,
}

/// What a starter needs to know.
struct Place<'a> {
    folder: &'a Path,
    listen: SocketAddr,
    origin: SocketAddr,
}

impl Cache {
    /// Starts a cache of this kind before the origin, empty, for any host name, and waits until it answers.
    pub async fn start(kind: Kind, origin: SocketAddr) -> Result<Self> {
        let start = match kind {
            Kind::Varnish => varnish::start,
            Kind::Nginx => nginx::start,
            Kind::Squid => squid::start,
            Kind::TrafficServer => trafficserver::start,
        };
        Self::start_with(kind, origin, start).await
    }

    /// Starts a Varnish whose operator made a mistake: it answers a purge of a URL as if it had done it, and keeps the object.
    pub async fn start_deaf(origin: SocketAddr) -> Result<Self> {
        Self::start_with(Kind::Varnish, origin, varnish::start_deaf).await
    }

    async fn start_with(
        kind: Kind,
        origin: SocketAddr,
        start: fn(&Place<'_>) -> Result<Process>,
    ) -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("federation-cache-")
            .tempdir()?;
        // Caches give up root's rights, and then must still find the way to their own folders.
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755))?;
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, ports::free()?));
        let place = Place {
            folder: folder.path(),
            listen,
            origin,
        };
        let process = start(&place)?;
        let client = shared::http();
        let mut cache = Self {
            kind,
            address: listen,
            client,
            process,
            folder,
        };
        cache.wait_until_it_answers().await?;
        Ok(cache)
    }

    /// Which kind it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The process, to kill or to freeze it.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Its private folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Asks for a path (with its query) as a visitor of that host name does.
    pub async fn probe(&self, host: &str, path: &str) -> Result<Probe> {
        self.probe_with(host, path, &[]).await
    }

    /// The same, with more request headers.
    pub async fn probe_with(
        &self,
        host: &str,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<Probe> {
        let answer = self.send("GET", host, path, headers).await?;
        let age = header_of(&answer, "age").and_then(|age| age.parse().ok());
        Ok(Probe {
            hit: is_hit(self.kind, &answer)?,
            status: answer.status().as_u16(),
            age,
            body: answer.text().await?,
        })
    }

    /// Sends any request, for a test of what the cache itself makes of it.
    pub async fn send(
        &self,
        method: &str,
        host: &str,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<Response> {
        let url = format!("http://{}{path}", self.address);
        let mut request = self
            .client
            .request(Method::from_bytes(method.as_bytes())?, url)
            .header(header::HOST, host)
            .timeout(ANSWER);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request
            .send()
            .await
            .with_context(|| format!("{:?} does not answer", self.kind))
    }

    /// A purge of what nobody holds answers without a word to the origin.
    async fn wait_until_it_answers(&mut self) -> Result<()> {
        let request = self
            .client
            .request(
                Method::from_bytes(b"PURGE")?,
                format!("http://{}/", self.address),
            )
            .header(header::HOST, "ready.test")
            .timeout(Duration::from_secs(2))
            .build()?;
        let client = self.client.clone();
        let look = async || -> Result<()> {
            let request = request
                .try_clone()
                .context("a request without body can be cloned")?;
            let status = client.execute(request).await?.status();
            ensure!(
                matches!(status, StatusCode::OK | StatusCode::NOT_FOUND),
                "it answers {status}"
            );
            Ok(())
        };
        self.process.ready(START, look).await
    }
}

/// Whether an answer came from what the cache holds, by the cache's own signal.
fn is_hit(kind: Kind, answer: &Response) -> Result<bool> {
    match kind {
        Kind::Varnish | Kind::Nginx | Kind::Squid => {
            let word = header_of(answer, "x-cache").context("the answer has no X-Cache")?;
            Ok(["HIT", "STALE"]
                .iter()
                .any(|hit| word == *hit || word.starts_with(&format!("{hit} "))))
        }
        Kind::TrafficServer => {
            let via = header_of(answer, "via").context("the answer has no Via")?;
            Ok(via.contains("[cH") || via.contains("[cR"))
        }
    }
}

fn header_of<'a>(answer: &'a Response, name: &str) -> Option<&'a str> {
    answer.headers().get(name)?.to_str().ok()
}

/// A shipped configuration with its placeholders filled; an unknown or forgotten one is an error.
fn fill(shipped: &str, values: &[(&str, &str)]) -> Result<String> {
    let mut text = shipped.to_owned();
    for (name, value) in values {
        text = text.replace(&format!("@{name}@"), value);
    }
    let left = text.split('@').skip(1).step_by(2).find(|name| {
        !name.is_empty()
            && name
                .bytes()
                .all(|byte| byte.is_ascii_uppercase() || byte == b'_')
    });
    ensure!(
        left.is_none(),
        "the placeholder @{}@ was not filled",
        left.unwrap_or_default()
    );
    Ok(text)
}

/// Whether this process is root's; a server then changes to a user of its own.
fn is_root() -> bool {
    rustix::process::getuid().is_root()
}
