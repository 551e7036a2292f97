//! Edgecast: `PUT /v2/mcc/customers/ID/edge/` and `purge`, `load`, `bulkpurge` or `bulkload`, with one path or several.
//!
//! A `*` at the end means all below it. What is for some regions only is less than a body can say here: the command's scope
//! says where.

use domain::{NativeCall, Operation, PurgeMode, Selector};
use serde_json::Value;

use super::{
    Asked, Mistake, bunny, check_method,
    json::{Body, wrong},
    parse, segments,
};

pub(crate) fn read(request: &NativeCall) -> Result<Asked, Mistake> {
    check_method(request, &["PUT"])?;
    let segments = segments(request);
    let ["v2", "mcc", "customers", _, "edge", kind] = segments.as_slice() else {
        return Err(unknown_path());
    };
    let (load, bulk) = match *kind {
        "purge" => (false, false),
        "load" => (true, false),
        "bulkpurge" => (false, true),
        "bulkload" => (true, true),
        _ => return Err(unknown_path()),
    };
    let body = Body::of(request, &["MediaPath", "MediaType"])?;
    if !matches!(
        body.get("MediaType").and_then(Value::as_u64),
        Some(2 | 3 | 8 | 14)
    ) {
        return Err(wrong("MediaType: must be 2, 3, 8 or 14"));
    }
    let paths = if bulk {
        body.texts("MediaPath")?
    } else {
        let path = body.get("MediaPath").and_then(Value::as_str);
        let path = path.ok_or_else(|| wrong("MediaPath: must be a text"))?;
        vec![("MediaPath".to_owned(), path)]
    };
    let paths = paths.into_iter();
    let selectors = paths.map(|(place, path)| selector(&place, path, load));
    let operation = if load {
        Operation::Load
    } else {
        Operation::Purge(PurgeMode::Delete)
    };
    Ok(Asked {
        operation,
        selectors: selectors.collect::<Result<_, _>>()?,
        field: "body",
    })
}

fn unknown_path() -> Mistake {
    Mistake::new(
        "path",
        "must be `/v2/mcc/customers/`, a number, `/edge/`, and purge, load, bulkpurge or bulkload",
    )
}

fn selector(place: &str, path: &str, load: bool) -> Result<Selector, Mistake> {
    match path.split_once("://") {
        _ if load || !path.contains('*') => parse("body", place, path).map(Selector::Url),
        Some((_, rest)) if rest.ends_with("*.*") => Err(wrong(format!(
            "{place}: must not end in `*.*`, which means one directory without those below it"
        ))),
        _ => bunny::beginning("body", place, path),
    }
}
