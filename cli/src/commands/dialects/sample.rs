//! A command that is told to nobody, as a mapping would say it.
//!
//! Invariant: what is not typed is filled in, and the same every time: the ids, the customer, and a host name where no
//! selector names one.

use std::str::FromStr;

use ::dialects::{
    Site, cost_of_mapped,
    mapped::{CannotMap, Mapping},
};
use domain::{
    BrokenRule, Ceiling, Command, Configuration, Fidelity, Operation, PurgeMode, Scope, Selector,
    Timestamp, command::WhenImpossible, fidelity::Breadth, operation::CustomOperation,
    selector::HostRegex,
};
use proto::v1::{self, CommandDraft, operation, selector};

use crate::{failure::Failure, view::PlanView};

/// Who stands for the participant in the plan.
const PARTICIPANT: &str = "sample";
const CONFIGURATION: &str = "sample";
const HOST: &str = "www.example.com";
const COMMAND: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

/// What the participant would be told.
pub(super) fn plan(mapping: &Mapping, draft: &CommandDraft) -> Result<PlanView, Failure> {
    let command = command(draft)?;
    let configuration = configuration(&command)?;
    let site = Site {
        execution: &parsed("execution", &format!("{COMMAND}_{PARTICIPANT}"))?,
        configuration: &configuration,
        servers: &[],
        limits: &domain::NativeLimits::NONE,
    };
    let (fidelity, calls) = match mapping.translate(&command, &site) {
        Ok(calls) => (mapping.fidelity_of(&command), calls),
        Err(CannotMap { why, .. }) => (Fidelity::Impossible { why }, Vec::new()),
    };
    let native = (!calls.is_empty()).then(|| v1::NativeOrder {
        dialect: mapping.name().to_string(),
        server_ids: vec!["its own system".to_owned()],
        calls: calls.iter().map(call).collect(),
        mapping_version: 0,
        cost: Some(cost(&calls)),
    });
    let execution = v1::PlannedExecution {
        participant_id: PARTICIPANT.to_owned(),
        fidelity: Some(report(&fidelity)),
        server_ids: Vec::new(),
        native: native.into_iter().collect(),
    };
    let plan = v1::Plan {
        configuration_id: configuration.id.to_string(),
        operation: draft.operation.clone(),
        selectors: draft.selectors.clone(),
        executions: vec![execution],
        ..v1::Plan::default()
    };
    Ok(PlanView::new(plan, Vec::new()))
}

/// As the broker counts it.
fn cost(calls: &[domain::NativeCall]) -> v1::NativeCost {
    let cost = cost_of_mapped(calls);
    let units = cost.units.into_iter();
    v1::NativeCost {
        calls: cost.calls.into(),
        units: units
            .map(|(unit, amount)| v1::NativeUnits {
                unit: unit.to_owned(),
                amount,
            })
            .collect(),
        may_add: cost.more.into_iter().map(str::to_owned).collect(),
    }
}

fn command(draft: &CommandDraft) -> Result<Command, Failure> {
    let operation = draft
        .operation
        .as_ref()
        .and_then(|operation| operation.kind.as_ref());
    let operation = match operation {
        Some(operation::Kind::Purge(purge)) => Operation::Purge(match purge.mode() {
            v1::PurgeMode::Unspecified | v1::PurgeMode::Delete => PurgeMode::Delete,
            v1::PurgeMode::Invalidate => PurgeMode::Invalidate,
            v1::PurgeMode::Deferred => PurgeMode::Deferred,
        }),
        Some(operation::Kind::Custom(custom)) => Operation::Custom(CustomOperation {
            name: parsed("OPERATION", &custom.name)?,
            repeatable: false,
            parameters: custom.parameters.clone().into_iter().collect(),
        }),
        Some(operation::Kind::Load(_)) | None => Operation::Load,
    };
    let selectors = draft.selectors.iter().filter_map(|one| one.kind.as_ref());
    let id = match draft.configuration_id.as_str() {
        "" => CONFIGURATION,
        id => id,
    };
    Ok(Command {
        id: parsed("command", COMMAND)?,
        originator: parsed("originator", "originator")?,
        configuration: parsed("CONFIGURATION", id)?,
        operation,
        selectors: selectors.map(selected).collect::<Result<_, _>>()?,
        scope: Scope::default(),
        ceiling: draft.ceiling.map_or_else(Ceiling::default, ceiling),
        when_impossible: WhenImpossible::default(),
        request_id: None,
        accepted_at: Timestamp::from_millis(0),
        not_before: None,
        verification: None,
        expires_at: None,
        traceparent: None,
        tracestate: None,
    })
}

fn selected(kind: &selector::Kind) -> Result<Selector, Failure> {
    Ok(match kind {
        selector::Kind::Url(text) => Selector::Url(parsed("url", text)?),
        selector::Kind::Prefix(text) => Selector::Prefix(parsed("prefix", text)?),
        selector::Kind::Wildcard(text) => Selector::Wildcard(parsed("wildcard", text)?),
        selector::Kind::Tag(text) => Selector::Tag(parsed("tag", text)?),
        selector::Kind::Host(text) => Selector::Host(parsed("host", text)?),
        selector::Kind::Everything(_) => Selector::Everything,
        selector::Kind::Regex(regex) => {
            let host = parsed("regex", &regex.host)?;
            let read = HostRegex::new(host, &regex.pattern);
            Selector::Regex(read.map_err(|rule| broken("regex", &regex.pattern, &rule))?)
        }
    })
}

fn ceiling(ceiling: v1::Ceiling) -> Ceiling {
    let widest = match ceiling.widest() {
        v1::Breadth::Exact => None,
        v1::Breadth::Operation => Some(Breadth::Operation),
        v1::Breadth::Host => Some(Breadth::Host),
        v1::Breadth::Unspecified | v1::Breadth::Configuration => Some(Breadth::Configuration),
    };
    Ceiling {
        widest,
        narrowed: ceiling.allow_narrowed,
    }
}

fn configuration(command: &Command) -> Result<Configuration, Failure> {
    let mut hosts: Vec<_> = command
        .selectors
        .iter()
        .filter_map(Selector::host)
        .cloned()
        .collect();
    hosts.sort_unstable();
    hosts.dedup();
    if hosts.is_empty() {
        hosts.push(parsed("host", HOST)?);
    }
    Ok(Configuration {
        id: command.configuration.clone(),
        customer: parsed("customer", "customer")?,
        owner: command.originator.clone(),
        hosts,
        wide_purges_need_approval: None,
    })
}

fn call(call: &domain::NativeCall) -> v1::NativeCall {
    let header = |(name, value): &(String, String)| v1::NativeHeader {
        name: name.clone(),
        value: value.clone(),
    };
    v1::NativeCall {
        method: call.method.clone(),
        host: call.host.clone().unwrap_or_default(),
        path: call.path.clone(),
        headers: call.headers.iter().map(header).collect(),
        body: call.body.clone().unwrap_or_default(),
        selectors: call.selectors.clone(),
    }
}

fn report(fidelity: &Fidelity) -> v1::FidelityReport {
    let widened = |to| match to {
        Breadth::Operation => v1::Breadth::Operation,
        Breadth::Host => v1::Breadth::Host,
        Breadth::Configuration => v1::Breadth::Configuration,
    };
    let (word, to) = match fidelity {
        Fidelity::Exact => (v1::Fidelity::Exact, v1::Breadth::Unspecified),
        Fidelity::Widened { to, .. } => (v1::Fidelity::Widened, widened(*to)),
        Fidelity::Narrowed { .. } => (v1::Fidelity::Narrowed, v1::Breadth::Unspecified),
        Fidelity::Impossible { .. } => (v1::Fidelity::Impossible, v1::Breadth::Unspecified),
    };
    v1::FidelityReport {
        fidelity: word.into(),
        widened_to: to.into(),
        why: fidelity.why().unwrap_or_default().to_owned(),
    }
}

fn parsed<T: FromStr<Err = BrokenRule>>(what: &str, text: &str) -> Result<T, Failure> {
    text.parse().map_err(|rule| broken(what, text, &rule))
}

fn broken(what: &str, text: &str, rule: &BrokenRule) -> Failure {
    Failure::Usage(format!("{what} {text}: {rule}"))
}
