//! Dialects from documents.

use dialects::mapped;
use proto::v1::Mapping;
use serde::Serialize;

use super::word::text;
use crate::words;

/// A mapping in the registry.
#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct MappingView {
    pub(crate) name: String,
    pub(crate) version: u32,
    pub(crate) put_time: Option<String>,
    /// Where one was asked for.
    pub(crate) document: Option<String>,
}

/// What a check of a document came to.
#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct CheckedView {
    /// `null` where there are mistakes.
    pub(crate) name: Option<String>,
    pub(crate) mistakes: Vec<MistakeView>,
    /// What is good, and perhaps not meant: a method that may be a slip, what `fedctl native` cannot be given.
    pub(crate) notes: Vec<MistakeView>,
}

/// One mistake of a document.
#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct MistakeView {
    pub(crate) line: u64,
    /// `null` for the document as a whole.
    pub(crate) field: Option<String>,
    pub(crate) rule: String,
}

impl From<Mapping> for MappingView {
    fn from(mapping: Mapping) -> Self {
        Self {
            name: mapping.name,
            version: mapping.version,
            put_time: mapping.put_time.as_ref().and_then(words::rfc3339),
            document: text(mapping.document),
        }
    }
}

impl CheckedView {
    /// Nothing is wrong.
    pub(crate) fn good(mapping: &mapped::Mapping) -> Self {
        Self {
            name: Some(mapping.name().to_string()),
            mistakes: Vec::new(),
            notes: views(&mapping.notes()),
        }
    }

    /// This is wrong.
    pub(crate) fn bad(mistakes: &[mapped::Mistake]) -> Self {
        Self {
            name: None,
            mistakes: views(mistakes),
            notes: Vec::new(),
        }
    }
}

fn views(mistakes: &[mapped::Mistake]) -> Vec<MistakeView> {
    let view = |mistake: &mapped::Mistake| MistakeView {
        line: mistake.line,
        field: text(mistake.field.clone()),
        rule: mistake.rule.clone(),
    };
    mistakes.iter().map(view).collect()
}
