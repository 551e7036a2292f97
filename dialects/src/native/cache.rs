//! Requests to a cache itself: `PURGE` of a URL, `GET` as a load, and what else the shipped VCL for Varnish understands.

use domain::{
    HostName, NativeCall, Operation, PurgeMode, Selector,
    selector::{ContentUrl, HostPath, HostRegex},
};

use super::{Asked, Mistake, check_method, header, parse, with_a_scheme};
use crate::expression::{self, CannotMatch};

/// The tags that a `PURGE` is for, instead of the URL.
const TAGS: &str = "x-purge-tags";
/// `soft` where a `PURGE` marks stale.
const MODE: &str = "x-purge-mode";
/// What a `BAN` looks for in path and query; without it, everything of the host name is meant.
const REGEX: &str = "x-ban-regex";

/// A cache that knows URLs only.
pub(crate) fn read(request: &NativeCall) -> Result<Asked, Mistake> {
    check_method(request, &["PURGE", "GET"])?;
    let (url, field) = url(request)?;
    let operation = match request.method.as_str() {
        "GET" => Operation::Load,
        _ => Operation::Purge(PurgeMode::Delete),
    };
    Ok(Asked {
        operation,
        selectors: vec![url],
        field,
    })
}

/// Varnish with the shipped VCL.
pub(crate) fn read_varnish(request: &NativeCall, hosts: &[HostName]) -> Result<Asked, Mistake> {
    check_method(request, &["PURGE", "BAN", "GET"])?;
    let mode = match header(request, MODE) {
        Some("soft") => PurgeMode::Invalidate,
        _ => PurgeMode::Delete,
    };
    match (request.method.as_str(), header(request, TAGS)) {
        ("BAN", _) => ban(request),
        ("PURGE", Some(tags)) => {
            let host: HostName = parse("host", "the name", authority(request))?;
            if !hosts.is_empty() && !hosts.contains(&host) {
                let rule = "must be one of the host names of the configuration";
                return Err(Mistake::new("host", rule));
            }
            let tags = tags.split([' ', ',']).filter(|tag| !tag.is_empty());
            let tags = tags.map(|tag| parse("headers", TAGS, tag).map(Selector::Tag));
            let tags = tags.collect::<Result<_, _>>()?;
            Ok(Asked::purge(mode, tags, "headers"))
        }
        ("PURGE", None) => {
            let (url, field) = url(request)?;
            Ok(Asked::purge(mode, vec![url], field))
        }
        _ => read(request),
    }
}

/// The URL that a request is for, and the field that names its host: the target itself where it is absolute.
pub(super) fn url(request: &NativeCall) -> Result<(Selector, &'static str), Mistake> {
    if !request.path.starts_with('/') {
        let url = parse("path", "the target", &request.path)?;
        return Ok((Selector::Url(url), "path"));
    }
    let authority = authority(request);
    let (host, port) = authority.split_once(':').unwrap_or((authority, ""));
    let host: HostName = parse("host", "the name", host)?;
    if !port.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Mistake::new("host", "must have a number for its port"));
    }
    let port = if port.is_empty() {
        String::new()
    } else {
        format!(":{port}")
    };
    let text = with_a_scheme(&format!("{host}{port}{}", request.path));
    let url = parse("path", "with the host", &text)?;
    Ok((Selector::Url(url), "host"))
}

fn authority(request: &NativeCall) -> &str {
    request.host.as_deref().unwrap_or_default()
}

fn ban(request: &NativeCall) -> Result<Asked, Mistake> {
    let host: HostName = parse("host", "the name", authority(request))?;
    let selector = match header(request, REGEX) {
        None => Selector::Host(host),
        Some(regex) => of_expression(host, regex)?,
    };
    Ok(Asked::purge(PurgeMode::Delete, vec![selector], "host"))
}

/// A URL, a prefix or a wildcard, where the expression is one as we would write it; or the expression.
fn of_expression(host: HostName, regex: &str) -> Result<Selector, Mistake> {
    let on_host = |path: String| format!("{host}{path}");
    let url = target_of(regex).and_then(|path| format!("https://{}", on_host(path)).parse().ok());
    let url = url.filter(|url: &ContentUrl| is(&expression::exactly(url.path_and_query()), regex));
    let prefix = prefix_of(regex).and_then(|path| on_host(path).parse().ok());
    let prefix = prefix.filter(|part: &HostPath| is(&expression::prefix(part.path()), regex));
    let wildcard = wildcard_of(regex).and_then(|path| on_host(path).parse().ok());
    let wildcard = wildcard.filter(|part: &HostPath| is(&expression::wildcard(part.path()), regex));
    let read = url.map(Selector::Url).or(prefix.map(Selector::Prefix));
    if let Some(read) = read.or(wildcard.map(Selector::Wildcard)) {
        return Ok(read);
    }
    let wrong = |rule: &str| Mistake::new("headers", format!("{REGEX}: {rule}"));
    let Some(pattern) = expression::read(regex) else {
        return Err(wrong(
            "must be a regular expression that means the same to Varnish as here",
        ));
    };
    let regex = HostRegex::new(host, &pattern).map_err(|rule| wrong(&rule.to_string()))?;
    Ok(Selector::Regex(regex))
}

fn is(said: &Result<String, CannotMatch>, regex: &str) -> bool {
    said.as_deref() == Ok(regex)
}

/// The beginning of a path that an expression stands for, where it stands for just that as we would write it.
fn prefix_of(regex: &str) -> Option<String> {
    let path = text(regex.strip_prefix('^')?)?;
    (expression::prefix(&path).as_deref() == Ok(regex) && path.starts_with('/')).then_some(path)
}

/// The same for all of a path and its query.
fn target_of(regex: &str) -> Option<String> {
    let path = text(regex.strip_prefix('^')?.strip_suffix('$')?)?;
    (expression::exactly(&path).as_deref() == Ok(regex) && path.starts_with('/')).then_some(path)
}

/// The same for a pattern of `*`.
fn wildcard_of(regex: &str) -> Option<String> {
    let (mut path, mut rest) = (String::new(), regex.strip_prefix('^')?);
    let mut ends = false;
    while !rest.is_empty() {
        if let Some(after) = rest
            .strip_prefix("(?>[^?]*?")
            .or(rest.strip_prefix("[^?]*"))
        {
            path.push('*');
            rest = after;
        } else if let Some(after) = rest.strip_prefix(')') {
            rest = after;
        } else if rest == r"(?:\?|$)" {
            (ends, rest) = (true, "");
        } else {
            let (letter, after) = literal(rest)?;
            path.push(letter);
            rest = after;
        }
    }
    if !ends {
        path.push('*');
    }
    (expression::wildcard(&path).as_deref() == Ok(regex) && path.starts_with('/')).then_some(path)
}

/// What a text of an expression means.
fn text(mut rest: &str) -> Option<String> {
    let mut text = String::new();
    while !rest.is_empty() {
        let (letter, after) = literal(rest)?;
        text.push(letter);
        rest = after;
    }
    Some(text)
}

/// The first character that a text of an expression means, and what is behind it.
fn literal(text: &str) -> Option<(char, &str)> {
    if let Some(digit) = either_case(text) {
        return Some((digit, &text[4..]));
    }
    let mut letters = text.chars();
    let first = letters.next()?;
    if first != '\\' {
        return Some((first, letters.as_str()));
    }
    let second = letters.next()?;
    if second != 'x' {
        return Some((second, letters.as_str()));
    }
    let digits = letters.as_str();
    let octet = u8::from_str_radix(digits.get(..2)?, 16).ok()?;
    Some((char::from(octet), &digits[2..]))
}

/// A digit of a percent-encoded octet, which an expression has in both spellings: `[Ef]` is none, `[Ee]` is `E`.
fn either_case(text: &str) -> Option<char> {
    let &[b'[', upper, lower, b']', ..] = text.as_bytes() else {
        return None;
    };
    let is_one = upper.is_ascii_uppercase() && upper.to_ascii_lowercase() == lower;
    is_one.then(|| char::from(upper))
}
