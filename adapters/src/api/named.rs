//! Whether a provider's words name an item of a call.
//!
//! Invariant: only a whole item is named, and only where it cannot be a word of the provider's own. In doubt nobody is named, and
//! each is asked for alone: that costs a call, and the other way round would tell somebody that he was refused who was not.

use serde_json::Value;

const QUOTES: [char; 7] = ['"', '\'', '`', '“', '”', '‘', '’'];
/// What providers call that of which calls hold several: behind another word (`field`, `error`) no item stands.
const NOUNS: [&str; 16] = [
    "url", "urls", "uri", "file", "files", "path", "paths", "prefix", "prefixes", "host", "hosts",
    "tag", "tags", "key", "keys", "object",
];

/// Whether a message names one of these items, which are written as a body has them.
pub(super) fn names_one_of(message: &str, items: &[String]) -> bool {
    let mut items = items.iter().filter_map(|item| plain(item));
    items.any(|item| !item.is_empty() && names(message, &item))
}

/// An item as people write it; of an object, its URL.
fn plain(item: &str) -> Option<String> {
    if !item.starts_with(['"', '{', '[']) {
        return Some(item.to_owned());
    }
    match serde_json::from_str(item).ok()? {
        Value::String(text) => Some(text),
        Value::Object(object) => object.get("url")?.as_str().map(str::to_owned),
        _ => None,
    }
}

fn names(message: &str, item: &str) -> bool {
    let is_url = item.contains("://") && !item.contains(char::is_whitespace);
    message.match_indices(item).any(|(at, _)| {
        let (before, after) = (&message[..at], &message[at + item.len()..]);
        (is_url && stands_apart(before, after)) || is_value_of_a_noun(before, after)
    })
}

/// `the tag "red"` and `invalid tag: red`, with nothing behind it that it could be a part of. Of `tag: invalid`, where nothing
/// is said of the tag before, the word behind may be the provider's own.
fn is_value_of_a_noun(before: &str, after: &str) -> bool {
    let quoted = before.strip_suffix(QUOTES).zip(after.strip_prefix(QUOTES));
    if let Some((before, after)) = quoted {
        let words = before.trim_end().trim_end_matches(':');
        return !after.trim_start().starts_with(':') && ends_with_a_noun(words).is_some();
    }
    let ends = after.is_empty() || after.starts_with([',', ';', ')']);
    let words = before.strip_suffix(": ").filter(|_| ends);
    let said = words.and_then(ends_with_a_noun).map(str::trim_end);
    said.is_some_and(|said| !said.is_empty() && !said.ends_with(':'))
}

/// What stands before the noun.
fn ends_with_a_noun(words: &str) -> Option<&str> {
    let start = words.rfind(char::is_whitespace).map_or(0, |at| at + 1);
    let (said, last) = words.split_at_checked(start)?;
    let is_noun = NOUNS.iter().any(|noun| last.eq_ignore_ascii_case(noun));
    is_noun.then_some(said)
}

/// No letter touches it, nor a mark that can be in a URL, unless that ends a clause.
fn stands_apart(before: &str, after: &str) -> bool {
    let opens = |one: char| one.is_whitespace() || QUOTES.contains(&one) || "([{<".contains(one);
    let closes = |one: char| one.is_whitespace() || QUOTES.contains(&one) || ")]}>".contains(one);
    let rest = after.strip_prefix([',', ';']).unwrap_or(after);
    let is_closed = |rest: &str| rest.chars().next().is_none_or(closes);
    before.chars().next_back().is_none_or(opens) && is_closed(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(message: &str, item: &str) -> bool {
        names_one_of(message, &[item.to_owned()])
    }

    /// What the provider names, in the forms in which providers write.
    #[test]
    fn a_whole_item_is_named() {
        for (message, item) in [
            (
                "Cloudflare answered 400: 1016: Invalid tag: evil",
                "\"evil\"",
            ),
            ("Invalid tags: evil, worse", "evil"),
            ("the tag \"red\" is too long", "red"),
            ("Invalid tag: 'red shoes', sorry", "red shoes"),
            ("Invalid key: v1.2", "v1.2"),
            ("invalid url: x:y", "\"x:y\""),
            (
                "cannot purge https://a.example/1, sorry",
                "\"https:\\/\\/a.example\\/1\"",
            ),
            (
                "no such zone (https://a.example/1)",
                "{\"url\":\"https://a.example/1\"}",
            ),
        ] {
            assert!(named(message, item), "{message}: {item}");
        }
    }

    /// A part of another item, and what may be a word of the provider's own, is nobody's name.
    #[test]
    fn what_is_in_doubt_is_not_named() {
        for (message, item) in [
            ("Invalid tag: evil", "e"),
            ("Invalid tag: evil", "tag"),
            ("Invalid tag: evil", "Invalid"),
            ("Fastly answered 400: 1016: Invalid tag: evil", "1016"),
            ("Fastly answered 400: 1016: Invalid tag: evil", "400"),
            ("Invalid tag: evil twin", "evil"),
            ("Invalid tag: red shoes large", "red shoes"),
            ("Invalid tag: v1.2 beta", "v1.2"),
            ("Fastly answered 403: Forbidden", "Forbidden"),
            ("Error: Forbidden", "Forbidden"),
            ("the field \"tags\" is unknown", "tags"),
            ("invalid tag format", "format"),
            ("Cloudflare answered 400: tag: invalid", "invalid"),
            ("tags: invalid", "invalid"),
            ("url: \"status\": 4", "status"),
            ("{\"tag\": \"evil\"}", "tag"),
            ("bad: https://a.example/12", "https://a.example/1"),
            ("bad: https://a.example/1/2", "https://a.example/1"),
            ("bad: https://a.example/1?x", "https://a.example/1"),
            ("bad: https://a.example/1,2", "https://a.example/1"),
            ("bad: https://a.example/1…", "https://a.example/1"),
            ("anything", "\"\""),
            ("anything", "[1]"),
        ] {
            assert!(!named(message, item), "{message}: {item}");
        }
    }
}
