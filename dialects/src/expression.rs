//! Selectors as expressions for PCRE2, safe to stand in a Varnish ban and safe to evaluate.
//!
//! Invariant: an expression matches what its selector means and nothing more, holds visible ASCII without quotation
//! marks, and takes a bounded number of steps. Text of a selector never reaches it as it is: each octet that could mean
//! something is written as its number.
//! The bound is no luxury. A ban that runs into `pcre2_match_limit` (10,000 by default) makes Varnish 7.1 panic, and the
//! whole cache is lost, other customers' content included. It was tried: `^/(a|aa)+[0-9]$` and 60 letters are enough.

mod octets;
mod reading;

use regex_syntax::hir::{Class, Hir, HirKind, Look, Repetition};
use thiserror::Error;

use crate::http::is_encoding;
use octets::{Octets, write_number};

pub(crate) use reading::read;

/// Ways in which an unbounded run can match: one for each octet of the longest URL that the shipped VCL stores.
const RUN: u64 = domain::limits::URL_LENGTH as u64;

/// Ways to match that an expression may have in all, from one place in the URL: well below PCRE2's limit in Varnish.
const MOST_WAYS: u64 = 2 * RUN;

/// Octets in an expression; Varnish takes 8,192 in a header line by default.
const MOST_OCTETS: usize = 6_000;

/// The largest count that PCRE2 takes in `{…}`.
const MOST_TIMES: u32 = 65_535;

/// Why an expression cannot be said to Varnish.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum CannotMatch {
    #[error(
        "the regular expression may take more steps than Varnish survives; use prefixes or wildcards"
    )]
    TooManySteps,
    #[error("the expression for it is longer than Varnish takes")]
    TooLong,
    #[error("the regular expression is not one that Varnish knows")]
    Unknown,
}

/// Exactly this path and query.
pub(crate) fn exactly(target: &str) -> Result<String, CannotMatch> {
    bounded(format!("^{}$", literal(target)))
}

/// Every path that begins so.
pub(crate) fn prefix(path: &str) -> Result<String, CannotMatch> {
    bounded(format!("^{}", literal(path)))
}

/// Every path, whatever its query, that matches a pattern of `*`.
///
/// Each `*` but the last takes the first place where what follows it stands, and never looks for another: that finds a
/// match whenever there is one, without going back.
pub(crate) fn wildcard(pattern: &str) -> Result<String, CannotMatch> {
    const END: &str = r"(?:\?|$)";
    let mut pieces = pattern.split('*');
    let mut text = format!("^{}", literal(pieces.next().unwrap_or_default()));
    let rest: Vec<_> = pieces.collect();
    match rest.split_last() {
        None => text.push_str(END),
        Some((last, between)) => {
            for piece in between.iter().filter(|piece| !piece.is_empty()) {
                text.extend(["(?>[^?]*?", &literal(piece), ")"]);
            }
            if !last.is_empty() {
                text.extend(["[^?]*", &literal(last), END]);
            }
        }
    }
    bounded(text)
}

/// What a regular expression of the federation means, in PCRE2's words. The syntax of both differs, so it is taken
/// apart and written anew.
pub(crate) fn regex(pattern: &str) -> Result<String, CannotMatch> {
    let hir = regex_syntax::parse(pattern).map_err(|_| CannotMatch::Unknown)?;
    let hir = plainest(hir);
    let mut text = String::new();
    // Nothing stands after the end, so nothing can fail there and send a run back.
    let ways = write_hir(&hir, Some(Octets::NONE), &mut text)?;
    if ways > MOST_WAYS {
        return Err(CannotMatch::TooManySteps);
    }
    if text.is_empty() {
        text.push('^'); // An empty header would say nothing; this says that everything matches.
    }
    bounded(text)
}

/// As plain as it gets: what is put together of plain parts, as a class is of letters, may again be said more plainly.
fn plainest(mut hir: Hir) -> Hir {
    loop {
        let plainer = plain(hir.clone());
        if plainer == hir {
            return hir;
        }
        hir = plainer;
    }
}

/// Without groups, for nobody asks what they matched, and with what is not ASCII in classes as PCRE2 sees it: so that the same is
/// always written in the same way.
fn plain(hir: Hir) -> Hir {
    let all = |items: Vec<Hir>| items.into_iter().map(plain).collect();
    match hir.into_kind() {
        HirKind::Empty => Hir::empty(),
        HirKind::Literal(literal) => Hir::literal(literal.0),
        HirKind::Class(class) => Hir::class(Class::Unicode(Octets::of_class(&class).class())),
        HirKind::Look(look) => Hir::look(look),
        HirKind::Repetition(repetition) => Hir::repetition(Repetition {
            sub: Box::new(plain(*repetition.sub)),
            ..repetition
        }),
        HirKind::Capture(capture) => plain(*capture.sub),
        HirKind::Concat(items) => Hir::concat(all(items)),
        HirKind::Alternation(branches) => Hir::alternation(all(branches)),
    }
}

fn bounded(text: String) -> Result<String, CannotMatch> {
    if text.len() > MOST_OCTETS {
        return Err(CannotMatch::TooLong);
    }
    Ok(text)
}

/// A text that means itself; percent-encoded octets match in both spellings (RFC 3986, 6.2.2.1).
fn literal(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for (at, octet) in text.bytes().enumerate() {
        if octet.is_ascii_alphabetic() && is_encoding(text.as_bytes(), at) {
            let (upper, lower) = (octet.to_ascii_uppercase(), octet.to_ascii_lowercase());
            out.extend(['[', char::from(upper), char::from(lower), ']']);
        } else {
            write_octet(octet, &mut out);
        }
    }
    out
}

fn write_octet(octet: u8, out: &mut String) {
    match octet {
        b'.' => out.push_str(r"\."),
        b'/' | b'_' | b'-' | b'%' | b'=' | b'&' | b'~' | b'@' | b':' | b';' | b',' => {
            out.push(char::from(octet));
        }
        _ if octet.is_ascii_alphanumeric() => out.push(char::from(octet)),
        _ => write_number(octet, out),
    }
}

/// Writes a part of an expression, and counts the ways in which it may match from one place. `follow` holds the octets
/// that what comes next may begin with; `None` where that is not known.
fn write_hir(hir: &Hir, follow: Option<Octets>, out: &mut String) -> Result<u64, CannotMatch> {
    match hir.kind() {
        HirKind::Empty => Ok(1),
        HirKind::Literal(octets) => {
            octets.0.iter().for_each(|octet| write_octet(*octet, out));
            Ok(1)
        }
        HirKind::Class(class) => {
            Octets::of_class(class).write(out);
            Ok(1)
        }
        HirKind::Look(look) => {
            out.push_str(look_around(*look));
            Ok(1)
        }
        HirKind::Repetition(repetition) => write_repetition(repetition, follow, out),
        HirKind::Capture(capture) => write_group(&capture.sub, follow, out),
        HirKind::Concat(items) => items
            .iter()
            .enumerate()
            .try_fold(1_u64, |ways, (at, item)| {
                let follow = first_of(&items[at + 1..], follow);
                Ok(ways.saturating_mul(write_hir(item, follow, out)?))
            }),
        HirKind::Alternation(branches) => write_alternation(branches, follow, out),
    }
}

fn write_alternation(
    branches: &[Hir],
    follow: Option<Octets>,
    out: &mut String,
) -> Result<u64, CannotMatch> {
    out.push_str("(?:");
    let (mut sum, mut most, mut firsts) = (0_u64, 0, Some(Octets::NONE));
    for (at, branch) in branches.iter().enumerate() {
        if at > 0 {
            out.push('|');
        }
        let ways = write_hir(branch, follow, out)?;
        sum = sum.saturating_add(ways);
        most = ways.max(most);
        let first = first_of(std::slice::from_ref(branch), None);
        let apart = firsts
            .zip(first)
            .filter(|(all, first)| all.is_apart_from(*first));
        firsts = apart.map(|(all, first)| all.and(first));
    }
    out.push(')');
    // Branches that begin differently: the first octet decides, and none is tried after another.
    Ok(if firsts.is_some() { most } else { sum })
}

fn write_group(hir: &Hir, follow: Option<Octets>, out: &mut String) -> Result<u64, CannotMatch> {
    if matches!(hir.kind(), HirKind::Alternation(_)) {
        return write_hir(hir, follow, out); // It is written as a group already.
    }
    out.push_str("(?:");
    let ways = write_hir(hir, follow, out)?;
    out.push(')');
    Ok(ways)
}

fn write_repetition(
    repetition: &Repetition,
    follow: Option<Octets>,
    out: &mut String,
) -> Result<u64, CannotMatch> {
    let run = Octets::of_hir(&repetition.sub);
    let ways = match run {
        Some(octets) => {
            octets.write(out);
            1
        }
        None => write_group(&repetition.sub, None, out)?,
    };
    write_times(repetition, out)?;
    let Some(max) = repetition.max else {
        // What follows cannot begin inside the run, so it never helps to give a part of the run back.
        if run
            .zip(follow)
            .is_some_and(|(run, follow)| run.is_apart_from(follow))
        {
            out.push('+');
            return Ok(1);
        }
        return Ok(if ways == 1 { RUN } else { u64::MAX });
    };
    let counts = u64::from(max - repetition.min) + 1;
    Ok(ways.saturating_pow(max).saturating_mul(counts))
}

fn write_times(repetition: &Repetition, out: &mut String) -> Result<(), CannotMatch> {
    let (min, max) = (repetition.min, repetition.max);
    if min > MOST_TIMES || max.is_some_and(|max| max > MOST_TIMES) {
        return Err(CannotMatch::TooLong);
    }
    let times = match (min, max) {
        (0, None) => "*".to_owned(),
        (1, None) => "+".to_owned(),
        (0, Some(1)) => "?".to_owned(),
        (min, None) => format!("{{{min},}}"),
        (min, Some(max)) => format!("{{{min},{max}}}"),
    };
    out.push_str(&times);
    Ok(())
}

/// A URL has no line breaks, so the ends of lines are the ends of the URL.
const fn look_around(look: Look) -> &'static str {
    match look {
        Look::Start | Look::StartLF | Look::StartCRLF => "^",
        Look::End | Look::EndLF | Look::EndCRLF => "$",
        Look::WordAscii | Look::WordUnicode => r"\b",
        Look::WordAsciiNegate | Look::WordUnicodeNegate => r"\B",
        Look::WordStartAscii | Look::WordStartUnicode => r"\b(?=\w)",
        Look::WordEndAscii | Look::WordEndUnicode => r"\b(?!\w)",
        Look::WordStartHalfAscii | Look::WordStartHalfUnicode => r"(?<!\w)",
        Look::WordEndHalfAscii | Look::WordEndHalfUnicode => r"(?!\w)",
    }
}

/// The octets that a sequence, and what comes after it, may begin with.
fn first_of(items: &[Hir], follow: Option<Octets>) -> Option<Octets> {
    let mut first = Octets::NONE;
    for item in items {
        if matches!(item.kind(), HirKind::Look(Look::End)) {
            return Some(first);
        }
        first = first.and(first_of_one(item)?);
        if item
            .properties()
            .minimum_len()
            .is_some_and(|least| least > 0)
        {
            return Some(first);
        }
    }
    Some(first.and(follow?))
}

/// The octets that a part may begin with, where it is not empty; `None` where it looks around.
fn first_of_one(hir: &Hir) -> Option<Octets> {
    match hir.kind() {
        HirKind::Empty => Some(Octets::NONE),
        HirKind::Literal(octets) => octets.0.first().map(|octet| Octets::one(*octet)),
        HirKind::Class(class) => Some(Octets::of_class(class)),
        HirKind::Look(_) => None,
        HirKind::Repetition(repetition) => first_of_one(&repetition.sub),
        HirKind::Capture(capture) => first_of_one(&capture.sub),
        HirKind::Concat(items) => first_of(items, Some(Octets::NONE)),
        HirKind::Alternation(branches) => branches.iter().try_fold(Octets::NONE, |all, branch| {
            Some(all.and(first_of_one(branch)?))
        }),
    }
}

#[cfg(test)]
#[path = "expression/tests.rs"]
mod tests;
