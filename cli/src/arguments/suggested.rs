//! What a verb that does not exist may have been meant to be.
//!
//! Invariant: nothing is suggested but what is written much like it. Clap's own measure is wider: it takes `frobnicate` for
//! `configurations`.

use clap::{
    Error,
    error::{ContextKind, ContextValue},
};
use strsim::osa_distance;

/// Of so many letters one may be another, missing, too many, or changed places with its neighbour.
const LETTERS_A_SLIP: usize = 3;

/// The mistake without the suggestions that are far from what was typed.
pub(super) fn only_near(mut error: Error) -> Error {
    let Some(ContextValue::String(typed)) = error.get(ContextKind::InvalidSubcommand) else {
        return error;
    };
    let typed = typed.clone();
    let suggested = error.remove(ContextKind::SuggestedSubcommand);
    if let Some(ContextValue::Strings(mut names)) = suggested {
        names.retain(|name| is_near(&typed, name));
        if !names.is_empty() {
            let names = ContextValue::Strings(names);
            error.insert(ContextKind::SuggestedSubcommand, names);
            return error;
        }
    }
    // An empty list is shown as an empty line.
    let others = error.get(ContextKind::Suggested);
    if matches!(others, Some(ContextValue::StyledStrs(others)) if others.is_empty()) {
        error.remove(ContextKind::Suggested);
    }
    error
}

fn is_near(typed: &str, name: &str) -> bool {
    let letters = typed.chars().count().max(name.chars().count());
    let is_cut = name.starts_with(typed) || typed.starts_with(name);
    is_cut || osa_distance(typed, name) * LETTERS_A_SLIP <= letters
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::arguments::Arguments;

    fn said(verb: &str) -> String {
        let read = Arguments::command().try_get_matches_from(["fedctl", verb]);
        let error = read.expect_err("there is no such verb");
        only_near(error).render().to_string()
    }

    /// A slip of the hand, a word that was cut, and one that is too long by a letter are understood.
    #[test]
    fn what_is_nearly_a_verb_is_suggested() {
        for (typed, meant) in [
            ("purg", "'purge'"),
            ("statsu", "'status'"),
            ("lst", "'list'"),
            ("config", "'configurations'"),
            ("deadletters", "'dead-letters'"),
            ("audits", "'audit'"),
        ] {
            let said = said(typed);
            let tip = format!("tip: a similar subcommand exists: {meant}\n\nUsage: ");
            assert!(said.contains(&tip), "{typed}: {said}");
        }
    }

    /// What has a few letters in common with a verb is none, and nothing is made of it.
    #[test]
    fn what_is_no_verb_suggests_none() {
        for typed in ["frobnicate", "delete", "submit", "invalidate"] {
            let start = format!("error: unrecognized subcommand '{typed}'\n\nUsage: ");
            let said = said(typed);
            assert!(said.starts_with(&start), "{said}");
        }
    }
}
