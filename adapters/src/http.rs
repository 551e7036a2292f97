//! One request to a native system and its whole answer.
//!
//! Invariant: it goes to the address that it was given, whatever the call says: no redirects, no proxies, no cookies. An answer takes at most its
//! limits of bytes and time, and never more memory than is kept of it.
//! Not here: what an answer means (`dialects`), and whether to try again (`attempt`).

pub(crate) mod date;

use std::{
    error::Error as _,
    net::SocketAddr,
    str::FromStr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use dialects::Answer;
use domain::{
    Fault, NativeCall,
    fault::{Again, FaultCode},
};
use reqwest::{
    Body, Certificate, Client, ClientBuilder, Method, Request, Response,
    header::{
        AUTHORIZATION, CONNECTION, CONTENT_LENGTH, HOST, HeaderMap, HeaderName, HeaderValue,
        TRANSFER_ENCODING,
    },
    redirect::Policy,
};
use ring::digest;
use service::{
    exit::Chain,
    trace::{TRACEPARENT, TRACESTATE, TraceContext},
};
use thiserror::Error;
use tokio::time::timeout;
use url::Url;

use crate::address::lookup::{GuardedLookup, NotAllowed, PinnedLookup};

/// A connection on which nothing comes is asked after so long, and again; then a host that has vanished is noticed, however
/// long a load may take.
const KEEPALIVE: Duration = Duration::from_secs(15);
const KEEPALIVE_RETRIES: u32 = 3;
/// Headers that are ours to write. An order that brings one is refused.
const OUR_HEADERS: [HeaderName; 5] = [
    HOST,
    AUTHORIZATION,
    CONTENT_LENGTH,
    TRANSFER_ENCODING,
    CONNECTION,
];

/// Characters of an answer that broke off that are told.
const BEGINNING: usize = 80;
/// Bytes of a hash that are kept: enough to tell two versions of one object apart.
const HASH_BYTES: usize = 8;

/// Where a call goes, and what goes with it.
#[derive(Debug)]
pub(crate) struct Target<'a> {
    /// Where we connect, and what comes before the call's path; without a slash at its end.
    pub(crate) base: &'a str,
    /// The name of who is called, where the call itself names no host.
    pub(crate) host: Option<&'a str>,
    /// Headers besides those of the call.
    pub(crate) headers: &'a [(HeaderName, HeaderValue)],
}

/// What one call may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CallLimits {
    /// From the first byte sent to the last one read.
    pub(crate) time: Duration,
    /// Bytes of the answer's body that are read.
    pub(crate) read: u64,
    /// Bytes of it that are kept.
    pub(crate) kept: usize,
    /// Whether a longer body is an error, as it is for a load; otherwise the rest is left unread.
    pub(crate) whole: bool,
}

/// Why there is no answer.
#[derive(Debug, Error)]
pub(crate) enum CallError {
    /// The order's call is no request that HTTP can carry.
    #[error("the order's call is no HTTP request: {0}")]
    Malformed(&'static str),
    /// The order's call would lead away from where it is to go.
    #[error("the path of the order's call leads away from its address")]
    Elsewhere,
    /// Nothing was sent.
    #[error("cannot connect")]
    NotConnected(#[source] reqwest::Error),
    /// The name leads to where nobody may connect. Nothing was sent.
    #[error("the operator does not allow this address")]
    NotAllowed(#[source] reqwest::Error),
    /// It was sent, perhaps as a whole, and no whole answer came.
    #[error("the connection broke before the answer was whole")]
    Broken(#[source] reqwest::Error),
    /// The same, and this is how the answer had begun.
    #[error("the connection broke before the answer was whole: {0}")]
    BrokenOff(String, #[source] reqwest::Error),
    /// The same, because it took too long.
    #[error("no whole answer within {0:?}")]
    TimedOut(Duration),
    /// The answer is longer than we read.
    #[error("the answer is longer than {0} bytes")]
    TooLong(u64),
}

impl CallError {
    /// Whether the native system has certainly not heard of it.
    pub(crate) fn is_unsent(&self) -> bool {
        matches!(
            self,
            Self::Malformed(_) | Self::Elsewhere | Self::NotConnected(_) | Self::NotAllowed(_)
        )
    }

    /// The same as a fault.
    pub(crate) fn fault(&self) -> Fault {
        let (code, again) = match self {
            Self::Malformed(_) => (FaultCode::UnreadableOrder, Again::Never),
            Self::Elsewhere | Self::NotAllowed(_) => (FaultCode::AddressNotAllowed, Again::Never),
            Self::NotConnected(_) | Self::Broken(_) | Self::BrokenOff(..) => {
                (FaultCode::Unreachable, Again::Soon)
            }
            Self::TimedOut(_) => (FaultCode::TimedOut, Again::Soon),
            Self::TooLong(_) => (FaultCode::UnreadableAnswer, Again::Never),
        };
        Fault::participant(code, again, &Chain(self).to_string())
    }
}

/// Sends requests and keeps connections open.
#[derive(Debug, Clone)]
pub(crate) struct Http(Client);

impl Http {
    /// `idle` connections are kept open to each address. A name is asked of `lookup`, at each new connection.
    pub(crate) fn new(
        connect_timeout: Duration,
        idle: usize,
        lookup: GuardedLookup,
    ) -> Result<Self, reqwest::Error> {
        let client = builder(connect_timeout)
            .dns_resolver(Arc::new(lookup))
            .pool_max_idle_per_host(idle);
        Ok(Self(client.build()?))
    }

    /// Connects to this address and no other, whatever name is called, and only by TLS; these authorities are trusted
    /// besides those of the system. No connection is kept.
    pub(crate) fn pinned(
        connect_timeout: Duration,
        address: SocketAddr,
        authorities: &[Certificate],
    ) -> Result<Self, reqwest::Error> {
        let client = builder(connect_timeout)
            .dns_resolver(Arc::new(PinnedLookup(address)))
            .tls_certs_merge(authorities.iter().cloned())
            .https_only(true)
            .pool_max_idle_per_host(0);
        Ok(Self(client.build()?))
    }

    /// Sends `call` there and reads the answer.
    pub(crate) async fn send(
        &self,
        to: &Target<'_>,
        call: &NativeCall,
        limits: CallLimits,
    ) -> Result<Answer, CallError> {
        let request = request(to, call)?;
        let exchange = async {
            let response = self.0.execute(request).await.map_err(sort)?;
            read(response, limits).await
        };
        timeout(limits.time, exchange)
            .await
            .unwrap_or(Err(CallError::TimedOut(limits.time)))
    }
}

fn builder(connect_timeout: Duration) -> ClientBuilder {
    service::install_crypto();
    Client::builder()
        .no_proxy()
        .redirect(Policy::none())
        .referer(false)
        .connect_timeout(connect_timeout)
        .tcp_nodelay(true)
        .tcp_keepalive(KEEPALIVE)
        .tcp_keepalive_interval(KEEPALIVE)
        .tcp_keepalive_retries(KEEPALIVE_RETRIES)
        .user_agent(concat!("federation-adapter/", env!("CARGO_PKG_VERSION")))
}

/// What one look at a URL showed.
#[derive(Debug)]
pub(crate) struct Look {
    /// Without its body.
    pub(crate) answer: Answer,
    /// When its head had come.
    pub(crate) at: SystemTime,
    /// The first digits of the SHA-256 of what was read of the body.
    pub(crate) hash: String,
}

impl Http {
    /// Asks for a path as a visitor of `to.host` would, and reads at most `limits.read` bytes of the body.
    pub(crate) async fn look(
        &self,
        to: &Target<'_>,
        path: &str,
        limits: CallLimits,
    ) -> Result<Look, CallError> {
        let request = request(to, &NativeCall::new("GET", None, path, Vec::new()))?;
        let exchange = async {
            let response = self.0.execute(request).await.map_err(sort)?;
            let at = SystemTime::now();
            let answer = head(&response);
            let hash = hash(response, limits.read).await?;
            Ok(Look { answer, at, hash })
        };
        timeout(limits.time, exchange)
            .await
            .unwrap_or(Err(CallError::TimedOut(limits.time)))
    }
}

/// Of the beginning of a body, the same bytes whatever the pieces that it comes in.
async fn hash(mut response: Response, limit: u64) -> Result<String, CallError> {
    let mut digest = digest::Context::new(&digest::SHA256);
    let mut room = limit;
    while room > 0
        && let Some(chunk) = response.chunk().await.map_err(sort)?
    {
        let read = usize::try_from(room).unwrap_or(usize::MAX).min(chunk.len());
        digest.update(&chunk[..read]);
        room -= read as u64;
    }
    let digits = digest.finish();
    let (first, _) = digits
        .as_ref()
        .split_first_chunk::<HASH_BYTES>()
        .expect("a SHA-256 is longer");
    Ok(format!("{:016x}", u64::from_be_bytes(*first)))
}

/// The headers that carry the trace on, with what vendors added to it.
pub(crate) fn trace_headers(trace: &TraceContext) -> Vec<(HeaderName, HeaderValue)> {
    let (parent, state) = (trace.to_string(), trace.tracestate());
    let named = [(TRACEPARENT, Some(parent.as_str())), (TRACESTATE, state)];
    let header = |(name, value): (&'static str, Option<&str>)| {
        let value = HeaderValue::from_str(value?).ok()?;
        Some((HeaderName::from_static(name), value))
    };
    named.into_iter().filter_map(header).collect()
}

fn request(to: &Target<'_>, call: &NativeCall) -> Result<Request, CallError> {
    let method = Method::from_str(&call.method).map_err(|_| CallError::Malformed("its method"))?;
    let url = url(to.base, &call.path)?;
    let mut request = Request::new(method, url);
    let headers = request.headers_mut();
    headers.extend(to.headers.iter().cloned());
    for (name, value) in &call.headers {
        add(headers, name, value)?;
    }
    if let Some(host) = call.host.as_deref().or(to.host) {
        let host = HeaderValue::from_str(host).map_err(|_| CallError::Malformed("its host"))?;
        headers.insert(HOST, host);
    }
    *request.body_mut() = call.body.clone().map(Body::from);
    Ok(request)
}

/// The path below the base, and never anything but the base's scheme, host and port. A path that begins with two slashes
/// is one: it stands behind an authority, and so is not taken for one (RFC 3986, 3.3).
pub(crate) fn url(base: &str, path: &str) -> Result<Url, CallError> {
    if !path.starts_with('/') {
        return Err(CallError::Elsewhere);
    }
    let whole = format!("{base}{path}");
    let base = Url::parse(base).map_err(|_| CallError::Malformed("its address"))?;
    let url = Url::parse(&whole).map_err(|_| CallError::Malformed("its path"))?;
    // `..` must not lead out of the base either.
    let below = format!("{}/", base.path().trim_end_matches('/'));
    let same = url.scheme() == base.scheme() && url.authority() == base.authority();
    if same && url.path().starts_with(&below) {
        Ok(url)
    } else {
        Err(CallError::Elsewhere)
    }
}

fn add(headers: &mut HeaderMap, name: &str, value: &str) -> Result<(), CallError> {
    let name = HeaderName::from_str(name).map_err(|_| CallError::Malformed("a header's name"))?;
    if OUR_HEADERS.contains(&name) {
        return Err(CallError::Malformed(
            "a header that is not the order's to set",
        ));
    }
    let value =
        HeaderValue::from_str(value).map_err(|_| CallError::Malformed("a header's value"))?;
    headers.append(name, value);
    Ok(())
}

fn sort(error: reqwest::Error) -> CallError {
    let error = error.without_url();
    if is_not_allowed(&error) {
        CallError::NotAllowed(error)
    } else if error.is_connect() {
        CallError::NotConnected(error)
    } else {
        CallError::Broken(error)
    }
}

fn is_not_allowed(error: &reqwest::Error) -> bool {
    let mut cause = error.source();
    while let Some(error) = cause {
        if error.is::<NotAllowed>() {
            return true;
        }
        cause = error.source();
    }
    false
}

async fn read(mut response: Response, limits: CallLimits) -> Result<Answer, CallError> {
    let mut kept = Vec::new();
    let mut length = 0_u64;
    while let Some(chunk) = match response.chunk().await {
        Ok(chunk) => chunk,
        Err(error) => return Err(broken_off(&response, &kept, error)),
    } {
        length += chunk.len() as u64;
        let room = limits.kept.saturating_sub(kept.len());
        kept.extend_from_slice(&chunk[..room.min(chunk.len())]);
        match length > limits.read {
            true if limits.whole => return Err(CallError::TooLong(limits.read)),
            true => break,
            false => {}
        }
    }
    Ok(Answer {
        body: String::from_utf8_lossy(&kept).into_owned(),
        ..head(&response)
    })
}

/// Whatever had come of it is told.
fn broken_off(response: &Response, kept: &[u8], error: reqwest::Error) -> CallError {
    match sort(error) {
        CallError::Broken(error) => {
            let beginning = String::from_utf8_lossy(kept);
            let beginning: String = beginning.chars().take(BEGINNING).collect();
            let status = response.status().as_u16();
            CallError::BrokenOff(format!("{status} {beginning}"), error)
        }
        other => other,
    }
}

/// Status and headers.
fn head(response: &Response) -> Answer {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let headers = response.headers().iter();
    let headers = headers.map(|(name, value)| (name.as_str().to_owned(), text(value)));
    Answer {
        status: response.status().as_u16(),
        headers: date::in_seconds(headers.collect(), SystemTime::now()),
        body: String::new(),
    }
}

#[cfg(test)]
mod tests;
