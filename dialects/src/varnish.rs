//! Varnish 7.1: `PURGE` for a url or a tag, `BAN` for a prefix, wildcard, regex, host name or everything, and a request
//! through the cache to load.
//!
//! Invariant: never wider than the command. Every call is bound to one host name by its `Host` header, and the shipped
//! VCL (`config/caches/varnish.vcl`) lets no call reach further; a regular expression that Varnish would not survive is
//! refused (`expression`).

use domain::{
    Command, Fidelity, Finding, HostName, NativeCall, Operation, PurgeMode, Selector,
    fidelity::Breadth,
};

use crate::{
    Answer, CannotSay, Counterpart, Dialect, Site, Verdict,
    expression::{self, CannotMatch},
    http::{self, LoadSignal},
    native,
};

/// The header of a `BAN` with the expression over path and query; without it, everything of the host name is meant.
const REGEX: &str = "x-ban-regex";
/// The header of a `PURGE` with the tag to purge instead of the URL.
const TAGS: &str = "x-purge-tags";
/// The header of a `PURGE` that marks stale: `soft`.
const MODE: &str = "x-purge-mode";
/// The header of an answer with the number of objects that a `PURGE` removed or marked.
const COUNT: &str = "x-purged";

/// The dialect.
#[derive(Debug)]
pub struct Varnish;

impl Dialect for Varnish {
    fn name(&self) -> &'static str {
        "varnish"
    }

    fn counterpart(&self) -> Counterpart {
        Counterpart::Server
    }

    fn fidelity(&self, operation: &Operation, selector: &Selector) -> Fidelity {
        match operation {
            Operation::Load => http::fidelity_of_load(selector),
            Operation::Purge(mode) => fidelity_of_purge(*mode, selector),
            Operation::Custom(_) => {
                http::impossible("Varnish knows no custom operations".to_owned())
            }
        }
    }

    fn translate(&self, command: &Command, site: &Site<'_>) -> Result<Vec<NativeCall>, CannotSay> {
        http::check(self, command, site)?;
        let mut calls = Vec::new();
        for (number, selector) in http::numbered(command) {
            match (&command.operation, selector) {
                (Operation::Load, Selector::Url(url)) => calls.push(http::load_url(number, url)),
                (Operation::Purge(mode), selector) => {
                    let hosts = &site.configuration.hosts;
                    let said = purge(number, *mode, selector, hosts);
                    calls.extend(said.map_err(|error| self.cannot(error))?);
                }
                // Impossible, so checked already.
                (Operation::Load | Operation::Custom(_), _) => {}
            }
        }
        Ok(calls)
    }

    fn read(
        &self,
        request: &NativeCall,
        hosts: &[HostName],
    ) -> Result<native::Asked, native::Mistake> {
        native::cache::read_varnish(request, hosts)
    }

    fn judge(&self, call: &NativeCall, answer: &Answer) -> Verdict {
        if http::is_load(call) {
            return http::judge_load(answer, signal(answer));
        }
        let marked = http::is_marked(answer);
        match (answer.status, call.method.as_str()) {
            (200..=299, "BAN") | (404, "PURGE") if !marked => http::acknowledged(Finding::Accepted),
            (200..=299, "BAN") => http::done(Finding::Banned),
            (200..=299, _) => judge_count(call, answer),
            (404, "PURGE") => http::done(Finding::NothingHeld),
            _ => http::refused(answer),
        }
    }
}

impl Varnish {
    fn cannot(&self, error: CannotMatch) -> CannotSay {
        CannotSay {
            dialect: self.name(),
            why: error.to_string(),
        }
    }
}

fn fidelity_of_purge(mode: PurgeMode, selector: &Selector) -> Fidelity {
    if let Some(Err(error)) = expression_of(mode, selector) {
        return http::impossible(error.to_string());
    }
    match (mode, selector) {
        (PurgeMode::Delete, _) | (PurgeMode::Invalidate, Selector::Url(_) | Selector::Tag(_)) => {
            Fidelity::Exact
        }
        (PurgeMode::Invalidate, _) => Fidelity::Widened {
            to: Breadth::Operation,
            why: "a Varnish ban cannot mark stale, it can only delete".to_owned(),
        },
        (PurgeMode::Deferred, Selector::Tag(_)) => http::impossible(
            "Varnish deletes by tag at once, it cannot wait until it is idle".to_owned(),
        ),
        // A ban is just that: nobody is served what it hides, and the ban lurker deletes it later.
        (PurgeMode::Deferred, _) => Fidelity::Exact,
    }
}

/// What a ban looks for, where a purge is a ban that looks for something.
fn expression_of(mode: PurgeMode, selector: &Selector) -> Option<Result<String, CannotMatch>> {
    match selector {
        Selector::Url(url) if mode == PurgeMode::Deferred => {
            Some(expression::exactly(url.path_and_query()))
        }
        Selector::Prefix(part) => Some(expression::prefix(part.path())),
        Selector::Wildcard(part) => Some(expression::wildcard(part.path())),
        Selector::Regex(regex) => Some(expression::regex(regex.pattern())),
        Selector::Url(_) | Selector::Tag(_) | Selector::Host(_) | Selector::Everything => None,
    }
}

fn purge(
    number: u32,
    mode: PurgeMode,
    selector: &Selector,
    hosts: &[HostName],
) -> Result<Vec<NativeCall>, CannotMatch> {
    let soft = mode == PurgeMode::Invalidate;
    if let (Some(regex), Some(host)) = (expression_of(mode, selector), selector.host()) {
        return Ok(vec![ban(number, host, Some(&regex?))]);
    }
    Ok(match selector {
        // Expressions, so said already.
        Selector::Prefix(_) | Selector::Wildcard(_) | Selector::Regex(_) => Vec::new(),
        Selector::Url(url) => {
            let calls = http::purge_url(number, url);
            calls.into_iter().map(|call| softly(call, soft)).collect()
        }
        Selector::Host(host) => vec![ban(number, host, None)],
        Selector::Everything => hosts.iter().map(|host| ban(number, host, None)).collect(),
        Selector::Tag(tag) => {
            let call = |host: &HostName| {
                NativeCall::new("PURGE", Some(host.as_str()), "/", vec![number])
                    .header(TAGS, tag.as_str())
            };
            hosts.iter().map(|host| softly(call(host), soft)).collect()
        }
    })
}

fn softly(call: NativeCall, soft: bool) -> NativeCall {
    if soft {
        call.header(MODE, "soft")
    } else {
        call
    }
}

fn ban(number: u32, host: &HostName, regex: Option<&str>) -> NativeCall {
    let call = NativeCall::new("BAN", Some(host.as_str()), "/", vec![number]);
    match regex {
        Some(regex) => call.header(REGEX, regex),
        None => call,
    }
}

/// A VCL that is not ours may answer without a count; then nobody knows whether anything was held.
fn judge_count(call: &NativeCall, answer: &Answer) -> Verdict {
    let count = answer
        .header(COUNT)
        .and_then(|count| count.parse::<u64>().ok());
    let soft = call.headers.iter().any(|(name, _)| name == MODE);
    match count {
        None => http::acknowledged(Finding::Accepted),
        Some(0) => http::done(Finding::NothingHeld),
        count if soft => http::done(Finding::Invalidated(count)),
        count => http::done(Finding::Removed(count)),
    }
}

fn signal(answer: &Answer) -> LoadSignal {
    match answer.header("x-cache") {
        Some("HIT") => LoadSignal::Held,
        Some("PASS") => LoadSignal::NotStored,
        Some("MISS") => http::store_signal(answer).unwrap_or(LoadSignal::Silent),
        // Stale: served as it was, and fetched again behind our back.
        _ => LoadSignal::Silent,
    }
}

#[cfg(test)]
#[path = "varnish/tests.rs"]
mod tests;
