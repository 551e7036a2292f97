//! What would be done.

use std::collections::BTreeMap;

use proto::v1::{
    Breadth, Fidelity, FidelityReport, NativeCall, NativeCost, NativeOrder, Plan, PlannedExecution,
};
use serde::Serialize;

use super::{
    draft::{OperationView, SelectorView},
    word::{said, text, word},
};

/// A plan.
#[derive(Debug, Serialize)]
pub(crate) struct PlanView {
    pub(crate) configuration_id: String,
    /// What is to be done; of a native request, what it was read as.
    pub(crate) operation: OperationView,
    pub(crate) selectors: Vec<SelectorView>,
    pub(crate) executions: Vec<PlannedExecutionView>,
    /// What would be looked at afterwards.
    pub(crate) probes: Vec<PlannedProbeView>,
    /// Selectors that none of these stands for, counted from 0.
    pub(crate) unprobed_selectors: Vec<u32>,
    /// Whether it would wait for a second person.
    pub(crate) needs_approval: bool,
    /// Who carries the configuration and would not be told, having no server.
    pub(crate) participants_without_servers: Vec<String>,
}

/// A URL that would be looked at.
#[derive(Debug, Serialize)]
pub(crate) struct PlannedProbeView {
    pub(crate) url: String,
    pub(crate) selectors: Vec<u32>,
}

/// What one participant would be told.
#[derive(Debug, Serialize)]
pub(crate) struct PlannedExecutionView {
    pub(crate) participant_id: String,
    pub(crate) fidelity: FidelityView,
    pub(crate) server_ids: Vec<String>,
    pub(crate) native: Vec<NativeOrderView>,
}

/// How well a participant can say the command.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct FidelityView {
    pub(crate) fidelity: String,
    pub(crate) widened_to: Option<String>,
    pub(crate) why: Option<String>,
}

/// The calls of one dialect.
#[derive(Debug, Serialize)]
pub(crate) struct NativeOrderView {
    pub(crate) dialect: String,
    /// Where the dialect is a mapping of the registry.
    pub(crate) mapping_version: Option<u32>,
    pub(crate) server_ids: Vec<String>,
    pub(crate) calls: Vec<NativeCallView>,
    /// Where the broker says it.
    pub(crate) cost: Option<NativeCostView>,
}

/// What an order takes of what its native system counts.
#[derive(Debug, Serialize)]
pub(crate) struct NativeCostView {
    pub(crate) calls: u64,
    pub(crate) units: BTreeMap<String, u64>,
    /// What may come on top, by what only the adapter knows.
    pub(crate) may_add: Vec<String>,
}

/// One request to a native system.
#[derive(Debug, Serialize)]
pub(crate) struct NativeCallView {
    pub(crate) method: String,
    pub(crate) host: Option<String>,
    pub(crate) path: String,
    pub(crate) headers: Vec<HeaderView>,
    pub(crate) body: Option<String>,
    pub(crate) selectors: Vec<u32>,
}

/// A header of it.
#[derive(Debug, Serialize)]
pub(crate) struct HeaderView {
    pub(crate) name: String,
    pub(crate) value: String,
}

impl PlanView {
    pub(crate) fn new(plan: Plan, participants_without_servers: Vec<String>) -> Self {
        Self {
            participants_without_servers,
            configuration_id: plan.configuration_id,
            operation: plan.operation.and_then(|operation| operation.kind).into(),
            selectors: plan.selectors.into_iter().map(SelectorView::from).collect(),
            needs_approval: plan.needs_approval,
            executions: plan
                .executions
                .into_iter()
                .map(PlannedExecutionView::from)
                .collect(),
            probes: plan
                .probes
                .into_iter()
                .map(|probe| PlannedProbeView {
                    url: probe.url,
                    selectors: probe.selectors,
                })
                .collect(),
            unprobed_selectors: plan.unprobed_selectors,
        }
    }
}

impl From<PlannedExecution> for PlannedExecutionView {
    fn from(planned: PlannedExecution) -> Self {
        Self {
            participant_id: planned.participant_id,
            fidelity: planned.fidelity.unwrap_or_default().into(),
            server_ids: planned.server_ids,
            native: planned
                .native
                .into_iter()
                .map(NativeOrderView::from)
                .collect(),
        }
    }
}

impl From<FidelityReport> for FidelityView {
    fn from(report: FidelityReport) -> Self {
        Self {
            fidelity: word::<Fidelity>(report.fidelity),
            widened_to: said::<Breadth>(report.widened_to),
            why: text(report.why),
        }
    }
}

impl From<NativeOrder> for NativeOrderView {
    fn from(order: NativeOrder) -> Self {
        Self {
            dialect: order.dialect,
            mapping_version: (order.mapping_version != 0).then_some(order.mapping_version),
            server_ids: order.server_ids,
            calls: order.calls.into_iter().map(NativeCallView::from).collect(),
            cost: order.cost.map(NativeCostView::from),
        }
    }
}

impl From<NativeCost> for NativeCostView {
    fn from(cost: NativeCost) -> Self {
        let units = cost.units.into_iter();
        Self {
            calls: cost.calls,
            units: units.map(|one| (one.unit, one.amount)).collect(),
            may_add: cost.may_add,
        }
    }
}

impl From<NativeCall> for NativeCallView {
    fn from(call: NativeCall) -> Self {
        let headers = call.headers.into_iter().map(|header| HeaderView {
            name: header.name,
            value: header.value,
        });
        Self {
            method: call.method,
            host: text(call.host),
            path: call.path,
            headers: headers.collect(),
            body: text(call.body),
            selectors: call.selectors,
        }
    }
}
