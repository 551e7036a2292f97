//! Amazon CloudFront: invalidations of paths, of paths that begin alike, and of tags, asked after until they are completed.
//!
//! Invariant: never wider than the configuration. A distribution is one configuration's; it knows paths and no host names,
//! so a path is said for all host names of the configuration. The execution's id is the caller reference, so a call that is
//! repeated starts nothing new.
//! A tag does nothing on a distribution without `CacheTagConfig`, so the account says which header that names before one is
//! said (`tagheader`); and it takes no account of upper and lower case. A path with a query reaches only what the distribution
//! keeps apart by its query.
//!
//! Facts: API reference 2020-05-31, and the developer guide, "Invalidate files to remove content".

use std::time::Duration;

use domain::{
    Command, Fault, Fidelity, HostName, NativeCall, Operation, PurgeMode, Selector,
    fault::{Again, FaultCode},
};

use crate::{
    AccountField, Answer, Authentication, Budget, CannotSay, Counterpart, Dialect, Draw, Length,
    Limits, Outstanding, Presence, Site, Unfit, Verdict, http, native,
    problem::retry_after,
    vendor::{
        budget::CALLS,
        read,
        say::{self, Beginning},
        sizes,
        write::{self, Batch, Items},
    },
};

const WHO: &str = "CloudFront";
/// What is counted: paths, and apart from them those with `*`.
const PATHS: &str = "paths";
const PATTERNS: &str = "patterns";
/// What one more takes in a body: its element, and perhaps a digit of their number.
const AROUND_PATH: usize = "<Path></Path>".len() + 1;
/// Characters of a path.
const PATH_LENGTH: usize = 4_000;
/// Seconds until something of what is in progress may have ended; the guide says that most ends within a minute.
const PAUSE_SECONDS: u32 = 60;
/// The code for too much in progress for a distribution.
const FULL: &str = "TooManyInvalidationsInProgress";
pub(crate) const INVALIDATIONS: &str =
    "/2020-05-31/distribution/{account:distribution}/invalidation";
const XMLNS: &str = "http://cloudfront.amazonaws.com/doc/2020-05-31/";

/// The dialect.
#[derive(Debug)]
pub struct CloudFront;

impl Dialect for CloudFront {
    fn name(&self) -> &'static str {
        "cloudfront"
    }

    fn counterpart(&self) -> Counterpart {
        Counterpart::Api
    }

    fn fidelity(&self, operation: &Operation, selector: &Selector) -> Fidelity {
        say::only_purges(WHO, operation, |mode| fidelity_of_purge(mode, selector))
    }

    fn translate(&self, command: &Command, site: &Site<'_>) -> Result<Vec<NativeCall>, CannotSay> {
        http::check(self, command, site)?;
        let (mut paths, mut tags) = (Items::default(), Items::default());
        let mut patterns = Items::default();
        for (number, selector) in http::numbered(command) {
            match (selector, Beginning::of(selector)) {
                (Selector::Url(url), _) => paths.add(number, url.path_and_query().to_owned()),
                (Selector::Tag(tag), _) => tags.add(number, format!("#{tag}")),
                (_, Some(beginning)) => patterns.add(number, format!("{}*", beginning.path)),
                (_, None) => patterns.add(number, "/*".to_owned()),
            }
        }
        let empty = invalidation(Batch::default())
            .body
            .map_or(0, |body| sizes::filled(&body));
        // Tags by themselves: where they cannot be said, paths can.
        let batches = [(PATHS, paths), (PATHS, tags), (PATTERNS, patterns)].map(|(unit, items)| {
            let room = LIMITS.room(unit, site.limits);
            items.batches(room, empty, |path| write::xml(path).len() + AROUND_PATH)
        });
        Ok(batches.into_iter().flatten().map(invalidation).collect())
    }

    fn read(
        &self,
        request: &NativeCall,
        hosts: &[HostName],
    ) -> Result<native::Asked, native::Mistake> {
        native::cloudfront::read(request, hosts)
    }

    fn judge(&self, _: &NativeCall, answer: &Answer) -> Verdict {
        if !(200..=299).contains(&answer.status) {
            return Verdict::failed(refusal(answer));
        }
        let end = |location: &str| location.rsplit('/').next().map(str::to_owned);
        let location = || answer.header("location").and_then(end);
        let job = element(&answer.body, "Id").or_else(location);
        read::running(WHO, answer, job.as_deref())
    }

    fn is_full(&self, answer: &Answer) -> bool {
        answer.status != 200 && element(&answer.body, "Code").as_deref() == Some(FULL)
    }

    fn poll(&self, job: &str) -> Option<NativeCall> {
        let path = format!("{INVALIDATIONS}/{}", write::percent(job));
        Some(NativeCall::new("GET", None, &path, Vec::new()))
    }

    fn judge_poll(&self, job: &str, answer: &Answer) -> Verdict {
        if answer.status != 200 {
            return Verdict::failed(refusal(answer));
        }
        match element(&answer.body, "Status").as_deref() {
            Some("Completed") => read::removed(),
            Some("InProgress") => read::running(WHO, answer, Some(job)),
            Some(_) | None => Verdict::failed(read::unreadable(WHO, answer, "no status known")),
        }
    }

    fn account(&self) -> &'static [AccountField] {
        &[
            AccountField {
                name: "distribution",
                about: "the id of the distribution that carries the configuration and no other",
                presence: Presence::Required,
                exclusive: true,
                own_credentials: false,
            },
            TAG_HEADER,
        ]
    }

    /// A distribution that looks at no tags takes an invalidation of one, and says that it is completed.
    fn at_account(
        &self,
        call: &NativeCall,
        value: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Vec<NativeCall>, Unfit> {
        let body = call.body.as_deref().unwrap_or_default();
        if body.contains("<Path>#") && value(TAG_HEADER.name).is_none_or(|name| name.is_empty()) {
            return Err(TAG_HEADER.unfit(format!(
                "{WHO} purges by tag only where the distribution has a `CacheTagConfig`, and ignores tags in silence \
                 elsewhere; `{}` must name the header that it has there",
                TAG_HEADER.name
            )));
        }
        Ok(vec![call.clone()])
    }

    fn authentication(&self) -> Authentication {
        Authentication::SigV4 {
            service: "cloudfront",
            region: "us-east-1",
        }
    }

    fn limits(&self) -> Limits {
        LIMITS
    }

    fn lengths(&self) -> &'static [Length] {
        &[
            Length {
                what: "characters of a path",
                most: PATH_LENGTH,
                source: "the developer guide, Invalidate files: 4,000 characters",
            },
            Length {
                what: "characters of a tag",
                most: domain::limits::TAG_LENGTH,
                source: "docs.aws.amazon.com, invalidation-specifying-tags: 256 characters",
            },
        ]
    }

    fn draws(&self, call: &NativeCall) -> Vec<Draw> {
        let body = call.body.as_deref().unwrap_or_default();
        let (all, patterns) = (
            body.matches("<Path>").count(),
            body.matches("*</Path>").count(),
        );
        let counted = [(PATHS, all - patterns), (PATTERNS, patterns)];
        let counted = counted.into_iter().filter(|(_, amount)| *amount > 0);
        let counted = counted.map(|(unit, amount)| Draw::of(unit, amount));
        [Draw::CALL].into_iter().chain(counted).collect()
    }
}

/// Where the origin's tags stand, which the distribution must know.
pub(crate) const TAG_HEADER: AccountField = AccountField {
    name: "tagheader",
    about: "the header that the distribution's `CacheTagConfig` names; for a purge by tag, which does nothing without",
    presence: Presence::Optional,
    exclusive: false,
    own_credentials: false,
};

pub(crate) const LIMITS: Limits = Limits {
    sizes: &[
        sizes::exactly(
            PATHS,
            3_000,
            "docs.aws.amazon.com, InvalidationLimits: as many as may be in progress for a distribution",
        ),
        sizes::exactly(
            PATTERNS,
            15,
            "docs.aws.amazon.com, InvalidationLimits: as many paths with `*` as may be in progress",
        ),
        sizes::ANY_BODY,
    ],
    budgets: &[Budget {
        unit: CALLS,
        amount: 1,
        per: Duration::from_secs(1),
        burst: 5,
        source: "ours: Amazon publishes no number of calls, and what may be in progress makes it no slower",
    }],
    outstanding: &[
        Outstanding {
            unit: PATHS,
            amount: 3_000,
            source: "docs.aws.amazon.com, InvalidationLimits: 3,000 paths in progress for a distribution",
        },
        Outstanding {
            unit: PATTERNS,
            amount: 15,
            source: "the same page: 15 paths with `*` in progress for a distribution",
        },
    ],
};

fn fidelity_of_purge(mode: PurgeMode, selector: &Selector) -> Fidelity {
    let for_all_hosts = || {
        say::more_of_the_configuration(format!(
            "{WHO} knows no host names, so it does this for all of the configuration"
        ))
    };
    let selector = match selector {
        Selector::Regex(_) => say::unknown(WHO, selector),
        Selector::Url(url) if url.path_and_query().contains('*') => http::impossible(format!(
            "{WHO} takes a `*` only at the end, for all that begins so"
        )),
        Selector::Url(url) if url.path_and_query().len() > PATH_LENGTH => too_long(),
        Selector::Prefix(_) | Selector::Wildcard(_) if is_too_long(selector) => too_long(),
        Selector::Tag(tag) if tag.as_str().contains('*') => {
            http::impossible(format!("{WHO} takes no `*` in a tag"))
        }
        Selector::Tag(tag) => say::tag_in_any_case(WHO, tag),
        Selector::Url(_) | Selector::Prefix(_) | Selector::Wildcard(_) | Selector::Host(_) => {
            for_all_hosts()
        }
        Selector::Everything => Fidelity::Exact,
    };
    selector.and(say::mode(WHO, mode, false))
}

/// With the `*` behind it.
fn is_too_long(selector: &Selector) -> bool {
    Beginning::of(selector).is_some_and(|beginning| beginning.path.len() >= PATH_LENGTH)
}

fn too_long() -> Fidelity {
    http::impossible(format!(
        "{WHO} takes paths of at most {PATH_LENGTH} characters"
    ))
}

fn invalidation(batch: Batch) -> NativeCall {
    let path = |text: &String| format!("<Path>{}</Path>", write::xml(text));
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<InvalidationBatch xmlns=\"{XMLNS}\"><Paths><Quantity>{}</Quantity>\
         <Items>{}</Items></Paths><CallerReference>{{execution}}</CallerReference></InvalidationBatch>",
        batch.texts.len(),
        batch.texts.iter().map(path).collect::<String>(),
    );
    write::with_body(
        "POST",
        INVALIDATIONS,
        batch.selectors,
        "application/xml",
        body,
    )
}

/// What is refused may be so for the moment only: too much in progress, too many calls.
fn refusal(answer: &Answer) -> Fault {
    let code = element(&answer.body, "Code").unwrap_or_default();
    let message = element(&answer.body, "Message").unwrap_or_default();
    let words = format!("{code}: {message}");
    let fault = read::refusal_in_words(WHO, answer, (!code.is_empty()).then_some(&words));
    if fault.code == FaultCode::ClockOff {
        return fault;
    }
    match code.as_str() {
        FULL => read::throttled(&fault, Again::AfterSeconds(PAUSE_SECONDS)),
        "Throttling" | "ThrottlingException" | "RequestLimitExceeded" | "SlowDown" => {
            read::throttled(&fault, retry_after(answer))
        }
        "SignatureDoesNotMatch"
        | "InvalidClientTokenId"
        | "InvalidAccessKeyId"
        | "MissingAuthenticationToken"
        | "ExpiredToken" => {
            Fault::participant(FaultCode::Unauthorized, Again::Never, &fault.message)
        }
        _ => fault,
    }
}

/// The text of the first element of that name. Enough here: what others wrote into the document has no `<`, and the
/// elements that are asked for come before all that hold such.
fn element(xml: &str, name: &str) -> Option<String> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once(&format!("</{name}>"))?;
    let plain = text
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"");
    Some(
        plain
            .replace("&apos;", "'")
            .replace("&amp;", "&")
            .trim()
            .to_owned(),
    )
}

#[cfg(test)]
#[path = "cloudfront/tests.rs"]
mod tests;
