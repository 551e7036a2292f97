//! Apache Traffic Server: `PURGE` for a url, and a request through the cache to load it.
//!
//! Invariant: never wider than the command. `regex_revalidate` and `remap_purge` would reach further, but they work
//! through files and remap rules of the server, which no call of ours may change.
//! Not here: the cache's configuration (`config/caches/trafficserver`), whose `Via` codes this file relies on.

use domain::{Command, Fidelity, NativeCall, Operation, Selector};

use crate::{
    Answer, CannotSay, Counterpart, Dialect, Site, Verdict,
    http::{self, LoadSignal},
};

/// The dialect.
#[derive(Debug)]
pub struct TrafficServer;

impl Dialect for TrafficServer {
    fn name(&self) -> &'static str {
        "traffic-server"
    }

    fn counterpart(&self) -> Counterpart {
        Counterpart::Server
    }

    fn fidelity(&self, operation: &Operation, selector: &Selector) -> Fidelity {
        http::fidelity_by_key("Traffic Server's PURGE", operation, selector)
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
