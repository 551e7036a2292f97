//! Google Cloud CDN: `POST /compute/v1/projects/ID/global/urlMaps/NAME/invalidateCache` with a host name, a path and tags.
//!
//! A path means all its query strings, which here is a wildcard without a `*`. Without a host name it is meant on every
//! host name of the configuration.

use domain::{HostName, NativeCall, PurgeMode, Selector};
use serde_json::Value;

use super::{
    Asked, Mistake, begins_with, check_method,
    json::{Body, wrong},
    parse, segments,
};

pub(crate) fn read(request: &NativeCall, hosts: &[HostName]) -> Result<Asked, Mistake> {
    check_method(request, &["POST"])?;
    let [
        "compute",
        "v1",
        "projects",
        _,
        "global",
        "urlMaps",
        _,
        "invalidateCache",
    ] = segments(request).as_slice()
    else {
        return Err(Mistake::new(
            "path",
            "must be `/compute/v1/projects/`, an id, `/global/urlMaps/`, a name, and `/invalidateCache`",
        ));
    };
    let body = Body::of(request, &["host", "path", "cacheTags"])?;
    let host = match body.text("host")? {
        None => None,
        Some(host) => Some(parse::<HostName>("body", "host", host)?),
    };
    let tags = body.texts("cacheTags")?;
    let selectors = match (body.text("path")?, tags.is_empty()) {
        (Some(path), true) => paths(path, host.as_ref(), hosts)?,
        (None, true) => return Err(wrong("must have a path or cacheTags")),
        (None | Some("/*"), false) => of_tags(tags, host.as_ref(), hosts)?,
        (Some(_), false) => {
            let rule = "path: must be left out or be `/*` beside cacheTags, for a command means a tag wherever it is";
            return Err(wrong(rule));
        }
    };
    Ok(Asked::purge(PurgeMode::Delete, selectors, "body"))
}

fn paths(
    path: &str,
    host: Option<&HostName>,
    hosts: &[HostName],
) -> Result<Vec<Selector>, Mistake> {
    match (host, hosts) {
        (None, _) if path == "/*" => Ok(vec![Selector::Everything]),
        (None, []) => Err(wrong(
            "host: must be given with a path, unless configuration_id says which host names are meant",
        )),
        (None, hosts) => hosts.iter().map(|host| of_path(path, host)).collect(),
        (Some(host), _) => Ok(vec![of_path(path, host)?]),
    }
}

fn of_path(path: &str, host: &HostName) -> Result<Selector, Mistake> {
    let start = path.strip_suffix('*').unwrap_or(path);
    if start.contains('*') || (start.len() < path.len() && !start.ends_with('/')) {
        return Err(wrong("path: must have a `*` only at its end, after a `/`"));
    }
    let text = format!("{host}{start}");
    match (start.len() < path.len(), start) {
        (true, "/") => Ok(Selector::Host(host.clone())),
        (true, _) => begins_with("body", "path", &text),
        (false, _) => parse("body", "path", &text).map(Selector::Wildcard),
    }
}

/// Said for each host name of a configuration, a tag is meant on all of them.
fn of_tags(
    tags: Vec<(String, &str)>,
    host: Option<&HostName>,
    hosts: &[HostName],
) -> Result<Vec<Selector>, Mistake> {
    if host.is_some_and(|host| !hosts.is_empty() && !hosts.contains(host)) {
        return Err(wrong(
            "host: must be one of the host names of the configuration",
        ));
    }
    let tag = |(place, text): (String, &str)| parse("body", &place, text).map(Selector::Tag);
    tags.into_iter().map(tag).collect()
}

impl Body {
    /// A text that may be left out.
    fn text(&self, name: &str) -> Result<Option<&str>, Mistake> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(wrong(format!("{name}: must be a text"))),
        }
    }
}
