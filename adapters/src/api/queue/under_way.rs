//! What a provider works on, as far as it limits that.
//!
//! Invariant: what was begun counts until it has ended, over restarts too, or until nobody asks after it any more: what it did is
//! not heard then. What alone is more than the operator's own limit is
//! refused; what alone is more than is known of most accounts goes alone, since the order was planned for this one.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use dialects::Draw;
use domain::{
    Fault,
    fault::{Again, FaultCode},
};
use serde::{Deserialize, Serialize};

/// Where a call was made, and what is under way with it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Takes {
    pub(in crate::api) scope: String,
    pub(in crate::api) units: BTreeMap<String, u32>,
}

/// What is under way, by who holds it.
#[derive(Debug, Default)]
pub(in crate::api) struct UnderWay {
    limits: BTreeMap<String, u32>,
    /// Those of them that the operator has set.
    own: BTreeSet<String>,
    held: HashMap<String, Held>,
    sums: Sums,
}

/// What all of it comes to, by scope and unit.
#[derive(Debug, Default)]
struct Sums(HashMap<String, BTreeMap<String, u64>>);

#[derive(Debug, Default)]
struct Held {
    takes: Takes,
    /// Executions that ask after it, where it is a job: one call may serve several.
    askers: usize,
}

impl UnderWay {
    pub(super) fn new(known: BTreeMap<String, u32>, own: &BTreeMap<String, u32>) -> Self {
        let mut limits = known;
        limits.extend(own.clone());
        Self {
            limits,
            own: own.keys().cloned().collect(),
            held: HashMap::new(),
            sums: Sums::default(),
        }
    }

    /// Why the operator never lets so much be under way, if that is so.
    pub(in crate::api) fn never_fits(&self, draws: &[Draw]) -> Option<Fault> {
        let own = draws.iter().filter(|draw| self.own.contains(draw.unit));
        let mut own = own.filter_map(|draw| Some((draw, self.limits.get(draw.unit)?)));
        let (Draw { unit, amount }, limit) = own.find(|(draw, limit)| draw.amount > **limit)?;
        Some(Fault::participant(
            FaultCode::NotConfigured,
            Again::Never,
            &format!(
                "one call takes {amount} {unit}, and no more than {limit} may be under way (the adapter's \
                 `api.outstanding.{unit}`): calls are planned small enough where the participant's record has \
                 `native_limits` with `{unit}={limit}`"
            ),
        ))
    }

    /// The units of which there may not be so much more under way, besides what is with `others`.
    pub(super) fn lacks(&self, scope: &str, draws: &[Draw], others: &Takes) -> Vec<&'static str> {
        let lacks = |draw: &&Draw| {
            let Some(limit) = self.limits.get(draw.unit) else {
                return false;
            };
            let others = others.units.get(draw.unit).copied().unwrap_or_default();
            let held = self.sums.of(scope, draw.unit) + u64::from(others);
            held > 0 && held + u64::from(draw.amount) > u64::from(*limit)
        };
        draws.iter().filter(lacks).map(|draw| draw.unit).collect()
    }

    pub(super) fn add(&self, takes: &mut Takes, draws: &[Draw]) {
        for draw in draws {
            if self.limits.contains_key(draw.unit) {
                let amount = takes.units.entry(draw.unit.to_owned()).or_default();
                *amount = amount.saturating_add(draw.amount);
            }
        }
    }

    /// It is under way from now on.
    pub(in crate::api) fn begin(&mut self, holder: String, takes: Takes) {
        self.sums.add(&takes);
        let held = self.held.entry(holder).or_default();
        let before = std::mem::replace(&mut held.takes, takes);
        self.sums.remove(&before);
    }

    /// One more asks after this job.
    pub(in crate::api) fn ask_after(&mut self, job: &str) {
        if let Some(held) = self.held.get_mut(job) {
            held.askers += 1;
        }
    }

    /// One asks no longer after this job; whether nobody does now.
    pub(in crate::api) fn leave(&mut self, job: &str) -> bool {
        let Some(held) = self.held.get_mut(job) else {
            return true;
        };
        held.askers = held.askers.saturating_sub(1);
        let is_left = held.askers == 0;
        if is_left {
            self.end(job);
        }
        is_left
    }

    /// It has ended.
    pub(in crate::api) fn end(&mut self, holder: &str) -> Option<Takes> {
        let Held { takes, .. } = self.held.remove(holder)?;
        self.sums.remove(&takes);
        Some(takes)
    }
}

impl Takes {
    /// Whether others may have to wait for it.
    pub(in crate::api) fn holds_room(&self) -> bool {
        !self.units.is_empty()
    }
}

impl Sums {
    fn of(&self, scope: &str, unit: &str) -> u64 {
        let sum = self.0.get(scope).and_then(|units| units.get(unit));
        sum.copied().unwrap_or_default()
    }

    fn add(&mut self, takes: &Takes) {
        if takes.units.is_empty() {
            return;
        }
        let units = self.0.entry(takes.scope.clone()).or_default();
        for (unit, amount) in &takes.units {
            *units.entry(unit.clone()).or_default() += u64::from(*amount);
        }
    }

    fn remove(&mut self, takes: &Takes) {
        let Some(units) = self.0.get_mut(&takes.scope) else {
            return;
        };
        for (unit, amount) in &takes.units {
            if let Some(sum) = units.get_mut(unit) {
                *sum = sum.saturating_sub(u64::from(*amount));
            }
        }
        units.retain(|_, sum| *sum > 0);
        if units.is_empty() {
            self.0.remove(&takes.scope);
        }
    }
}
