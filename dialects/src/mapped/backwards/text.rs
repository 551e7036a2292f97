//! Text with holes: what a template makes, where it is not known yet with what.
//!
//! Invariant: finding takes a bounded number of steps, and finds more than one way where there is more than one.

use super::tokens::{Hole, Part};

/// Ways to read one text that are followed; more are not told apart.
pub(super) const READINGS: usize = 16;
/// Steps of one search.
const STEPS: usize = 100_000;

/// A part of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    Literal(String),
    Hole(Hole),
}

/// A text: as it is, or with a part that comes once for each selector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Text {
    Once(Vec<Piece>),
    Many {
        before: String,
        element: Vec<Piece>,
        between: String,
        after: String,
    },
}

/// What stood in the holes of a text.
pub(super) type Held<'p, 't> = Vec<(&'p Hole, &'t str)>;

impl Text {
    /// A text made for two selectors, as one for any number of them; `None` where it names the second in another way than
    /// the first.
    pub(super) fn folded(pieces: Vec<Piece>) -> Option<Self> {
        let of = |index: usize| move |piece: &Piece| piece.item() == Some(index);
        let (Some(first), Some(second)) = (span(&pieces, of(0)), span(&pieces, of(1))) else {
            let names_second = pieces.iter().any(of(1));
            return (!names_second).then_some(Self::Once(pieces));
        };
        let (element, other) = (&pieces[first.0..=first.1], &pieces[second.0..=second.1]);
        let same = first.1 < second.0
            && element.len() == other.len()
            && element.iter().zip(other).all(|(one, two)| one.is_like(two));
        let literal = |pieces: &[Piece]| match pieces {
            [] => Some(String::new()),
            [Piece::Literal(text)] => Some(text.clone()),
            _ => None,
        };
        let between = literal(&pieces[first.1 + 1..second.0]).filter(|text| !text.is_empty())?;
        let (before, after) = (
            literal(&pieces[..first.0])?,
            literal(&pieces[second.1 + 1..])?,
        );
        same.then(|| Self::Many {
            before,
            element: element.to_vec(),
            between,
            after,
        })
    }

    /// Whether it says the same whatever the command is.
    pub(super) fn is_about_nothing(&self) -> bool {
        match self {
            Self::Once(pieces) => pieces
                .iter()
                .all(|piece| matches!(piece, Piece::Hole(Hole::Free))),
            Self::Many { .. } => false,
        }
    }

    /// Every way in which `text` can be it: what stood in the holes, for each time that its part comes.
    pub(super) fn find<'p, 't>(&'p self, text: &'t str) -> Vec<Vec<Held<'p, 't>>> {
        match self {
            Self::Once(pieces) => find(pieces, text)
                .into_iter()
                .map(|held| vec![held])
                .collect(),
            Self::Many {
                before,
                element,
                between,
                after,
            } => {
                let inner = text.strip_prefix(before.as_str());
                let Some(inner) = inner.and_then(|text| text.strip_suffix(after.as_str())) else {
                    return Vec::new();
                };
                let mut ways = vec![Vec::new()];
                for part in inner.split(between.as_str()) {
                    let found = find(element, part);
                    let with = |way: &Vec<Held<'p, 't>>| {
                        let way = way.clone();
                        found.clone().into_iter().map(move |held| {
                            let mut way = way.clone();
                            way.push(held);
                            way
                        })
                    };
                    ways = ways.iter().flat_map(with).take(READINGS + 1).collect();
                }
                ways
            }
        }
    }
}

impl Piece {
    fn item(&self) -> Option<usize> {
        match self {
            Self::Hole(Hole::Item(index, _)) => Some(*index),
            Self::Hole(_) | Self::Literal(_) => None,
        }
    }

    /// Whether both are the same of two selectors.
    fn is_like(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Hole(Hole::Item(_, part)), Self::Hole(Hole::Item(_, other))) => part == other,
            _ => self == other,
        }
    }
}

fn span(pieces: &[Piece], is: impl Fn(&Piece) -> bool) -> Option<(usize, usize)> {
    let first = pieces.iter().position(&is)?;
    let last = pieces.iter().rposition(&is)?;
    Some((first, last))
}

fn find<'p, 't>(pieces: &'p [Piece], text: &'t str) -> Vec<Held<'p, 't>> {
    let mut search = Search {
        steps: STEPS,
        held: Vec::new(),
        found: Vec::new(),
    };
    search.go(pieces, text);
    search.found
}

struct Search<'p, 't> {
    steps: usize,
    held: Held<'p, 't>,
    found: Vec<Held<'p, 't>>,
}

impl<'p, 't> Search<'p, 't> {
    fn go(&mut self, pieces: &'p [Piece], text: &'t str) {
        if self.steps == 0 || self.found.len() > READINGS {
            return;
        }
        self.steps -= 1;
        match pieces.split_first() {
            None if text.is_empty() => self.found.push(self.held.clone()),
            None => {}
            Some((Piece::Literal(literal), rest)) => {
                if let Some(text) = text.strip_prefix(literal.as_str()) {
                    self.go(rest, text);
                }
            }
            Some((Piece::Hole(hole), rest)) => self.fill(hole, rest, text),
        }
    }

    /// A hole holds at least one character, and ends where what is behind it begins.
    fn fill(&mut self, hole: &'p Hole, rest: &'p [Piece], text: &'t str) {
        let mut ends = |end: usize| {
            let (value, behind) = text.split_at(end);
            if end == 0 || !can_hold(hole, value, rest.first(), behind) {
                return;
            }
            self.held.push((hole, value));
            self.go(rest, behind);
            self.held.pop();
        };
        match rest.first() {
            None => ends(text.len()),
            Some(Piece::Literal(literal)) => {
                text.match_indices(literal.as_str())
                    .for_each(|(end, _)| ends(end));
            }
            Some(Piece::Hole(_)) => text.char_indices().for_each(|(end, _)| ends(end)),
        }
    }
}

/// Whether a hole can hold that, where `next` comes behind it: a host name ends where a path begins.
fn can_hold(hole: &Hole, value: &str, next: Option<&Piece>, behind: &str) -> bool {
    let begins =
        |text: &str| text.starts_with('/') || text.starts_with("%2F") || text.starts_with("%2f");
    match (hole, next) {
        (Hole::Free, _) => !value.contains(['/', '?', '&', '"']),
        (Hole::Item(_, Part::Path), _) => begins(value),
        (Hole::Item(_, Part::Host), Some(Piece::Hole(Hole::Item(_, Part::Path)))) => begins(behind),
        _ => true,
    }
}
