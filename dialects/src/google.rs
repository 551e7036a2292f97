//! Google Cloud CDN: invalidations of a URL map by host name, path and cache tag, asked after until they are done.
//!
//! Invariant: never wider than the configuration. A URL map may carry other configurations, so every call names a host
//! name. The execution's id is the request's, so a call that is repeated starts nothing new.
//! Paths are compared without their query, and `*` stands only at the end, after a `/`.
//! Not here: Media CDN, which has a service of its own (`media_cdn`).
//!
//! Facts: `cloud.google.com/cdn/docs/cache-invalidation-overview`, and the reference of `urlMaps.invalidateCache`.

use std::{collections::HashMap, time::Duration};

use domain::{
    Command, Fault, Fidelity, HostName, NativeCall, Operation, PurgeMode, Selector,
    fault::{Again, FaultCode},
    selector::ContentUrl,
};
use serde_json::{Value, json};

use crate::{
    AccountField, Answer, Authentication, Budget, CannotSay, Counterpart, Dialect, Draw, Length,
    Limits, Presence, Site, Verdict, http, native,
    problem::retry_after,
    vendor::{
        budget::CALLS,
        bulk, read,
        say::{self, Beginning},
        sizes::{self, Size},
        write::{self, Batch, Items},
    },
};

pub(crate) const WHO: &str = "Google Cloud CDN";
/// What is counted.
pub(crate) const TAGS: &str = "tags";
pub(crate) const PATHS: &str = "paths";
/// Characters of a path, with the `*` behind it. Google's pages that were read give no number; this one is on the safe side.
pub(crate) const PATH_LENGTH: usize = 1_024;
/// Seconds until a quota that is counted by the minute has room again.
const PAUSE_SECONDS: u32 = 60;
const INVALIDATE: &str = "/compute/v1/projects/{account:project}/global/urlMaps/{account:urlmap}/invalidateCache\
                          ?requestId={execution:uuid}";
const OPERATIONS: &str = "/compute/v1/projects/{account:project}/global/operations";

const BUDGETS: &[Budget] = &[Budget {
    unit: CALLS,
    amount: 500,
    per: Duration::from_mins(1),
    burst: 50,
    source: "cloud.google.com/cdn/docs/cache-invalidation-overview: 500 requests a minute; the burst is ours",
}];

const SIZES: &[Size] = &[
    sizes::exactly(
        TAGS,
        10,
        "cloud.google.com/cdn/docs/cache-invalidation-overview: 10 tags a request",
    ),
    sizes::alone(
        PATHS,
        "reference of urlMaps.invalidateCache: one path a request",
    ),
    sizes::ANY_BODY,
];

const ACCOUNT: [AccountField; 2] = [
    required("project", "the id of the project"),
    required(
        "urlmap",
        "the name of the URL map of the configuration's load balancer",
    ),
];

/// The dialect.
#[derive(Debug)]
pub struct Google;

/// The paths of a command, each on its host name, in the order of the command.
#[derive(Default)]
struct Paths<'a> {
    all: Vec<(&'a HostName, String, Vec<u32>)>,
    places: HashMap<(&'a HostName, String), usize>,
}

impl Dialect for Google {
    fn name(&self) -> &'static str {
        "google-cloud-cdn"
    }

    fn counterpart(&self) -> Counterpart {
        Counterpart::Api
    }

    fn fidelity(&self, operation: &Operation, selector: &Selector) -> Fidelity {
        say::only_purges(WHO, operation, |mode| fidelity_of_purge(mode, selector))
    }

    fn translate(&self, command: &Command, site: &Site<'_>) -> Result<Vec<NativeCall>, CannotSay> {
        http::check(self, command, site)?;
        let hosts = &site.configuration.hosts;
        let (mut paths, mut tags) = (Paths::default(), Items::default());
        for (number, selector) in http::numbered(command) {
            match (selector, selector.host(), Beginning::of(selector)) {
                (Selector::Tag(tag), ..) => tags.add(number, tag.to_string()),
                (Selector::Url(url), Some(host), _) => {
                    paths.add(number, host, path(url).to_owned());
                }
                (_, Some(host), Some(beginning)) => {
                    paths.add(number, host, format!("{}*", beginning.directory().path));
                }
                // Everything; all else is impossible and was refused.
                _ => hosts
                    .iter()
                    .for_each(|host| paths.add(number, host, "/*".to_owned())),
            }
        }
        let paths = paths.all.into_iter().map(|(host, path, selectors)| {
            invalidation(selectors, &json!({ "host": host.as_str(), "path": path }))
        });
        let longest = hosts
            .iter()
            .map(HostName::as_str)
            .max_by_key(|host| host.len());
        let empty = json!({ "host": longest, "cacheTags": [] });
        let room = self.limits().room(TAGS, site.limits);
        let tags = tags.batches_of_json(room, &empty).into_iter();
        let tags = tags.flat_map(|Batch { texts, selectors }| {
            hosts.iter().map(move |host| {
                let rule = json!({ "host": host.as_str(), "cacheTags": texts });
                invalidation(selectors.clone(), &rule)
            })
        });
        Ok(paths.chain(tags).collect())
    }

    fn read(
        &self,
        request: &NativeCall,
        hosts: &[HostName],
    ) -> Result<native::Asked, native::Mistake> {
        native::google::read(request, hosts)
    }

    fn judge(&self, _: &NativeCall, answer: &Answer) -> Verdict {
        judge_operation(None, answer)
    }

    fn poll(&self, job: &str) -> Option<NativeCall> {
        let path = format!("{OPERATIONS}/{}", write::percent(job));
        Some(NativeCall::new("GET", None, &path, Vec::new()))
    }

    fn judge_poll(&self, job: &str, answer: &Answer) -> Verdict {
        judge_operation(Some(job), answer)
    }

    fn account(&self) -> &'static [AccountField] {
        &ACCOUNT
    }

    /// A token of OAuth 2.0, which somebody beside the adapter renews in its file.
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
        &[Length {
            what: "characters of a path",
            most: PATH_LENGTH,
            source: "ours: the pages of Google's that were read give no number",
        }]
    }

    fn draws(&self, call: &NativeCall) -> Vec<Draw> {
        draws(call)
    }
}

/// Tags or one path; asking after an operation takes a call and nothing else.
pub(crate) fn draws(call: &NativeCall) -> Vec<Draw> {
    let counted = match (bulk::name_of_list(call), &call.body) {
        (Some(_), _) => Some(Draw::of(TAGS, bulk::length(call))),
        (None, Some(_)) => Some(Draw::of(PATHS, 1)),
        (None, None) => None,
    };
    [Draw::CALL].into_iter().chain(counted).collect()
}

pub(crate) const fn required(name: &'static str, about: &'static str) -> AccountField {
    AccountField {
        name,
        about,
        presence: Presence::Required,
        exclusive: false,
        own_credentials: false,
    }
}

impl<'a> Paths<'a> {
    fn add(&mut self, selector: u32, host: &'a HostName, path: String) {
        let place = *self.places.entry((host, path.clone())).or_insert_with(|| {
            self.all.push((host, path, Vec::new()));
            self.all.len() - 1
        });
        self.all[place].2.push(selector);
    }
}

fn fidelity_of_purge(mode: PurgeMode, selector: &Selector) -> Fidelity {
    let selector = match selector {
        Selector::Regex(_) => say::unknown(WHO, selector),
        Selector::Url(url) if path(url).contains('*') => {
            http::impossible(format!("{WHO} takes no `*` in the path of a URL"))
        }
        _ if is_too_long(selector) => http::impossible(format!(
            "{WHO} takes paths of at most {PATH_LENGTH} characters"
        )),
        Selector::Url(_) => {
            say::more_of_the_host(format!("{WHO} removes a path with all its query strings"))
        }
        Selector::Prefix(_) | Selector::Wildcard(_) | Selector::Host(_) => Beginning::of(selector)
            .map_or(Fidelity::Exact, |beginning| {
                beginning.directory().fidelity(WHO)
            }),
        Selector::Tag(_) | Selector::Everything => Fidelity::Exact,
    };
    selector.and(say::mode(WHO, mode, false))
}

/// As it would be said.
fn is_too_long(selector: &Selector) -> bool {
    let length = match (selector, Beginning::of(selector)) {
        (Selector::Url(url), _) => path(url).len(),
        (_, Some(beginning)) => beginning.directory().path.len() + 1,
        (_, None) => 0,
    };
    length > PATH_LENGTH
}

fn path(url: &ContentUrl) -> &str {
    let target = url.path_and_query();
    target.split_once('?').map_or(target, |(path, _)| path)
}

fn invalidation(selectors: Vec<u32>, rule: &Value) -> NativeCall {
    write::post_json(INVALIDATE, selectors, write::json(rule))
}

/// The answer to a call and to asking after it are alike: an operation, under way or done, well or not.
fn judge_operation(asked: Option<&str>, answer: &Answer) -> Verdict {
    if !(200..=299).contains(&answer.status) {
        return Verdict::failed(refusal(WHO, answer));
    }
    let body = match read::object(WHO, answer) {
        Ok(body) => body,
        Err(fault) => return Verdict::failed(fault),
    };
    let name = read::text(&body, &["name"]);
    match read::text(&body, &["status"]).as_deref() {
        Some("DONE") => match body.get("error").filter(|error| !error.is_null()) {
            Some(error) => Verdict::failed(read::refused_by_words(WHO, error)),
            None => read::removed(),
        },
        Some("PENDING" | "RUNNING") => read::running(WHO, answer, asked.or(name.as_deref())),
        Some(_) | None => Verdict::failed(read::unreadable(WHO, answer, "no operation")),
    }
}

/// Google says 403 also where a quota is used up for the moment, with one of these reasons.
pub(crate) fn refusal(who: &str, answer: &Answer) -> Fault {
    let fault = read::refusal(who, answer);
    let body: Value = serde_json::from_str(&answer.body).unwrap_or_default();
    let reason = body
        .pointer("/error/errors/0/reason")
        .and_then(Value::as_str);
    match (answer.status, reason) {
        (403, Some("rateLimitExceeded" | "userRateLimitExceeded" | "quotaExceeded")) => {
            let again = match retry_after(answer) {
                Again::Soon | Again::Never => Again::AfterSeconds(PAUSE_SECONDS),
                told @ Again::AfterSeconds(_) => told,
            };
            read::throttled(&fault, again)
        }
        (401, _) => Fault::participant(FaultCode::Unauthorized, Again::Never, &fault.message),
        _ => fault,
    }
}

#[cfg(test)]
#[path = "google/tests.rs"]
mod tests;
