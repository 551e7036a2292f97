//! Expressions of Varnish, read as what they mean here.
//!
//! Invariant: what is read matches what PCRE2 finds by the same text and nothing more, or it is refused. Most of both syntaxes
//! is the same; what only looks the same is refused: a quantifier behind a quantifier (possessive there, a repetition of a
//! repetition here), brackets and operators in a class (letters there, sets here), `\<` and `\>` (letters there, the ends of a
//! word here), `{,3}` (letters there in many versions), the flags `x`, `u` and `R`, and whatever is not ASCII (octets there,
//! characters here).

use std::{convert::Infallible, fmt::Write};

use regex_syntax::ast::{
    AssertionKind, Ast, ClassSetBinaryOp, ClassSetItem, Flag, Flags, FlagsItemKind, GroupKind,
    Visitor, parse::Parser, visit,
};

use super::{octets::write_number, regex};

/// How we write what PCRE2 and the federation write differently, and how the federation does. No other text that we write
/// looks like these, for all that means itself is written as a number.
const WRITTEN: [(&str, &str); 7] = [
    (r"\b(?=\w)", r"\b{start}"),
    (r"\b(?!\w)", r"\b{end}"),
    (r"(?<!\w)", r"\b{start-half}"),
    (r"(?!\w)", r"\b{end-half}"),
    ("*+", "*"),
    ("++", "+"),
    ("}+", "}"),
];

/// The pattern of the federation that means the same as an expression of Varnish; `None` where none is known to.
pub(crate) fn read(text: &str) -> Option<String> {
    let ours = WRITTEN
        .iter()
        .fold(characters(text), |text, (theirs, ours)| {
            text.replace(theirs, ours)
        });
    if regex(&ours).as_deref() == Ok(text) {
        return Some(ours);
    }
    let parsed = Parser::new().parse(text).ok()?;
    let Ok(means_the_same) = visit(
        &parsed,
        Reader {
            text,
            means_the_same: true,
        },
    );
    means_the_same.then(|| text.to_owned())
}

/// The text with characters where it has the numbers of their octets in UTF-8.
fn characters(text: &str) -> String {
    let mut pieces = text.split(r"\x");
    let mut out = pieces.next().unwrap_or_default().to_owned();
    let mut run = Vec::new();
    for piece in pieces {
        let number = piece.get(..2).map(|digits| u8::from_str_radix(digits, 16));
        let Some(Ok(octet @ 0x80..)) = number else {
            write_run(&mut run, &mut out);
            out.extend([r"\x", piece]);
            continue;
        };
        run.push(octet);
        if piece.len() > 2 {
            write_run(&mut run, &mut out);
            out.push_str(&piece[2..]);
        }
    }
    write_run(&mut run, &mut out);
    out
}

/// What no command holds as it is keeps its number.
fn write_run(run: &mut Vec<u8>, out: &mut String) {
    match std::str::from_utf8(run) {
        Ok(characters) => characters.chars().for_each(|letter| {
            if letter.is_control() || letter.is_whitespace() {
                write!(out, r"\x{{{:x}}}", u32::from(letter))
                    .expect("a string takes whatever is written to it");
            } else {
                out.push(letter);
            }
        }),
        Err(_) => run.iter().for_each(|octet| write_number(*octet, out)),
    }
    run.clear();
}

/// Looks for what the two syntaxes read differently.
struct Reader<'a> {
    text: &'a str,
    means_the_same: bool,
}

impl Visitor for Reader<'_> {
    type Output = bool;
    type Err = Infallible;

    fn finish(self) -> Result<bool, Infallible> {
        Ok(self.means_the_same)
    }

    fn visit_pre(&mut self, ast: &Ast) -> Result<(), Infallible> {
        let same = match ast {
            Ast::Repetition(repetition) => {
                let operator = &self.text[repetition.op.span.start.offset..];
                !matches!(*repetition.ast, Ast::Repetition(_)) && !operator.starts_with("{,")
            }
            Ast::Assertion(assertion) => is_in_both(&assertion.kind),
            Ast::Flags(set) => are_in_both(&set.flags),
            Ast::Group(group) => match &group.kind {
                GroupKind::NonCapturing(flags) => are_in_both(flags),
                GroupKind::CaptureIndex(_) | GroupKind::CaptureName { .. } => true,
            },
            Ast::Literal(literal) => literal.c.is_ascii(),
            Ast::Empty(_)
            | Ast::Dot(_)
            | Ast::ClassUnicode(_)
            | Ast::ClassPerl(_)
            | Ast::ClassBracketed(_)
            | Ast::Alternation(_)
            | Ast::Concat(_) => true,
        };
        self.means_the_same &= same;
        Ok(())
    }

    fn visit_class_set_item_pre(&mut self, item: &ClassSetItem) -> Result<(), Infallible> {
        self.means_the_same &= match item {
            ClassSetItem::Literal(literal) => literal.c.is_ascii(),
            ClassSetItem::Range(range) => range.end.c.is_ascii(),
            ClassSetItem::Bracketed(_) => false,
            ClassSetItem::Empty(_)
            | ClassSetItem::Ascii(_)
            | ClassSetItem::Unicode(_)
            | ClassSetItem::Perl(_)
            | ClassSetItem::Union(_) => true,
        };
        Ok(())
    }

    fn visit_class_set_binary_op_pre(&mut self, _: &ClassSetBinaryOp) -> Result<(), Infallible> {
        self.means_the_same = false;
        Ok(())
    }
}

const fn is_in_both(kind: &AssertionKind) -> bool {
    matches!(
        kind,
        AssertionKind::StartLine
            | AssertionKind::EndLine
            | AssertionKind::StartText
            | AssertionKind::EndText
            | AssertionKind::WordBoundary
            | AssertionKind::NotWordBoundary
    )
}

fn are_in_both(flags: &Flags) -> bool {
    let is_foreign = |kind: &FlagsItemKind| {
        matches!(
            kind,
            FlagsItemKind::Flag(Flag::IgnoreWhitespace | Flag::Unicode | Flag::CRLF)
        )
    };
    !flags.items.iter().any(|item| is_foreign(&item.kind))
}
