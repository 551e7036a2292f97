//! Fastly: a URL, surrogate keys alone or in batches, or a whole service.
//!
//! Invariant: never wider than the configuration. A service is one configuration's, so its keys and all that it holds are.
//! A success means that the purge was taken, not that anything was held (fastly/fastly-ruby#54). An inner cache (shield)
//! may give an outer one back what was just purged, so `second_call` says when to purge again.
//! Not here: purging by the method `PURGE` on the URL itself, which needs no token unless the service asks for one.
//!
//! Facts: `fastly.com/documentation/reference/api/purging`, and the shield race in pypi/warehouse#12771.

use std::time::Duration;

use domain::{
    Command, Fidelity, Finding, HostName, NativeCall, Operation, PurgeMode, Selector,
    selector::ContentUrl,
};
use serde_json::json;

use crate::{
    AccountField, Answer, Authentication, CannotSay, Counterpart, Dialect, Limits, Pace, Presence,
    Site, Verdict, http, native,
    vendor::{
        self, read, say,
        write::{self, Items},
    },
};

const WHO: &str = "Fastly";
/// Keys of one batch (API reference, "Purge multiple surrogate key tags").
const KEYS: usize = 256;
/// Marks stale what the call finds.
const SOFT: &str = "fastly-soft-purge";
/// The paths of a service, and what ends the path of one that purges all of it.
const SERVICE: &str = "/service/{account:service}/purge";
const ALL: &str = "_all";
/// How long a shield may take to hand out what it was about to drop: single objects, and a whole service.
const RACE: Duration = Duration::from_secs(2);
const RACE_OF_ALL: Duration = Duration::from_secs(30);

/// The dialect.
#[derive(Debug)]
pub struct Fastly;

impl Dialect for Fastly {
    fn name(&self) -> &'static str {
        "fastly"
    }

    fn counterpart(&self) -> Counterpart {
        Counterpart::Api
    }

    fn answer_bytes(&self) -> usize {
        vendor::ANSWER_BYTES
    }

    fn fidelity(&self, operation: &Operation, selector: &Selector) -> Fidelity {
        match operation {
            Operation::Load => say::no_load(WHO),
            Operation::Purge(mode) => fidelity_of_purge(*mode, selector),
            Operation::Custom(_) => say::no_custom(WHO),
        }
    }

    fn translate(&self, command: &Command, site: &Site<'_>) -> Result<Vec<NativeCall>, CannotSay> {
        http::check(self, command, site)?;
        let soft = command.operation == Operation::Purge(PurgeMode::Invalidate);
        let mut calls = Vec::new();
        let (mut keys, mut all) = (Items::default(), Vec::new());
        for (number, selector) in http::numbered(command) {
            match selector {
                Selector::Url(url) => {
                    let path = format!("/purge/{}", url.without_scheme());
                    calls.push(NativeCall::new("POST", None, &path, vec![number]));
                }
                Selector::Tag(tag) => keys.add(number, tag.to_string()),
                // All else is a whole service, or was refused.
                _ => all.push(number),
            }
        }
        calls.extend(keys.batches_of(KEYS).into_iter().map(purge_keys));
        if soft {
            calls = calls
                .into_iter()
                .map(|call| call.header(SOFT, "1"))
                .collect();
        }
        if !all.is_empty() {
            let path = format!("{SERVICE}{ALL}");
            calls.push(NativeCall::new("POST", None, &path, all));
        }
        Ok(calls)
    }

    fn read(&self, request: &NativeCall, _: &[HostName]) -> Result<native::Asked, native::Mistake> {
        native::fastly::read(request)
    }

    fn judge(&self, _: &NativeCall, answer: &Answer) -> Verdict {
        if !(200..=299).contains(&answer.status) {
            return Verdict::failed(read::refusal(WHO, answer));
        }
        match read::object(WHO, answer) {
            Ok(body) if read::text(&body, &["status"]).is_some_and(|status| status != "ok") => {
                Verdict::failed(read::refused_by_words(WHO, &body))
            }
            Ok(_) => http::acknowledged(Finding::Accepted),
            Err(fault) => Verdict::failed(fault),
        }
    }

    fn second_call(&self, call: &NativeCall) -> Option<Duration> {
        Some(if call.path.ends_with(ALL) {
            RACE_OF_ALL
        } else {
            RACE
        })
    }

    fn account(&self) -> &'static [AccountField] {
        &[AccountField {
            name: "service",
            about: "the id of the service that carries the configuration and no other",
            presence: Presence::Optional,
            exclusive: true,
        }]
    }

    fn authentication(&self) -> Authentication {
        Authentication::Header {
            name: "fastly-key",
            prefix: "",
        }
    }

    /// Fastly's page counts 1,000 calls an hour and exempts purges of URLs and keys; a profile by others counts 100,000 of
    /// those an hour (`apis.io`, fastly-rate-limits). The second, since nearly all of ours are such.
    fn limits(&self) -> Limits {
        Limits {
            items: Some(KEYS),
            pace: Some(Pace {
                calls: 100_000,
                per: Duration::from_hours(1),
                burst: 100,
            }),
            ..Limits::NONE
        }
    }
}

fn fidelity_of_purge(mode: PurgeMode, selector: &Selector) -> Fidelity {
    match selector {
        Selector::Url(url) if is_like_a_name_of_ours(url) => http::impossible(format!(
            "{WHO} takes a URL only as it is, and this one holds words that have a meaning here"
        )),
        Selector::Url(_) | Selector::Tag(_) => say::mode(WHO, mode, true),
        Selector::Host(_) => say::mode(WHO, mode, false).and(say::more_of_the_configuration(
            format!("{WHO} knows no host names, only whole services"),
        )),
        Selector::Everything => say::mode(WHO, mode, false),
        Selector::Prefix(_) | Selector::Wildcard(_) | Selector::Regex(_) => {
            say::unknown(WHO, selector)
        }
    }
}

/// A URL stands in a path as it is, where a brace cannot be written in another way without meaning another URL.
fn is_like_a_name_of_ours(url: &ContentUrl) -> bool {
    let text = url.path_and_query();
    text.contains("{account:") || text.contains("{execution")
}

fn purge_keys(batch: write::Batch) -> NativeCall {
    match batch.texts.as_slice() {
        // Dots alone are no name in a path: whoever reads it goes up.
        [key] if !matches!(key.as_str(), "." | "..") => {
            let path = format!("{SERVICE}/{}", write::percent(key));
            NativeCall::new("POST", None, &path, batch.selectors)
        }
        keys => {
            let body = write::json(&json!({ "surrogate_keys": keys }));
            write::post_json(SERVICE, batch.selectors, body)
        }
    }
}

#[cfg(test)]
#[path = "fastly/tests.rs"]
mod tests;
