//! What a template may speak of.
//!
//! Invariant: a value is there or not by the kind of its selector alone, so a template that works for one works for all
//! of its kind.

use std::collections::BTreeMap;

use domain::{Command, Operation, Selector, SelectorKind};
use minijinja::Value;

use super::{template::Values, word_of};
use crate::Site;

/// What the templates of calls may speak of; `item` only where a call takes one selector.
pub(super) const NAMES: [&str; 11] = [
    "command",
    "configuration",
    "customer",
    "execution",
    "hosts",
    "item",
    "items",
    "mode",
    "operation",
    "originator",
    "parameters",
];

/// All but `item`.
pub(super) fn values(command: &Command, site: &Site<'_>, items: &[&Selector]) -> Values {
    let configuration = site.configuration;
    let hosts: Vec<_> = configuration
        .hosts
        .iter()
        .map(ToString::to_string)
        .collect();
    let mode = match &command.operation {
        Operation::Purge(mode) => word_of(*mode),
        Operation::Load | Operation::Custom(_) => "",
    };
    let parameters = match &command.operation {
        Operation::Custom(custom) => custom.parameters.clone(),
        Operation::Purge(_) | Operation::Load => BTreeMap::new(),
    };
    let items: Vec<_> = items.iter().map(|selector| item(selector)).collect();
    [
        ("execution", site.execution.to_string().into()),
        ("command", command.id.to_string().into()),
        ("originator", command.originator.to_string().into()),
        ("configuration", configuration.id.to_string().into()),
        ("customer", configuration.customer.to_string().into()),
        ("hosts", hosts.into()),
        ("operation", command.operation.name().into()),
        ("mode", mode.into()),
        ("parameters", parameters.into()),
        ("items", items.into()),
    ]
    .into()
}

/// One selector: its `kind`, its `text`, and what else its kind has: `host`, `path`, `pattern`.
pub(super) fn item(selector: &Selector) -> Value {
    let kind = SelectorKind::of(selector).as_str();
    let mut of = BTreeMap::from([("kind", kind.to_owned())]);
    of.extend(selector.host().map(|host| ("host", host.to_string())));
    let (text, path) = match selector {
        Selector::Url(url) => (url.to_string(), Some(url.path_and_query())),
        Selector::Prefix(part) | Selector::Wildcard(part) => (part.to_string(), Some(part.path())),
        Selector::Regex(regex) => (regex.pattern().to_owned(), None),
        Selector::Tag(tag) => (tag.to_string(), None),
        Selector::Host(host) => (host.to_string(), None),
        Selector::Everything => (kind.to_owned(), None),
    };
    of.insert("text", text);
    of.extend(path.map(|path| ("path", path.to_owned())));
    of.into()
}
