//! What the dialects of caches share: a URL is purged and loaded by plain HTTP requests through the cache itself.
//!
//! Invariant: a call names the host and the target that the originator named, in no other meaning; an answer that does
//! not say what happened is never read as success of more than was said.
//! Not here: what one kind of cache can say beyond a URL, and its own signals.

use domain::{
    Command, Evidence, Fault, Fidelity, Finding, NativeCall, Operation, PurgeMode, Selector,
    fault::{Again, FaultCode, Side},
    fidelity::Breadth,
    selector::ContentUrl,
};

use crate::{Answer, CannotSay, Dialect, Site, Verdict, fidelity_of};

/// The method that loads: an ordinary request, so that the cache stores what a visitor would get.
const LOAD: &str = "GET";

/// Refuses what the ceiling forbids, and any host name that is not the configuration's.
pub(crate) fn check(
    dialect: &dyn Dialect,
    command: &Command,
    site: &Site<'_>,
) -> Result<(), CannotSay> {
    let cannot = |why: String| CannotSay {
        dialect: dialect.name(),
        why,
    };
    if let Fidelity::Impossible { why } = fidelity_of(dialect, command) {
        return Err(cannot(why));
    }
    for host in command.selectors.iter().filter_map(Selector::host) {
        if !site.configuration.hosts.contains(host) {
            return Err(cannot(format!(
                "{host} is no host name of the configuration"
            )));
        }
    }
    Ok(())
}

/// The selectors with their numbers in the command.
pub(crate) fn numbered(command: &Command) -> impl Iterator<Item = (u32, &Selector)> {
    (0..).zip(&command.selectors)
}

/// A purge of one URL, in each spelling that caches may have stored it under.
pub(crate) fn purge_url(number: u32, url: &ContentUrl) -> Vec<NativeCall> {
    let call =
        |path: &String| NativeCall::new("PURGE", Some(url.host().as_str()), path, vec![number]);
    spellings(url.path_and_query()).iter().map(call).collect()
}

/// A load of one URL.
pub(crate) fn load_url(number: u32, url: &ContentUrl) -> NativeCall {
    NativeCall::new(
        LOAD,
        Some(url.host().as_str()),
        url.path_and_query(),
        vec![number],
    )
}

/// Whether a call is a load.
pub(crate) fn is_load(call: &NativeCall) -> bool {
    call.method == LOAD
}

/// The target as given, and with the hexadecimal digits of its percent-encoding in upper case where that differs.
///
/// Both mean the same (RFC 3986, 6.2.2.1), but caches compare octets; visitors' browsers write upper case. Nothing is
/// decoded: an encoded `/` or `?` is not a `/` or `?`.
fn spellings(target: &str) -> Vec<String> {
    let mut normal = String::with_capacity(target.len());
    let mut digits_left = 0_u8;
    for character in target.chars() {
        normal.push(if digits_left > 0 && character.is_ascii_hexdigit() {
            character.to_ascii_uppercase()
        } else {
            character
        });
        digits_left = if character == '%' {
            2
        } else {
            digits_left.saturating_sub(1)
        };
    }
    if normal == target {
        vec![normal]
    } else {
        vec![target.to_owned(), normal]
    }
}

/// What a cache that removes by exact key, and knows nothing else, makes of a command. `who` begins the reasons.
pub(crate) fn fidelity_by_key(who: &str, operation: &Operation, selector: &Selector) -> Fidelity {
    let url = matches!(selector, Selector::Url(_));
    match operation {
        Operation::Load => fidelity_of_load(selector),
        Operation::Purge(_) if !url => impossible(format!(
            "{who} knows exact URLs only, no {}",
            plural(selector)
        )),
        Operation::Purge(PurgeMode::Delete) => Fidelity::Exact,
        Operation::Purge(PurgeMode::Invalidate) => Fidelity::Widened {
            to: Breadth::Operation,
            why: format!("{who} cannot mark stale, it can only delete"),
        },
        Operation::Purge(PurgeMode::Deferred) => impossible(format!(
            "{who} deletes at once, it cannot wait until it is idle"
        )),
        Operation::Custom(_) => impossible(format!("{who} knows no custom operations")),
    }
}

/// The calls for a cache that removes by exact key.
pub(crate) fn translate_by_key(
    dialect: &dyn Dialect,
    command: &Command,
    site: &Site<'_>,
) -> Result<Vec<NativeCall>, CannotSay> {
    check(dialect, command, site)?;
    let mut calls = Vec::new();
    for (number, selector) in numbered(command) {
        let Selector::Url(url) = selector else {
            continue; // Impossible, so checked already.
        };
        match command.operation {
            Operation::Load => calls.push(load_url(number, url)),
            Operation::Purge(_) | Operation::Custom(_) => calls.extend(purge_url(number, url)),
        }
    }
    Ok(calls)
}

/// Every cache loads a URL, and none knows which URLs another selector would mean.
pub(crate) fn fidelity_of_load(selector: &Selector) -> Fidelity {
    match selector {
        Selector::Url(_) => Fidelity::Exact,
        _ => impossible("a load needs URLs: no cache knows what the origin has".to_owned()),
    }
}

pub(crate) fn impossible(why: String) -> Fidelity {
    Fidelity::Impossible { why }
}

fn plural(selector: &Selector) -> &'static str {
    match selector {
        Selector::Url(_) => "URLs",
        Selector::Prefix(_) => "prefixes",
        Selector::Wildcard(_) => "wildcards",
        Selector::Regex(_) => "regular expressions",
        Selector::Tag(_) => "tags",
        Selector::Host(_) => "whole host names",
        Selector::Everything => "whole configurations",
    }
}

/// What a purge by exact key means: 2xx removed, 404 nothing held (412 in the cache-purge module from 2.5 on).
pub(crate) fn judge_purge_by_key(answer: &Answer) -> Verdict {
    match answer.status {
        200..=299 => done(Finding::Removed(None)),
        404 | 412 => done(Finding::NothingHeld),
        _ => refused(answer),
    }
}

/// What a cache says of a load that the origin answered well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LoadSignal {
    /// It had it, fresh.
    Held,
    /// It fetched and stored it.
    Stored,
    /// It fetched it, and its own word does not say whether it stored it; the origin's headers allow it.
    Fetched,
    /// It will not store it, for its size.
    TooLarge,
    /// It will not store it.
    NotStored,
    /// It said nothing that is known.
    Silent,
}

/// What a load means. An error status is the origin's: a cache that cannot reach its origin says 502, 503 or 504.
pub(crate) fn judge_load(answer: &Answer, signal: LoadSignal) -> Verdict {
    if answer.status >= 400 {
        return origin_failed(answer);
    }
    let not_stored = |side, message, finding| Verdict::Failed {
        fault: Fault::new(FaultCode::Refused, side, Again::Never, message),
        finding: Some(finding),
    };
    match signal {
        LoadSignal::Held => done(Finding::AlreadyThere),
        LoadSignal::Stored => done(Finding::Stored),
        LoadSignal::Fetched => acknowledged(Finding::Stored),
        LoadSignal::Silent => acknowledged(Finding::Accepted),
        LoadSignal::TooLarge => not_stored(
            Side::Participant,
            "fetched, but larger than the cache stores",
            Finding::TooLarge,
        ),
        LoadSignal::NotStored => not_stored(
            Side::Origin,
            "fetched, but the cache's rules or the origin's headers do not let it store this",
            Finding::RefusedByRules,
        ),
    }
}

/// What the cache's rules in `X-Store` say, where the shipped configuration sends it.
pub(crate) fn store_signal(answer: &Answer) -> Option<LoadSignal> {
    match answer.header("x-store")? {
        "stored" => Some(LoadSignal::Stored),
        "too-large" => Some(LoadSignal::TooLarge),
        "uncacheable" => Some(LoadSignal::NotStored),
        _ => None,
    }
}

/// Whether the origin's headers let a shared cache store an answer at all (RFC 9111, 3).
pub(crate) fn may_be_stored(answer: &Answer) -> bool {
    let directives = |name: &str| -> Vec<String> {
        let of_name = answer.headers.iter().filter(|(header, _)| header == name);
        let split = of_name.flat_map(|(_, value)| value.split(','));
        split.map(|word| word.trim().to_ascii_lowercase()).collect()
    };
    let control = directives("cache-control");
    let has = |word: &str| {
        control
            .iter()
            .any(|said| said == word || said.starts_with(&format!("{word}=\"")))
    };
    let shared_age = control
        .iter()
        .find_map(|said| said.strip_prefix("s-maxage="));
    let age = shared_age.or_else(|| {
        control
            .iter()
            .find_map(|said| said.strip_prefix("max-age="))
    });
    let forbidden = has("no-store") || has("private") || has("no-cache") || age == Some("0");
    !forbidden && !directives("vary").iter().any(|name| name == "*")
}

pub(crate) fn done(finding: Finding) -> Verdict {
    Verdict::Done {
        evidence: Evidence::Reported,
        finding,
    }
}

pub(crate) fn acknowledged(finding: Finding) -> Verdict {
    Verdict::Done {
        evidence: Evidence::Acknowledged,
        finding,
    }
}

/// What an answer means that is neither success nor "nothing held". The cache's own rules said 401, 403 or 405, and
/// will say it again; 5xx may pass.
pub(crate) fn refused(answer: &Answer) -> Verdict {
    let (code, again) = match answer.status {
        401 => (FaultCode::Unauthorized, Again::Never),
        429 => (FaultCode::Throttled, retry_after(answer)),
        400..=499 => (FaultCode::Refused, Again::Never),
        503 => (FaultCode::NativeError, retry_after(answer)),
        500..=599 => (FaultCode::NativeError, Again::Soon),
        _ => (FaultCode::UnreadableAnswer, Again::Never),
    };
    Verdict::Failed {
        fault: Fault::participant(code, again, &words(answer)),
        finding: None,
    }
}

fn origin_failed(answer: &Answer) -> Verdict {
    let again = match answer.status {
        429 | 503 => retry_after(answer),
        500.. => Again::Soon,
        _ => Again::Never,
    };
    let message = format!("the origin answered {}", answer.status);
    Verdict::Failed {
        fault: Fault::new(FaultCode::OriginError, Side::Origin, again, &message),
        finding: Some(Finding::OriginStatus(answer.status)),
    }
}

/// Only the form in seconds: a date would need a clock (RFC 9110, 10.2.3).
fn retry_after(answer: &Answer) -> Again {
    let seconds = answer
        .header("retry-after")
        .and_then(|value| value.trim().parse().ok());
    seconds.map_or(Again::Soon, Again::AfterSeconds)
}

/// The status, and the body's first line where it is text for people and not a page.
fn words(answer: &Answer) -> String {
    let line = answer.body.lines().next().unwrap_or_default().trim();
    if line.is_empty() || line.starts_with('<') {
        format!("the cache answered {}", answer.status)
    } else {
        format!("the cache answered {}: {line}", answer.status)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    fn answer(headers: &[(&str, &str)]) -> Answer {
        fixture::answer(200, headers)
    }

    /// A visitor's browser and a script write the same URL differently; nothing is decoded on the way.
    #[test]
    fn a_url_is_purged_in_the_spellings_that_mean_the_same() {
        assert_eq!(spellings("/a%2Fb?x=%3F"), ["/a%2Fb?x=%3F"]);
        assert_eq!(
            spellings("/%c3%a9/abc?d=%e2"),
            ["/%c3%a9/abc?d=%e2", "/%C3%A9/abc?d=%E2"]
        );
        assert_eq!(spellings("/100%"), ["/100%"]);
        assert_eq!(spellings("/%%ab"), ["/%%ab", "/%%AB"]);
    }

    /// Where a cache does not say whether it stored something, the origin's headers may say that it cannot have.
    #[test]
    fn headers_that_forbid_storing_are_known() {
        let stored = [
            &[][..],
            &[("cache-control", "public, max-age=60")],
            &[("cache-control", "max-age=0, s-maxage=60")],
            &[("vary", "Accept-Encoding")],
        ];
        let forbidden = [
            &[("cache-control", "No-Store")][..],
            &[
                ("cache-control", "max-age=60"),
                ("cache-control", "private"),
            ],
            &[("cache-control", "private=\"x-a\", max-age=60")],
            &[("cache-control", "max-age=60, s-maxage=0")],
            &[("vary", "*")],
        ];
        assert!(stored.iter().all(|headers| may_be_stored(&answer(headers))));
        assert!(
            !forbidden
                .iter()
                .any(|headers| may_be_stored(&answer(headers)))
        );
    }

    /// An overloaded cache says when it wants to be asked again; a rule of its own will not change by asking.
    #[test]
    fn a_refusal_says_whether_to_try_again() {
        let again =
            |status, headers: &[(&str, &str)]| match refused(&fixture::answer(status, headers)) {
                Verdict::Failed { fault, .. } => (fault.code, fault.again),
                other => panic!("{other:?}"),
            };
        assert_eq!(again(403, &[]), (FaultCode::Refused, Again::Never));
        assert_eq!(again(405, &[]), (FaultCode::Refused, Again::Never));
        assert_eq!(again(401, &[]), (FaultCode::Unauthorized, Again::Never));
        assert_eq!(again(500, &[]), (FaultCode::NativeError, Again::Soon));
        assert_eq!(
            again(503, &[("retry-after", "7")]),
            (FaultCode::NativeError, Again::AfterSeconds(7))
        );
        assert_eq!(
            again(429, &[("retry-after", "soon")]),
            (FaultCode::Throttled, Again::Soon)
        );
        assert_eq!(again(302, &[]), (FaultCode::UnreadableAnswer, Again::Never));
    }
}
