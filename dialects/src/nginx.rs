//! nginx with the cache-purge module 2.3: `PURGE` for a url, and a request through the cache to load it.
//!
//! Invariant: never wider than the command. The module knows exact keys; it is asked for nothing else.
//! Not here: the cache's configuration (`config/caches/nginx.conf`), whose key and headers this file relies on.

use domain::{Command, Fidelity, NativeCall, Operation, Selector};

use crate::{
    Answer, CannotSay, Counterpart, Dialect, Site, Verdict,
    http::{self, LoadSignal},
};

/// The dialect.
#[derive(Debug)]
pub struct Nginx;

impl Dialect for Nginx {
    fn name(&self) -> &'static str {
        "nginx"
    }

    fn counterpart(&self) -> Counterpart {
        Counterpart::Server
    }

    fn fidelity(&self, operation: &Operation, selector: &Selector) -> Fidelity {
        http::fidelity_by_key("nginx's cache-purge module 2.3", operation, selector)
    }

    fn translate(&self, command: &Command, site: &Site<'_>) -> Result<Vec<NativeCall>, CannotSay> {
        http::translate_by_key(self, command, site)
    }

    fn judge(&self, call: &NativeCall, answer: &Answer) -> Verdict {
        if http::is_load(call) {
            http::judge_load(answer, signal(answer))
        } else {
            http::judge_purge_by_key(answer)
        }
    }
}

/// `X-Cache` holds nginx' own `$upstream_cache_status`, which does not say whether a fetched answer was stored.
/// nginx stores only what the origin says stays fresh, and no answer that sets a cookie (`proxy_cache_valid` and `proxy_ignore_headers` in nginx' documentation of the proxy module).
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
