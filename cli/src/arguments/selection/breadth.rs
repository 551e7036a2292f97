//! How much of a host name a selector may mean: whether one slip of the hand would empty a cache.
//!
//! Invariant: what is called bound is bound. What is not understood is not.

use regex_syntax::hir::{Look, literal::Extractor};

/// Whether a prefix names no path.
pub(crate) fn is_whole_host(prefix: &str) -> bool {
    !without_scheme(prefix).trim_end_matches('/').contains('/')
}

/// Whether a regular expression may match anything of its host: all but those whose every match begins with a path.
pub(crate) fn is_unbound(pattern: &str) -> bool {
    let Ok(expression) = regex_syntax::parse(pattern) else {
        return true;
    };
    let is_at_start = expression
        .properties()
        .look_set_prefix()
        .contains(Look::Start);
    let beginnings = Extractor::new().extract(&expression);
    let is_path = |beginning: &[u8]| beginning.len() > 1 && beginning.starts_with(b"/");
    let all_are_paths = beginnings
        .literals()
        .is_some_and(|all| all.iter().all(|beginning| is_path(beginning.as_bytes())));
    !(is_at_start && all_are_paths)
}

/// The scheme never matters, and people paste it from the browser.
pub(crate) fn without_scheme(text: &str) -> String {
    let after = |scheme: &str| {
        let (start, rest) = text.split_at_checked(scheme.len())?;
        start.eq_ignore_ascii_case(scheme).then_some(rest)
    };
    let rest = after("http://").or_else(|| after("https://"));
    rest.unwrap_or(text).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An expression that matches everything of its host is confirmed like the host.
    #[test]
    fn a_regex_that_is_not_bound_to_a_path_is_as_wide_as_its_host() {
        for wide in [
            ".*",
            "",
            "^",
            "/",
            "^/",
            "^/.*",
            r"\.jpg$",
            "^/a?",
            "^/a[(]|.*",
            "^/a|.*",
            "^/(a|b)?",
            "^.*$",
            "(?m)^/a",
            "^/[a-z]",
            "^/a[[x](]|.*",
            "(",
        ] {
            assert!(is_unbound(wide), "{wide}");
        }
        for bound in [
            "^/p/[0-9]+$",
            r"^\/images/",
            "^/a/(x|y)",
            r"^/a\|b",
            "(?s)^/(a|b)",
        ] {
            assert!(!is_unbound(bound), "{bound}");
        }
    }
}
