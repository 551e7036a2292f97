//! Looking afterwards at edges of a provider, as far as the adapter's configuration names any.
//!
//! Invariant: an edge is an address that the adapter's configuration allows, asked for the command's own host names. What it
//! shows holds for the account, so for every server of the execution. What is told again has keys of its own against
//! repetitions, which stay the same over a crash: a provider that knows them would do nothing otherwise, or do it twice.

use std::{collections::BTreeSet, time::Instant};

use amqp::envelope::Order;
use domain::{
    Fault, NativeCall, Probes, Proof, ServerId, Timestamp,
    fault::{Again, FaultCode},
    proof::Sighting,
};
use serde::{Deserialize, Serialize};

use super::{Api, Running, Telling};
use crate::{
    caches::Surroundings,
    tally::Tally,
    verify::{Case, Edge, Ground, Retold, SoFar, Spot},
};

/// What is to be looked at when a provider's jobs have ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Later {
    server: ServerId,
    probes: Probes,
    edges: Vec<Edge>,
    seen: Vec<Option<Sighting>>,
    began: Timestamp,
    #[serde(default)]
    so_far: SoFar,
    #[serde(default)]
    calls: Calls,
}

/// What can be told again. Older journals hold nothing of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Calls {
    /// Of the whole order, which numbers them.
    count: usize,
    /// Those of selectors that are looked at, with their numbers.
    looked_at: Vec<(usize, NativeCall)>,
}

impl Calls {
    /// Those of the order that a look may ask for again: nothing where it may not be repeated.
    pub(super) fn of(order: &Order) -> Self {
        let probes = order.probes.iter().flat_map(|probes| &probes.probes);
        let looked_at: BTreeSet<u32> = probes.flat_map(|probe| probe.selectors.clone()).collect();
        let calls = order.native.iter().flat_map(|native| &native.calls);
        let is_meant = |call: &NativeCall| {
            order.repeatable && call.selectors.iter().any(|own| looked_at.contains(own))
        };
        let meant = calls.clone().enumerate().filter(|(_, call)| is_meant(call));
        Self {
            count: calls.clone().count(),
            looked_at: meant.map(|(number, call)| (number, call.clone())).collect(),
        }
    }
}

/// The edges of an account, while or after an order is told.
pub(super) struct AtEdges<'a> {
    pub(super) api: &'a Api,
    pub(super) telling: &'a Telling<'a>,
    pub(super) calls: &'a Calls,
    pub(super) around: &'a dyn Surroundings,
}

impl AtEdges<'_> {
    /// What is to be looked at, with what is there before the command; `None` where nobody asked or nobody can.
    pub(super) async fn case<'p>(
        &self,
        server: &'p ServerId,
        probes: Option<&'p Probes>,
        tally: &mut Tally,
    ) -> Option<Case<'p>> {
        let probes = probes?;
        let edges = self.telling.account.edges();
        if edges.is_empty() {
            let why = "the adapter's configuration names no edge of the provider to look at (`api.probe`)";
            tally.prove(Proof::unprobed(why));
            return None;
        }
        let mut case = Case::new(server, probes, edges, self.api.edges.limits());
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
            so_far: case.so_far(),
            calls: self.calls.clone(),
        }
    }

    /// Makes the calls for these selectors, each with a number that no call before had. What runs afterwards.
    async fn tell(&self, selectors: &[u32], round: u32, tally: &mut Tally) -> Option<Vec<Running>> {
        let meant = |call: &NativeCall| call.selectors.iter().any(|own| selectors.contains(own));
        let calls = self.calls.looked_at.iter().filter(|(_, call)| meant(call));
        let before = usize::try_from(round).unwrap_or_default() * self.calls.count;
        let calls: Vec<_> = calls.collect();
        let mut begun = self.api.begun();
        for (number, call) in calls {
            let made = (before + number, call, true);
            let beside = (&mut begun, &mut *tally);
            let ends = self
                .api
                .call_beside(self.telling, made, self.around, beside)
                .await?;
            if !begun.take(made, ends, tally) {
                break;
            }
        }
        Some(begun.into_jobs())
    }
}

impl Later {
    /// The case as it was before the command.
    pub(super) fn case<'p>(&'p self, api: &Api) -> Case<'p> {
        let limits = api.edges.limits();
        let mut case = Case::new(&self.server, &self.probes, &self.edges, limits);
        case.remember(self.seen.clone(), self.began, self.so_far);
        case
    }

    /// The same after it was told again.
    pub(super) fn after(&self, case: &Case<'_>) -> Self {
        Self {
            seen: case.seen(),
            began: case.began(),
            so_far: case.so_far(),
            ..self.clone()
        }
    }

    /// What can be told again.
    pub(super) fn calls(&self) -> &Calls {
        &self.calls
    }
}

impl Ground for AtEdges<'_> {
    type Job = Running;

    async fn look(&self, spot: &Spot) -> Result<Sighting, Fault> {
        match &spot.at {
            Some(edge) => self.api.edges.look(edge, &spot.url).await,
            None => Err(nowhere()),
        }
    }

    async fn tell_again(
        &self,
        selectors: &[u32],
        round: u32,
        tally: &mut Tally,
    ) -> Option<Retold<Running>> {
        if self.calls.looked_at.is_empty() {
            return Some(Retold::Cannot);
        }
        let jobs = self.tell(selectors, round, tally).await?;
        Some(if jobs.is_empty() {
            Retold::Done
        } else {
            Retold::Runs(jobs)
        })
    }

    fn is_current(&self) -> bool {
        self.around.is_current()
    }

    fn until(&self) -> Instant {
        self.telling.until
    }
}

/// A case without an edge is never made.
fn nowhere() -> Fault {
    let message = "there is no edge to look at";
    Fault::participant(FaultCode::NotConfigured, Again::Never, message)
}
