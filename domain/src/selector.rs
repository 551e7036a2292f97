//! What of a configuration a command is about.
//!
//! Invariant: a selector that exists is well formed and bounded, and its host, where it has one, is a host name; it
//! holds no control character and no white space, so it cannot break out of a header line.
//! Not here: whether the host belongs to the configuration (`broker::verify`).

mod content_url;
mod wide;

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use url::Url;

pub use self::content_url::ContentUrl;
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
        /// A prefix or pattern means the same when it is read back from the store.
        #[test]
        fn a_host_path_survives_its_text(text in "[a-z]{1,5}\\.example/\\PC{0,60}") {
            if let Ok(part) = text.parse::<HostPath>() {
                prop_assert!(part.path().bytes().all(|byte| byte.is_ascii_graphic()));
                prop_assert_eq!(part.to_string().parse::<HostPath>().unwrap(), part);
            }
        }
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
