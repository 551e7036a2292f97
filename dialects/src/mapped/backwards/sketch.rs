//! A call of a mapping with holes where the command is, to be found in a request.
//!
//! Invariant: what is found is all that the request says besides ids and what only says who calls: no member of a body and
//! no header that the mapping knows is passed over.

use domain::{NativeCall, Selector, SelectorKind};
use serde_json::Value;

use super::{
    reading::{Found, Reading},
    text::{Piece, READINGS, Text},
    tokens::{Hole, Tokens},
};
use crate::native::header;

/// What says nothing of content.
const PASSED_OVER: [&str; 2] = ["accept", "content-type"];

/// A call with holes, for selectors of one kind; or of several, where only a part that comes once for each tells them apart.
#[derive(Debug)]
pub(super) struct Sketch {
    pub(super) kind: SelectorKind,
    path: Text,
    headers: Vec<(String, Text)>,
    body: Body,
}

#[derive(Debug, PartialEq)]
enum Body {
    None,
    Text(Text),
    Json(Json),
}

#[derive(Debug, PartialEq)]
enum Json {
    Is(Value),
    Text(Text),
    List(Vec<Json>),
    Map(Vec<(String, Json)>),
    /// One element for each selector, by its kind.
    Each(Vec<(SelectorKind, Json)>),
}

impl Sketch {
    /// A call that was made with words for what is not known; `None` where a call for two selectors is no pattern for more.
    pub(super) fn new(kind: SelectorKind, call: &NativeCall, tokens: &Tokens) -> Option<Self> {
        let text = |text: &str| Text::folded(tokens.pieces(text));
        let headers = call
            .headers
            .iter()
            .map(|(name, value)| Some((name.clone(), text(value)?)));
        let is_json = header(call, "content-type").is_some_and(|kind| kind.contains("json"));
        let body = match &call.body {
            None => Body::None,
            Some(body) if is_json => {
                let tree = serde_json::from_str(body).ok()?;
                Body::Json(Json::new(kind, tree, tokens)?)
            }
            Some(body) => Body::Text(text(body.trim_end_matches('\n'))?),
        };
        Some(Self {
            kind,
            path: text(&call.path)?,
            headers: headers.collect::<Option<_>>()?,
            body,
        })
    }

    /// Takes in what another kind of selectors looks like, where nothing else tells the two apart.
    pub(super) fn join(&mut self, other: Self) -> Option<Self> {
        let alike = self.path == other.path && self.headers == other.headers;
        match (&mut self.body, other.body) {
            (Body::Json(own), Body::Json(others)) if alike && own.is_like(&others) => {
                own.join(others);
                None
            }
            (_, body) => Some(Self { body, ..other }),
        }
    }

    /// Every way in which the request can be it. `known` are the headers that any call of the mapping has.
    pub(super) fn find(
        &self,
        request: &NativeCall,
        known: &[&str],
        reading: &Reading<'_>,
    ) -> Vec<Found> {
        let mut found = reading.texts(self.kind, &self.path, &request.path, true);
        for (name, value) in &request.headers {
            let name = name.to_ascii_lowercase();
            if PASSED_OVER.contains(&name.as_str()) || !known.contains(&name.as_str()) {
                continue;
            }
            let own = self.headers.iter().find(|(own, _)| *own == name);
            let Some((_, own)) = own else {
                return Vec::new();
            };
            found = Found::both(&found, &reading.texts(self.kind, own, value, false));
        }
        let is_there = |(name, text): &(String, Text)| {
            PASSED_OVER.contains(&name.as_str())
                || text.is_about_nothing()
                || header(request, name).is_some()
        };
        if !self.headers.iter().all(is_there) {
            return Vec::new();
        }
        let body = request.body.as_deref().unwrap_or_default();
        let in_body = match &self.body {
            Body::None if body.is_empty() => return found,
            Body::None => Vec::new(),
            Body::Text(text) => {
                let is_form =
                    header(request, "content-type").is_none_or(|kind| kind.contains("form"));
                reading.texts(
                    self.kind,
                    text,
                    body.trim_end_matches(['\r', '\n']),
                    is_form,
                )
            }
            Body::Json(json) => match serde_json::from_str(body) {
                Ok(tree) => json.find(self.kind, &tree, reading),
                Err(_) => Vec::new(),
            },
        };
        Found::both(&found, &in_body)
    }
}

impl Json {
    fn new(kind: SelectorKind, tree: Value, tokens: &Tokens) -> Option<Self> {
        Some(match tree {
            Value::String(text) => Self::Text(Text::folded(tokens.pieces(&text))?),
            Value::Array(items) => {
                if let Some(each) = Self::each(kind, &items, tokens) {
                    return Some(each);
                }
                let items = items.into_iter().map(|item| Self::new(kind, item, tokens));
                Self::List(items.collect::<Option<_>>()?)
            }
            Value::Object(members) => {
                let members = members.into_iter();
                let members =
                    members.map(|(name, tree)| Some((name, Self::new(kind, tree, tokens)?)));
                Self::Map(members.collect::<Option<_>>()?)
            }
            other => Self::Is(other),
        })
    }

    /// Two elements that are the same for two selectors.
    fn each(kind: SelectorKind, items: &[Value], tokens: &Tokens) -> Option<Self> {
        let [one, two] = items else {
            return None;
        };
        let (mut holes, mut others) = (Vec::new(), Vec::new());
        let (one, two) = (
            Raw::new(one, tokens, &mut holes),
            Raw::new(two, tokens, &mut others),
        );
        let all =
            |holes: &[usize], index| !holes.is_empty() && holes.iter().all(|hole| *hole == index);
        let alike = one == two && all(&holes, 0) && all(&others, 1);
        alike.then(|| Self::Each(vec![(kind, one.into_json())]))
    }

    /// Whether both differ in nothing but what comes once for each selector.
    fn is_like(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Each(_), Self::Each(_)) => true,
            (Self::List(items), Self::List(others)) => {
                items.len() == others.len()
                    && items.iter().zip(others).all(|(one, two)| one.is_like(two))
            }
            (Self::Map(members), Self::Map(others)) => {
                members.len() == others.len()
                    && members
                        .iter()
                        .zip(others)
                        .all(|((name, one), (other, two))| name == other && one.is_like(two))
            }
            _ => self == other,
        }
    }

    fn join(&mut self, other: Self) {
        match (self, other) {
            (Self::Each(kinds), Self::Each(others)) => kinds.extend(others),
            (Self::List(items), Self::List(others)) => {
                items
                    .iter_mut()
                    .zip(others)
                    .for_each(|(one, two)| one.join(two));
            }
            (Self::Map(members), Self::Map(others)) => {
                members
                    .iter_mut()
                    .zip(others)
                    .for_each(|((_, one), (_, two))| one.join(two));
            }
            _ => {}
        }
    }

    fn find(&self, kind: SelectorKind, tree: &Value, reading: &Reading<'_>) -> Vec<Found> {
        match (self, tree) {
            (Self::Is(own), tree) if own == tree => vec![Found::default()],
            (Self::Text(text), Value::String(found)) => reading.texts(kind, text, found, false),
            (Self::List(own), Value::Array(items)) if own.len() == items.len() => {
                Self::find_all(kind, own.iter().zip(items), reading)
            }
            (Self::Map(own), Value::Object(members)) if own.len() == members.len() => {
                let pairs = own
                    .iter()
                    .map(|(name, json)| Some((json, members.get(name)?)));
                match pairs.collect::<Option<Vec<_>>>() {
                    Some(pairs) => Self::find_all(kind, pairs.into_iter(), reading),
                    None => Vec::new(),
                }
            }
            (Self::Each(kinds), Value::Array(items)) if !items.is_empty() => {
                Self::find_each(kinds, items, reading)
            }
            _ => Vec::new(),
        }
    }

    fn find_all<'j>(
        kind: SelectorKind,
        pairs: impl Iterator<Item = (&'j Self, &'j Value)>,
        reading: &Reading<'_>,
    ) -> Vec<Found> {
        pairs.fold(vec![Found::default()], |found, (json, tree)| {
            Found::both(&found, &json.find(kind, tree, reading))
        })
    }

    fn find_each(
        kinds: &[(SelectorKind, Self)],
        items: &[Value],
        reading: &Reading<'_>,
    ) -> Vec<Found> {
        let mut ways: Vec<Vec<Selector>> = vec![Vec::new()];
        for item in items {
            let of_kind = |(kind, json): &(SelectorKind, Self)| {
                let found = json.find(*kind, item, reading);
                let found = found.into_iter();
                found
                    .flat_map(|found| found.selectors(*kind, reading))
                    .collect::<Vec<_>>()
            };
            let mut selectors: Vec<Selector> = Vec::new();
            for selector in kinds.iter().flat_map(of_kind) {
                if !selectors.contains(&selector) {
                    selectors.push(selector);
                }
            }
            let with = |way: &Vec<Selector>| {
                let way = way.clone();
                selectors
                    .clone()
                    .into_iter()
                    .map(move |selector| [way.clone(), vec![selector]].concat())
            };
            ways = match selectors.as_slice() {
                // The way of all that is usual, without copies.
                [one] => {
                    for way in &mut ways {
                        way.push(one.clone());
                    }
                    ways
                }
                _ => ways.iter().flat_map(with).take(READINGS + 1).collect(),
            };
        }
        ways.into_iter().map(Found::of_selectors).collect()
    }
}

/// An element of a list, whichever selector it is for.
#[derive(Debug, PartialEq)]
enum Raw {
    Is(Value),
    Text(Vec<Piece>),
    List(Vec<Raw>),
    Map(Vec<(String, Raw)>),
}

impl Raw {
    fn new(tree: &Value, tokens: &Tokens, indexes: &mut Vec<usize>) -> Self {
        match tree {
            Value::String(text) => {
                let mut pieces = tokens.pieces(text);
                for piece in &mut pieces {
                    if let Piece::Hole(Hole::Item(index, _)) = piece {
                        indexes.push(*index);
                        *index = 0;
                    }
                }
                Self::Text(pieces)
            }
            Value::Array(items) => Self::List(
                items
                    .iter()
                    .map(|item| Self::new(item, tokens, indexes))
                    .collect(),
            ),
            Value::Object(members) => {
                let members = members.iter();
                Self::Map(
                    members
                        .map(|(name, tree)| (name.clone(), Self::new(tree, tokens, indexes)))
                        .collect(),
                )
            }
            other => Self::Is(other.clone()),
        }
    }

    fn into_json(self) -> Json {
        match self {
            Self::Is(value) => Json::Is(value),
            Self::Text(pieces) => Json::Text(Text::Once(pieces)),
            Self::List(items) => Json::List(items.into_iter().map(Self::into_json).collect()),
            Self::Map(members) => Json::Map(
                members
                    .into_iter()
                    .map(|(name, raw)| (name, raw.into_json()))
                    .collect(),
            ),
        }
    }
}
