//! What a provider works on for one execution, as the journal keeps it.
//!
//! Invariant: it says all that is needed for asking on after a restart: whose account, by which dialect or document, for which calls;
//! what an older process wrote is read.
//! Not here: asking (`ask`), and when (`jobs`).

use std::sync::Arc;

use amqp::envelope::{MappingDocument, Order};
use domain::{ConfigurationId, DialectName, NativeLimits, ServerId};
use serde::{Deserialize, Serialize};
use service::trace::TraceContext;

use super::{desk::key_of, probing::Later, queue::Takes};
use crate::{
    journal::{Job, now},
    tally::Tally,
};

/// What a provider works on for one execution.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ApiJob {
    /// Whose account.
    pub(super) configuration: ConfigurationId,
    pub(super) dialect: DialectName,
    /// The document that the dialect is from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) mapping: Option<Arc<MappingDocument>>,
    /// What one call holds, as the order was planned with.
    #[serde(default, skip_serializing_if = "NativeLimits::is_empty")]
    pub(super) limits: NativeLimits,
    /// For whom it asks its account.
    #[serde(default)]
    pub(super) flow: String,
    /// In the order in which they began.
    pub(super) jobs: Vec<Running>,
    /// What came of the other calls.
    #[serde(rename = "part")]
    pub(super) tally: Tally,
    /// What is to be looked at when they have ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) later: Option<Later>,
}

/// One of its jobs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Running {
    /// The provider's name for it.
    pub(super) job: String,
    /// Which call of the order began it, from 0.
    pub(super) number: usize,
    pub(super) selectors: Vec<u32>,
    /// Where it was begun, and what is under way with it; with one that several executions share, the same at each. Older journals
    /// have it only where something is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) takes: Option<Takes>,
}

impl Running {
    /// What its account knows it by.
    pub(super) fn key(&self) -> String {
        let scope = self.takes.as_ref().map(|takes| takes.scope.as_str());
        key_of(scope.unwrap_or_default(), &self.job)
    }
}

impl ApiJob {
    /// What the provider calls it.
    pub(super) fn name(&self) -> String {
        let names = self.jobs.iter().map(|running| running.job.as_str());
        names.collect::<Vec<_>>().join(" ")
    }
}

pub(super) fn job_of(
    order: &Order,
    api: ApiJob,
    servers: Vec<ServerId>,
    trace: &TraceContext,
) -> Job {
    Job {
        execution: order.execution.clone(),
        name: api.name(),
        servers,
        operation: order.operation.clone(),
        // Nobody calls back.
        token: String::new(),
        submitted_at: now(),
        traceparent: Some(trace.to_string()),
        tracestate: trace.tracestate().map(str::to_owned),
        absorbed: Vec::new(),
        told: None,
        api: Some(api),
    }
}
