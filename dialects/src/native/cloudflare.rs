//! Cloudflare: `POST /client/v4/zones/ID/purge_cache` with files, tags, hosts and prefixes, or with everything.
//!
//! A URL without a port is one object here, whatever its scheme: where both are named, it is one selector.

use domain::{NativeCall, PurgeMode, Selector, selector::ContentUrl};
use serde_json::{Map, Value};

use super::{
    Asked, Mistake, begins_with, check_method,
    json::{Body, wrong},
    parse, segments,
};
use crate::cloudflare::has_port;

const MEMBERS: [&str; 5] = ["files", "tags", "hosts", "prefixes", "purge_everything"];

pub(crate) fn read(request: &NativeCall) -> Result<Asked, Mistake> {
    check_method(request, &["POST"])?;
    let ["client", "v4", "zones", _, "purge_cache"] = segments(request).as_slice() else {
        let rule = "must be `/client/v4/zones/`, an id, and `/purge_cache`";
        return Err(Mistake::new("path", rule));
    };
    let body = Body::of(request, &MEMBERS)?;
    let mut selectors = files(&body)?;
    for (place, text) in body.texts("tags")? {
        selectors.push(Selector::Tag(parse("body", &place, text)?));
    }
    for (place, text) in body.texts("hosts")? {
        selectors.push(Selector::Host(parse("body", &place, text)?));
    }
    for (place, text) in body.texts("prefixes")? {
        // A prefix may be a host name alone.
        selectors.push(if text.contains('/') {
            begins_with("body", &place, text)?
        } else {
            Selector::Host(parse("body", &place, text)?)
        });
    }
    match body.get("purge_everything") {
        None => {}
        Some(Value::Bool(true)) if selectors.is_empty() => selectors.push(Selector::Everything),
        Some(_) => return Err(wrong("purge_everything: must be true, and alone")),
    }
    Ok(Asked::purge(PurgeMode::Delete, selectors, "body"))
}

fn files(body: &Body) -> Result<Vec<Selector>, Mistake> {
    let mut urls: Vec<ContentUrl> = Vec::new();
    let mut seen = std::collections::HashSet::new();
    for (index, file) in body.list("files")?.iter().enumerate() {
        let place = format!("files[{index}]");
        let url: ContentUrl = match file {
            Value::String(url) => parse("body", &place, url)?,
            Value::Object(file) => parse("body", &place, of_object(&place, file)?)?,
            _ => {
                return Err(wrong(format!(
                    "{place}: must be a URL, or an object with one"
                )));
            }
        };
        let object = if has_port(&url) {
            url.to_string()
        } else {
            url.without_scheme().to_owned()
        };
        if seen.insert(object) {
            urls.push(url);
        }
    }
    Ok(urls.into_iter().map(Selector::Url).collect())
}

/// With headers it would be one variant of the URL, and a command knows only all of them.
fn of_object<'a>(place: &str, file: &'a Map<String, Value>) -> Result<&'a str, Mistake> {
    match file.get("url") {
        Some(Value::String(url)) if file.len() == 1 => Ok(url),
        _ => Err(wrong(format!(
            "{place}: must have a url and nothing else; with headers it would mean one variant, and a command means all"
        ))),
    }
}
