//! A YAML document as a tree that knows its lines.
//!
//! Invariant: nothing of the document is lost or read as something else; what it means is for `reader` to say.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};
use serde_saphyr::Spanned;

use super::{DOCUMENT_BYTES, Mistake};

/// A node.
#[derive(Debug)]
pub(super) struct Node {
    /// Its line, counted from 1.
    pub(super) line: u64,
    /// What stands there.
    pub(super) tree: Tree,
}

/// What stands at a node.
#[derive(Debug)]
pub(super) enum Tree {
    /// Nothing.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number that is not negative.
    Number(u64),
    /// Text, and any other scalar.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// A map, in its order.
    Map(Vec<(Key, Node)>),
}

/// A key of a map.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) line: u64,
    pub(super) name: String,
}

/// Reads a document.
pub(super) fn parse(document: &str) -> Result<Node, Mistake> {
    if document.len() > DOCUMENT_BYTES {
        let rule = format!("a mapping must be at most {DOCUMENT_BYTES} bytes");
        return Err(Mistake::new(1, "", &rule));
    }
    serde_saphyr::from_str(document).map_err(|error| {
        let line = error.location().map_or(1, |location| location.line());
        let words = error.without_snippet().to_string();
        Mistake::new(line, "", words.lines().next().unwrap_or_default())
    })
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Tree>::deserialize(deserializer)?;
        Ok(Self {
            line: spanned.referenced.line(),
            tree: spanned.value,
        })
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Anything)
    }
}

struct Anything;

impl<'de> Visitor<'de> for Anything {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a scalar, a list or a map")
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Tree, E> {
        Ok(Tree::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Tree, E> {
        Ok(Tree::Number(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Tree, E> {
        Ok(u64::try_from(value).map_or_else(|_| Tree::Text(value.to_string()), Tree::Number))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Tree, E> {
        Ok(Tree::Text(value.to_string()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Tree, E> {
        Ok(Tree::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Tree, A::Error> {
        let mut nodes = Vec::new();
        while let Some(node) = list.next_element()? {
            nodes.push(node);
        }
        Ok(Tree::List(nodes))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tree, A::Error> {
        let mut entries = Vec::new();
        while let Some((key, node)) = map.next_entry::<Spanned<String>, Node>()? {
            let line = key.referenced.line();
            entries.push((
                Key {
                    line,
                    name: key.value,
                },
                node,
            ));
        }
        Ok(Tree::Map(entries))
    }
}
