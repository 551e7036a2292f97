//! The way to one value in the tree of a configuration: `servers[2].address`.
//!
//! Not here: what a value means.

use std::fmt;

use config::{Value, ValueKind};

/// One step down the tree.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Key(String),
    Index(usize),
}

/// The way from the root to one value.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key(Vec<Step>);

impl Key {
    /// The way that `serde_path_to_error` followed, as far as it knows it.
    pub(super) fn of_error(path: &serde_path_to_error::Path) -> Self {
        use serde_path_to_error::Segment;
        let steps = path.iter().map_while(|segment| match segment {
            Segment::Seq { index } => Some(Step::Index(*index)),
            Segment::Map { key } => Some(Step::Key(key.clone())),
            Segment::Enum { variant } => Some(Step::Key(variant.clone())),
            Segment::Unknown => None,
        });
        Self(steps.collect())
    }

    /// The way to a key that nobody read.
    pub(super) fn of_ignored(path: &serde_ignored::Path<'_>) -> Self {
        use serde_ignored::Path;
        match path {
            Path::Root => Self::default(),
            Path::Seq { parent, index } => Self::of_ignored(parent).then(Step::Index(*index)),
            Path::Map { parent, key } => Self::of_ignored(parent).join(key),
            Path::Some { parent }
            | Path::NewtypeStruct { parent }
            | Path::NewtypeVariant { parent } => Self::of_ignored(parent),
        }
    }

    /// The way of a variable's levels.
    pub(super) fn of_levels<'a>(levels: impl Iterator<Item = &'a str>) -> Self {
        Self(
            levels
                .map(|level| Step::Key(level.to_lowercase()))
                .collect(),
        )
    }

    /// One level deeper.
    pub(super) fn join(self, key: &str) -> Self {
        self.then(Step::Key(key.to_owned()))
    }

    fn then(mut self, step: Step) -> Self {
        self.0.push(step);
        self
    }

    /// The way to the value around this one; nothing above the root.
    pub(super) fn parent(&self) -> Option<Self> {
        let (_, above) = self.0.split_last()?;
        Some(Self(above.to_vec()))
    }

    /// The last level's name, if it is a name.
    pub(super) fn name(&self) -> Option<&str> {
        match self.0.last()? {
            Step::Key(key) => Some(key),
            Step::Index(_) => None,
        }
    }

    /// Whether this is the other, or lies around it.
    pub(super) fn holds(&self, other: &Self) -> bool {
        other.0.starts_with(&self.0)
    }

    /// The value at this place.
    pub(super) fn get<'a>(&self, root: &'a Value) -> Option<&'a Value> {
        self.0
            .iter()
            .try_fold(root, |value, step| match (step, &value.kind) {
                (Step::Key(key), ValueKind::Table(table)) => table.get(key),
                (Step::Index(index), ValueKind::Array(array)) => array.get(*index),
                _ => None,
            })
    }

    /// Puts a value at this place and makes the tables on the way. A list is never made longer.
    pub(super) fn put(&self, root: &mut Value, value: Value) {
        let mut place = root;
        for step in &self.0 {
            let next = match step {
                Step::Key(key) => Some(table_of(place).entry(key.clone()).or_default()),
                Step::Index(index) => match &mut place.kind {
                    ValueKind::Array(array) => array.get_mut(*index),
                    _ => None,
                },
            };
            let Some(next) = next else { return };
            place = next;
        }
        *place = value;
    }

    /// Takes the value at this place away. `false` where there is none, or it is an entry of a list.
    pub(super) fn remove(&self, root: &mut Value) -> bool {
        let (Some(parent), Some(name)) = (self.parent(), self.name()) else {
            return false;
        };
        let Some(mut around) = parent.get(root).cloned() else {
            return false;
        };
        let removed = table_of(&mut around).remove(name).is_some();
        if removed {
            parent.put(root, around);
        }
        removed
    }
}

/// The table in this value; what is no table becomes an empty one.
fn table_of(value: &mut Value) -> &mut config::Map<String, Value> {
    if !matches!(value.kind, ValueKind::Table(_)) {
        value.kind = ValueKind::Table(config::Map::new());
    }
    match &mut value.kind {
        ValueKind::Table(table) => table,
        _ => unreachable!("it was made a table above"),
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, step) in self.0.iter().enumerate() {
            match step {
                Step::Key(key) if position == 0 => write!(f, "{key}")?,
                Step::Key(key) => write!(f, ".{key}")?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}
