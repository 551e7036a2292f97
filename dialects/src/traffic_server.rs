//! Apache Traffic Server: `PURGE` for a url, and a request through the cache to load it.
//!
//! Invariant: never wider than the command. `regex_revalidate` and `remap_purge` would reach further, but they work
//! through files and remap rules of the server, which no call of ours may change.
//! Not here: the cache's configuration (`config/caches/trafficserver`), whose `Via` codes this file relies on.

use crate::{
    Answer,
    by_key::ByKey,
    http::{self, LoadSignal},
};

/// The dialect.
pub static TRAFFIC_SERVER: ByKey = ByKey {
    name: "traffic-server",
    who: "Traffic Server's PURGE",
    signal,
};

/// The codes at the end of `Via`, as in `[cMsSfW]`: what the lookup found, and whether the cache was filled
/// (`proxy.config.http.insert_response_via_str` in Traffic Server's documentation; the tool `traffic_via` explains them).
fn signal(answer: &Answer) -> LoadSignal {
    let via = answer.header("via").and_then(|via| via.rsplit_once('['));
    let Some((_, codes)) = via else {
        return LoadSignal::Silent;
    };
    let code = |of: char| {
        codes
            .split_once(of)
            .and_then(|(_, rest)| rest.chars().next())
    };
    match (code('c'), code('f')) {
        (Some('H' | 'R'), _) => LoadSignal::Held,
        (Some('M' | 'S' | 'A'), Some('W' | 'U')) => LoadSignal::Stored,
        (Some('M' | 'S' | 'A'), _) => http::store_signal(answer).unwrap_or(LoadSignal::NotStored),
        _ => LoadSignal::Silent,
    }
}

#[cfg(test)]
#[path = "traffic_server/tests.rs"]
mod tests;
