//! What of a configuration a command is about.
//!
//! Invariant: a selector that exists is well formed and bounded, and its host, where it has one, is a host name; it
//! holds no control character and no white space, so it cannot break out of a header line.
//! Not here: whether the host belongs to the configuration (`broker::verify`).

mod wide;

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use url::Url;

use crate::{host::HostName, id::text_form, limits, rule::BrokenRule};

/// One selection of content. Each kind is matched against the host and the path with its query; the scheme never matters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Selector {
    /// One URL, all its variants.
    Url(ContentUrl),
    /// Everything whose path begins so.
    Prefix(HostPath),
    /// Everything whose path, without the query, matches a pattern of `*` (any run of characters).
    Wildcard(HostPath),
    /// Everything whose path and query match.
    Regex(HostRegex),
    /// Everything that the origin tagged so, on any host name of the configuration.
    Tag(Tag),
    /// Everything of one host name.
    Host(HostName),
    /// Everything of the configuration.
    Everything,
}

impl Selector {
    /// The host name that it names; a tag and `everything` name none.
    pub fn host(&self) -> Option<&HostName> {
        match self {
            Self::Url(url) => Some(url.host()),
            Self::Prefix(part) | Self::Wildcard(part) => Some(&part.host),
            Self::Regex(regex) => Some(&regex.host),
            Self::Host(host) => Some(host),
            Self::Tag(_) | Self::Everything => None,
        }
    }

    /// The word for people, messages and metrics.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Url(_) => "url",
            Self::Prefix(_) => "prefix",
            Self::Wildcard(_) => "wildcard",
            Self::Regex(_) => "regex",
            Self::Tag(_) => "tag",
            Self::Host(_) => "host",
            Self::Everything => "everything",
        }
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(url) => url.fmt(f),
            Self::Prefix(part) => write!(f, "{part}…"),
            Self::Wildcard(part) => part.fmt(f),
            Self::Regex(regex) => write!(f, "{} ~ {}", regex.host, regex.pattern),
            Self::Tag(tag) => write!(f, "tag {tag}"),
            Self::Host(host) => write!(f, "host {host}"),
            Self::Everything => f.write_str("everything"),
        }
    }
}

/// An absolute `http` or `https` URL as the URL standard writes it: lower-case host, default port dropped, percent-encoded.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ContentUrl {
    url: Url,
    host: HostName,
}

impl ContentUrl {
    /// The host name.
    pub fn host(&self) -> &HostName {
        &self.host
    }

    /// Path and query, beginning with `/`: the request target.
    pub fn path_and_query(&self) -> &str {
        &self.url[url::Position::BeforePath..url::Position::AfterQuery]
    }

    /// All but the scheme, which never matters: host, port where one is given, path and query.
    pub fn without_scheme(&self) -> &str {
        &self.url[url::Position::BeforeHost..url::Position::AfterQuery]
    }
}

impl FromStr for ContentUrl {
    type Err = BrokenRule;

    fn from_str(text: &str) -> Result<Self, BrokenRule> {
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
        let host = url.host_str().unwrap_or_default().parse()?;
        Ok(Self { url, host })
    }
}

impl fmt::Display for ContentUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.url.as_str())
    }
}

impl fmt::Debug for ContentUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.url.as_str())
    }
}

text_form!(ContentUrl);

/// A host name and a path that begins with `/`, as a prefix or a pattern: `www.example.com/images/`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct HostPath {
    /// The host name.
    pub host: HostName,
    path: String,
}

impl HostPath {
    /// The path, beginning with `/`, percent-encoded; in a pattern `*` stands for any run of characters.
    pub fn path(&self) -> &str {
        &self.path
    }
}

impl FromStr for HostPath {
    type Err = BrokenRule;

    fn from_str(text: &str) -> Result<Self, BrokenRule> {
        check_text(text)?;
        let rest = text
            .strip_prefix("https://")
            .or_else(|| text.strip_prefix("http://"))
            .unwrap_or(text);
        let slash = rest.find('/').ok_or_else(|| {
            BrokenRule::new("must be a host name and a path that begins with `/`")
        })?;
        let (host, path) = rest.split_at(slash);
        if path.contains(['#', '?']) {
            return Err(BrokenRule::new("must have no query and no fragment"));
        }
        // `/a/..` would quietly become `/`, which is much more than was asked.
        let dots = |segment: &str| {
            matches!(
                segment.to_ascii_lowercase().replace("%2e", ".").as_str(),
                "." | ".."
            )
        };
        if path.split(['/', '\\']).any(dots) {
            return Err(BrokenRule::new(
                "must have no `.` or `..` as a part of its path",
            ));
        }
        // Percent-encoded as the URL standard does it, so that `é` finds what a browser asked for.
        let url = Url::parse(&format!("http://host{path}"))
            .map_err(|_| BrokenRule::new("must hold a path of a URL"))?;
        Ok(Self {
            host: host.parse()?,
            path: url.path().to_owned(),
        })
    }
}

impl fmt::Display for HostPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.host, self.path)
    }
}

impl fmt::Debug for HostPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

text_form!(HostPath);

/// A regular expression over the path and query of one host name, without look-around or back-references.
///
/// Compiled where it comes in, by [`Self::new`], and not again whenever a stored command is read.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct HostRegex {
    /// The host name.
    pub host: HostName,
    pattern: String,
}

impl HostRegex {
    /// Compiles the expression once, to know that it is one and what it costs.
    pub fn new(host: HostName, pattern: &str) -> Result<Self, BrokenRule> {
        check_text(pattern)?;
        if pattern.chars().count() > limits::REGEX_LENGTH {
            return Err(BrokenRule::new(format!(
                "must be at most {} characters (REGEX_LENGTH)",
                limits::REGEX_LENGTH
            )));
        }
        regex::RegexBuilder::new(pattern)
            .size_limit(limits::REGEX_SIZE)
            .build()
            .map_err(|_| {
                BrokenRule::new("must be a regular expression of bounded size, without look-around")
            })?;
        Ok(Self {
            host,
            pattern: pattern.to_owned(),
        })
    }

    /// Whether path and query match. It is compiled for that, so this is for few questions.
    pub fn matches(&self, target: &str) -> bool {
        regex::Regex::new(&self.pattern).is_ok_and(|regex| regex.is_match(target))
    }

    /// The expression.
    pub fn pattern(&self) -> &str {
        &self.pattern
    }
}

/// A tag that the origin put on its answers (surrogate key, cache tag): visible ASCII without comma and quotation mark.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Tag(String);

impl Tag {
    /// The tag as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Tag {
    type Err = BrokenRule;

    fn from_str(text: &str) -> Result<Self, BrokenRule> {
        let visible = text
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !matches!(byte, b',' | b'"'));
        if visible && (1..=limits::TAG_LENGTH).contains(&text.len()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(BrokenRule::new(format!(
                "must be 1 to {} visible ASCII characters without comma or quotation mark (TAG_LENGTH)",
                limits::TAG_LENGTH
            )))
        }
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

text_form!(Tag);

/// What holds for every text of a selector: not empty, bounded, no white space, no control characters.
fn check_text(text: &str) -> Result<(), BrokenRule> {
    if text.is_empty() {
        return Err(BrokenRule::new("must not be empty"));
    }
    if text.chars().count() > limits::URL_LENGTH {
        return Err(BrokenRule::new(format!(
            "must be at most {} characters (URL_LENGTH)",
            limits::URL_LENGTH
        )));
    }
    if text
        .chars()
        .any(|character| character.is_control() || character.is_whitespace())
    {
        return Err(BrokenRule::new(
            "must have no white space and no control characters",
        ));
    }
    Ok(())
}

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

        /// A prefix or pattern means the same when it is read back from the store.
        #[test]
        fn a_host_path_survives_its_text(text in "[a-z]{1,5}\\.example/\\PC{0,60}") {
            if let Ok(part) = text.parse::<HostPath>() {
                prop_assert!(part.path().bytes().all(|byte| byte.is_ascii_graphic()));
                prop_assert_eq!(part.to_string().parse::<HostPath>().unwrap(), part);
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
        assert!(
            format!("http://a.example/{}", "é".repeat(1_000))
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
    }

    /// Expressions that would not end, or that not every cache can evaluate, stop at the door.
    #[test]
    fn a_regex_is_bounded() {
        let host: HostName = "a.example".parse().unwrap();
        assert!(HostRegex::new(host.clone(), r"^/img/\d+\.png$").is_ok());
        for wrong in ["(", "(?=x)", "a{1000}{1000}", r"(a)\1"] {
            assert!(HostRegex::new(host.clone(), wrong).is_err(), "{wrong}");
        }
    }
}
