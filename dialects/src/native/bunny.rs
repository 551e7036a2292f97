//! bunny.net: `POST /purge?url=URL`, and `POST /pullzone/ID/purgeCache` with a tag or with everything.
//!
//! A URL that ends in `/` or `*` means all that begins so, unless `exactPath` says that it does not.

use domain::{NativeCall, PurgeMode, Selector};
use url::form_urlencoded;

use super::{
    Asked, Mistake, begins_with, check_method,
    json::{Body, wrong},
    parse, segments,
};

pub(crate) fn read(request: &NativeCall) -> Result<Asked, Mistake> {
    check_method(request, &["POST"])?;
    let (selectors, field) = match segments(request).as_slice() {
        ["purge"] => (of_url(request)?, "path"),
        ["pullzone", _, "purgeCache"] => (of_zone(request)?, "body"),
        _ => {
            let rule = "must be `/purge` with a `url`, or `/pullzone/`, an id, and `/purgeCache`";
            return Err(Mistake::new("path", rule));
        }
    };
    Ok(Asked::purge(PurgeMode::Delete, vec![selectors], field))
}

fn of_url(request: &NativeCall) -> Result<Selector, Mistake> {
    let query = request.path.split_once('?').map_or("", |(_, query)| query);
    let (mut url, mut exact) = (None, false);
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match (&*name, &*value) {
            ("url", _) if url.is_none() => url = Some(value),
            ("exactPath", "true" | "false") => exact = value == "true",
            ("async", "true" | "false") => {}
            _ => {
                return Err(Mistake::new(
                    "path",
                    "must have one `url`, and nothing besides but `async` and `exactPath`, true or false; with a header it \
                     would mean one variant, and a command means all",
                ));
            }
        }
    }
    let Some(url) = url else {
        return Err(Mistake::new("path", "must have a `url`"));
    };
    let begins = !exact && (url.ends_with(['/', '*']) || url.contains('*'));
    if begins {
        beginning("path", "url", &url)
    } else {
        parse("path", "url", &url).map(Selector::Url)
    }
}

fn of_zone(request: &NativeCall) -> Result<Selector, Mistake> {
    if request.body.as_deref().unwrap_or_default().is_empty() {
        return Ok(Selector::Everything);
    }
    let body = Body::of(request, &["CacheTag"])?;
    match body.get("CacheTag") {
        None => Ok(Selector::Everything),
        Some(tag) => match tag.as_str() {
            Some(tag) => parse("body", "CacheTag", tag).map(Selector::Tag),
            None => Err(wrong("CacheTag: must be a text")),
        },
    }
}

/// All that a URL with a `*`, or with a `/` at its end, means.
pub(super) fn beginning(field: &'static str, place: &str, url: &str) -> Result<Selector, Mistake> {
    let start = url.strip_suffix('*').unwrap_or(url);
    if start.contains('*') {
        return parse(field, place, url).map(Selector::Wildcard);
    }
    match begins_with(field, place, start)? {
        Selector::Prefix(part) if part.path() == "/" => Ok(Selector::Host(part.host)),
        selector => Ok(selector),
    }
}
