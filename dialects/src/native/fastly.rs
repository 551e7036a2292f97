//! Fastly: `POST /purge/URL`, `POST /service/ID/purge` with keys, `/purge/KEY` and `/purge_all`, and `PURGE` on the URL.

use domain::{NativeCall, PurgeMode, Selector};
use percent_encoding::percent_decode_str;

use super::{
    Asked, Mistake, cache, check_method, header, json::Body, parse, segments, with_a_scheme,
};

/// Marks stale what the call finds.
const SOFT: &str = "fastly-soft-purge";
/// The keys of a batch, where they are not in the body.
const KEYS: &str = "surrogate-key";

pub(crate) fn read(request: &NativeCall) -> Result<Asked, Mistake> {
    check_method(request, &["POST", "PURGE"])?;
    let mode = match header(request, SOFT) {
        Some("1") => PurgeMode::Invalidate,
        None => PurgeMode::Delete,
        Some(_) => return Err(Mistake::new("headers", format!("{SOFT}: must be 1"))),
    };
    if request.method == "PURGE" {
        let (url, field) = cache::url(request)?;
        return Ok(Asked::purge(mode, vec![url], field));
    }
    if let Some(url) = request.path.strip_prefix("/purge/") {
        let url = parse("path", "the URL", &with_a_scheme(url))?;
        return Ok(Asked::purge(mode, vec![Selector::Url(url)], "path"));
    }
    let (selectors, field) = match segments(request).as_slice() {
        ["service", _, "purge_all"] if mode == PurgeMode::Invalidate => {
            return Err(Mistake::new(
                "headers",
                format!("{SOFT}: must not be given with purge_all, which cannot mark stale"),
            ));
        }
        ["service", _, "purge_all"] => (vec![Selector::Everything], "path"),
        ["service", _, "purge", key] => {
            let key = percent_decode_str(key).decode_utf8_lossy();
            let tag = parse("path", "the key", &key)?;
            (vec![Selector::Tag(tag)], "path")
        }
        ["service", _, "purge"] => keys(request)?,
        _ => {
            return Err(Mistake::new(
                "path",
                "must be `/purge/` and a URL without its scheme, or `/service/`, an id, and `/purge_all`, `/purge` or \
                 `/purge/` and a key",
            ));
        }
    };
    Ok(Asked::purge(mode, selectors, field))
}

fn keys(request: &NativeCall) -> Result<(Vec<Selector>, &'static str), Mistake> {
    let tag = |field, place: &str, text| parse(field, place, text).map(Selector::Tag);
    if let Some(keys) = header(request, KEYS) {
        let keys = keys.split_ascii_whitespace();
        let tags: Result<_, _> = keys.map(|key| tag("headers", KEYS, key)).collect();
        return Ok((tags?, "headers"));
    }
    let body = Body::of(request, &["surrogate_keys"])?;
    let keys = body.texts("surrogate_keys")?.into_iter();
    let tags: Result<_, _> = keys.map(|(place, key)| tag("body", &place, key)).collect();
    Ok((tags?, "body"))
}
