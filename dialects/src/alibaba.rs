//! Alibaba Cloud CDN: refreshes of URLs and directories, and preloads, asked after until they are complete.
//!
//! Invariant: never wider than the command: every object names its host name. One call is for one host name, so one task
//! comes of it, and a job's name stays one that can be asked after.
//! Not here: its regular expressions, whose rules are not the federation's.
//!
//! Facts: `alibabacloud.com/help/en/cdn`, "RefreshObjectCaches", "PushObjectCache", "DescribeRefreshTaskById".

use std::{collections::BTreeMap, time::Duration};

use domain::{
    Command, Fault, Fidelity, Finding, HostName, NativeCall, NativeLimits, Operation, PurgeMode,
    Selector,
    fault::{Again, FaultCode},
};
use percent_encoding::percent_decode_str;
use serde_json::Value;

use crate::{
    Answer, Authentication, Budget, Bulk, CannotSay, Counterpart, Dialect, Draw, Length, Limits,
    Site, Verdict, http, native,
    vendor::{
        budget::CALLS,
        read,
        say::{self, Beginning},
        sizes::{self, Size},
        write::{self, Items},
    },
};

const WHO: &str = "Alibaba Cloud CDN";
/// Characters of one object.
const OBJECT_LENGTH: usize = 1_024;
/// Bytes of an answer that are looked at.
const ANSWER_BYTES: usize = 2 * 1024 * 1024;
/// Seconds until a limit by the minute has room again.
const PAUSE_SECONDS: u32 = 60;

/// The dialect.
#[derive(Debug)]
pub struct Alibaba;

/// What is done with a list of objects; in the order in which calls are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    File,
    Directory,
    Preload,
}

impl Dialect for Alibaba {
    fn name(&self) -> &'static str {
        "alibaba-cloud-cdn"
    }

    fn counterpart(&self) -> Counterpart {
        Counterpart::Api
    }

    /// A question after 1,000 files is answered with each of them, in up to 1,024 characters, and some 300 characters about it.
    fn answer_bytes(&self) -> usize {
        ANSWER_BYTES
    }

    fn fidelity(&self, operation: &Operation, selector: &Selector) -> Fidelity {
        let fidelity = match operation {
            Operation::Load => http::fidelity_of_load(selector),
            Operation::Purge(mode) => fidelity_of_purge(*mode, selector),
            Operation::Custom(_) => say::no_custom(WHO),
        };
        // Host name and path, in the characters that are sent.
        let too_long = |text: String| text.len() > OBJECT_LENGTH;
        match selector {
            Selector::Url(_) | Selector::Prefix(_) | Selector::Wildcard(_)
                if too_long(selector.to_string()) =>
            {
                fidelity.and(http::impossible(format!(
                    "{WHO} takes objects of at most {OBJECT_LENGTH} characters"
                )))
            }
            _ => fidelity,
        }
    }

    fn translate(&self, command: &Command, site: &Site<'_>) -> Result<Vec<NativeCall>, CannotSay> {
        http::check(self, command, site)?;
        let load = command.operation == Operation::Load;
        let delete = command.operation == Operation::Purge(PurgeMode::Delete);
        let mut lists: BTreeMap<(Kind, &HostName), Items> = BTreeMap::new();
        for (number, selector) in http::numbered(command) {
            let mut add = |kind: Kind, host, object: String| {
                lists.entry((kind, host)).or_default().add(number, object);
            };
            match (selector, selector.host(), Beginning::of(selector)) {
                (Selector::Url(url), Some(host), _) => {
                    let kind = if load { Kind::Preload } else { Kind::File };
                    add(kind, host, url.without_scheme().to_owned());
                }
                (_, Some(host), Some(beginning)) => {
                    let directory = beginning.directory().path;
                    add(Kind::Directory, host, format!("{host}{directory}"));
                }
                // Everything; all else is impossible and was refused.
                _ => {
                    for host in &site.configuration.hosts {
                        add(Kind::Directory, host, format!("{host}/"));
                    }
                }
            }
        }
        let calls = lists.into_iter().flat_map(|((kind, _), objects)| {
            let room = self.limits().room(kind.unit(), site.limits);
            let around = kind
                .call(&[], Vec::new(), delete)
                .body
                .map_or(0, |body| body.len());
            // The end of a line takes three, as most else may.
            let in_form = |object: &str| write::percent(object).len() + OCTET;
            let batches = objects.batches(room, around, in_form).into_iter();
            batches.map(move |batch| kind.call(&batch.texts, batch.selectors, delete))
        });
        Ok(calls.collect())
    }

    fn read(&self, request: &NativeCall, _: &[HostName]) -> Result<native::Asked, native::Mistake> {
        native::alibaba::read(request)
    }

    fn judge(&self, call: &NativeCall, answer: &Answer) -> Verdict {
        if !(200..=299).contains(&answer.status) {
            return Verdict::failed(refusal(answer));
        }
        match read::object(WHO, answer) {
            Ok(body) => {
                let pushed = call.path.contains(PUSH);
                let name = if pushed {
                    "PushTaskId"
                } else {
                    "RefreshTaskId"
                };
                read::running(WHO, answer, read::text(&body, &[name]).as_deref())
            }
            Err(fault) => Verdict::failed(fault),
        }
    }

    fn poll(&self, job: &str) -> Option<NativeCall> {
        let path = format!("{}&TaskId={}", action(DESCRIBE), write::percent(job));
        Some(NativeCall::new("GET", None, &path, Vec::new()))
    }

    fn judge_poll(&self, job: &str, answer: &Answer) -> Verdict {
        if answer.status != 200 {
            return Verdict::failed(refusal(answer));
        }
        match read::object(WHO, answer) {
            Ok(body) => judge_tasks(job, answer, &body),
            Err(fault) => Verdict::failed(fault),
        }
    }

    fn authentication(&self) -> Authentication {
        Authentication::AlibabaRpc
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
            what: "characters of an object",
            most: OBJECT_LENGTH,
            source: "alibabacloud.com, DCDN, RefreshErObjectCaches: 1,024 characters of each; taken to hold here too",
        }]
    }

    fn draws(&self, call: &NativeCall) -> Vec<Draw> {
        let counted = Kind::of(call).map(|kind| Draw::of(kind.unit(), objects(call).len()));
        [Draw::CALL].into_iter().chain(counted).collect()
    }

    /// For one host name, so that one task comes of it. A byte takes three where it is escaped, so a third is sure to fit.
    fn bulk(&self, call: &NativeCall, limits: &NativeLimits) -> Option<Bulk> {
        let kind = Kind::of(call)?;
        let items = objects(call);
        let host = items.first()?.split('/').next()?.to_owned();
        let more = call
            .body
            .as_deref()?
            .split_once('&')
            .map_or("", |(_, more)| more);
        let room = self.limits().room(kind.unit(), limits);
        let kind = format!("{} {host} {more}", call.path);
        let around = OBJECTS.len() + 1 + more.len();
        let bulk = Bulk::new(kind, items, room, around);
        Some(Bulk {
            bytes: bulk.bytes / OCTET,
            ..bulk
        })
    }

    fn together(&self, like: &NativeCall, items: &[String]) -> NativeCall {
        let body = like.body.as_deref().unwrap_or_default();
        let more = body.split_once('&').map(|(_, more)| format!("&{more}"));
        let objects = write::percent(&items.join("\n"));
        NativeCall {
            body: Some(format!("{OBJECTS}{objects}{}", more.unwrap_or_default())),
            ..like.clone()
        }
    }
}

/// What the form of a call begins with.
const OBJECTS: &str = "ObjectPath=";
/// Bytes of `%0A`.
const OCTET: usize = 3;

/// The objects of a call's form.
fn objects(call: &NativeCall) -> Vec<String> {
    let form = call.body.as_deref().unwrap_or_default();
    let list = form.strip_prefix(OBJECTS).unwrap_or_default();
    let list = list.split('&').next().unwrap_or_default();
    let list = percent_decode_str(list).decode_utf8_lossy().into_owned();
    list.lines().map(str::to_owned).collect()
}

const SIZES: &[Size] = &[
    sizes::exactly(
        "urls",
        1_000,
        "alibabacloud.com, RefreshObjectCaches: 1,000 URLs a call",
    ),
    sizes::exactly(
        "directories",
        100,
        "alibabacloud.com, RefreshObjectCaches: 100 directories a call",
    ),
    sizes::exactly(
        "preloads",
        100,
        "alibabacloud.com, PushObjectCache: 100 URLs a call",
    ),
    sizes::ANY_BODY,
];

/// The numbers of a day are quotas that Alibaba raises on request.
const BUDGETS: &[Budget] = &[
    Budget {
        unit: CALLS,
        amount: 50,
        per: Duration::from_secs(1),
        burst: 50,
        source: "alibabacloud.com, RefreshObjectCaches and PushObjectCache: 50 calls a second",
    },
    Budget {
        unit: "urls",
        amount: 10_000,
        per: Duration::from_hours(24),
        burst: 10_000,
        source: "alibabacloud.com, RefreshObjectCaches: 10,000 URLs a day",
    },
    Budget {
        unit: "directories",
        amount: 100,
        per: Duration::from_hours(24),
        burst: 100,
        source: "the same page: 100 directories a day",
    },
    Budget {
        unit: "preloads",
        amount: 1_000,
        per: Duration::from_hours(24),
        burst: 1_000,
        source: "alibabacloud.com, PushObjectCache: 1,000 URLs a day",
    },
];

const REFRESH: &str = "RefreshObjectCaches";
const PUSH: &str = "PushObjectCache";
const DESCRIBE: &str = "DescribeRefreshTaskById";

fn action(name: &str) -> String {
    format!("/?Action={name}&Version=2018-05-10&Format=JSON")
}

impl Kind {
    fn of(call: &NativeCall) -> Option<Self> {
        let body = call.body.as_deref()?;
        Some(match () {
            () if call.path.contains(PUSH) => Self::Preload,
            () if body.contains("&ObjectType=Directory") => Self::Directory,
            () => Self::File,
        })
    }

    /// How it is counted.
    const fn unit(self) -> &'static str {
        match self {
            Self::File => "urls",
            Self::Directory => "directories",
            Self::Preload => "preloads",
        }
    }

    /// A call with its parameters as a form, one object on a line. A directory can also be marked stale: without `Force` what
    /// the origin has not changed since stays.
    fn call(self, objects: &[String], selectors: Vec<u32>, delete: bool) -> NativeCall {
        let objects = write::percent(&objects.join("\n"));
        let (name, more) = match self {
            Self::File => (REFRESH, "&ObjectType=File".to_owned()),
            Self::Directory => (REFRESH, format!("&ObjectType=Directory&Force={delete}")),
            Self::Preload => (PUSH, String::new()),
        };
        let body = format!("{OBJECTS}{objects}{more}");
        let form = "application/x-www-form-urlencoded";
        write::with_body("POST", &action(name), selectors, form, body)
    }
}

fn fidelity_of_purge(mode: PurgeMode, selector: &Selector) -> Fidelity {
    match selector {
        Selector::Tag(_) | Selector::Regex(_) => say::unknown(WHO, selector),
        Selector::Url(_) => say::mode(WHO, mode, false),
        Selector::Prefix(_) | Selector::Wildcard(_) | Selector::Host(_) => {
            let directory = Beginning::of(selector).map(Beginning::directory);
            let fidelity = directory.map_or(Fidelity::Exact, |directory| directory.fidelity(WHO));
            fidelity.and(say::mode(WHO, mode, true))
        }
        Selector::Everything => say::mode(WHO, mode, true),
    }
}

/// One task or several stand under `Tasks`, or one level deeper where the older action was asked. A task that is not
/// listed yet is under way.
fn judge_tasks(job: &str, answer: &Answer, body: &Value) -> Verdict {
    let tasks = body.get("Tasks");
    let tasks = tasks.map(|tasks| tasks.get("CDNTask").unwrap_or(tasks));
    let Some(tasks) = tasks.and_then(Value::as_array) else {
        return Verdict::failed(read::unreadable(WHO, answer, "no tasks"));
    };
    let all_are = |name: &str, wanted: &str| {
        let is = |text: String| text.eq_ignore_ascii_case(wanted);
        !tasks.is_empty()
            && tasks
                .iter()
                .all(|task| read::text(task, &[name]).is_some_and(is))
    };
    let failed = tasks.iter().find(|task| {
        let status = read::text(task, &["Status"]).unwrap_or_default();
        ["Failed", "Timeout", "Canceled"]
            .iter()
            .any(|end| status.eq_ignore_ascii_case(end))
    });
    if let Some(task) = failed {
        let status = read::text(task, &["Status"]).unwrap_or_default();
        let why = read::text(task, &["Description"]).unwrap_or_default();
        let message = format!("{WHO} ended the task as {status}: {why}");
        let fault = Fault::participant(FaultCode::NativeError, Again::Never, &message);
        return Verdict::failed(fault);
    }
    match () {
        () if !all_are("Status", "Complete") => read::running(WHO, answer, Some(job)),
        () if all_are("ObjectType", "preload") => http::done(Finding::Stored),
        () if all_are("ObjectType", "file") => read::removed(),
        () => http::done(Finding::Accepted),
    }
}

/// What is refused may be so for a moment, or for the day, which the code says and not the status.
fn refusal(answer: &Answer) -> Fault {
    let fault = read::refusal(WHO, answer);
    let body: Value = serde_json::from_str(&answer.body).unwrap_or_default();
    let code = read::text(&body, &["Code"]).unwrap_or_default();
    match code.as_str() {
        "QuotaPerMinuteExceeded.Refresh" | "TooMany.Refresh" | "PreloadQueueFull" => {
            read::throttled(&fault, Again::AfterSeconds(PAUSE_SECONDS))
        }
        "QuotaExceeded.Refresh" | "QuotaExceeded.Preload" => read::throttled(&fault, Again::Never),
        "SignatureDoesNotMatch" | "InvalidAccessKeyId.NotFound" | "InvalidAccessKeyId.Inactive" => {
            Fault::participant(FaultCode::Unauthorized, Again::Never, &fault.message)
        }
        code if code.starts_with("Throttling") => {
            let again = match fault.again {
                Again::AfterSeconds(seconds) => Again::AfterSeconds(seconds),
                Again::Soon | Again::Never => Again::Soon,
            };
            read::throttled(&fault, again)
        }
        _ => fault,
    }
}

#[cfg(test)]
#[path = "alibaba/tests.rs"]
mod tests;
