//! Reading a tree field by field, and collecting what is wrong with it.
//!
//! Invariant: a mistake never hides another one that stands beside it.

use std::fmt;

use super::tree::{Node, Tree};

/// Something in a document that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// The line, counted from 1.
    pub line: u64,
    /// Which field, `calls[0].path`; empty for the document as a whole.
    pub field: String,
    /// The rule that it breaks.
    pub rule: String,
}

impl Mistake {
    pub(super) fn new(line: u64, field: &str, rule: &str) -> Self {
        let (field, rule) = (field.to_owned(), rule.to_owned());
        Self { line, field, rule }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: ", self.line)?;
        if !self.field.is_empty() {
            write!(f, "{} ", self.field)?;
        }
        f.write_str(&self.rule)
    }
}

/// Collects mistakes.
#[derive(Debug)]
pub(super) struct Reader {
    /// Whether the document is to be kept from now on, and not kept already: rules that came later count for it.
    pub(super) is_new: bool,
    mistakes: Vec<Mistake>,
}

/// A node with its place in the document.
#[derive(Debug, Clone)]
pub(super) struct Field<'n> {
    pub(super) node: &'n Node,
    pub(super) place: String,
}

/// The members of a map.
#[derive(Debug)]
pub(super) struct Members<'n>(Field<'n>);

impl Reader {
    /// Has seen nothing wrong yet.
    pub(super) const fn new(is_new: bool) -> Self {
        Self {
            is_new,
            mistakes: Vec::new(),
        }
    }

    /// What was wrong, by line.
    pub(super) fn finish(mut self) -> Vec<Mistake> {
        self.mistakes
            .sort_by(|one, other| (one.line, &one.field).cmp(&(other.line, &other.field)));
        self.mistakes
    }

    /// Notes that a field breaks a rule.
    pub(super) fn wrong(&mut self, field: &Field<'_>, rule: &str) {
        self.mistakes
            .push(Mistake::new(field.node.line, &field.place, rule));
    }

    /// A map whose keys are all known.
    pub(super) fn members<'n>(&mut self, field: Field<'n>, known: &[&str]) -> Option<Members<'n>> {
        let Tree::Map(entries) = &field.node.tree else {
            self.wrong(&field, "must be a map");
            return None;
        };
        for (key, _) in entries {
            if !known.contains(&key.name.as_str()) {
                let place = place_of(&field, &key.name);
                let rule = format!("is not known here; known are {}", known.join(", "));
                self.mistakes.push(Mistake::new(key.line, &place, &rule));
            }
        }
        Some(Members(field))
    }

    /// The member of that name.
    pub(super) fn required<'n>(&mut self, members: &Members<'n>, name: &str) -> Option<Field<'n>> {
        let found = members.get(name);
        if found.is_none() {
            let place = place_of(&members.0, name);
            self.mistakes
                .push(Mistake::new(members.0.node.line, &place, "must be given"));
        }
        found
    }

    /// The elements of a list that has 1 to `most`.
    pub(super) fn list<'n>(&mut self, field: &Field<'n>, most: usize) -> Vec<Field<'n>> {
        let Tree::List(nodes) = &field.node.tree else {
            self.wrong(field, "must be a list");
            return Vec::new();
        };
        if !(1..=most).contains(&nodes.len()) {
            self.wrong(field, &format!("must have 1 to {most} entries"));
            return Vec::new();
        }
        let numbered = nodes.iter().enumerate();
        numbered
            .map(|(index, node)| Field {
                node,
                place: format!("{}[{index}]", field.place),
            })
            .collect()
    }

    /// The members of a map whose keys are free.
    pub(super) fn pairs<'n>(&mut self, field: &Field<'n>) -> Vec<(&'n str, Field<'n>)> {
        let Tree::Map(entries) = &field.node.tree else {
            self.wrong(field, "must be a map");
            return Vec::new();
        };
        let entries = entries.iter();
        entries
            .map(|(key, node)| {
                let place = place_of(field, &key.name);
                (key.name.as_str(), Field { node, place })
            })
            .collect()
    }

    /// Text; a number counts as its digits.
    pub(super) fn text(&mut self, field: &Field<'_>) -> Option<String> {
        match &field.node.tree {
            Tree::Text(text) => Some(text.clone()),
            Tree::Number(number) => Some(number.to_string()),
            Tree::Bool(value) => Some(value.to_string()),
            Tree::Null | Tree::List(_) | Tree::Map(_) => {
                self.wrong(field, "must be text");
                None
            }
        }
    }

    /// A whole number from 1 to `most`.
    pub(super) fn number(&mut self, field: &Field<'_>, most: usize) -> Option<usize> {
        let number = match &field.node.tree {
            Tree::Number(number) => usize::try_from(*number).ok(),
            _ => None,
        };
        let number = number.filter(|number| (1..=most).contains(number));
        if number.is_none() {
            let rule = match most {
                1 => "must be 1".to_owned(),
                _ => format!("must be a whole number from 1 to {most}"),
            };
            self.wrong(field, &rule);
        }
        number
    }

    /// One of these words.
    pub(super) fn word<T: Copy>(&mut self, field: &Field<'_>, words: &[(&str, T)]) -> Option<T> {
        let text = self.text(field)?;
        let found = words.iter().find(|(word, _)| *word == text);
        if found.is_none() {
            let all: Vec<_> = words.iter().map(|(word, _)| *word).collect();
            self.wrong(field, &format!("must be one of {}", all.join(", ")));
        }
        found.map(|(_, meant)| *meant)
    }
}

impl<'n> Members<'n> {
    /// The member of that name, if it is there.
    pub(super) fn get(&self, name: &str) -> Option<Field<'n>> {
        let Tree::Map(entries) = &self.0.node.tree else {
            return None;
        };
        let (_, node) = entries.iter().find(|(key, _)| key.name == name)?;
        let place = place_of(&self.0, name);
        Some(Field { node, place })
    }

    /// The map itself.
    pub(super) fn whole(&self) -> &Field<'n> {
        &self.0
    }
}

fn place_of(field: &Field<'_>, name: &str) -> String {
    if field.place.is_empty() {
        name.to_owned()
    } else {
        format!("{}.{name}", field.place)
    }
}
