//! Akamai Fast Purge: `POST /ccu/v3/{invalidate|delete}/{url|tag|cpcode}/production` with a list of objects.
//!
//! A CP code is a configuration's (see the dialect). What is meant for Akamai's staging network is no purge here.

use domain::{HostName, NativeCall, PurgeMode, Selector};

use super::{
    Asked, Mistake, check_method,
    json::{Body, wrong},
    parse, segments,
};

pub(crate) fn read(request: &NativeCall) -> Result<Asked, Mistake> {
    check_method(request, &["POST"])?;
    let segments = segments(request);
    let (["ccu", "v3", action, kind] | ["ccu", "v3", action, kind, "production"]) =
        segments.as_slice()
    else {
        return Err(unknown_path());
    };
    let mode = match *action {
        "invalidate" => PurgeMode::Invalidate,
        "delete" => PurgeMode::Delete,
        _ => return Err(unknown_path()),
    };
    let selectors = match *kind {
        "url" => urls(&Body::of(request, &["objects", "hostname"])?)?,
        "tag" => tags(&Body::of(request, &["objects"])?)?,
        "cpcode" => code(&Body::of(request, &["objects"])?)?,
        _ => return Err(unknown_path()),
    };
    Ok(Asked::purge(mode, selectors, "body"))
}

fn unknown_path() -> Mistake {
    Mistake::new(
        "path",
        "must be `/ccu/v3/`, invalidate or delete, url or tag or cpcode, and nothing or `production`",
    )
}

/// Whole URLs, or paths of one host name.
fn urls(body: &Body) -> Result<Vec<Selector>, Mistake> {
    let host = match body.get("hostname") {
        None => None,
        Some(name) => {
            let name = name.as_str().unwrap_or_default();
            Some(parse::<HostName>("body", "hostname", name)?)
        }
    };
    let url = |(place, text): (String, &str)| {
        let url = match &host {
            Some(host) if text.starts_with('/') => {
                parse("body", &place, &format!("https://{host}{text}"))
            }
            Some(_) => Err(wrong(format!(
                "{place}: must be a path that begins with `/`, beside a hostname"
            ))),
            None => parse("body", &place, text),
        };
        url.map(Selector::Url)
    };
    body.texts("objects")?.into_iter().map(url).collect()
}

fn tags(body: &Body) -> Result<Vec<Selector>, Mistake> {
    let objects = body.texts("objects")?.into_iter();
    objects
        .map(|(place, text)| parse("body", &place, text).map(Selector::Tag))
        .collect()
}

/// Two codes are two configurations.
fn code(body: &Body) -> Result<Vec<Selector>, Mistake> {
    match body.list("objects")? {
        [code] if code.is_u64() => Ok(vec![Selector::Everything]),
        _ => Err(wrong("objects: must be one number, a CP code")),
    }
}
