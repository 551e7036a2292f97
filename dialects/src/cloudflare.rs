//! Cloudflare: URLs, tags, host names and prefixes of a zone.
//!
//! Invariant: never wider than the configuration. A zone may carry other content, so `purge_everything` is never said here
//! ([`crate::cloudflare_zone`] says it); everything of a configuration is everything of its host names. A tag reaches through
//! the zone, in upper and in lower case: so the account says that the zone is the configuration's alone (`alone`), or no tag is
//! said.
//! A prefix is said as whole directories. The page shows them so, says of `foo.com/bar` both that it purges a directory and
//! that it purges whatever starts so, and shows nobody that `/img` reaches `/images`.
//! A URL is said with both schemes: they are different objects. What a zone's own cache key keeps apart (device, country,
//! language, `Origin`) is reached by prefix, tag and host name. By URL it takes the headers that tell the variants apart: they
//! are the zone's own and no part of a command, so the account names them (`variants`).
//!
//! Facts: `developers.cloudflare.com/cache/how-to/purge-cache`, and there "Purge by prefix" and "Purge cache by
//! cache-tags".

use std::{collections::BTreeMap, time::Duration};

use domain::{
    Command, Fidelity, Finding, HostName, NativeCall, NativeLimits, Operation, PurgeMode, Selector,
    selector::ContentUrl,
};
use serde_json::{Value, json};

use crate::{
    AccountField, Answer, Authentication, Budget, Bulk, CannotSay, Counterpart, Dialect, Draw,
    Length, Limits, Presence, Site, Unfit, Verdict, http, native,
    vendor::{
        budget::CALLS,
        bulk, read,
        say::{self, Beginning},
        sizes::{self, Size},
        write::{self, Items},
    },
};

const WHO: &str = "Cloudflare";
/// Separators in the path of a prefix ("Purge by prefix", "Limitations").
const SEPARATORS: usize = 31;
pub(crate) const PATH: &str = "/client/v4/zones/{account:zone}/purge_cache";

/// The dialect.
#[derive(Debug)]
pub struct Cloudflare;

/// Variants of a URL that a zone keeps apart.
const VARIANTS_LIMIT: usize = 32;

/// What is said, by the kind of call.
#[derive(Default)]
struct Said {
    files: Items,
    tags: Items,
    hosts: Items,
    prefixes: Items,
}

impl Dialect for Cloudflare {
    fn name(&self) -> &'static str {
        "cloudflare"
    }

    fn counterpart(&self) -> Counterpart {
        Counterpart::Api
    }

    fn fidelity(&self, operation: &Operation, selector: &Selector) -> Fidelity {
        say::only_purges(WHO, operation, |mode| fidelity_of_purge(mode, selector))
    }

    fn translate(&self, command: &Command, site: &Site<'_>) -> Result<Vec<NativeCall>, CannotSay> {
        http::check(self, command, site)?;
        Ok(calls(http::numbered(command), site))
    }

    fn read(&self, request: &NativeCall, _: &[HostName]) -> Result<native::Asked, native::Mistake> {
        native::cloudflare::read(request)
    }

    fn judge(&self, _: &NativeCall, answer: &Answer) -> Verdict {
        if !(200..=299).contains(&answer.status) {
            return Verdict::failed(read::refusal(WHO, answer));
        }
        match read::object(WHO, answer) {
            Ok(body) if body.get("success") == Some(&Value::Bool(true)) => {
                http::acknowledged(Finding::Accepted)
            }
            Ok(body) => Verdict::failed(read::refused_by_words(WHO, &body)),
            Err(fault) => Verdict::failed(fault),
        }
    }

    fn account(&self) -> &'static [AccountField] {
        &[
            AccountField {
                name: ZONE,
                about: "the id of the zone that holds the configuration's host names",
                presence: Presence::Required,
                exclusive: true,
                own_credentials: false,
            },
            ALONE,
            VARIANTS,
        ]
    }

    /// Tags, where the zone is the configuration's; files, plain and once with the headers of each variant.
    fn at_account(
        &self,
        call: &NativeCall,
        value: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Vec<NativeCall>, Unfit> {
        let is_alone = || value(ALONE.name).is_some_and(|zone| value(ZONE) == Some(zone));
        if unit_of(call) == Some(TAGS) && !is_alone() {
            return Err(ALONE.unfit(format!(
                "{WHO} purges a tag in all of the zone; `{}` must be the zone's id once more, which says that the zone carries \
                 this configuration's content only",
                ALONE.name
            )));
        }
        let Some(variants) = value(VARIANTS.name).filter(|_| is_files(call)) else {
            return Ok(vec![call.clone()]);
        };
        let variants: Vec<BTreeMap<String, String>> =
            serde_json::from_str(&variants).map_err(|error| {
                VARIANTS.unfit(format!(
                    "`{}` must be a JSON list of objects of texts: {error}",
                    VARIANTS.name
                ))
            })?;
        if variants.len() > VARIANTS_LIMIT {
            return Err(VARIANTS.unfit(format!(
                "`{}` must name at most {VARIANTS_LIMIT} variants",
                VARIANTS.name
            )));
        }
        let bulk = self.bulk(call, &NativeLimits::NONE);
        let files = bulk.map_or_else(Vec::new, |bulk| bulk.items);
        let each = files.iter().flat_map(|file| {
            let headers = variants.iter().map(|headers| json!(headers));
            let with =
                headers.map(move |headers| format!(r#"{{"url":{file},"headers":{headers}}}"#));
            [file.clone()].into_iter().chain(with)
        });
        let each: Vec<_> = each.collect();
        Ok(vec![self.together(call, &each)])
    }

    fn authentication(&self) -> Authentication {
        Authentication::Header {
            name: "authorization",
            prefix: "Bearer ",
        }
    }

    fn limits(&self) -> Limits {
        Limits {
            sizes: SIZES,
            budgets: BUDGETS,
            ..Limits::NONE
        }
    }

    fn lengths(&self) -> &'static [Length] {
        &[
            Length {
                what: "separators in the path of a prefix",
                most: SEPARATORS,
                source: "developers.cloudflare.com/cache/how-to/purge-cache, Purge by prefix: 31 path separators",
            },
            Length {
                what: "variants of a URL",
                most: VARIANTS_LIMIT,
                source: "ours: as many as an operator can be expected to list",
            },
        ]
    }

    /// Single files are counted one by one, all else by the call.
    fn draws(&self, call: &NativeCall) -> Vec<Draw> {
        let items = bulk::length(call);
        match unit_of(call) {
            Some(URLS) => vec![Draw::of(URLS, items)],
            Some(unit) => vec![Draw::CALL, Draw::of(unit, items)],
            None => vec![Draw::CALL],
        }
    }

    fn may_add(&self, call: &NativeCall) -> Option<&'static str> {
        is_files(call).then_some(
            "each of the urls again for each of the account's `variants` (at most 32), and the calls that these need",
        )
    }

    fn bulk(&self, call: &NativeCall, limits: &NativeLimits) -> Option<Bulk> {
        let kind = bulk::name_of_list(call)?;
        let bulk = bulk::of_json(call, self.limits().room(unit_of(call)?, limits))?;
        Some(Bulk {
            kind: format!("{kind} {}", bulk.kind),
            ..bulk
        })
    }
}

/// How files are counted, and tags.
const URLS: &str = "urls";
const TAGS: &str = "tags";
/// The lists that there are, and how each is counted.
const LISTS: [(&str, &str); 4] = [
    ("files", URLS),
    ("tags", TAGS),
    ("hosts", "hosts"),
    ("prefixes", "prefixes"),
];

const SIZES: &[Size] = &[
    Size {
        unit: URLS,
        usual: Some(100),
        most: 500,
        source: "developers.cloudflare.com/cache/how-to/purge-cache, Availability and limits: 100 URLs a request, Enterprise 500 (older pages: 30); \
                 each scheme and each variant is one",
    },
    sizes::exactly(TAGS, 100, OPERATIONS),
    sizes::exactly("hosts", 100, OPERATIONS),
    sizes::exactly("prefixes", 100, OPERATIONS),
    sizes::ANY_BODY,
];
const OPERATIONS: &str = "developers.cloudflare.com/cache/how-to/purge-cache, Availability and limits: 100 operations a request (older pages: 30)";

/// "Availability and limits", by plan. The smallest that is paid for.
const BUDGETS: &[Budget] = &[
    Budget {
        unit: CALLS,
        amount: 5,
        per: Duration::from_secs(1),
        burst: 25,
        source: "developers.cloudflare.com/cache/how-to/purge-cache, Pro, all but single files: 5 a second and a bucket of 25 (Free 5 a minute and 25, Business \
                 10 and 50, Enterprise 50 and 500)",
    },
    Budget {
        unit: URLS,
        amount: 1_500,
        per: Duration::from_secs(1),
        burst: 1_500,
        source: "the same page, Pro: 1,500 URLs a second (Free 800, Enterprise 3,000)",
    },
];

/// The zone, by its name among the account's values.
pub(crate) const ZONE: &str = "zone";

/// Names the zone, so that it is true of no other one when the account moves to another.
pub(crate) const ALONE: AccountField = AccountField {
    name: "alone",
    about: "the zone's id once more, where the zone carries this configuration's content and no other; for a purge by tag, which \
            reaches all of the zone",
    presence: Presence::Optional,
    exclusive: true,
    own_credentials: false,
};

/// The headers by which the zone's own cache key keeps variants of a URL apart.
pub(crate) const VARIANTS: AccountField = AccountField {
    name: "variants",
    about: "where the zone's cache key keeps variants of a URL apart: the headers of each, as a JSON list of objects \
            (`[{\"CF-Device-Type\": \"mobile\"}]`)",
    presence: Presence::Optional,
    exclusive: false,
    own_credentials: false,
};

fn is_files(call: &NativeCall) -> bool {
    unit_of(call) == Some(URLS)
}

fn unit_of(call: &NativeCall) -> Option<&'static str> {
    let name = bulk::name_of_list(call)?;
    let list = LISTS.iter().find(|(list, _)| *list == name);
    list.map(|(_, unit)| *unit)
}

/// What is said for these selectors.
pub(crate) fn calls<'a>(
    selectors: impl IntoIterator<Item = (u32, &'a Selector)>,
    site: &Site<'_>,
) -> Vec<NativeCall> {
    let mut said = Said::default();
    for (number, selector) in selectors {
        said.add(number, selector, site);
    }
    let Said {
        files,
        tags,
        hosts,
        prefixes,
    } = said;
    let kinds = LISTS.into_iter().zip([files, tags, hosts, prefixes]);
    let calls = kinds.flat_map(|((kind, unit), items)| {
        let room = Cloudflare.limits().room(unit, site.limits);
        let empty = json!({ kind: [] });
        let batches = items.batches_of_json(room, &empty).into_iter();
        batches.map(move |batch| {
            let body = write::json(&json!({ kind: batch.texts }));
            write::post_json(PATH, batch.selectors, body)
        })
    });
    calls.collect()
}

impl Said {
    fn add(&mut self, number: u32, selector: &Selector, site: &Site<'_>) {
        match selector {
            Selector::Url(url) => {
                for url in with_both_schemes(url) {
                    self.files.add(number, url);
                }
            }
            Selector::Tag(tag) => self.tags.add(number, tag.to_string()),
            Selector::Host(host) => self.hosts.add(number, host.to_string()),
            Selector::Everything => {
                for host in &site.configuration.hosts {
                    self.hosts.add(number, host.to_string());
                }
            }
            Selector::Prefix(part) | Selector::Wildcard(part) => {
                if let Some(beginning) = Beginning::of(selector).map(as_directories) {
                    let prefix = format!("{}{}", part.host, beginning.path);
                    self.prefixes.add(number, prefix);
                }
            }
            // Impossible, so checked already.
            Selector::Regex(_) => {}
        }
    }
}

fn fidelity_of_purge(mode: PurgeMode, selector: &Selector) -> Fidelity {
    let mode = say::mode(WHO, mode, false);
    match selector {
        Selector::Regex(_) => say::unknown(WHO, selector),
        Selector::Prefix(_) | Selector::Wildcard(_) => Beginning::of(selector)
            .map_or(Fidelity::Exact, |beginning| {
                as_directories(beginning).fidelity(WHO)
            })
            .and(mode),
        Selector::Tag(tag) => say::tag_in_any_case(WHO, tag).and(mode),
        Selector::Url(_) | Selector::Host(_) | Selector::Everything => mode,
    }
}

/// As many whole directories as a prefix may have.
fn as_directories(beginning: Beginning<'_>) -> Beginning<'_> {
    let directory = beginning.directory();
    let mut separators = directory.path.match_indices('/').map(|(at, _)| at);
    match (separators.nth(SEPARATORS - 1), separators.next()) {
        (Some(last), Some(_)) => Beginning {
            path: &directory.path[..=last],
            exact: false,
        },
        _ => directory,
    }
}

/// Whether it is one object only: a port belongs to one scheme.
pub(crate) fn has_port(url: &ContentUrl) -> bool {
    url.without_scheme()[url.host().as_str().len()..].starts_with(':')
}

fn with_both_schemes(url: &ContentUrl) -> Vec<String> {
    if has_port(url) {
        return vec![url.to_string()];
    }
    let rest = url.without_scheme();
    ["https", "http"]
        .map(|scheme| format!("{scheme}://{rest}"))
        .to_vec()
}

#[cfg(test)]
#[path = "cloudflare/tests.rs"]
mod tests;
