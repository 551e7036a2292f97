//! Edgecast: purges and loads in bulk, asked after until they are done.
//!
//! Invariant: never wider than the configuration. A path is purged on every host name (edge CNAME) of the customer account
//! that points at the same content, so an account is one configuration's, and whatever is purged may reach all of it. A load
//! is for one scheme, the one that its URL has.
//! A refusal as a bad request may be for the moment only: over the limit of what may be under way is one too. Only where its
//! own words name that limit is it asked again; the paths of a call are not its own. It is a limit of purges, and one of loads:
//! nothing else has to wait.
//! Edgecast stopped serving in January 2025; its API is spoken by those who run its software on.
//!
//! Facts: `developer.edgecast.com/cdn/api`, "Bulk Purge Content", "Get Bulk Purge Request", "Bulk Load Content".

use domain::{
    Command, Fault, Fidelity, Finding, HostName, NativeCall, NativeLimits, Operation, PurgeMode,
    Selector, fault::Again,
};
use percent_encoding::percent_decode_str;

use crate::{
    AccountField, Answer, Authentication, Bulk, CannotSay, Counterpart, Dialect, Draw, Limits,
    Outstanding, Presence, Site, Verdict, http, native,
    vendor::{
        bulk, read,
        say::{self, Beginning},
        sizes::{self, Size},
        write::{self, Items},
    },
};

const WHO: &str = "Edgecast";
/// What is counted: every path of a bulk.
const PATHS: &str = "paths";
/// Seconds until something of what is under way may have ended.
const PAUSE_SECONDS: u32 = 30;
/// Words for the limit of what may be under way. "Bulk Purge Content" says that more is a 400, and speaks of concurrent and of
/// outstanding requests; it quotes no body.
const LIMIT_WORDS: [&str; 4] = ["concurrent", "outstanding", "simultaneous", "too many"];
const EDGE: &str = "/v2/mcc/customers/{account:customer}/edge";
const PURGE: &str = "bulkpurge";
const LOAD: &str = "bulkload";

/// The dialect.
#[derive(Debug)]
pub struct Edgecast;

impl Dialect for Edgecast {
    fn name(&self) -> &'static str {
        "edgecast"
    }

    fn counterpart(&self) -> Counterpart {
        Counterpart::Api
    }

    fn fidelity(&self, operation: &Operation, selector: &Selector) -> Fidelity {
        match operation {
            Operation::Load => http::fidelity_of_load(selector),
            Operation::Purge(mode) => fidelity_of_purge(*mode, selector),
            Operation::Custom(_) => say::no_custom(WHO),
        }
    }

    fn translate(&self, command: &Command, site: &Site<'_>) -> Result<Vec<NativeCall>, CannotSay> {
        http::check(self, command, site)?;
        let mut paths = Items::default();
        for (number, selector) in http::numbered(command) {
            let mut all_of = |host: &HostName, beginning: &str| {
                paths.add(number, format!("http://{host}{beginning}*"));
            };
            match (selector, selector.host(), Beginning::of(selector)) {
                (Selector::Url(url), ..) => paths.add(number, url.to_string()),
                (_, Some(host), Some(beginning)) => all_of(host, beginning.directory().path),
                // Everything; all else is impossible and was refused.
                _ => site
                    .configuration
                    .hosts
                    .iter()
                    .for_each(|host| all_of(host, "/")),
            }
        }
        let kind = match command.operation {
            Operation::Load => LOAD,
            Operation::Purge(_) | Operation::Custom(_) => PURGE,
        };
        let path = format!("{EDGE}/{kind}");
        let room = self.limits().room(PATHS, site.limits);
        let comma_too = |path: &str| escaped(&path).len() + 1;
        let batches = paths.batches(room, body("[]").len(), comma_too);
        let calls = batches.into_iter().map(|batch| {
            let body = body(&escaped(&batch.texts));
            write::with_body("PUT", &path, batch.selectors, "application/json", body)
                .header("accept", "application/json")
        });
        Ok(calls.collect())
    }

    fn read(&self, request: &NativeCall, _: &[HostName]) -> Result<native::Asked, native::Mistake> {
        native::edgecast::read(request)
    }

    fn judge(&self, call: &NativeCall, answer: &Answer) -> Verdict {
        match answer.status {
            200..=299 => match read::object(WHO, answer) {
                Ok(body) => {
                    let kind = call.path.rsplit('/').next().unwrap_or_default();
                    let job = read::text(&body, &["Id"]).map(|id| format!("{kind}/{id}"));
                    read::running(WHO, answer, job.as_deref())
                }
                Err(fault) => Verdict::failed(fault),
            },
            _ => Verdict::failed(refusal(call, answer)),
        }
    }

    /// Purges and loads have a limit each, and a path each.
    fn is_full(&self, answer: &Answer) -> bool {
        says_full(answer, &[])
    }

    fn poll(&self, job: &str) -> Option<NativeCall> {
        let (kind, id) = job
            .split_once('/')
            .filter(|(kind, _)| [PURGE, LOAD].contains(kind))?;
        let path = format!("{EDGE}/{kind}/{}", write::percent(id));
        let call = NativeCall::new("GET", None, &path, Vec::new());
        Some(call.header("accept", "application/json"))
    }

    fn judge_poll(&self, job: &str, answer: &Answer) -> Verdict {
        if answer.status != 200 {
            return Verdict::failed(read::refusal(WHO, answer));
        }
        let body = match read::object(WHO, answer) {
            Ok(body) => body,
            Err(fault) => return Verdict::failed(fault),
        };
        let status = read::text(&body, &["Status_Details", "Status"]).unwrap_or_default();
        match status.to_ascii_lowercase().as_str() {
            "done" if job.starts_with(LOAD) => http::done(Finding::Stored),
            "done" => read::removed(),
            "in-progress" => read::running(WHO, answer, Some(job)),
            _ => Verdict::failed(read::unreadable(WHO, answer, "no status known")),
        }
    }

    /// A job's name says which of two kinds it is of.
    fn has_jobs(&self) -> bool {
        true
    }

    fn account(&self) -> &'static [AccountField] {
        &[
            AccountField {
                name: "customer",
                about: "the number of the customer account that carries the configuration and no other: a purge reaches every \
                        edge CNAME of it that points at the same content",
                presence: Presence::Required,
                exclusive: true,
                own_credentials: false,
            },
            AccountField {
                name: "platform",
                about: "the number of the platform: 3 for HTTP Large, 8 for HTTP Small, 14 for ADN",
                presence: Presence::Default("3"),
                exclusive: false,
                own_credentials: false,
            },
        ]
    }

    fn authentication(&self) -> Authentication {
        Authentication::Header {
            name: "authorization",
            prefix: "TOK:",
        }
    }

    fn limits(&self) -> Limits {
        Limits {
            sizes: SIZES,
            outstanding: &[Outstanding {
                unit: PATHS,
                amount: 50,
                source: "developer.edgecast.com, Bulk Purge Content: 50 purges and 50 loads under way; every path counts",
            }],
            ..Limits::NONE
        }
    }

    fn draws(&self, call: &NativeCall) -> Vec<Draw> {
        match call.body {
            Some(_) => vec![Draw::CALL, Draw::of(PATHS, bulk::length(call))],
            None => vec![Draw::CALL],
        }
    }

    /// A slash takes two bytes there, so half as many are sure to fit.
    fn bulk(&self, call: &NativeCall, limits: &NativeLimits) -> Option<Bulk> {
        let bulk = bulk::of_json(call, self.limits().room(PATHS, limits))?;
        Some(Bulk {
            bytes: bulk.bytes / 2,
            ..bulk
        })
    }

    fn together(&self, like: &NativeCall, items: &[String]) -> NativeCall {
        let call = bulk::with_items(like, items);
        NativeCall {
            body: call.body.map(|body| body.replace('/', "\\/")),
            ..call
        }
    }
}

const SIZES: &[Size] = &[
    sizes::exactly(
        PATHS,
        50,
        "developer.edgecast.com, Bulk Purge Content: as many as may be under way",
    ),
    sizes::ANY_BODY,
];

/// "Forward slashes must be escaped with a backslash when submitting purge requests in JSON."
fn escaped(paths: &impl serde::Serialize) -> String {
    write::json(paths).replace('/', "\\/")
}

fn body(paths: &str) -> String {
    format!(r#"{{"MediaPath":{paths},"MediaType":{{account:platform}}}}"#)
}

fn fidelity_of_purge(mode: PurgeMode, selector: &Selector) -> Fidelity {
    let selector = match selector {
        Selector::Tag(_) | Selector::Regex(_) => say::unknown(WHO, selector),
        Selector::Url(url) if url.path_and_query().contains('*') => {
            http::impossible(format!("{WHO} takes a `*` for any characters"))
        }
        Selector::Url(_) | Selector::Prefix(_) | Selector::Wildcard(_) | Selector::Host(_) => {
            say::more_of_the_configuration(format!(
                "{WHO} purges for every host name that points at the same content"
            ))
        }
        Selector::Everything => Fidelity::Exact,
    };
    selector.and(say::mode(WHO, mode, false))
}

/// A bad request that names the limit of what may be under way passes; any other stays bad.
fn refusal(call: &NativeCall, answer: &Answer) -> Fault {
    let fault = read::refusal(WHO, answer);
    let items = bulk::of_json(call, Edgecast.limits().room(PATHS, &NativeLimits::NONE));
    let items = items.map_or_else(Vec::new, |bulk| bulk.items);
    if says_full(answer, &items) {
        return read::throttled(&fault, Again::AfterSeconds(PAUSE_SECONDS));
    }
    fault
}

/// Whether a refusal speaks of the limit of what may be under way, in words of its own: no path of the call (`items`, as JSON)
/// is, nor whatever else has a slash.
fn says_full(answer: &Answer, items: &[String]) -> bool {
    if answer.status != 400 {
        return false;
    }
    let mut paths: Vec<String> = items.iter().flat_map(|item| ways_to_write(item)).collect();
    paths.sort_unstable_by_key(|path| std::cmp::Reverse(path.len()));
    let body = serde_json::from_str(&answer.body).unwrap_or_default();
    let said = read::words(&body).unwrap_or_else(|| answer.body.clone());
    let said = paths
        .iter()
        .fold(said, |said, path| said.replace(path.as_str(), " / "));
    let words = said.split_whitespace().filter(|word| !word.contains('/'));
    let words = words.map(|word| word.trim_matches(|one: char| !one.is_alphanumeric()));
    let words = words.collect::<Vec<_>>().join(" ").to_ascii_lowercase();
    let words = format!(" {words} ");
    let mut limits = LIMIT_WORDS.iter();
    limits.any(|limit| words.contains(&format!(" {limit} ")))
}

/// A path as a call has it, with its octets decoded, and both without scheme and host name.
fn ways_to_write(item: &str) -> Vec<String> {
    let path: String = serde_json::from_str(item).unwrap_or_default();
    let decoded = percent_decode_str(&path).decode_utf8_lossy().into_owned();
    let below_the_host = |path: &String| {
        let rest = path.splitn(4, '/').nth(3)?;
        Some(format!("/{rest}"))
    };
    let ways = [&path, &decoded].map(below_the_host).into_iter().flatten();
    let ways = ways.chain([path.clone(), decoded.clone()]);
    ways.filter(|path| path.len() > 1).collect()
}

#[cfg(test)]
#[path = "edgecast/tests.rs"]
mod tests;
