//! Requests that a participant sends to a native system today, read as what they ask of the federation.
//!
//! Invariant: what is read is never more than the request says. What cannot be said here as narrowly is a [`Mistake`], and
//! so is whatever is not understood: nothing is left out in silence.
//! The ids of an account in a path or body (service, zone, distribution, CP code) are nobody's here: such a request means
//! the configuration, and the command names which one. A tag means all of the configuration's host names.
//! The scheme of a URL never matters ([`Selector`]): where a request names none, either is read.
//! Where the fidelity is exact, reading what [`crate::Dialect::translate`] says gives the same operation and selectors, but
//! for the scheme of a URL, and the port where a cache's keys have none; and for a regular expression that is longer than a
//! command takes once it is written out for Varnish: that is refused. What a mapping says is read by the mapping itself
//! ([`crate::mapped::Mapping::ask`]).
//! Not here: whose the host names are, and whether the caller may ask for this (`broker`).

pub(crate) mod akamai;
pub(crate) mod alibaba;
pub(crate) mod bunny;
pub(crate) mod cache;
pub(crate) mod cloudflare;
pub(crate) mod cloudfront;
pub(crate) mod edgecast;
pub(crate) mod fastly;
pub(crate) mod federation;
pub(crate) mod google;
mod json;
mod xml;

use std::str::FromStr;

use domain::{BrokenRule, HostName, NativeCall, Operation, PurgeMode, Selector, limits};
use thiserror::Error;

use crate::all;

/// What a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// What is to be done.
    pub operation: Operation,
    /// With what; at least one, and no more than a command has.
    pub selectors: Vec<Selector>,
    /// The field of the request that named the selectors: `path`, `headers`, `host` or `body`.
    pub field: &'static str,
}

/// A request cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{field} {rule}")]
pub struct Mistake {
    /// Which field: `dialect`, or one of the request.
    pub field: &'static str,
    /// The rule that it broke, as a sentence without a subject.
    pub rule: String,
}

/// Reads a request of the dialect called `dialect`. Which selectors it carries out is not asked. `hosts` are those of the
/// configuration, where it is known: `CloudFront` names none.
///
/// # Errors
/// A [`Mistake`] for the first field that cannot be read.
pub fn read(dialect: &str, request: &NativeCall, hosts: &[HostName]) -> Result<Asked, Mistake> {
    let known = all().iter().find(|known| known.name() == dialect);
    let Some(known) = known else {
        let names: Vec<_> = all().iter().map(|known| known.name()).collect();
        let names = names.join(", ");
        let rule = format!("must be one of {names}, or the mapping by which the caller is told");
        return Err(Mistake::new("dialect", rule));
    };
    known.read(request, hosts)?.within_limits()
}

impl Asked {
    fn purge(mode: PurgeMode, selectors: Vec<Selector>, field: &'static str) -> Self {
        Self {
            operation: Operation::Purge(mode),
            selectors,
            field,
        }
    }

    /// Refuses what is no command by the number of its selectors.
    pub(crate) fn within_limits(self) -> Result<Self, Mistake> {
        let most = limits::SELECTORS_PER_COMMAND;
        if (1..=most).contains(&self.selectors.len()) {
            return Ok(self);
        }
        let rule = format!("must name 1 to {most} things to purge (SELECTORS_PER_COMMAND)");
        Err(Mistake::new(self.field, rule))
    }
}

impl Mistake {
    /// A field, and the rule that it broke.
    pub fn new(field: &'static str, rule: impl Into<String>) -> Self {
        Self {
            field,
            rule: rule.into(),
        }
    }
}

/// A text of the request as what it stands for; `what` names it in front of the rule.
pub(crate) fn parse<T: FromStr<Err = BrokenRule>>(
    field: &'static str,
    what: &str,
    text: &str,
) -> Result<T, Mistake> {
    let read = text.parse();
    read.map_err(|rule: BrokenRule| Mistake::new(field, format!("{what}: {rule}")))
}

/// A URL whose scheme is not said, which never matters: the one whose own port is not named, or the port would be lost.
pub(crate) fn with_a_scheme(rest: &str) -> String {
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let scheme = if authority.ends_with(":443") {
        "http"
    } else {
        "https"
    };
    format!("{scheme}://{rest}")
}

/// Everything whose path begins so. What breaks off at a dot begins no directory's name but any name, which only a wildcard says.
pub(crate) fn begins_with(
    field: &'static str,
    what: &str,
    text: &str,
) -> Result<Selector, Mistake> {
    if text.ends_with("/.") || text.ends_with("/..") {
        return parse(field, what, &format!("{text}*")).map(Selector::Wildcard);
    }
    parse(field, what, text).map(Selector::Prefix)
}

/// A header's value; its name in lower case.
pub(crate) fn header<'a>(request: &'a NativeCall, name: &str) -> Option<&'a str> {
    let mut headers = request.headers.iter();
    let found = headers.find(|(given, _)| given.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value.as_str())
}

/// The segments of a provider's path, which has no host name of ours and a query that says nothing about content.
fn segments(request: &NativeCall) -> Vec<&str> {
    let path = request.path.split('?').next().unwrap_or_default();
    path.strip_prefix('/')
        .map_or_else(Vec::new, |path| path.split('/').collect())
}

fn check_method(request: &NativeCall, methods: &[&str]) -> Result<(), Mistake> {
    if methods.contains(&request.method.as_str()) {
        return Ok(());
    }
    let rule = format!("must be {}", methods.join(" or "));
    Err(Mistake::new("method", rule))
}

#[cfg(test)]
mod tests;
