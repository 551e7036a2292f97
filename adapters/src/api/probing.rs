//! Looking afterwards at edges of a provider, as far as the adapter's configuration names any.
//!
//! Invariant: an edge is an address that the adapter's configuration allows, asked by plain HTTP for the command's own host
//! names. What it shows holds for the account, so for every server of the execution.

use std::time::Instant;

use amqp::envelope::Order;
use dialects::Verdict;
use domain::{
    Fault, NativeCall, Probes, Proof, ServerId, Timestamp, participant::ServerAddress,
    proof::Sighting,
};
use serde::{Deserialize, Serialize};

use super::{Api, Telling};
use crate::{
    attempt::End,
    caches::Surroundings,
    part::Part,
    verify::{Case, Ground, Spot, look_at},
};

/// What is to be looked at when a provider's jobs have ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Later {
    server: ServerId,
    probes: Probes,
    edges: Vec<ServerAddress>,
    seen: Vec<Option<Sighting>>,
    began: Timestamp,
}

/// The edges of an account, while or after an order is told.
pub(super) struct AtEdges<'a> {
    pub(super) api: &'a Api,
    pub(super) telling: &'a Telling<'a>,
    /// What can be told again; nothing once it runs as a job.
    pub(super) order: Option<&'a Order>,
    pub(super) around: &'a dyn Surroundings,
}

impl AtEdges<'_> {
    /// What is to be looked at, with what is there before the command; `None` where nobody asked or nobody can.
    pub(super) async fn case<'p>(
        &self,
        server: &'p ServerId,
        probes: Option<&'p Probes>,
        part: &mut Part,
    ) -> Option<Case<'p>> {
        let probes = probes?;
        let edges = self.telling.account.edges();
        if edges.is_empty() {
            let why = "the adapter's configuration names no edge of the provider to look at (`api.probe`)";
            part.prove(Proof::unprobed(why));
            return None;
        }
        let mut case = Case::new(server, probes, edges, self.api.probes);
        case.look_before(self).await;
        Some(case)
    }

    /// The same for when the jobs have ended.
    pub(super) fn later(&self, case: &Case<'_>, server: &ServerId, probes: &Probes) -> Later {
        Later {
            server: server.clone(),
            probes: probes.clone(),
            edges: self.telling.account.edges().to_vec(),
            seen: case.seen(),
            began: case.began(),
        }
    }

    async fn tell(&self, order: &Order, selectors: &[u32], part: &mut Part) -> Option<()> {
        let meant = |call: &NativeCall| call.selectors.iter().any(|own| selectors.contains(own));
        let calls = order.native.iter().flat_map(|native| &native.calls);
        let calls = calls.enumerate().filter(|(_, call)| meant(call));
        let calls: Vec<_> = calls.collect();
        for (number, call) in calls {
            let made = (number, call, order.repeatable);
            let end = self.api.call(self.telling, made, self.around, part).await?;
            // Its end is not waited for: looking shows what it did.
            if matches!(end, End::Judged(Verdict::Running { .. })) {
                continue;
            }
            if !part.take(&call.selectors, end) {
                break;
            }
        }
        Some(())
    }
}

impl Later {
    /// The case as it was before the command.
    pub(super) fn case<'p>(&'p self, api: &Api) -> Case<'p> {
        let mut case = Case::new(&self.server, &self.probes, &self.edges, api.probes);
        case.remember(self.seen.clone(), self.began);
        case
    }
}

impl Ground for AtEdges<'_> {
    async fn look(&self, spot: &Spot) -> Result<Sighting, Fault> {
        let api = self.api;
        let edge = spot.at.as_ref().unwrap_or(&api.address);
        look_at(&api.http, &api.addresses, edge, &spot.url, api.probes).await
    }

    async fn tell_again(&self, selectors: &[u32], part: &mut Part) -> Option<bool> {
        let Some(order) = self.order else {
            return Some(false);
        };
        self.tell(order, selectors, part).await?;
        Some(true)
    }

    fn is_current(&self) -> bool {
        self.around.is_current()
    }

    fn until(&self) -> Instant {
        self.telling.until
    }
}
