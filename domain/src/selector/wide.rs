//! Which selectors reach so far that some want a second person to agree.
//!
//! Invariant: what may mean all of a host name is wide, however it is written: narrow is only what says how its path begins, and
//! what is one URL or one tag. In doubt it is wide.

use regex_syntax::hir::{HirKind, Look};

use super::Selector;

/// In front of every path.
const ROOT: &str = "/";

impl Selector {
    /// Whether it may mean all of a host name, or more.
    pub fn is_wide(&self) -> bool {
        match self {
            Self::Host(_) | Self::Everything => true,
            Self::Prefix(part) => part.path() == ROOT,
            Self::Wildcard(part) => part.path().trim_start_matches(ROOT).starts_with('*'),
            Self::Regex(regex) => !is_anchored(regex.pattern()),
            Self::Url(_) | Self::Tag(_) => false,
        }
    }
}

/// Whether whatever matches begins with the same text, which is more than the root.
fn is_anchored(pattern: &str) -> bool {
    let Ok(read) = regex_syntax::parse(pattern) else {
        return false;
    };
    let HirKind::Concat(parts) = read.kind() else {
        return false;
    };
    let mut kinds = parts.iter().map(regex_syntax::hir::Hir::kind);
    let (Some(HirKind::Look(Look::Start)), Some(HirKind::Literal(begin))) =
        (kinds.next(), kinds.next())
    else {
        return false;
    };
    begin.0.len() > ROOT.len() && begin.0.starts_with(ROOT.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::selector::HostRegex;

    fn regex(pattern: &str) -> Selector {
        Selector::Regex(HostRegex::new("www.shop.example".parse().unwrap(), pattern).unwrap())
    }

    fn path(kind: fn(crate::selector::HostPath) -> Selector, path: &str) -> Selector {
        kind(format!("www.shop.example{path}").parse().unwrap())
    }

    /// All of a host has many spellings.
    #[test]
    fn all_of_a_host_is_wide_in_every_spelling() {
        let wildcards = ["/*", "/**", "/*.jpg", "//*"].map(|text| path(Selector::Wildcard, text));
        let regexes = [
            ".",
            ".*",
            "^",
            "^/",
            "^/.*",
            "^/[a-z]",
            "^/a?",
            "^/a*b",
            "^/a+",
            "^/a|.",
            "^/a|^/",
            "a",
            "/img/",
            "(?i)^/img/",
            "(?m)^/img/",
            "^(/a|/)",
            "^/(a|b)",
        ]
        .map(regex);
        let others = [
            Selector::Everything,
            Selector::Host("www.shop.example".parse().unwrap()),
            path(Selector::Prefix, "/"),
        ];
        for selector in wildcards.into_iter().chain(regexes).chain(others) {
            assert!(selector.is_wide(), "{selector}");
        }
    }

    /// What says how its path begins is narrow.
    #[test]
    fn what_says_how_it_begins_is_narrow() {
        let narrow = [
            path(Selector::Prefix, "/img/"),
            path(Selector::Wildcard, "/img/*"),
            path(Selector::Wildcard, "/i*"),
            regex("^/img/[0-9]+$"),
            regex("^/img/(a|b)"),
            Selector::Url("http://www.shop.example/".parse().unwrap()),
            Selector::Tag("red".parse().unwrap()),
        ];
        for selector in narrow {
            assert!(!selector.is_wide(), "{selector}");
        }
    }
}
