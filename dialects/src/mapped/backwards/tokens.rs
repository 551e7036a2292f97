//! What stands in a template for what is not known yet: words that nothing else has, and that no place needs to escape.

use std::sync::{Arc, Mutex, PoisonError};

use domain::SelectorKind;
use minijinja::value::{Object, Value};

use super::text::Piece;

/// What begins and ends such a word; a filter that changes the case of what it is given changes this.
const MARK: &str = "ZqjQz";
/// What the adapter fills in.
const FILLED_IN: [&str; 2] = ["{account:", "{execution"];

/// What is not known yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Hole {
    /// A part of a selector, by the selector's place in the call.
    Item(usize, Part),
    /// A parameter of a custom operation.
    Parameter(String),
    /// What a command does not say: an id, a value of an account.
    Free,
}

/// A part of a selector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Text,
    Host,
    Path,
}

/// The words that were given out.
#[derive(Debug, Clone, Default)]
pub(super) struct Tokens(Arc<Mutex<Vec<Hole>>>);

impl Tokens {
    /// A word for what is not known.
    pub(super) fn word(&self, hole: Hole) -> String {
        let mut holes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let number = holes.len();
        // A path begins so wherever it stands.
        let slash = match hole {
            Hole::Item(_, Part::Path) => "/",
            _ => "",
        };
        holes.push(hole);
        format!("{slash}{MARK}{number}{MARK}")
    }

    /// A selector of that kind, of which nothing else is known.
    pub(super) fn item(&self, kind: SelectorKind, index: usize) -> Value {
        use SelectorKind::{Everything, Host, Prefix, Regex, Tag, Url, Wildcard};
        let word = |part| self.word(Hole::Item(index, part));
        let mut of = std::collections::BTreeMap::from([("kind", kind.as_str().to_owned())]);
        of.insert(
            "text",
            match kind {
                Everything => kind.as_str().to_owned(),
                Url | Prefix | Wildcard | Regex | Tag | Host => word(Part::Text),
            },
        );
        if matches!(kind, Url | Prefix | Wildcard | Regex | Host) {
            of.insert("host", word(Part::Host));
        }
        if matches!(kind, Url | Prefix | Wildcard) {
            of.insert("path", word(Part::Path));
        }
        of.into()
    }

    /// Parameters: whichever a template wants is there.
    pub(super) fn parameters(&self) -> Value {
        Value::from_object(Parameters(self.clone()))
    }

    /// A text that was made with such words, in pieces.
    pub(super) fn pieces(&self, text: &str) -> Vec<Piece> {
        let holes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut pieces, mut literal, mut rest) = (Vec::new(), String::new(), text);
        while let Some(letter) = rest.chars().next() {
            let Some((hole, behind)) = first(&holes, rest) else {
                literal.push(letter);
                rest = &rest[letter.len_utf8()..];
                continue;
            };
            if let Hole::Item(_, Part::Path) = hole {
                let short = literal.strip_suffix('/').or(literal.strip_suffix("%2F"));
                literal.truncate(short.map_or(literal.len(), str::len));
            }
            if !literal.is_empty() {
                pieces.push(Piece::Literal(std::mem::take(&mut literal)));
            }
            pieces.push(Piece::Hole(hole));
            rest = behind;
        }
        if !literal.is_empty() {
            pieces.push(Piece::Literal(literal));
        }
        pieces
    }
}

/// The hole that a text begins with, and what is behind it.
fn first<'t>(holes: &[Hole], text: &'t str) -> Option<(Hole, &'t str)> {
    if FILLED_IN.iter().any(|begin| text.starts_with(begin)) {
        return text.split_once('}').map(|(_, behind)| (Hole::Free, behind));
    }
    let (number, behind) = text.strip_prefix(MARK)?.split_once(MARK)?;
    let hole = holes.get(number.parse::<usize>().ok()?)?;
    Some((hole.clone(), behind))
}

#[derive(Debug)]
struct Parameters(Tokens);

impl Object for Parameters {
    fn get_value(self: &Arc<Self>, name: &Value) -> Option<Value> {
        let hole = Hole::Parameter(name.as_str()?.to_owned());
        Some(self.0.word(hole).into())
    }
}
