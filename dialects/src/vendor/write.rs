//! How the text of a command gets into a provider's call.
//!
//! Invariant: no `{` of a command reaches a call as it is, so only a dialect can name a value of the account; and nothing
//! of a command ends the string, the element or the parameter that it stands in.

use std::{
    collections::HashMap,
    io::{self, Write},
};

use domain::NativeCall;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use serde_json::{Serializer, Value, ser::Formatter};

use super::sizes::Room;

/// All but the unreserved characters of RFC 3986, 2.3.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// What calls carry out: texts, each with the selectors that it is for. The same text is said once.
#[derive(Debug, Default)]
pub(crate) struct Items {
    items: Vec<Item>,
    places: HashMap<String, usize>,
}

#[derive(Debug)]
struct Item {
    text: String,
    selectors: Vec<u32>,
}

/// As many items as one call takes.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// What is said.
    pub(crate) texts: Vec<String>,
    /// For which selectors; each once, in order.
    pub(crate) selectors: Vec<u32>,
}

impl Items {
    /// Adds what is said for a selector.
    pub(crate) fn add(&mut self, selector: u32, text: String) {
        if let Some(item) = self.places.get(&text).map(|place| &mut self.items[*place]) {
            item.selectors.push(selector);
            return;
        }
        self.places.insert(text.clone(), self.items.len());
        let selectors = vec![selector];
        self.items.push(Item { text, selectors });
    }

    /// The calls that are needed, each with this room, of which a body takes `overhead` bytes besides its items, and each item
    /// those that `bytes` says. What is too long by itself goes out alone.
    pub(crate) fn batches(
        self,
        room: Room,
        overhead: usize,
        bytes: impl Fn(&str) -> usize,
    ) -> Vec<Batch> {
        let mut batches: Vec<Batch> = Vec::new();
        let is_limited = room.bytes != usize::MAX;
        let mut used = overhead;
        for Item { text, selectors } in self.items {
            let size = if is_limited { bytes(&text) } else { 0 };
            let is_full = |last: &Batch| last.texts.len() >= room.items || used + size > room.bytes;
            if batches.last().is_none_or(is_full) {
                batches.push(Batch::default());
                used = overhead;
            }
            used += size;
            let last = batches
                .last_mut()
                .expect("there is one from the first item on");
            last.texts.push(text);
            last.selectors.extend(selectors);
        }
        for batch in &mut batches {
            batch.selectors.sort_unstable();
            batch.selectors.dedup();
        }
        batches
    }

    /// The same for the texts of a list in JSON; `empty` is the body without any.
    pub(crate) fn batches_of_json(self, room: Room, empty: &Value) -> Vec<Batch> {
        let comma_too = |text: &str| json(&text).len() + 1;
        self.batches(room, json(empty).len(), comma_too)
    }

    /// One call for each.
    pub(crate) fn alone(self) -> Vec<Batch> {
        self.batches(Room::ONE, 0, |_| 0)
    }
}

/// A `POST` of JSON.
pub(crate) fn post_json(path: &str, selectors: Vec<u32>, body: String) -> NativeCall {
    with_body("POST", path, selectors, "application/json", body)
}

/// A call with a body.
pub(crate) fn with_body(
    method: &str,
    path: &str,
    selectors: Vec<u32>,
    content_type: &str,
    body: String,
) -> NativeCall {
    NativeCall {
        body: Some(body),
        ..NativeCall::new(method, None, path, selectors).header("content-type", content_type)
    }
}

/// As JSON.
pub(crate) fn json(value: &impl Serialize) -> String {
    let mut text = Vec::new();
    let mut serializer = Serializer::with_formatter(&mut text, WithoutBraces);
    let written = value.serialize(&mut serializer);
    written.expect("what we send are texts, and lists and maps of them; memory takes any");
    String::from_utf8(text).expect("the serializer writes UTF-8")
}

/// As the text of an XML element.
pub(crate) fn xml(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&apos;"),
            '{' => escaped.push_str("&#123;"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// As one segment of a path, or as one value of a query or a form.
pub(crate) fn percent(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

/// Writes the `{` of a text so that it is none for those who look for names in braces.
struct WithoutBraces;

impl Formatter for WithoutBraces {
    fn write_string_fragment<W>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()>
    where
        W: ?Sized + Write,
    {
        let mut parts = fragment.split('{');
        writer.write_all(parts.next().unwrap_or_default().as_bytes())?;
        for part in parts {
            writer.write_all(b"\\u007b")?;
            writer.write_all(part.as_bytes())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A visitor's query may look like one of our names; it is said as it is meant, and never filled in.
    #[test]
    fn a_commands_brace_is_never_a_name_of_ours() {
        let text = r#"/?x={account:zone}&y="<'"#;
        let written = json(&[text]);
        assert_eq!(written, r#"["/?x=\u007baccount:zone}&y=\"<'"]"#);
        let read: Vec<String> = serde_json::from_str(&written).unwrap();
        assert_eq!(read, [text]);
        assert_eq!(xml(text), "/?x=&#123;account:zone}&amp;y=&quot;&lt;&apos;");
        assert_eq!(
            percent(text),
            "%2F%3Fx%3D%7Baccount%3Azone%7D%26y%3D%22%3C%27"
        );
    }

    /// Two selectors that come to the same are said once, and a call names each selector once, however often it is said.
    #[test]
    fn the_same_is_said_once() {
        let mut items = Items::default();
        for (selector, text) in [(0, "a"), (1, "b"), (2, "a"), (2, "c"), (3, "c")] {
            items.add(selector, text.to_owned());
        }
        let room = Room {
            items: 2,
            ..Room::ONE
        };
        let batches = items.batches(room, 0, |_| 0);
        let said = batches
            .iter()
            .map(|batch| (batch.texts.join(" "), batch.selectors.clone()));
        assert_eq!(
            said.collect::<Vec<_>>(),
            [
                ("a b".to_owned(), vec![0, 1, 2]),
                ("c".to_owned(), vec![2, 3])
            ]
        );
    }

    /// A body ends before the item that would make it too long; one that is too long by itself still goes out.
    #[test]
    fn a_body_keeps_to_its_limit() {
        let room = Room {
            items: usize::MAX,
            bytes: 10,
        };
        let mut items = Items::default();
        for (selector, text) in (0..).zip(["aaaa", "bb", "cc", "dddddddddddd", "e"]) {
            items.add(selector, text.to_owned());
        }
        let batches = items.batches(room, 3, str::len);
        let said: Vec<_> = batches.iter().map(|batch| batch.texts.join(" ")).collect();
        assert_eq!(said, ["aaaa bb", "cc", "dddddddddddd", "e"]);
    }
}
