//! What was asked.

use std::collections::BTreeMap;

use proto::v1::{
    Breadth, CommandDraft, PurgeMode, Selector, WhenImpossible, operation, scope, selector,
};
use serde::Serialize;

use super::{
    registry::PlaceView,
    word::{text, word},
};
use crate::words;

/// A draft.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct DraftView {
    pub(crate) configuration_id: Option<String>,
    pub(crate) operation: OperationView,
    pub(crate) selectors: Vec<SelectorView>,
    pub(crate) scope: ScopeView,
    pub(crate) ceiling: Option<CeilingView>,
    pub(crate) when_impossible: String,
    pub(crate) not_before: Option<String>,
    pub(crate) expire_time: Option<String>,
    /// Whether somebody looks afterwards, and at which URLs besides those of the selectors.
    pub(crate) verify: bool,
    pub(crate) probe_urls: Vec<String>,
}

/// What is to be done.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum OperationView {
    Purge {
        mode: String,
    },
    Load,
    Custom {
        name: String,
        parameters: BTreeMap<String, String>,
    },
    /// What a native request asks.
    Native {
        dialect: String,
    },
    Unrecognized,
}

/// With which content.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum SelectorView {
    Url { url: String },
    Prefix { prefix: String },
    Wildcard { wildcard: String },
    Regex { host: String, pattern: String },
    Tag { tag: String },
    Host { host: String },
    Everything,
    Unrecognized,
}

/// On which servers.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum ScopeView {
    Everywhere,
    Foreign,
    Participants { ids: Vec<String> },
    Servers { ids: Vec<String> },
    Places { places: Vec<PlaceView> },
}

/// How far a participant may stray.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct CeilingView {
    pub(crate) widest: String,
    pub(crate) allow_narrowed: bool,
}

impl From<CommandDraft> for DraftView {
    fn from(draft: CommandDraft) -> Self {
        let ceiling = draft.ceiling.map(|ceiling| CeilingView {
            widest: word::<Breadth>(ceiling.widest),
            allow_narrowed: ceiling.allow_narrowed,
        });
        Self {
            configuration_id: text(draft.configuration_id),
            operation: match draft.native {
                Some(native) => OperationView::Native {
                    dialect: native.dialect,
                },
                None => OperationView::from(draft.operation.and_then(|operation| operation.kind)),
            },
            selectors: draft
                .selectors
                .into_iter()
                .map(SelectorView::from)
                .collect(),
            scope: ScopeView::from(draft.scope.and_then(|scope| scope.kind)),
            ceiling,
            when_impossible: word::<WhenImpossible>(draft.when_impossible),
            not_before: draft.not_before.as_ref().and_then(words::rfc3339),
            expire_time: draft.expire_time.as_ref().and_then(words::rfc3339),
            verify: draft.verify,
            probe_urls: draft.probe_urls,
        }
    }
}

impl From<Option<operation::Kind>> for OperationView {
    fn from(kind: Option<operation::Kind>) -> Self {
        match kind {
            Some(operation::Kind::Purge(purge)) => Self::Purge {
                mode: word::<PurgeMode>(purge.mode),
            },
            Some(operation::Kind::Load(_)) => Self::Load,
            Some(operation::Kind::Custom(custom)) => Self::Custom {
                name: custom.name,
                parameters: custom.parameters.into_iter().collect(),
            },
            None => Self::Unrecognized,
        }
    }
}

impl From<Selector> for SelectorView {
    fn from(selector: Selector) -> Self {
        match selector.kind {
            Some(selector::Kind::Url(url)) => Self::Url { url },
            Some(selector::Kind::Prefix(prefix)) => Self::Prefix { prefix },
            Some(selector::Kind::Wildcard(wildcard)) => Self::Wildcard { wildcard },
            Some(selector::Kind::Regex(regex)) => Self::Regex {
                host: regex.host,
                pattern: regex.pattern,
            },
            Some(selector::Kind::Tag(tag)) => Self::Tag { tag },
            Some(selector::Kind::Host(host)) => Self::Host { host },
            Some(selector::Kind::Everything(_)) => Self::Everything,
            None => Self::Unrecognized,
        }
    }
}

impl From<Option<scope::Kind>> for ScopeView {
    fn from(kind: Option<scope::Kind>) -> Self {
        match kind {
            None | Some(scope::Kind::Everywhere(_)) => Self::Everywhere,
            Some(scope::Kind::Foreign(_)) => Self::Foreign,
            Some(scope::Kind::Participants(ids)) => Self::Participants { ids: ids.ids },
            Some(scope::Kind::Servers(ids)) => Self::Servers { ids: ids.ids },
            Some(scope::Kind::Places(places)) => Self::Places {
                places: places.places.into_iter().map(PlaceView::from).collect(),
            },
        }
    }
}

/// A selector for people.
pub(crate) fn text_of(selector: &SelectorView) -> String {
    match selector {
        SelectorView::Url { url } => url.clone(),
        SelectorView::Prefix { prefix } => format!("{prefix}…"),
        SelectorView::Wildcard { wildcard } => wildcard.clone(),
        SelectorView::Regex { host, pattern } => format!("{host} ~ {pattern}"),
        SelectorView::Tag { tag } => format!("tag {tag}"),
        SelectorView::Host { host } => format!("host {host}"),
        SelectorView::Everything => "everything".to_owned(),
        SelectorView::Unrecognized => "a selector that this fedctl does not know".to_owned(),
    }
}
