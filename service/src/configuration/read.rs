//! Reads the tree into a struct and finds every problem, not the first only.
//!
//! serde stops at the first error. So an error is listed, something that fits is put in its place, and
//! the tree is read again, until it fits as a whole. Invariant: it ends, after at most
//! [`MAXIMUM_READS`], and a struct that was mended is never given to a process.
//! Not here: rules beyond types (`problems`).

use std::collections::{BTreeMap, BTreeSet};

use config::{Value, ValueKind};
use serde::de::DeserializeOwned;

use super::key::Key;
use super::layers::Layers;
use super::problems::{Problem, Problems};
use super::typed::{Misfit, Typed};

/// How often one tree is read at most. Each place of an error takes at most a dozen.
pub(super) const MAXIMUM_READS: usize = 1_000;

/// How many letters may differ between an unknown key and the one that was meant.
const MAXIMUM_TYPING_ERRORS: usize = 2;

/// What to try in the place of a value that is wrong and has no default. One of them fits most types.
const STAND_INS: &[&str] = &[
    "",
    "1s",
    "1",
    "127.0.0.1:1",
    "127.0.0.1",
    "http://127.0.0.1/",
];

/// Reads the layers. The struct is there when the tree was read in the end; it counts only if there is no problem.
pub(super) fn read<C: DeserializeOwned>(layers: &Layers) -> (Option<C>, Problems) {
    let mut reader = Reader {
        tree: layers.all.clone(),
        default: &layers.default,
        problems: Problems::default(),
        tried: BTreeMap::new(),
        unknown: BTreeSet::new(),
    };
    let read = reader.read();
    reader.list_unknown(&layers.all);
    (read, reader.problems)
}

struct Reader<'a> {
    tree: Value,
    default: &'a Value,
    problems: Problems,
    /// Places that were wrong, and how many stand-ins were tried there.
    tried: BTreeMap<Key, usize>,
    unknown: BTreeSet<Key>,
}

impl Reader<'_> {
    fn read<C: DeserializeOwned>(&mut self) -> Option<C> {
        for _ in 0..MAXIMUM_READS {
            match self.read_once() {
                Ok(configuration) => return Some(configuration),
                Err((key, what)) => {
                    self.list(&key, what);
                    if !self.mend(key) {
                        return None;
                    }
                }
            }
        }
        None
    }

    fn read_once<C: DeserializeOwned>(&mut self) -> Result<C, (Key, String)> {
        let mut unknown = |path: serde_ignored::Path<'_>| {
            self.unknown.insert(Key::of_ignored(&path));
        };
        let typed = serde_ignored::Deserializer::new(Typed(self.tree.clone()), &mut unknown);
        serde_path_to_error::deserialize(typed).map_err(|error| {
            let key = Key::of_error(error.path());
            match error.into_inner() {
                Misfit::Missing(field) => (key.join(field), "is missing".to_owned()),
                Misfit::Other(what) => (key, what),
            }
        })
    }

    /// Lists an error, unless it comes from what was put in the place of an earlier one.
    fn list(&mut self, key: &Key, what: String) {
        if !self.tried.keys().any(|wrong| wrong.holds(key)) {
            let origin = key.get(&self.tree).and_then(origin);
            self.problems.push(Problem {
                key: key.to_string(),
                what,
                origin,
            });
        }
    }

    /// Puts the next stand-in into a wrong place; when none is left, into the place around it.
    fn mend(&mut self, key: Key) -> bool {
        let mut place = Some(key);
        while let Some(key) = place {
            while let Some(step) = self.next_step(&key) {
                if self.try_step(&key, step) {
                    return true;
                }
            }
            place = key.parent();
        }
        false
    }

    fn next_step(&mut self, key: &Key) -> Option<usize> {
        let count = self.tried.entry(key.clone()).or_default();
        let step = *count;
        *count += 1;
        (step < STAND_INS.len() + 6 && *key != Key::default()).then_some(step)
    }

    /// Tries the default, then nothing at all, then one stand-in after the other.
    fn try_step(&mut self, key: &Key, step: usize) -> bool {
        let stand_in: ValueKind = match step {
            0 => match key.get(self.default) {
                Some(default) => default.kind.clone(),
                None => return false,
            },
            1 => return key.remove(&mut self.tree),
            2 => 1_i64.into(),
            3 => false.into(),
            4 => ValueKind::Table(config::Map::new()),
            5 => ValueKind::Array(Vec::new()),
            step => STAND_INS[step - 6].into(),
        };
        key.put(&mut self.tree, Value::new(None, stand_in));
        true
    }

    fn list_unknown(&mut self, tree: &Value) {
        for key in &self.unknown {
            let meant = self
                .similar(key)
                .map(|name| format!(", did you mean `{name}`?"));
            let what = format!("is not a known key{}", meant.unwrap_or_default());
            let origin = key.get(tree).and_then(origin);
            self.problems.push(Problem {
                key: key.to_string(),
                what,
                origin,
            });
        }
    }

    /// The key of the default beside an unknown one that looks most like it.
    fn similar(&self, key: &Key) -> Option<String> {
        let name = key.name()?;
        let ValueKind::Table(siblings) = &key.parent()?.get(self.default)?.kind else {
            return None;
        };
        let distances = siblings
            .keys()
            .map(|sibling| (distance(name, sibling), sibling));
        let (_, nearest) = distances
            .filter(|(distance, _)| *distance <= MAXIMUM_TYPING_ERRORS)
            .min()?;
        Some(nearest.clone())
    }
}

/// Where a value came from. A table has no origin of its own once layers were laid over it.
fn origin(value: &Value) -> Option<String> {
    let own = value.origin().map(str::to_owned);
    own.or_else(|| match &value.kind {
        ValueKind::Table(table) => table.values().find_map(origin),
        ValueKind::Array(array) => array.iter().find_map(origin),
        _ => None,
    })
}

/// How many letters must be put in, left out or changed to make one word the other (Levenshtein).
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.chars().count()).collect();
    for (line, left) in one.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], line + 1);
        for (column, right) in other.chars().enumerate() {
            let changed = diagonal + usize::from(left != right);
            diagonal = row[column + 1];
            row[column + 1] = changed.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[row.len() - 1]
}
