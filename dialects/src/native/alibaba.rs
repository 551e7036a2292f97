//! Alibaba Cloud CDN: the actions `RefreshObjectCaches` and `PushObjectCache`, with their parameters in query or form.
//!
//! What signs a call is passed over: who calls is known otherwise. What narrows it to one area, or means one variant, is
//! less than a command says.

use std::{borrow::Cow, collections::BTreeMap};

use domain::{NativeCall, Operation, PurgeMode, Selector};
use url::form_urlencoded;

use super::{Asked, Mistake, bunny, check_method, parse, with_a_scheme};

/// Parameters that say who calls, and how.
const COMMON: [&str; 10] = [
    "AccessKeyId",
    "Format",
    "RegionId",
    "SecurityToken",
    "Signature",
    "SignatureMethod",
    "SignatureNonce",
    "SignatureVersion",
    "Timestamp",
    "Version",
];
/// The parameters that say what is asked.
const OWN: [&str; 4] = ["Action", "Force", "ObjectPath", "ObjectType"];

type Parameters<'a> = BTreeMap<Cow<'a, str>, Cow<'a, str>>;

pub(crate) fn read(request: &NativeCall) -> Result<Asked, Mistake> {
    check_method(request, &["POST", "GET"])?;
    let parameters = parameters(request)?;
    let get = |name: &str| parameters.get(name).map(|value| &**value);
    let (operation, is_directory) = match (get("Action"), get("ObjectType")) {
        (Some("PushObjectCache"), Some("File") | None) => (Operation::Load, false),
        (Some("RefreshObjectCaches"), Some("File") | None) => {
            (Operation::Purge(PurgeMode::Delete), false)
        }
        (Some("RefreshObjectCaches"), Some("Directory")) => {
            let mode = match get("Force") {
                Some("true") => PurgeMode::Delete,
                _ => PurgeMode::Invalidate,
            };
            (Operation::Purge(mode), true)
        }
        (Some("RefreshObjectCaches"), Some(_)) => {
            return Err(Mistake::new(
                "body",
                "ObjectType: must be File or Directory",
            ));
        }
        _ => {
            let rule = "must have an Action, RefreshObjectCaches or PushObjectCache";
            return Err(Mistake::new("path", rule));
        }
    };
    let objects = get("ObjectPath").unwrap_or_default().lines();
    let objects = objects.map(str::trim).filter(|object| !object.is_empty());
    let selectors = objects.map(|object| selector(object, is_directory));
    Ok(Asked {
        operation,
        selectors: selectors.collect::<Result<_, _>>()?,
        field: "body",
    })
}

fn parameters(request: &NativeCall) -> Result<Parameters<'_>, Mistake> {
    let query = request.path.split_once('?').map_or("", |(_, query)| query);
    let form = request.body.as_deref().unwrap_or_default();
    let mut parameters = Parameters::new();
    for (field, text) in [("path", query), ("body", form)] {
        for (name, value) in form_urlencoded::parse(text.as_bytes()) {
            if !COMMON.contains(&&*name) && !OWN.contains(&&*name) {
                let rule = format!(
                    "must have no parameters but {} and those of the signature",
                    OWN.join(", ")
                );
                return Err(Mistake::new(field, rule));
            }
            if parameters.insert(name, value).is_some() {
                return Err(Mistake::new(field, "must have each parameter once"));
            }
        }
    }
    Ok(parameters)
}

/// An object is a URL that may have no scheme.
fn selector(object: &str, is_directory: bool) -> Result<Selector, Mistake> {
    let place = "ObjectPath";
    if is_directory {
        if !object.ends_with('/') || object.contains('*') {
            return Err(Mistake::new(
                "body",
                "ObjectPath: must end in `/` and have no `*`, for a directory",
            ));
        }
        return bunny::beginning("body", place, object);
    }
    let url = if object.starts_with("http://") || object.starts_with("https://") {
        object.to_owned()
    } else {
        with_a_scheme(object)
    };
    parse("body", place, &url).map(Selector::Url)
}
