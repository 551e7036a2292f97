//! Akamai Fast Purge, version 3: URLs, cache tags, and the CP code of a configuration; invalidated or deleted.
//!
//! Invariant: never wider than the configuration. A CP code is one configuration's. A tag reaches all that the API client of
//! the credentials has access to, which nothing in a call says: so the account names a client that has access to one
//! configuration's content only (`client`), with credentials that no other configuration has, or no tag is said.
//! There is no way to ask what became of a purge: the answer's estimate is all that anybody knows.
//! Not here: prefixes and patterns, which another system of Akamai's takes (ECCU).
//!
//! Facts: `techdocs.akamai.com/purge-cache/reference` and `/docs/purge-content-cache-tag`, akamai/akamai-apis `apis/ccu/v3/openapi.json`.

use std::time::Duration;

use domain::{
    Command, Fidelity, Finding, HostName, NativeCall, NativeLimits, Operation, PurgeMode, Selector,
    fault::Again,
};

use crate::{
    AccountField, Answer, Authentication, Budget, Bulk, CannotSay, Counterpart, Dialect, Draw,
    Length, Limits, Presence, Site, Unfit, Verdict, http, native,
    vendor::{
        budget::CALLS,
        bulk, read, say,
        sizes::{BYTES, Size},
        write::{self, Items},
    },
};

const WHO: &str = "Akamai";
/// Characters of a tag in `Edge-Cache-Tag`.
const TAG_LENGTH: usize = 128;
/// What a tag may hold besides letters and digits: the column "Allowed" of "Purge content by cache tag", which has `/` since it
/// is no page of `learn.akamai.com` any more.
const TAG_MARKS: &str = "&'^-$!`#%.+~_|/";
/// Seconds after which Akamai asks to come back when it says 429 without a time ("Rate limiting").
const PAUSE_SECONDS: u32 = 5;
/// A body around its objects.
const BODY: (&str, &str) = (r#"{"objects":["#, "]}");

/// The dialect.
#[derive(Debug)]
pub struct Akamai;

impl Dialect for Akamai {
    fn name(&self) -> &'static str {
        "akamai"
    }

    fn counterpart(&self) -> Counterpart {
        Counterpart::Api
    }

    fn fidelity(&self, operation: &Operation, selector: &Selector) -> Fidelity {
        say::only_purges(WHO, operation, |mode| {
            fidelity_of(selector).and(say::mode(WHO, mode, true))
        })
    }

    fn translate(&self, command: &Command, site: &Site<'_>) -> Result<Vec<NativeCall>, CannotSay> {
        http::check(self, command, site)?;
        let action = match command.operation {
            Operation::Purge(PurgeMode::Invalidate) => "invalidate",
            Operation::Purge(_) | Operation::Load | Operation::Custom(_) => "delete",
        };
        let (mut urls, mut tags, mut code) = (Items::default(), Items::default(), Items::default());
        for (number, selector) in http::numbered(command) {
            match selector {
                Selector::Url(url) => urls.add(number, write::json(&url.to_string())),
                Selector::Tag(tag) => tags.add(number, write::json(&tag.as_str())),
                // All else is a whole CP code, or was refused; a code is a number.
                _ => code.add(number, "{account:cpcode}".to_owned()),
            }
        }
        let overhead = BODY.0.len() + BODY.1.len();
        let kinds = KINDS.into_iter().zip([urls, tags, code]);
        let calls = kinds.flat_map(|((kind, unit), objects)| {
            let room = self.limits().room(unit, site.limits);
            let path = format!("/ccu/v3/{action}/{kind}/{{account:network}}");
            let comma_too = |object: &str| object.len() + 1;
            let batches = objects.batches(room, overhead, comma_too);
            batches.into_iter().map(move |batch| {
                let body = format!("{}{}{}", BODY.0, batch.texts.join(","), BODY.1);
                write::post_json(&path, batch.selectors, body)
            })
        });
        Ok(calls.collect())
    }

    fn read(&self, request: &NativeCall, _: &[HostName]) -> Result<native::Asked, native::Mistake> {
        native::akamai::read(request)
    }

    fn judge(&self, _: &NativeCall, answer: &Answer) -> Verdict {
        match answer.status {
            200..=299 => match read::object(WHO, answer) {
                Ok(body) => taken(&body),
                Err(fault) => Verdict::failed(fault),
            },
            429 => Verdict::failed(after_a_pause(answer)),
            _ => Verdict::failed(read::refusal(WHO, answer)),
        }
    }

    fn account(&self) -> &'static [AccountField] {
        &[
            AccountField {
                name: "network",
                about: "`production` or `staging`",
                presence: Presence::Default("production"),
                exclusive: false,
                own_credentials: false,
            },
            AccountField {
                name: "cpcode",
                about: "the number of the CP code that all content of the configuration has, and no other; for a purge of \
                        a host name or of everything",
                presence: Presence::Optional,
                exclusive: true,
                own_credentials: false,
            },
            CLIENT,
        ]
    }

    /// Whose tags are meant is said by the credentials alone.
    fn at_account(
        &self,
        call: &NativeCall,
        value: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Vec<NativeCall>, Unfit> {
        if unit_of(call) == Some(TAGS) && value(CLIENT.name).is_none_or(|name| name.is_empty()) {
            return Err(CLIENT.unfit(format!(
                "{WHO} purges a tag in all that the API client of the credentials has access to; `{}` must name a client \
                 that has access to this configuration's content only",
                CLIENT.name
            )));
        }
        Ok(vec![call.clone()])
    }

    fn authentication(&self) -> Authentication {
        Authentication::EdgeGrid
    }

    fn limits(&self) -> Limits {
        Limits {
            sizes: SIZES,
            budgets: BUDGETS,
            ..Limits::NONE
        }
    }

    fn lengths(&self) -> &'static [Length] {
        &[Length {
            what: "characters of a tag",
            most: TAG_LENGTH,
            source: "techdocs.akamai.com, cache tags: 128 characters each in Edge-Cache-Tag",
        }]
    }

    fn draws(&self, call: &NativeCall) -> Vec<Draw> {
        let objects = unit_of(call).map(|unit| Draw::of(unit, bulk::length(call)));
        [Draw::CALL].into_iter().chain(objects).collect()
    }

    /// "Rate limiting": `X-Ratelimit-Remaining`, and the same of the objects.
    fn left(&self, call: &NativeCall, answer: &Answer) -> Vec<Draw> {
        let number = |name: &str| answer.header(name)?.trim().parse::<u32>().ok();
        let mut left = Vec::new();
        for mut draw in self.draws(call) {
            let name = match draw.unit {
                CALLS => "x-ratelimit-remaining",
                _ => "x-ratelimit-remaining-objects",
            };
            if let Some(number) = number(name) {
                draw.amount = number;
                left.push(draw);
            }
        }
        left
    }

    fn bulk(&self, call: &NativeCall, limits: &NativeLimits) -> Option<Bulk> {
        bulk::of_json(call, self.limits().room(unit_of(call)?, limits))
    }
}

/// How the objects of a call are counted.
fn unit_of(call: &NativeCall) -> Option<&'static str> {
    let kind = call.path.split('/').nth(4)?;
    let found = KINDS.iter().find(|(name, _)| *name == kind);
    found.map(|(_, unit)| *unit)
}

/// `estimatedSeconds` is a whole number where it is there at all; what is none says nothing.
fn taken(body: &serde_json::Value) -> Verdict {
    let seconds = read::text(body, &["estimatedSeconds"]);
    match seconds.and_then(|seconds| seconds.parse::<u32>().ok()) {
        Some(seconds) => Verdict::Estimated {
            within: Duration::from_secs(seconds.into()),
            finding: Finding::Accepted,
        },
        None => http::acknowledged(Finding::Accepted),
    }
}

/// Its name is told to nobody: it stands for what its rights were found to be.
const CLIENT: AccountField = AccountField {
    name: "client",
    about: "the name of the API client of the account's own `credentials`, which has access to this configuration's content \
            and to no other; for a purge by tag",
    presence: Presence::Optional,
    exclusive: true,
    own_credentials: true,
};

/// The kinds of objects in a path, and how they are counted.
const KINDS: [(&str, &str); 3] = [("url", "urls"), ("tag", TAGS), ("cpcode", "codes")];
const TAGS: &str = "tags";

const SIZES: &[Size] = &[
    Size {
        unit: BYTES,
        usual: Some(45_000),
        most: 50_000,
        source: "techdocs.akamai.com/purge-cache/reference, 413: bodies of 50,000 bytes; its clients stay below (PyPI fastpurge: 45,000)",
    },
    Size {
        unit: "urls",
        usual: None,
        most: 10_000,
        source: "techdocs.akamai.com/purge-cache/reference/rate-limiting: 10,000 URLs at once; else what a body holds",
    },
    Size {
        unit: TAGS,
        usual: None,
        most: 5_000,
        source: "techdocs.akamai.com/purge-cache/reference/rate-limiting: 5,000 tags at once; else what a body holds",
    },
];

const BUDGETS: &[Budget] = &[
    Budget {
        unit: CALLS,
        amount: 50,
        per: Duration::from_secs(1),
        burst: 100,
        source: "techdocs.akamai.com/purge-cache/reference/rate-limiting: 50 requests a second, 100 at once",
    },
    Budget {
        unit: "urls",
        amount: 200,
        per: Duration::from_secs(1),
        burst: 10_000,
        source: "the same page: 200 URLs a second, 10,000 at once",
    },
    Budget {
        unit: TAGS,
        amount: 500,
        per: Duration::from_mins(1),
        burst: 5_000,
        source: "the same page: 500 tags a minute, 5,000 at once",
    },
    Budget {
        unit: "codes",
        amount: 30,
        per: Duration::from_mins(1),
        burst: 300,
        source: "the same page: 30 CP codes a minute, 300 at once",
    },
];

fn fidelity_of(selector: &Selector) -> Fidelity {
    match selector {
        Selector::Tag(tag) if tag.as_str().len() > TAG_LENGTH => http::impossible(format!(
            "{WHO} knows tags of at most {TAG_LENGTH} characters"
        )),
        Selector::Tag(tag) if !tag.as_str().chars().all(is_of_a_tag) => http::impossible(format!(
            "{WHO} knows tags of letters, digits and {TAG_MARKS} only"
        )),
        Selector::Url(_) | Selector::Tag(_) | Selector::Everything => Fidelity::Exact,
        Selector::Host(_) => say::more_of_the_configuration(format!(
            "{WHO} knows no host names, only the CP code of a whole configuration"
        )),
        Selector::Prefix(_) | Selector::Wildcard(_) | Selector::Regex(_) => {
            say::unknown(WHO, selector)
        }
    }
}

fn is_of_a_tag(one: char) -> bool {
    one.is_ascii_alphanumeric() || TAG_MARKS.contains(one)
}

fn after_a_pause(answer: &Answer) -> domain::Fault {
    let fault = read::refusal(WHO, answer);
    match fault.again {
        Again::AfterSeconds(_) => fault,
        Again::Soon | Again::Never => read::throttled(&fault, Again::AfterSeconds(PAUSE_SECONDS)),
    }
}

#[cfg(test)]
#[path = "akamai/tests.rs"]
mod tests;
