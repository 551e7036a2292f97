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
pub mod media_cdn;
pub mod moto;
mod pace;
mod stage;

pub use pace::Rate;
pub use stage::{Provider, Stage};

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::Result;
use axum::{
    Router,
    body::Bytes,
    http::{
        HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri,
        header::{LOCATION, RETRY_AFTER},
    },
    response::{IntoResponse, Response},
};
use tokio::{net::TcpListener, task::JoinHandle};

use self::pace::Buckets;
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
    /// When it came, by the provider's clock.
    pub at: SystemTime,
}

impl Request {
    /// By how much a moment that it names is off, before or behind; `None` where that is no moment. Written as digits for year,
    /// month, day, hour, minute and second in UTC, whatever stands between and behind them.
    pub fn is_off_by(&self, moment: &str) -> Option<Duration> {
        let digits: Vec<u64> = moment
            .bytes()
            .filter(u8::is_ascii_digit)
            .map(|digit| u64::from(digit - b'0'))
            .collect();
        let number = |from: usize, to: usize| {
            let digits = digits.get(from..to)?;
            Some(digits.iter().fold(0, |number, digit| number * 10 + digit))
        };
        let (year, month, day) = (number(0, 4)?, number(4, 6)?, number(6, 8)?);
        let (hour, minute, second) = (number(8, 10)?, number(10, 12)?, number(12, 14)?);
        if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day)
        {
            return None;
        }
        let seconds = days(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second;
        let ours = self.at.duration_since(UNIX_EPOCH).unwrap_or_default();
        Some(ours.abs_diff(Duration::from_secs(seconds)))
    }

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

/// From 1970 on to a day of the Gregorian calendar.
fn days(year: u64, month: u64, day: u64) -> u64 {
    let is_leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let lengths = [
        31,
        28 + u64::from(is_leap(year)),
        31,
        30,
        31,
        30,
        31,
        31,
        30,
        31,
        30,
        31,
    ];
    let years: u64 = (1970..year)
        .map(|year| 365 + u64::from(is_leap(year)))
        .sum();
    let before = usize::try_from(month - 1).unwrap_or_default();
    let months: u64 = lengths.iter().take(before).sum();
    years + months + day - 1
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

    /// What the documentation says that an account has.
    fn rates(&self) -> &'static [Rate] {
        &[]
    }

    /// What a request takes of that.
    fn takes(&self, _request: &Request) -> Vec<(&'static str, usize)> {
        Vec::new()
    }

    /// The headers in which every answer says what is left, with their units.
    fn headers_for_rates(&self) -> &'static [(&'static str, &'static str)] {
        &[]
    }
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
    /// Only in front of requests with this method.
    pub method: Option<&'static str>,
}

/// A running provider. Dropping it ends it.
#[derive(Debug)]
pub struct Peer {
    address: SocketAddr,
    inner: Arc<Inner>,
    server: JoinHandle<()>,
}

#[derive(Debug)]
struct Inner {
    taken: Mutex<Vec<Taken>>,
    /// Calls that are still answered as one too many.
    busy_for: AtomicU32,
    front: Mutex<Option<Front>>,
    /// Requests that the front has answered.
    fronted: AtomicU32,
    /// By how many seconds the provider's clock is ahead of ours.
    ahead: AtomicU64,
    buckets: Mutex<Buckets>,
}

impl Inner {
    fn answer(&self, vendor: &mut dyn Vendor, request: Request) -> Response {
        let front = self.front.lock().unwrap_or_else(PoisonError::into_inner);
        let front = front.clone();
        let is_meant = |front: &Front| front.method.is_none_or(|method| method == request.method);
        if let Some(front) = front.filter(is_meant) {
            self.fronted.fetch_add(1, Ordering::Relaxed);
            return front.into_response();
        }
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let one_less = |left: u32| left.checked_sub(1);
        let told = self
            .busy_for
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less);
        let is_busy = told.is_ok() || !buckets.take(&vendor.takes(&request));
        let (status, body) = if is_busy {
            vendor.busy()
        } else {
            vendor.answer(&request)
        };
        let mut headers = HeaderMap::new();
        for (name, unit) in vendor.headers_for_rates() {
            if let Some(left) = buckets.left(unit).and_then(|left| left.parse().ok()) {
                headers.insert(HeaderName::from_static(name), left);
            }
        }
        if is_busy {
            headers.insert(RETRY_AFTER, HeaderValue::from(RETRY_AFTER_SECONDS));
        }
        let mut log = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        log.push(Taken {
            request,
            status,
            at: Instant::now(),
        });
        let status = StatusCode::from_u16(status);
        let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, headers, body).into_response()
    }
}

impl Peer {
    /// Starts it on a free port of 127.0.0.1.
    pub async fn start(vendor: impl Vendor) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", ports::free()?)).await?;
        let address = listener.local_addr()?;
        let inner = Arc::new(Inner {
            taken: Mutex::default(),
            busy_for: AtomicU32::new(0),
            front: Mutex::default(),
            fronted: AtomicU32::new(0),
            ahead: AtomicU64::new(0),
            buckets: Mutex::new(Buckets::new(vendor.rates())),
        });
        let (own, vendor) = (Arc::clone(&inner), Arc::new(Mutex::new(vendor)));
        let router = Router::new().fallback(
            async move |method: Method, uri: Uri, headers: HeaderMap, body: Bytes| {
                let ahead = Duration::from_secs(own.ahead.load(Ordering::Relaxed));
                let request = Request {
                    method: method.to_string(),
                    path: uri.to_string(),
                    headers,
                    body: String::from_utf8_lossy(&body).into_owned(),
                    at: SystemTime::now() + ahead,
                };
                let mut vendor = vendor.lock().unwrap_or_else(PoisonError::into_inner);
                own.answer(&mut *vendor, request)
            },
        );
        let server = tokio::spawn(async move {
            // Serving ends only when the task is aborted: accepting goes on after an error.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self {
            address,
            inner,
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
        self.inner.busy_for.store(calls, Ordering::Relaxed);
    }

    /// Somebody else with the same account has just taken all that its buckets had.
    pub fn be_used_up(&self) {
        self.buckets().empty();
    }

    /// Somebody else with the same account takes all that its buckets have right before the next call comes, whenever that is.
    pub fn be_used_up_by_then(&self) {
        self.buckets().empty_before_next();
    }

    fn buckets(&self) -> MutexGuard<'_, Buckets> {
        let buckets = self.inner.buckets.lock();
        buckets.unwrap_or_else(PoisonError::into_inner)
    }

    /// Its clock is so far ahead of ours.
    pub fn set_clock_ahead(&self, time: Duration) {
        self.inner.ahead.store(time.as_secs(), Ordering::Relaxed);
    }

    /// Puts something in front of it that answers every call from now on, or those that it is meant for.
    pub fn stand_behind(&self, front: Front) {
        self.inner.fronted.store(0, Ordering::Relaxed);
        let mut own = self
            .inner
            .front
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *own = Some(front);
    }

    /// Nothing stands in front of it any more.
    pub fn stand_alone(&self) {
        let mut own = self
            .inner
            .front
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *own = None;
    }

    /// Requests that were answered by what stands in front of it.
    pub fn fronted(&self) -> u32 {
        self.inner.fronted.load(Ordering::Relaxed)
    }

    /// All requests, each with the status that it was answered with.
    pub fn taken(&self) -> Vec<(Request, u16)> {
        let taken = self
            .inner
            .taken
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
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
        let taken = self
            .inner
            .taken
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
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
