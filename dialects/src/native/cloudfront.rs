//! `CloudFront`: `POST /2020-05-31/distribution/ID/invalidation` with an `InvalidationBatch`.
//!
//! A path names no host name. It is the request's `host`, or the only one of the configuration; where there are more, a
//! path alone does not say which is meant.

use domain::{HostName, NativeCall, PurgeMode, Selector};

use super::{Asked, Mistake, begins_with, check_method, parse, segments, xml};

pub(crate) fn read(request: &NativeCall, hosts: &[HostName]) -> Result<Asked, Mistake> {
    check_method(request, &["POST"])?;
    let [_, "distribution", _, "invalidation"] = segments(request).as_slice() else {
        let rule = "must be `/2020-05-31/distribution/`, an id, and `/invalidation`";
        return Err(Mistake::new("path", rule));
    };
    let named = match request.host.as_deref() {
        Some(host) => Some(parse::<HostName>("host", "the name", host)?),
        None => None,
    };
    let body = request.body.as_deref().unwrap_or_default();
    let paths = xml::paths(body)?.into_iter().enumerate();
    let selectors = paths.map(|(index, path)| {
        let place = format!("Path {}", index + 1);
        selector(&place, &path, named.as_ref(), hosts)
    });
    let selectors = selectors.collect::<Result<_, _>>()?;
    Ok(Asked::purge(PurgeMode::Delete, selectors, "body"))
}

fn selector(
    place: &str,
    path: &str,
    named: Option<&HostName>,
    hosts: &[HostName],
) -> Result<Selector, Mistake> {
    if let Some(tag) = path.strip_prefix('#') {
        return parse("body", place, tag).map(Selector::Tag);
    }
    if matches!(path, "*" | "/*") {
        let whole = named.cloned().map(Selector::Host);
        return Ok(whole.unwrap_or(Selector::Everything));
    }
    let ((Some(host), _) | (None, [host])) = (named, hosts) else {
        let rule = "must be given with a path, unless configuration_id names a configuration with one host name";
        return Err(Mistake::new("host", rule));
    };
    let slash = if path.starts_with('/') { "" } else { "/" };
    let start = path.strip_suffix('*').unwrap_or(path);
    if start.contains('*') {
        let rule = format!("{place}: must have a `*` only at its end");
        return Err(Mistake::new("body", rule));
    }
    if start.len() < path.len() {
        return begins_with("body", place, &format!("{host}{slash}{start}"));
    }
    parse("body", place, &format!("https://{host}{slash}{path}")).map(Selector::Url)
}
