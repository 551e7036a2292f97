//! Squid: `PURGE` for a url, and a request through the cache to load it.
//!
//! Invariant: never wider than the command. Squid knows exact URLs; it is asked for nothing else.
//! Not here: the cache's configuration (`config/caches/squid.conf`), whose headers this file relies on.

use crate::{
    Answer,
    by_key::ByKey,
    http::{self, LoadSignal},
};

/// The seconds for which an answer without a date must stay fresh to be stored (`minimum_expiry_time`).
const LEAST_FRESHNESS: u64 = 60;

/// The dialect.
pub static SQUID: ByKey = ByKey {
    name: "squid",
    who: "Squid",
    signal,
};

/// The words in `X-Squid-Error` that mean Squid's own rules; all others are about the origin.
const OWN_REFUSALS: [&str; 3] = [
    "ERR_ACCESS_DENIED",
    "ERR_CACHE_ACCESS_DENIED",
    "ERR_FORWARDING_DENIED",
];

/// `X-Cache: MISS from cache.example`. Squid does not say whether a fetched answer was stored.
fn signal(answer: &Answer) -> LoadSignal {
    let error = answer
        .header("x-squid-error")
        .and_then(|value| value.split(' ').next());
    if error.is_some_and(|error| OWN_REFUSALS.contains(&error)) {
        return LoadSignal::Refused;
    }
    let word = answer
        .header("x-cache")
        .and_then(|value| value.split(' ').next());
    match word {
        Some("HIT") => LoadSignal::Held,
        Some("MISS") => match http::store_signal(answer) {
            Some(signal) => signal,
            None => fetched(answer),
        },
        _ => LoadSignal::Silent,
    }
}

/// Squid stores what stays fresh for long enough, and what it can ask for again by its date. Where the origin does not
/// say how long that is fresh, Squid guesses, and nobody knows what.
fn fetched(answer: &Answer) -> LoadSignal {
    let dated = answer.header("last-modified").is_some();
    match http::explicit_freshness(answer) {
        _ if !http::may_be_stored(answer) => LoadSignal::NotStored,
        Some(seconds) if seconds > LEAST_FRESHNESS || dated => LoadSignal::Fetched,
        None if dated => LoadSignal::Silent,
        _ => LoadSignal::NotStored,
    }
}

#[cfg(test)]
#[path = "squid/tests.rs"]
mod tests;
