//! What would be done: per participant the fidelity, the servers, the native calls and what they cost.

use amqp::envelope::NativeOrder;
use dialects::{Cost, Counterpart, cost_of, cost_of_mapped, vendor::budget::LOOKED_AT};
use domain::{NativeCall, Probes, verification::Expect};
use proto::v1;

use super::{draft, fidelity, proof};
use crate::translate::{Planned, PlannedExecution};

/// A plan.
pub(in crate::ingress) fn plan(planned: &Planned) -> v1::Plan {
    let probes = Probes::of(&planned.command);
    let told_again =
        probes.is_some_and(|probes| probes.expect != Expect::Held && !probes.probes.is_empty());
    let executions = planned.executions.iter();
    v1::Plan {
        configuration_id: planned.command.configuration.to_string(),
        executions: executions
            .map(|execution| planned_execution(execution, told_again))
            .collect(),
        needs_approval: planned.approve_until.is_some(),
        operation: Some(draft::operation(&planned.command.operation)),
        selectors: draft::selectors(&planned.command),
        ..proof::looked_at(&planned.command)
    }
}

fn planned_execution(execution: &PlannedExecution, told_again: bool) -> v1::PlannedExecution {
    let native = execution.native.iter().map(|order| v1::NativeOrder {
        dialect: order.dialect.to_string(),
        server_ids: order
            .servers
            .iter()
            .map(|server| server.id.to_string())
            .collect(),
        calls: order.calls.iter().map(native_call).collect(),
        mapping_version: order.mapping.unwrap_or_default(),
        cost: Some(cost(order, told_again)),
    });
    v1::PlannedExecution {
        participant_id: execution.participant.to_string(),
        fidelity: Some(fidelity(&execution.fidelity)),
        server_ids: execution
            .servers
            .iter()
            .map(|server| server.id.to_string())
            .collect(),
        native: native.collect(),
    }
}

/// A cache is called by itself, everybody else once for all servers. What is looked at may be told again.
fn cost(order: &NativeOrder, told_again: bool) -> v1::NativeCost {
    let dialect = dialects::by_name(&order.dialect).filter(|_| order.mapping.is_none());
    let cost = match dialect {
        Some(dialect) => cost_of(dialect, &order.calls),
        None => cost_of_mapped(&order.calls),
    };
    let to_each = dialect.is_some_and(|dialect| dialect.counterpart() == Counterpart::Server);
    let times = if to_each { order.servers.len() } else { 1 };
    let Cost { calls, units, more } = cost;
    let more = more.into_iter().chain(told_again.then_some(LOOKED_AT));
    v1::NativeCost {
        calls: u64::from(calls).saturating_mul(u64::try_from(times).unwrap_or(u64::MAX)),
        may_add: more.map(str::to_owned).collect(),
        units: units
            .into_iter()
            .map(|(unit, amount)| v1::NativeUnits {
                unit: unit.to_owned(),
                amount,
            })
            .collect(),
    }
}

fn native_call(call: &NativeCall) -> v1::NativeCall {
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
