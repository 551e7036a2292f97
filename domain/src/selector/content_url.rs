//! The URL of one object.
//!
//! Invariant: it is written as the URL standard writes it, so the same page in two spellings is one URL; whoever reads it back
//! has what was written.
//! Not here: which spellings caches store it under (`dialects::http`).

use std::{
    fmt,
    hash::{Hash, Hasher},
    str::FromStr,
};

use url::{Position, Url};

use super::check_text;
use crate::{host::HostName, id::text_form, limits, rule::BrokenRule};

/// An absolute `http` or `https` URL as the URL standard writes it: lower-case host, default port dropped, percent-encoded.
#[derive(Clone)]
pub struct ContentUrl {
    text: Box<str>,
    host: HostName,
    /// Where the host name begins in the text, and where the path.
    at: (usize, usize),
}

impl ContentUrl {
    /// The host name.
    pub fn host(&self) -> &HostName {
        &self.host
    }

    /// Path and query, beginning with `/`: the request target.
    pub fn path_and_query(&self) -> &str {
        &self.text[self.at.1..]
    }

    /// All but the scheme, which never matters: host, port where one is given, path and query.
    pub fn without_scheme(&self) -> &str {
        &self.text[self.at.0..]
    }

    /// Reads whatever the URL standard takes.
    fn normalised(text: &str) -> Result<Self, BrokenRule> {
        check_text(text)?;
        let url = Url::parse(text)
            .map_err(|_| BrokenRule::new("must be an absolute http or https URL"))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(BrokenRule::new("must be an absolute http or https URL"));
        }
        if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
            return Err(BrokenRule::new("must have no user, password or fragment"));
        }
        if url.as_str().len() > limits::URL_LENGTH {
            return Err(BrokenRule::new(format!(
                "must be at most {} characters when percent-encoded (URL_LENGTH)",
                limits::URL_LENGTH
            )));
        }
        Ok(Self {
            host: url.host_str().unwrap_or_default().parse()?,
            at: (
                url[..Position::BeforeHost].len(),
                url[..Position::BeforePath].len(),
            ),
            text: String::from(url).into(),
        })
    }

    /// Reads what has the form already that the URL standard would give it; `None` where that is not certain. Nearly all
    /// URLs come so, and a command may have a thousand.
    fn as_it_stands(text: &str) -> Option<Self> {
        let rest = text
            .strip_prefix("https://")
            .or_else(|| text.strip_prefix("http://"))?;
        let (host, path) = rest.split_at(rest.find('/')?);
        let is_short = text.len() <= limits::URL_LENGTH;
        if !is_short || !is_plain_host(host) || !path.bytes().all(is_plain) || has_dots(path) {
            return None;
        }
        Some(Self {
            host: host.parse().ok()?,
            at: (text.len() - rest.len(), text.len() - path.len()),
            text: text.into(),
        })
    }
}

/// What the standard may read as more than a name: Punycode, and hexadecimal numbers, which it takes for addresses.
fn is_plain_host(host: &str) -> bool {
    let plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.');
    host.bytes().all(plain) && !host.contains("xn--") && !host.contains("0x")
}

/// What stands for itself in a path and in a query. What begins a percent-encoding does too: it is not decoded.
const fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'-' | b'.'
                | b'_'
                | b'~'
                | b'!'
                | b'$'
                | b'&'
                | b'('
                | b')'
                | b'*'
                | b'+'
                | b','
                | b';'
                | b'='
                | b':'
                | b'@'
                | b'/'
                | b'?'
                | b'%'
        )
}

/// Whether a part of the path may be `.` or `..`, which are taken out, in whichever spelling.
fn has_dots(path: &str) -> bool {
    let bytes = path.as_bytes();
    bytes
        .windows(2)
        .any(|pair| pair[0] == b'/' && matches!(pair[1], b'.' | b'%'))
}

impl FromStr for ContentUrl {
    type Err = BrokenRule;

    fn from_str(text: &str) -> Result<Self, BrokenRule> {
        Self::as_it_stands(text).map_or_else(|| Self::normalised(text), Ok)
    }
}

impl PartialEq for ContentUrl {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for ContentUrl {}

impl Hash for ContentUrl {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

impl fmt::Display for ContentUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for ContentUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

text_form!(ContentUrl);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever is sent, what parses can stand in a request line and in a header.
        #[test]
        fn a_url_that_parses_has_no_white_space_or_control_character(text in "https?://[a-z]{1,5}\\.example/\\PC{0,60}") {
            if let Ok(url) = text.parse::<ContentUrl>() {
                prop_assert!(url.path_and_query().bytes().all(|byte| byte.is_ascii_graphic()));
                prop_assert!(url.path_and_query().starts_with('/'));
                prop_assert_eq!(url.to_string().parse::<ContentUrl>().unwrap(), url);
            }
        }

        /// The short way is one: it says what the standard says, or leaves the question to it.
        #[test]
        fn what_is_read_as_it_stands_is_what_the_standard_reads(
            scheme in "https?|HTTP|ftp",
            host in "([a-z0-9x-]{0,4}\\.){0,2}(xn--[a-z0-9]{1,4}|0x[0-9a-f]{0,2}|[0-9]{1,3}|[a-zA-Z0-9-]{1,6})(:[0-9]{1,3})?",
            path in "(/(\\.|%2[eE]|%|[a-z]|\\\\|[ -~]){0,4}){0,4}(\\?[ -~]{0,6})?",
        ) {
            let text = format!("{scheme}://{host}{path}");
            if let Some(short) = ContentUrl::as_it_stands(&text) {
                let long = ContentUrl::normalised(&text);
                prop_assert_eq!(long.as_ref().map(|url| (&url.text, &url.host, url.at)), Ok((&short.text, &short.host, short.at)));
            }
        }
    }

    /// Each mistake that people make has its rule.
    #[test]
    fn a_malformed_url_is_refused() {
        for wrong in [
            "",
            "/path",
            "ftp://a.example/",
            "http://u:p@a.example/",
            "http://a.example/#f",
            "http://10.0.0.1/",
            "http://a.example/\r\nX: y",
            "http://a.example/a b",
            "http://0x7f.1/",
        ] {
            assert!(wrong.parse::<ContentUrl>().is_err(), "{wrong:?}");
        }
        let too_long = |letter: &str, times| format!("http://a.example/{}", letter.repeat(times));
        assert!(too_long("é", 1_000).parse::<ContentUrl>().is_err());
        assert!(
            too_long("e", limits::URL_LENGTH)
                .parse::<ContentUrl>()
                .is_err()
        );
    }

    /// The same page in two spellings is one URL.
    #[test]
    fn a_url_has_one_spelling() {
        let url: ContentUrl = "HTTPS://WWW.Example.com:443/a/../b?x=é".parse().unwrap();
        assert_eq!(url.to_string(), "https://www.example.com/b?x=%C3%A9");
        assert_eq!(url.path_and_query(), "/b?x=%C3%A9");
        assert_eq!(url.without_scheme(), "www.example.com/b?x=%C3%A9");
        let with_port: ContentUrl = "http://a.example:8080/b".parse().unwrap();
        assert_eq!(with_port.without_scheme(), "a.example:8080/b");
        assert_eq!(with_port.host().as_str(), "a.example");
        // Most are read without the standard's parser.
        for plain in [
            "http://a.example/",
            "https://www.a.example/b.jpg?c=%C3&d=/e",
        ] {
            assert!(ContentUrl::as_it_stands(plain).is_some(), "{plain}");
        }
    }
}
