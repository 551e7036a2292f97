//! Requests to a cache itself: `PURGE` of a URL, `GET` as a load, and what else the shipped VCL for Varnish understands.

use domain::{HostName, NativeCall, Operation, PurgeMode, Selector, selector::HostRegex};

use super::{Asked, Mistake, check_method, header, parse};
use crate::expression;

/// The tags that a `PURGE` is for, instead of the URL.
const TAGS: &str = "x-purge-tags";
/// `soft` where a `PURGE` marks stale.
const MODE: &str = "x-purge-mode";
/// What a `BAN` looks for in path and query; without it, everything of the host name is meant.
const REGEX: &str = "x-ban-regex";

/// A cache that knows URLs only.
pub(super) fn read(request: &NativeCall) -> Result<Asked, Mistake> {
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
pub(super) fn read_varnish(request: &NativeCall, hosts: &[HostName]) -> Result<Asked, Mistake> {
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
    let text = format!("https://{host}:{port}{}", request.path);
    let url = parse("path", "with the host", &text)?;
    Ok((Selector::Url(url), "host"))
}

fn authority(request: &NativeCall) -> &str {
    request.host.as_deref().unwrap_or_default()
}

fn ban(request: &NativeCall) -> Result<Asked, Mistake> {
    let host: HostName = parse("host", "the name", authority(request))?;
    let regex = header(request, REGEX);
    let selector = match (regex, regex.and_then(prefix_of)) {
        (None, _) => Selector::Host(host),
        (Some(_), Some(path)) => {
            Selector::Prefix(parse("headers", REGEX, &format!("{host}{path}"))?)
        }
        (Some(regex), None) => {
            let wrong = |rule| Mistake::new("headers", format!("{REGEX}: {rule}"));
            Selector::Regex(HostRegex::new(host, regex).map_err(wrong)?)
        }
    };
    Ok(Asked::purge(PurgeMode::Delete, vec![selector], "host"))
}

/// The beginning of a path that an expression stands for, where it stands for just that as we would write it.
fn prefix_of(regex: &str) -> Option<String> {
    let mut path = String::new();
    let mut rest = regex.strip_prefix('^')?;
    while let Some(first) = rest.chars().next() {
        rest = &rest[first.len_utf8()..];
        if first != '\\' {
            path.push(first);
        } else if let Some(after) = rest.strip_prefix('x') {
            let octet = u8::from_str_radix(after.get(..2)?, 16).ok()?;
            path.push(char::from(octet));
            rest = &after[2..];
        } else {
            let escaped = rest.chars().next()?;
            path.push(escaped);
            rest = &rest[escaped.len_utf8()..];
        }
    }
    (expression::prefix(&path).as_deref() == Ok(regex) && path.starts_with('/')).then_some(path)
}
