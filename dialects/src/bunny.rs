//! bunny.net: URLs and all that begins so, and of a pull zone a tag or everything.
//!
//! Invariant: never wider than the configuration. A pull zone is one configuration's. Each call says one thing.
//! A URL is said with `exactPath`, or a `/` or `*` at its end would mean all that begins so; and without `async`, so the
//! answer comes when the purge is done.
//! Whether a `*` in a tag means any characters, the pages do not say. It does to others (drupal.org, `bunny_cdn` #3423820:
//! `*node:130*` is what works), so none is said.
//!
//! Facts: `docs.bunny.net/cdn/purge-cache`, `docs.bunny.net/api-reference/core/purge`.

use std::time::Duration;

use domain::{Command, Fidelity, Finding, HostName, NativeCall, Operation, PurgeMode, Selector};
use serde_json::json;

use crate::{
    AccountField, Answer, Authentication, Budget, CannotSay, Counterpart, Dialect, Draw, Limits,
    Presence, Site, Verdict, http, native,
    vendor::{
        read,
        say::{self, Beginning},
        sizes::{self, Size},
        write::{self, Batch, Items},
    },
};

const WHO: &str = "bunny.net";
const URL: &str = "/purge?url=";
const EXACTLY: &str = "&async=false&exactPath=true";
const BEGINNING: &str = "&async=false";
const ZONE: &str = "/pullzone/{account:zone}/purgeCache";

/// The dialect.
#[derive(Debug)]
pub struct Bunny;

impl Dialect for Bunny {
    fn name(&self) -> &'static str {
        "bunny"
    }

    fn counterpart(&self) -> Counterpart {
        Counterpart::Api
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
        let (mut urls, mut tags, mut zone) = (Items::default(), Items::default(), Vec::new());
        for (number, selector) in http::numbered(command) {
            match (selector, selector.host(), Beginning::of(selector)) {
                (Selector::Url(url), ..) => {
                    urls.add(
                        number,
                        format!("{URL}{}{EXACTLY}", write::percent(&url.to_string())),
                    );
                }
                (Selector::Tag(tag), ..) => {
                    tags.add(number, write::json(&json!({ "CacheTag": tag.as_str() })));
                }
                (_, Some(host), Some(beginning)) => {
                    let url = format!("https://{host}{}*", beginning.path);
                    urls.add(number, format!("{URL}{}{BEGINNING}", write::percent(&url)));
                }
                // Everything; all else is impossible and was refused.
                _ => zone.push(number),
            }
        }
        let urls = urls.alone().into_iter().map(|Batch { texts, selectors }| {
            NativeCall::new("POST", None, &texts.concat(), selectors)
        });
        let tags = tags
            .alone()
            .into_iter()
            .map(|Batch { texts, selectors }| write::post_json(ZONE, selectors, texts.concat()));
        let zone = (!zone.is_empty()).then(|| NativeCall::new("POST", None, ZONE, zone));
        Ok(urls.chain(tags).chain(zone).collect())
    }

    fn read(&self, request: &NativeCall, _: &[HostName]) -> Result<native::Asked, native::Mistake> {
        native::bunny::read(request)
    }

    /// A success has no body that is documented; a page is none.
    fn judge(&self, call: &NativeCall, answer: &Answer) -> Verdict {
        let is_page = answer.body.trim_start().starts_with('<');
        match answer.status {
            200..=299 if is_page => Verdict::failed(read::unreadable(WHO, answer, "a page")),
            200..=299 if call.path.starts_with(URL) => read::removed(),
            200..=299 => http::acknowledged(Finding::Accepted),
            _ => Verdict::failed(read::refusal(WHO, answer)),
        }
    }

    fn account(&self) -> &'static [AccountField] {
        &[AccountField {
            name: "zone",
            about: "the id of the pull zone that carries the configuration and no other; for a purge by tag or of everything",
            presence: Presence::Optional,
            exclusive: true,
            own_credentials: false,
        }]
    }

    fn authentication(&self) -> Authentication {
        Authentication::Header {
            name: "accesskey",
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
        let unit = match call.path.as_str() {
            path if path.ends_with(EXACTLY) => "urls",
            path if path.starts_with(URL) => "prefixes",
            _ if call.body.is_some() => "tags",
            _ => return vec![Draw::CALL],
        };
        vec![Draw::CALL, Draw::of(unit, 1)]
    }
}

/// Each call says one thing, whoever asks.
const SIZES: &[Size] = &[
    sizes::alone(
        "urls",
        "docs.bunny.net/api-reference/core/purge: one URL a call",
    ),
    sizes::alone(
        "prefixes",
        "docs.bunny.net/api-reference/core/purge: one URL a call",
    ),
    sizes::alone("tags", "docs.bunny.net/cdn/purge-cache: one tag a call"),
];

const BUDGETS: &[Budget] = &[
    Budget {
        unit: "urls",
        amount: 5,
        per: Duration::from_secs(1),
        burst: 120,
        source: "docs.bunny.net, cdn-api-purge-rate-limits: exact URLs 5 a second, 120 at once",
    },
    Budget {
        unit: "prefixes",
        amount: 1,
        per: Duration::from_secs(2),
        burst: 20,
        source: "the same page: all that begins so 0.5 a second, 20 at once",
    },
];

fn fidelity_of_purge(mode: PurgeMode, selector: &Selector) -> Fidelity {
    let selector = match selector {
        Selector::Regex(_) => say::unknown(WHO, selector),
        Selector::Tag(tag) if tag.as_str().contains('*') => {
            http::impossible(format!("{WHO} takes a `*` in a tag for any characters"))
        }
        Selector::Prefix(_) | Selector::Wildcard(_) => {
            Beginning::of(selector).map_or(Fidelity::Exact, |beginning| beginning.fidelity(WHO))
        }
        Selector::Url(_) | Selector::Tag(_) | Selector::Host(_) | Selector::Everything => {
            Fidelity::Exact
        }
    };
    selector.and(say::mode(WHO, mode, false))
}

#[cfg(test)]
#[path = "bunny/tests.rs"]
mod tests;
