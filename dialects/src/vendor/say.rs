//! What providers' APIs can say, as far as several of them agree.
//!
//! Invariant: where an API knows less than a selector says, it is told to do more and never less, within the host name.

use domain::{Fidelity, Operation, PurgeMode, Selector, fidelity::Breadth, selector::Tag};

use crate::{by_key::plural, http::impossible};

/// What a way to purge makes of a mode. `soft` is whether it can mark stale.
pub(crate) fn mode(who: &str, mode: PurgeMode, soft: bool) -> Fidelity {
    match mode {
        PurgeMode::Delete => Fidelity::Exact,
        PurgeMode::Invalidate if soft => Fidelity::Exact,
        PurgeMode::Invalidate => Fidelity::Widened {
            to: Breadth::Operation,
            why: format!("{who} cannot mark stale here, it can only delete"),
        },
        PurgeMode::Deferred => impossible(format!(
            "{who} deletes at once, it cannot wait until it is idle"
        )),
    }
}

/// The selector is of a kind that the API does not know.
pub(crate) fn unknown(who: &str, selector: &Selector) -> Fidelity {
    impossible(format!("{who} knows no {}", plural(selector)))
}

/// A selector that stands in a call as it is, where a brace cannot be written in another way without meaning another one:
/// impossible where it holds what the adapter would fill.
pub(crate) fn verbatim(who: &str, selector: &Selector) -> Option<Fidelity> {
    let text = selector.to_string();
    let is_filled = text.contains("{account:") || text.contains("{execution");
    is_filled.then(|| {
        impossible(format!(
            "{who} takes it only as it is, and it holds words that have a meaning here"
        ))
    })
}

/// What an API that purges and can do nothing else makes of an operation.
pub(crate) fn only_purges(
    who: &str,
    operation: &Operation,
    purge: impl FnOnce(PurgeMode) -> Fidelity,
) -> Fidelity {
    match operation {
        Operation::Load => no_load(who),
        Operation::Purge(mode) => purge(*mode),
        Operation::Custom(_) => no_custom(who),
    }
}

/// The API cannot load.
pub(crate) fn no_load(who: &str) -> Fidelity {
    impossible(format!(
        "{who} fetches what visitors ask for, it cannot be told to load"
    ))
}

/// The API has no operations but its own.
pub(crate) fn no_custom(who: &str) -> Fidelity {
    impossible(format!("{who} knows no custom operations"))
}

/// More than the selector, up to everything of its host name.
pub(crate) fn more_of_the_host(why: String) -> Fidelity {
    Fidelity::Widened {
        to: Breadth::Host,
        why,
    }
}

/// More than the selector, up to everything of the configuration.
pub(crate) fn more_of_the_configuration(why: String) -> Fidelity {
    Fidelity::Widened {
        to: Breadth::Configuration,
        why,
    }
}

/// A tag of an API that takes no account of upper and lower case: every other way to write it is meant too.
pub(crate) fn tag_in_any_case(who: &str, tag: &Tag) -> Fidelity {
    let has_case = tag
        .as_str()
        .contains(|letter: char| letter.is_ascii_alphabetic());
    if !has_case {
        return Fidelity::Exact;
    }
    more_of_the_configuration(format!(
        "{who} takes no account of upper and lower case in a tag"
    ))
}

/// How much of a host name is meant, for an API that knows no more than the beginning of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Beginning<'a> {
    /// What paths begin with; it holds no `*`.
    pub(crate) path: &'a str,
    /// Whether the selector means just that, or less.
    pub(crate) exact: bool,
}

impl<'a> Beginning<'a> {
    /// Of a prefix, wildcard or host name; `None` for other selectors.
    pub(crate) fn of(selector: &'a Selector) -> Option<Self> {
        let (path, only_last) = match selector {
            Selector::Prefix(part) => (part.path(), false),
            Selector::Wildcard(part) => (part.path(), true),
            Selector::Host(_) => ("/", false),
            Selector::Url(_) | Selector::Regex(_) | Selector::Tag(_) | Selector::Everything => {
                return None;
            }
        };
        let (fixed, rest) = path
            .split_once('*')
            .map_or((path, None), |(fixed, rest)| (fixed, Some(rest)));
        let exact = match rest {
            None => !only_last,
            Some(rest) => only_last && rest.is_empty(),
        };
        Some(Self { path: fixed, exact })
    }

    /// The same for an API that knows whole directories only.
    pub(crate) fn directory(self) -> Self {
        let end = self.path.rfind('/').map_or(0, |slash| slash + 1);
        Self {
            path: &self.path[..end],
            exact: self.exact && end == self.path.len(),
        }
    }

    /// How well the API says it.
    pub(crate) fn fidelity(self, who: &str) -> Fidelity {
        if self.exact {
            return Fidelity::Exact;
        }
        more_of_the_host(format!(
            "{who} cannot say it more narrowly than by all paths that begin with {}",
            self.path
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn beginning(selector: &Selector) -> (&str, bool, &str, bool) {
        let all = Beginning::of(selector).unwrap();
        let directory = all.directory();
        (all.path, all.exact, directory.path, directory.exact)
    }

    /// A pattern becomes the beginning that all its matches share, and it is known whether that is more.
    #[test]
    fn a_pattern_has_a_beginning() {
        let prefix = |text: &str| Selector::Prefix(text.parse().unwrap());
        let wildcard = |text: &str| Selector::Wildcard(text.parse().unwrap());
        for (selector, expected) in [
            (prefix("a.example/img/"), ("/img/", true, "/img/", true)),
            (prefix("a.example/img"), ("/img", true, "/", false)),
            (prefix("a.example/a*b/"), ("/a", false, "/", false)),
            (wildcard("a.example/img/*"), ("/img/", true, "/img/", true)),
            (
                wildcard("a.example/img/l*"),
                ("/img/l", true, "/img/", false),
            ),
            (wildcard("a.example/i/*.png"), ("/i/", false, "/i/", false)),
            (wildcard("a.example/i/x"), ("/i/x", false, "/i/", false)),
            (
                Selector::Host("a.example".parse().unwrap()),
                ("/", true, "/", true),
            ),
        ] {
            assert_eq!(beginning(&selector), expected, "{selector}");
        }
        assert_eq!(Beginning::of(&Selector::Everything), None);
    }
}
