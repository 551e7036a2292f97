//! What the dialects of caches share: a URL is purged and loaded by plain HTTP requests through the cache itself.
//!
//! Invariant: a call names the host and the target that the originator named, in no other meaning.
//! Not here: what one kind of cache can say beyond a URL.

mod answers;
mod freshness;

use domain::{Command, Fidelity, NativeCall, Selector, selector::ContentUrl};

use serde::Serialize;

pub(crate) use answers::{
    LoadSignal, acknowledged, done, judge_load, may_be_stored, refused, store_signal,
};
pub(crate) use freshness::{explicit_freshness, moment};

use crate::{Answer, CannotSay, Dialect, Site, fidelity_of};

/// The method that loads: an ordinary request, so that the cache stores what a visitor would get.
const LOAD: &str = "GET";

/// Refuses what the ceiling forbids, and any host name that is not the configuration's.
pub(crate) fn check(
    dialect: &dyn Dialect,
    command: &Command,
    site: &Site<'_>,
) -> Result<(), CannotSay> {
    let cannot = |why: String| CannotSay {
        dialect: dialect.name(),
        why,
    };
    if let Fidelity::Impossible { why } = fidelity_of(dialect, command) {
        return Err(cannot(why));
    }
    check_hosts(command, site).map_err(cannot)
}

/// Refuses any host name that is not the configuration's.
pub(crate) fn check_hosts(command: &Command, site: &Site<'_>) -> Result<(), String> {
    let mut named = command.selectors.iter().filter_map(Selector::host);
    match named.find(|host| !site.configuration.hosts.contains(host)) {
        Some(host) => Err(format!("{host} is no host name of the configuration")),
        None => Ok(()),
    }
}

/// The selectors with their numbers in the command.
pub(crate) fn numbered(command: &Command) -> impl Iterator<Item = (u32, &Selector)> {
    (0..).zip(&command.selectors)
}

/// A purge of one URL, in each spelling that caches may have stored it under.
pub(crate) fn purge_url(number: u32, url: &ContentUrl) -> Vec<NativeCall> {
    let call =
        |path: &String| NativeCall::new("PURGE", Some(url.host().as_str()), path, vec![number]);
    spellings(url.path_and_query()).iter().map(call).collect()
}

/// A load of one URL.
pub(crate) fn load_url(number: u32, url: &ContentUrl) -> NativeCall {
    NativeCall::new(
        LOAD,
        Some(url.host().as_str()),
        url.path_and_query(),
        vec![number],
    )
}

/// The call with `body` as JSON.
pub(crate) fn with_json(call: NativeCall, body: &impl Serialize) -> NativeCall {
    let body = serde_json::to_string(body).expect("every map that we send has text for its keys");
    NativeCall {
        body: Some(body),
        ..call.header("content-type", "application/json")
    }
}

/// The header by which a cache with the shipped configuration says that it understood a `PURGE` or `BAN`, and an agent an order. A
/// server that does not know these may pass them on, and the origin's 200 or 404 would be taken for the cache's.
pub(crate) const MARKER: &str = "x-federation-purge";

/// Whether it was the cache, or the agent, that answered a purge.
pub(crate) fn is_marked(answer: &Answer) -> bool {
    answer.header(MARKER).is_some()
}

/// Whether a call is a load.
pub(crate) fn is_load(call: &NativeCall) -> bool {
    call.method == LOAD
}

/// The target as given, and with the hexadecimal digits of its percent-encoding all in upper and all in lower case,
/// where that differs.
///
/// All mean the same (RFC 3986, 6.2.2.1), but caches compare octets; visitors' browsers write upper case, some programs
/// lower. Nothing is decoded: an encoded `/` or `?` is not a `/` or `?`.
fn spellings(target: &str) -> Vec<String> {
    let mut all = vec![target.to_owned()];
    if !target.contains('%') {
        return all;
    }
    for letter in [char::to_ascii_uppercase, char::to_ascii_lowercase] {
        let spelling = with_digits(target, letter);
        if !all.contains(&spelling) {
            all.push(spelling);
        }
    }
    all
}

/// The target, with `letter` said of each hexadecimal digit of its percent-encoding.
fn with_digits(target: &str, letter: impl Fn(&char) -> char) -> String {
    let say = |(at, character): (usize, char)| {
        if is_encoding(target.as_bytes(), at) {
            letter(&character)
        } else {
            character
        }
    };
    target.char_indices().map(say).collect()
}

/// Whether the octet at `at` is a digit of a percent-encoded one: what follows a `%` and is no two digits stands for itself.
pub(crate) fn is_encoding(text: &[u8], at: usize) -> bool {
    let is_digit = |at: usize| text.get(at).is_some_and(u8::is_ascii_hexdigit);
    let begins = |at: Option<usize>| at.and_then(|at| text.get(at)) == Some(&b'%');
    is_digit(at)
        && (begins(at.checked_sub(1)) && is_digit(at + 1)
            || begins(at.checked_sub(2)) && is_digit(at - 1))
}

/// Every cache loads a URL, and none knows which URLs another selector would mean.
pub(crate) fn fidelity_of_load(selector: &Selector) -> Fidelity {
    match selector {
        Selector::Url(_) => Fidelity::Exact,
        _ => impossible("a load needs URLs: no cache knows what the origin has".to_owned()),
    }
}

pub(crate) fn impossible(why: String) -> Fidelity {
    Fidelity::Impossible { why }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A visitor's browser and a script write the same URL differently; nothing is decoded on the way.
    #[test]
    fn a_url_is_purged_in_the_spellings_that_mean_the_same() {
        assert_eq!(spellings("/a%2Fb?x=%3F"), ["/a%2Fb?x=%3F", "/a%2fb?x=%3f"]);
        assert_eq!(
            spellings("/%c3%a9/abc?d=%e2"),
            ["/%c3%a9/abc?d=%e2", "/%C3%A9/abc?d=%E2"]
        );
        assert_eq!(spellings("/%C3%a9"), ["/%C3%a9", "/%C3%A9", "/%c3%a9"]);
        assert_eq!(spellings("/%20"), ["/%20"]);
        assert_eq!(spellings("/100%"), ["/100%"]);
        assert_eq!(spellings("/%%ab"), ["/%%ab", "/%%AB"]);
        assert_eq!(spellings("/%ag%a"), ["/%ag%a"]);
    }
}
