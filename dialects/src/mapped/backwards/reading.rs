//! What was found in a request, as selectors.

use domain::{HostName, Selector, SelectorKind, selector::HostRegex};
use percent_encoding::percent_decode_str;

use super::{
    text::{READINGS, Text},
    tokens::{Hole, Part},
};

/// For whom a request is read.
pub(super) struct Reading<'a> {
    /// The host name that the request names beside its path.
    pub(super) named: Option<&'a HostName>,
    /// The host names of the configuration.
    pub(super) hosts: &'a [HostName],
}

/// One way to understand a part of a request.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Found {
    /// Parts of the one selector.
    parts: Vec<Value>,
    /// Selectors that were found whole.
    selectors: Vec<Selector>,
    /// Parameters of a custom operation.
    pub(super) parameters: Vec<(String, String)>,
}

/// A part of a selector, and whether it stood where text is percent-encoded.
#[derive(Debug, Clone, PartialEq)]
struct Value {
    part: Part,
    text: String,
    encoded: bool,
}

impl Reading<'_> {
    /// Every way in which `text` can be what `wanted` is.
    pub(super) fn texts(
        &self,
        kind: SelectorKind,
        wanted: &Text,
        text: &str,
        encoded: bool,
    ) -> Vec<Found> {
        let many = matches!(wanted, Text::Many { .. });
        let ways = wanted.find(text).into_iter();
        let ways = ways.flat_map(|way| {
            let each: Vec<_> = way.iter().map(|held| Found::of(held, encoded)).collect();
            match each.as_slice() {
                [one] if !many => vec![one.clone()],
                _ => {
                    let mut ways: Vec<Vec<Selector>> = vec![Vec::new()];
                    for found in each {
                        let selectors = found.selectors(kind, self);
                        let with = |way: Vec<Selector>| {
                            let selectors = selectors.clone().into_iter();
                            selectors.map(move |selector| [way.clone(), vec![selector]].concat())
                        };
                        ways = ways.into_iter().flat_map(with).take(READINGS + 1).collect();
                    }
                    ways.into_iter().map(Found::of_selectors).collect()
                }
            }
        });
        ways.take(READINGS + 1).collect()
    }

    /// The host name that is meant where a request names none.
    fn implied(&self) -> Option<&HostName> {
        match (self.named, self.hosts) {
            (Some(named), _) => Some(named),
            (None, [only]) => Some(only),
            (None, _) => None,
        }
    }
}

impl Found {
    /// The same, found whole.
    pub(super) fn of_selectors(selectors: Vec<Selector>) -> Self {
        Self {
            selectors,
            ..Self::default()
        }
    }

    fn of(held: &[(&Hole, &str)], encoded: bool) -> Self {
        let mut found = Self::default();
        for (hole, text) in held {
            let text = (*text).to_owned();
            match hole {
                Hole::Item(_, part) => found.parts.push(Value {
                    part: *part,
                    text,
                    encoded,
                }),
                Hole::Parameter(name) => {
                    let text = if encoded {
                        decoded(&text).unwrap_or(text)
                    } else {
                        text
                    };
                    found.parameters.push((name.clone(), text));
                }
                Hole::Free => {}
            }
        }
        found
    }

    /// Every way to understand two parts of one request.
    pub(super) fn both(ones: &[Self], others: &[Self]) -> Vec<Self> {
        let pairs = ones
            .iter()
            .flat_map(|one| others.iter().filter_map(|other| one.and(other)));
        pairs.take(READINGS + 1).collect()
    }

    fn and(&self, other: &Self) -> Option<Self> {
        let both_whole = !self.selectors.is_empty() && !other.selectors.is_empty();
        if both_whole && self.selectors != other.selectors {
            return None;
        }
        let whole = if self.selectors.is_empty() {
            other
        } else {
            self
        };
        Some(Self {
            parts: [self.parts.clone(), other.parts.clone()].concat(),
            selectors: whole.selectors.clone(),
            parameters: [self.parameters.clone(), other.parameters.clone()].concat(),
        })
    }

    /// Every list of selectors that it can be.
    pub(super) fn lists(&self, kind: SelectorKind, reading: &Reading<'_>) -> Vec<Vec<Selector>> {
        if !self.selectors.is_empty() {
            return vec![self.selectors.clone()];
        }
        let each = self.selectors(kind, reading).into_iter();
        each.map(|selector| vec![selector]).collect()
    }

    /// Every selector of that kind that its parts can be.
    pub(super) fn selectors(&self, kind: SelectorKind, reading: &Reading<'_>) -> Vec<Selector> {
        if kind == SelectorKind::Everything {
            return vec![Selector::Everything];
        }
        let is_encoded = self
            .parts
            .iter()
            .any(|value| value.encoded && value.text.contains('%'));
        let mut selectors: Vec<Selector> = Vec::new();
        for decode in [true, false] {
            if decode && !is_encoded {
                continue;
            }
            for parts in [&[Part::Text][..], &[Part::Host, Part::Path]] {
                let selector = self.selector(kind, parts, decode, reading);
                selectors.extend(selector.filter(|selector| !selectors.contains(selector)));
            }
        }
        selectors
    }

    fn selector(
        &self,
        kind: SelectorKind,
        of: &[Part],
        decode: bool,
        reading: &Reading<'_>,
    ) -> Option<Selector> {
        let get = |part: Part| {
            let mut values = self
                .parts
                .iter()
                .filter(|value| of.contains(&value.part) || value.part == Part::Host);
            let value = values.find(|value| value.part == part)?;
            if decode && value.encoded {
                decoded(&value.text)
            } else {
                Some(value.text.clone())
            }
        };
        let host = || match get(Part::Host) {
            Some(host) => host.parse().ok(),
            None => reading.implied().cloned(),
        };
        let text = get(Part::Text);
        let below = || Some(format!("{}{}", host()?, get(Part::Path)?));
        let whole = |scheme: &str| {
            text.clone()
                .or_else(|| below().map(|below| format!("{scheme}{below}")))
        };
        match kind {
            SelectorKind::Url => whole("https://")?.parse().ok().map(Selector::Url),
            SelectorKind::Prefix => whole("")?.parse().ok().map(Selector::Prefix),
            SelectorKind::Wildcard => whole("")?.parse().ok().map(Selector::Wildcard),
            SelectorKind::Tag => text?.parse().ok().map(Selector::Tag),
            SelectorKind::Host => match text {
                Some(text) => text.parse().ok().map(Selector::Host),
                None => get(Part::Host)?.parse().ok().map(Selector::Host),
            },
            SelectorKind::Regex => HostRegex::new(host()?, &text?).ok().map(Selector::Regex),
            SelectorKind::Everything => Some(Selector::Everything),
        }
    }
}

fn decoded(text: &str) -> Option<String> {
    let text = percent_decode_str(text).decode_utf8().ok()?;
    Some(text.into_owned())
}
