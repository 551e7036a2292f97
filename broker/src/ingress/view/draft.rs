//! What was asked for, in the words in which it is submitted.

use domain::{Command, Operation, PurgeMode, Scope, Selector, command::WhenImpossible};
use proto::v1;

use super::{breadth, proof, timestamp};

/// The command in the words of whoever submits one.
pub(super) fn draft(command: &Command) -> v1::CommandDraft {
    v1::CommandDraft {
        configuration_id: command.configuration.to_string(),
        operation: Some(operation(&command.operation)),
        selectors: selectors(command),
        scope: Some(v1::Scope {
            kind: Some(scope(&command.scope)),
        }),
        ceiling: Some(v1::Ceiling {
            widest: command
                .ceiling
                .widest
                .map_or(v1::Breadth::Exact, breadth)
                .into(),
            allow_narrowed: command.ceiling.narrowed,
        }),
        when_impossible: match command.when_impossible {
            WhenImpossible::Skip => v1::WhenImpossible::Skip,
            WhenImpossible::Refuse => v1::WhenImpossible::Refuse,
        }
        .into(),
        not_before: command.not_before.map(timestamp),
        expire_time: command.expires_at.map(timestamp),
        // Read as what it means when it came in.
        native: None,
        verify: command.verification.is_some(),
        probe_urls: proof::probe_urls(command),
    }
}

/// What is to be done.
pub(super) fn operation(operation: &Operation) -> v1::Operation {
    use v1::operation::Kind;
    let kind = match operation {
        Operation::Purge(mode) => {
            let mode = match mode {
                PurgeMode::Delete => v1::PurgeMode::Delete,
                PurgeMode::Invalidate => v1::PurgeMode::Invalidate,
                PurgeMode::Deferred => v1::PurgeMode::Deferred,
            };
            Kind::Purge(v1::Purge { mode: mode.into() })
        }
        Operation::Load => Kind::Load(v1::Load {}),
        Operation::Custom(custom) => Kind::Custom(v1::CustomOperation {
            name: custom.name.to_string(),
            parameters: custom.parameters.clone().into_iter().collect(),
        }),
    };
    v1::Operation { kind: Some(kind) }
}

/// With which of it.
pub(super) fn selectors(command: &Command) -> Vec<v1::Selector> {
    command.selectors.iter().map(selector).collect()
}

fn selector(selector: &Selector) -> v1::Selector {
    use v1::selector::Kind;
    let kind = match selector {
        Selector::Url(url) => Kind::Url(url.to_string()),
        Selector::Prefix(part) => Kind::Prefix(part.to_string()),
        Selector::Wildcard(part) => Kind::Wildcard(part.to_string()),
        Selector::Regex(regex) => Kind::Regex(v1::HostRegex {
            host: regex.host.to_string(),
            pattern: regex.pattern().to_owned(),
        }),
        Selector::Tag(tag) => Kind::Tag(tag.to_string()),
        Selector::Host(host) => Kind::Host(host.to_string()),
        Selector::Everything => Kind::Everything(v1::Everything {}),
    };
    v1::Selector { kind: Some(kind) }
}

fn scope(scope: &Scope) -> v1::scope::Kind {
    use v1::scope::Kind;
    match scope {
        Scope::Everywhere => Kind::Everywhere(v1::Everywhere {}),
        Scope::Foreign => Kind::Foreign(v1::Foreign {}),
        Scope::Participants(ids) => Kind::Participants(v1::Ids {
            ids: ids.iter().map(ToString::to_string).collect(),
        }),
        Scope::Servers(ids) => Kind::Servers(v1::Ids {
            ids: ids.iter().map(ToString::to_string).collect(),
        }),
        Scope::Places(places) => Kind::Places(v1::Places {
            places: places.iter().map(crate::ingress::records::place).collect(),
        }),
    }
}
