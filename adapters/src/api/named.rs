//! Whether a provider's words name an item of a call.
//!
//! Invariant: only a whole item is named, and only where it cannot be a word of the provider's own. In doubt nobody is named, and
//! each is asked for alone: that costs a call, and the other way round would tell somebody that he was refused who was not.

use serde_json::Value;

const QUOTES: [char; 7] = ['"', '\'', '`', '“', '”', '‘', '’'];

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
    let is_word = item
        .chars()
        .all(|one| one.is_alphanumeric() || matches!(one, '-' | '_'));
    message.match_indices(item).any(|(at, _)| {
        let (before, after) = (&message[..at], &message[at + item.len()..]);
        if is_word {
            is_quoted(before, after) || ends_a_clause(before, after)
        } else {
            stands_apart(before, after)
        }
    })
}

/// `the tag "red"`, but not the key of an object.
fn is_quoted(before: &str, after: &str) -> bool {
    let rest = after.strip_prefix(QUOTES).map(str::trim_start);
    before.ends_with(QUOTES) && rest.is_some_and(|rest| !rest.starts_with(':'))
}

/// `Invalid tag: red`, and nothing behind it that it could be a part of.
fn ends_a_clause(before: &str, after: &str) -> bool {
    before.ends_with(": ") && (after.is_empty() || after.starts_with([',', ';', ')']))
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
            ("invalid url x:y", "\"x:y\""),
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
