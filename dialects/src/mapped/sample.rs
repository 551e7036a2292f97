//! What templates are tried out with before any command is.
//!
//! Invariant: there is a sample for every kind of selector, and it is as awkward as a selector may be.

use std::sync::Arc;

use domain::{
    Ceiling, Command, Configuration, HostName, NativeLimits, Operation, OperationName, PurgeMode,
    Scope, Selector, SelectorKind, Timestamp, command::WhenImpossible, operation::CustomOperation,
    selector::HostRegex,
};

use minijinja::value::{Object, Value};

use super::{Mapped, Said, items, template::Values};
use crate::Site;

/// What a call may be filled in with: each kind of its selectors, and as many of all as it takes.
pub(super) fn values(call: &Mapped) -> Vec<Values> {
    let operation = match &call.operation {
        Said::Purge(modes) => Operation::Purge(modes.first().copied().unwrap_or(PurgeMode::Delete)),
        Said::Load => Operation::Load,
        Said::Custom(name) => Operation::Custom(CustomOperation {
            name: parsed::<OperationName>(name),
            repeatable: true,
            parameters: [].into(),
        }),
    };
    let kinds = call.selectors.iter();
    let mut groups: Vec<Vec<Selector>> = kinds.map(|kind| vec![selector(*kind)]).collect();
    let mixed = call.selectors.iter().cycle().map(|kind| selector(*kind));
    groups.push(mixed.take(call.items).collect());
    let with_item = call.items == 1;
    groups
        .into_iter()
        .filter(|group| !group.is_empty())
        .map(|group| one(&operation, group, with_item))
        .collect()
}

/// What a poll may be filled in with.
pub(super) fn job() -> Values {
    [("job", "a b/c?d=é\"".into())].into()
}

fn one(operation: &Operation, selectors: Vec<Selector>, with_item: bool) -> Values {
    let command = command(operation.clone(), selectors);
    let selectors: Vec<_> = command.selectors.iter().collect();
    let mut values = at_site(|site| items::values(&command, site, &selectors));
    if let Operation::Custom(_) = operation {
        values.insert("parameters", Value::from_object(AnyParameter));
    }
    if with_item {
        let first = selectors.first();
        values.extend(first.map(|selector| ("item", items::item(selector))));
    }
    values
}

/// A command that nobody gave.
pub(crate) fn command(operation: Operation, selectors: Vec<Selector>) -> Command {
    Command {
        id: parsed("01890a5d-ac96-774b-bcce-b302099a8057"),
        originator: parsed("cdn-a"),
        configuration: parsed("shop"),
        operation,
        selectors,
        scope: Scope::default(),
        ceiling: Ceiling::default(),
        when_impossible: WhenImpossible::default(),
        request_id: None,
        accepted_at: Timestamp::from_millis(0),
        not_before: None,
        verification: None,
        expires_at: None,
        traceparent: None,
        tracestate: None,
    }
}

/// Where it is carried out: a configuration of one host name.
pub(crate) fn at_site<T>(then: impl FnOnce(&Site<'_>) -> T) -> T {
    let configuration = Configuration {
        id: parsed("shop"),
        customer: parsed("acme"),
        owner: parsed("cdn-a"),
        hosts: vec![host()],
        wide_purges_need_approval: None,
    };
    then(&Site {
        execution: &parsed("01890a5d-ac96-774b-bcce-b302099a8057_cdn-b"),
        configuration: &configuration,
        servers: &[],
        limits: &NativeLimits::NONE,
    })
}

/// Parameters are the originator's: whichever a template wants is there.
#[derive(Debug)]
struct AnyParameter;

impl Object for AnyParameter {
    fn get_value(self: &Arc<Self>, _: &Value) -> Option<Value> {
        Some("a \"b\"".into())
    }
}

/// The host name of all samples.
pub(super) fn host() -> HostName {
    parsed("www.example.com")
}

/// A selector of that kind.
pub(super) fn selector(kind: SelectorKind) -> Selector {
    match kind {
        SelectorKind::Url => Selector::Url(parsed("https://www.example.com/a'b%22?c=(d)&e=*")),
        SelectorKind::Prefix => Selector::Prefix(parsed("www.example.com/a'b/")),
        SelectorKind::Wildcard => Selector::Wildcard(parsed("www.example.com/*/a'*.png")),
        SelectorKind::Regex => {
            let host = parsed("www.example.com");
            let regex = HostRegex::new(host, r#"^/"\\?[a-z]{2}é$"#);
            Selector::Regex(regex.expect("it is a regular expression"))
        }
        SelectorKind::Tag => Selector::Tag(parsed(r"a\b'{{c}}%&=")),
        SelectorKind::Host => Selector::Host(parsed("www.example.com")),
        SelectorKind::Everything => Selector::Everything,
    }
}

fn parsed<T: std::str::FromStr>(text: &str) -> T {
    let Ok(parsed) = text.parse() else {
        unreachable!("a sample keeps the rules of what it is a sample of: {text}")
    };
    parsed
}
