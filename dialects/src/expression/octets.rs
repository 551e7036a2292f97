//! Sets of octets: what a part of an expression may begin with, and character classes in PCRE2's words.
//!
//! Invariant: a class is written with letters, digits and numbers only, so nothing in it can end it.

use std::fmt::Write;

use regex_syntax::hir::{Class, ClassUnicode, ClassUnicodeRange, Hir, HirKind};

/// A set of octets: ASCII one by one, and all others together, for a URL is percent-encoded and holds none of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Octets {
    ascii: u128,
    beyond: bool,
}

impl Octets {
    /// No octet at all.
    pub(super) const NONE: Self = Self {
        ascii: 0,
        beyond: false,
    };

    /// One octet.
    pub(super) fn one(octet: u8) -> Self {
        match 1_u128.checked_shl(octet.into()) {
            Some(ascii) => Self {
                ascii,
                beyond: false,
            },
            None => Self {
                ascii: 0,
                beyond: true,
            },
        }
    }

    /// The set, where a part always takes one octet of it.
    pub(super) fn of_hir(hir: &Hir) -> Option<Self> {
        match hir.kind() {
            HirKind::Class(class) => Some(Self::of_class(class)),
            HirKind::Literal(octets) => match octets.0[..] {
                [octet] if octet.is_ascii() => Some(Self::one(octet)),
                _ => None,
            },
            _ => None,
        }
    }

    /// The set of a character class.
    pub(super) fn of_class(class: &Class) -> Self {
        let ranges: Vec<(u32, u32)> = match class {
            Class::Unicode(class) => class
                .iter()
                .map(|range| (range.start().into(), range.end().into()))
                .collect(),
            Class::Bytes(class) => class
                .iter()
                .map(|range| (range.start().into(), range.end().into()))
                .collect(),
        };
        let within = |octet: &u8| {
            ranges
                .iter()
                .any(|(start, end)| (*start..=*end).contains(&u32::from(*octet)))
        };
        let ascii = (0_u8..128)
            .filter(within)
            .fold(0, |ascii, octet| ascii | 1 << octet);
        // A class that goes up to the last character is one that leaves something out: `.` or `[^/]`. One that leaves out
        // every octet is how nothing is written.
        let last = ranges.last().map(|(_, end)| *end);
        let is_open = last == Some(char::MAX.into()) || last == Some(u8::MAX.into());
        let has_octets = |(start, end): &(u32, u32)| *start <= 0xff && *end > 0x7f;
        let beyond = is_open && ranges.iter().any(has_octets);
        Self { ascii, beyond }
    }

    /// A character class of this set.
    pub(super) fn class(self) -> ClassUnicode {
        let ascii = (0..128).filter(|octet| self.has(*octet)).map(char::from);
        let one = |letter| ClassUnicodeRange::new(letter, letter);
        let beyond = ClassUnicodeRange::new('\u{80}', char::MAX);
        ClassUnicode::new(ascii.map(one).chain(self.beyond.then_some(beyond)))
    }

    /// Both sets.
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            ascii: self.ascii | other.ascii,
            beyond: self.beyond || other.beyond,
        }
    }

    /// Whether no octet is in both.
    pub(super) const fn is_apart_from(self, other: Self) -> bool {
        self.ascii & other.ascii == 0 && !(self.beyond && other.beyond)
    }

    fn has(self, octet: u8) -> bool {
        self.ascii >> octet & 1 == 1
    }

    /// Writes it as a character class.
    pub(super) fn write(self, out: &mut String) {
        if self == Self::NONE {
            // Nothing of ASCII, so nothing of a URL.
            return out.push_str(r"[^\x00-\xff]");
        }
        out.push('[');
        let mut octet = 0;
        while octet < 128 {
            let end = (octet..128).take_while(|at| self.has(*at)).last();
            if let Some(end) = end {
                write_in_class(octet, out);
                if end > octet {
                    out.push('-');
                    write_in_class(end, out);
                }
                octet = end;
            }
            octet += 1;
        }
        if self.beyond {
            out.push_str(r"\x80-\xff");
        }
        out.push(']');
    }
}

fn write_in_class(octet: u8, out: &mut String) {
    if octet.is_ascii_alphanumeric() {
        out.push(char::from(octet));
    } else {
        write_number(octet, out);
    }
}

/// An octet by its number, wherever it stands.
pub(super) fn write_number(octet: u8, out: &mut String) {
    write!(out, r"\x{octet:02x}").expect("a string takes whatever is written to it");
}
