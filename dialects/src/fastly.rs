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
    Command, Fidelity, Finding, HostName, NativeCall, NativeLimits, Operation, PurgeMode, Selector,
};
use percent_encoding::percent_decode_str;
use serde_json::json;

use crate::{
    AccountField, Answer, Authentication, Budget, Bulk, CannotSay, Counterpart, Dialect, Draw,
    Limits, Presence, Site, Verdict, http, native,
    vendor::{
        budget::CALLS,
        bulk, read, say,
        sizes::{self, Size},
        write::{self, Items},
    },
};

const WHO: &str = "Fastly";
/// What a batch counts.
const KEYS: &str = "keys";
/// Marks stale what the call finds.
const SOFT: &str = "fastly-soft-purge";
/// The paths of a service begin so; what follows its id says what is purged.
const SERVICES: &str = "/service/";
const SERVICE: &str = "/service/{account:service}/purge";
const ALL: &str = "purge_all";
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

    fn fidelity(&self, operation: &Operation, selector: &Selector) -> Fidelity {
        say::only_purges(WHO, operation, |mode| fidelity_of_purge(mode, selector))
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
        let room = self.limits().room(KEYS, site.limits);
        let empty = json!({ "surrogate_keys": [] });
        let batches = keys.batches_of_json(room, &empty).into_iter();
        calls.extend(batches.map(purge_keys));
        if soft {
            calls = calls
                .into_iter()
                .map(|call| call.header(SOFT, "1"))
                .collect();
        }
        if !all.is_empty() {
            let path = format!("{SERVICE}_all");
            calls.push(NativeCall::new("POST", None, &path, all));
        }
        Ok(calls)
    }

    fn read(&self, request: &NativeCall, _: &[HostName]) -> Result<native::Asked, native::Mistake> {
        native::fastly::read(request)
    }

    /// A batch is answered with an id for each of its keys, and a key may be called `status`.
    fn judge(&self, call: &NativeCall, answer: &Answer) -> Verdict {
        if !(200..=299).contains(&answer.status) {
            return Verdict::failed(read::refusal(WHO, answer));
        }
        let is_batch = call.body.is_some();
        let is_wrong = |body| read::text(body, &["status"]).is_some_and(|status| status != "ok");
        match read::object(WHO, answer) {
            Ok(body) if !is_batch && is_wrong(&body) => {
                Verdict::failed(read::refused_by_words(WHO, &body))
            }
            Ok(_) => http::acknowledged(Finding::Accepted),
            Err(fault) => Verdict::failed(fault),
        }
    }

    fn second_call(&self, call: &NativeCall) -> Option<Duration> {
        Some(match called(call) {
            Called::All => RACE_OF_ALL,
            Called::Url | Called::Keys { .. } => RACE,
        })
    }

    fn account(&self) -> &'static [AccountField] {
        &[AccountField {
            name: "service",
            about: "the id of the service that carries the configuration and no other",
            presence: Presence::Optional,
            exclusive: true,
            own_credentials: false,
        }]
    }

    fn authentication(&self) -> Authentication {
        Authentication::Header {
            name: "fastly-key",
            prefix: "",
        }
    }

    fn limits(&self) -> Limits {
        Limits {
            sizes: SIZES,
            budgets: BUDGETS,
            ..Limits::NONE
        }
    }

    fn draws(&self, call: &NativeCall) -> Vec<Draw> {
        let draw = match called(call) {
            Called::Url => Draw::of("urls", 1),
            Called::Keys { .. } => Draw::of(KEYS, bulk::length(call)),
            Called::All => Draw::CALL,
        };
        vec![draw]
    }

    /// Keys of one service, as soft as each other.
    fn bulk(&self, call: &NativeCall, limits: &NativeLimits) -> Option<Bulk> {
        let Called::Keys { service, key } = called(call) else {
            return None;
        };
        let room = self.limits().room(KEYS, limits);
        let items = match key {
            Some(key) => vec![json!(percent_decode_str(key).decode_utf8().ok()?).to_string()],
            None => bulk::of_json(call, room)?.items,
        };
        let soft = call.headers.iter().any(|(name, _)| name == SOFT);
        let around = with_keys("").len();
        Some(Bulk::new(format!("{service} {soft}"), items, room, around))
    }

    fn together(&self, like: &NativeCall, items: &[String]) -> NativeCall {
        let Called::Keys { service, .. } = called(like) else {
            return like.clone();
        };
        let path = format!("{SERVICES}{service}/purge");
        let body = with_keys(&items.join(","));
        let call = write::post_json(&path, like.selectors.clone(), body);
        let soft = like.headers.iter().filter(|(name, _)| name == SOFT);
        soft.fold(call, |call, (name, value)| call.header(name, value))
    }
}

fn with_keys(keys: &str) -> String {
    format!(r#"{{"surrogate_keys":[{keys}]}}"#)
}

/// What a call purges.
enum Called<'a> {
    Url,
    /// Of a service: the one in the path, or else those in the body.
    Keys {
        service: &'a str,
        key: Option<&'a str>,
    },
    All,
}

/// By what follows the service's id, which has no slash: a key and a URL may end in any way.
fn called(call: &NativeCall) -> Called<'_> {
    let of_service = call.path.strip_prefix(SERVICES);
    match of_service.and_then(|path| path.split_once('/')) {
        None => Called::Url,
        Some((_, ALL)) => Called::All,
        Some((service, purge)) => Called::Keys {
            service,
            key: purge.strip_prefix("purge/"),
        },
    }
}

const SIZES: &[Size] = &[
    sizes::exactly(
        KEYS,
        256,
        "fastly.com/documentation/reference/api/purging, Purge multiple surrogate key tags: 256 keys",
    ),
    sizes::alone(
        "urls",
        "fastly.com/documentation/reference/api/purging, Purge a URL: one a call",
    ),
    sizes::ANY_BODY,
];

/// Fastly's page counts 1,000 calls an hour and exempts purges of URLs and keys; a profile by others counts those.
const BUDGETS: &[Budget] = &[
    Budget {
        unit: "urls",
        amount: 100_000,
        per: Duration::from_hours(1),
        burst: 1_000,
        source: "apis.io, fastly-rate-limits: 100,000 URLs an hour; the burst is ours",
    },
    Budget {
        unit: KEYS,
        amount: 100_000,
        per: Duration::from_hours(1),
        burst: 1_000,
        source: "apis.io, fastly-rate-limits: 100,000 keys an hour; the burst is ours",
    },
    Budget {
        unit: CALLS,
        amount: 1_000,
        per: Duration::from_hours(1),
        burst: 100,
        source: "docs.fastly.com/api: 1,000 calls an hour, purges of URLs and keys exempt; the burst is ours",
    },
];

fn fidelity_of_purge(mode: PurgeMode, selector: &Selector) -> Fidelity {
    match selector {
        Selector::Url(_) => {
            say::verbatim(WHO, selector).unwrap_or_else(|| say::mode(WHO, mode, true))
        }
        Selector::Tag(_) => say::mode(WHO, mode, true),
        Selector::Host(_) => say::mode(WHO, mode, false).and(say::more_of_the_configuration(
            format!("{WHO} knows no host names, only whole services"),
        )),
        Selector::Everything => say::mode(WHO, mode, false),
        Selector::Prefix(_) | Selector::Wildcard(_) | Selector::Regex(_) => {
            say::unknown(WHO, selector)
        }
    }
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
