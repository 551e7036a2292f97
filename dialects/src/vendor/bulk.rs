//! Calls of several commands said as one.
//!
//! Invariant: calls are said together only where all but their items is the same, the operation and the account's values in them
//! included; and the whole keeps to the limits of one call.
//! Not here: with whose credentials a call goes out, which it does not say; who waits with whom, and who gets which answer
//! (`adapters::api`).
//!
//! A call with a key of its own against repetitions (`CallerReference` of `CloudFront`, `requestId` of Google) is not said
//! together with others: after a crash the same company cannot be found again, so the key would stand for other items.

use domain::NativeCall;
use serde_json::{Map, Value};

use super::sizes::Room;

/// A call as a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bulk {
    /// All but the items; calls with the same can be said together.
    pub kind: String,
    /// Each as the body has it.
    pub items: Vec<String>,
    /// So many in one call.
    pub most: usize,
    /// So many bytes for all of them, and one more for each.
    pub bytes: usize,
}

impl Bulk {
    /// In a body that has so many bytes `around` the items.
    pub(crate) fn new(kind: String, items: Vec<String>, room: Room, around: usize) -> Self {
        Self {
            kind,
            items,
            most: room.items,
            bytes: match room.bytes {
                usize::MAX => usize::MAX,
                bytes => bytes.saturating_sub(around),
            },
        }
    }
}

/// A call whose body is a JSON object with one list in it.
pub(crate) fn of_json(call: &NativeCall, room: Room) -> Option<Bulk> {
    let (mut object, name) = object_with_list(call)?;
    let Some(Value::Array(list)) = object.insert(name, Value::Array(Vec::new())) else {
        return None;
    };
    let items: Vec<_> = list.iter().map(Value::to_string).collect();
    let empty = Value::Object(object).to_string();
    let (method, path, headers) = (&call.method, &call.path, &call.headers);
    let kind = format!("{method} {path} {headers:?} {empty}");
    Some(Bulk::new(kind, items, room, empty.len()))
}

/// The same call with other items.
pub(crate) fn with_items(like: &NativeCall, items: &[String]) -> NativeCall {
    let mut call = like.clone();
    if let Some((mut object, name)) = object_with_list(like) {
        let read = |item: &String| serde_json::from_str(item).unwrap_or_default();
        object.insert(name, Value::Array(items.iter().map(read).collect()));
        call.body = Some(Value::Object(object).to_string());
    }
    call
}

/// How many items the list in the body has.
pub(crate) fn length(call: &NativeCall) -> usize {
    let list = object_with_list(call).and_then(|(mut object, name)| object.remove(&name));
    list.as_ref().and_then(Value::as_array).map_or(1, Vec::len)
}

/// The name of the list in the body, and so what its items are.
pub(crate) fn name_of_list(call: &NativeCall) -> Option<String> {
    object_with_list(call).map(|(_, name)| name)
}

fn object_with_list(call: &NativeCall) -> Option<(Map<String, Value>, String)> {
    // A value of the account that is a number stands without quotes until it is filled in.
    let body = call.body.as_deref()?;
    let object: Map<String, Value> = serde_json::from_str(body)
        .or_else(|_| serde_json::from_str(&with_numbers(body)))
        .ok()?;
    let mut lists = object.iter().filter(|(_, value)| value.is_array());
    let name = match (lists.next(), lists.next()) {
        (Some((name, _)), None) => name.clone(),
        _ => return None,
    };
    Some((object, name))
}

/// The body with `0` for each value of the account: enough for counting.
fn with_numbers(body: &str) -> String {
    let mut text = String::with_capacity(body.len());
    let mut rest = body;
    while let Some((before, after)) = rest.split_once("{account:") {
        text.push_str(before);
        text.push('0');
        rest = after.split_once('}').map_or("", |(_, after)| after);
    }
    text.push_str(rest);
    text
}
