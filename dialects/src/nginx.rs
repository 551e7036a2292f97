//! nginx with the cache-purge module 2.3: `PURGE` for a url, and a request through the cache to load it.
//!
//! Invariant: never wider than the command. The module knows exact keys; it is asked for nothing else.
//! Not here: the cache's configuration (`config/caches/nginx.conf`), whose key and headers this file relies on.

use crate::{
    Answer,
    by_key::ByKey,
    http::{self, LoadSignal},
};

/// The dialect.
pub static NGINX: ByKey = ByKey {
    name: "nginx",
    who: "nginx's cache-purge module 2.3",
    signal,
};

/// `X-Cache` holds nginx' own `$upstream_cache_status`, which does not say whether a fetched answer was stored.
/// nginx stores only what the origin says stays fresh, and no answer that sets a cookie (`proxy_cache_valid` and
/// `proxy_ignore_headers` in nginx' documentation of the proxy module).
fn signal(answer: &Answer) -> LoadSignal {
    let may_be_stored = http::may_be_stored(answer)
        && http::explicit_freshness(answer).is_some()
        && answer.header("set-cookie").is_none();
    match answer.header("x-cache") {
        Some("HIT") => LoadSignal::Held,
        Some("REVALIDATED") => LoadSignal::Stored,
        Some("BYPASS") => LoadSignal::NotStored,
        Some("MISS" | "EXPIRED") => match http::store_signal(answer) {
            Some(signal) => signal,
            None if may_be_stored => LoadSignal::Fetched,
            None => LoadSignal::NotStored,
        },
        _ => LoadSignal::Silent,
    }
}

#[cfg(test)]
#[path = "nginx/tests.rs"]
mod tests;
