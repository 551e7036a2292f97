//! What a provider counts: how much of it comes back in which time, and how much may be under way.
//!
//! Invariant: what a call takes is known from the call alone, so that a plan counts by the rule by which the adapter keeps. A plan
//! counts each call once, as it is planned; what only the adapter knows may come on top, and then the plan says so ([`Cost::more`]).
//! That a call may be tried again after an answer that asks for it holds of all, and no plan says it.
//! Not here: waiting for it (`adapters::api`), and other numbers than the defaults (the adapter's configuration).

use std::{collections::BTreeMap, time::Duration};

use domain::NativeCall;

use crate::{Dialect, mapped};

/// The unit of the calls that a provider counts as such.
pub const CALLS: &str = "calls";

/// A bucket of a provider account: it holds `burst` of the unit and fills with `amount` in every `per`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// What is counted: `calls`, `urls`, `tags`, …
    pub unit: &'static str,
    /// So many come back
    pub amount: u32,
    /// in this time.
    pub per: Duration,
    /// So many at once, after a pause.
    pub burst: u32,
    /// Who says so.
    pub source: &'static str,
}

/// How much of a unit may be under way at the same time, for calls with the same path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outstanding {
    /// What is counted.
    pub unit: &'static str,
    /// So many.
    pub amount: u32,
    /// Who says so.
    pub source: &'static str,
}

/// What one call takes of one unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Draw {
    /// Of what.
    pub unit: &'static str,
    /// How much.
    pub amount: u32,
}

/// What an order takes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cost {
    /// Calls, whether or not the provider counts them.
    pub calls: u32,
    /// All else that is counted, by unit.
    pub units: BTreeMap<&'static str, u64>,
    /// What may come on top, by the adapter's configuration or what the provider answers; sentences without an end.
    pub more: Vec<&'static str>,
}

const SECOND_CALLS: &str = "each call once more where the adapter has `api.second_calls`";
/// Said of a command that is looked at afterwards.
pub const LOOKED_AT: &str = "the calls for what is looked at afterwards and is not proven, up to `probes.repeats` of the adapter more \
     times";
const QUESTIONS: &str = "a call for each question after a job";
const QUESTIONS_OF_MAPPING: &str =
    "a call for each question after a job, where the mapping has jobs";

impl Draw {
    /// So much of it.
    pub(crate) fn of(unit: &'static str, amount: usize) -> Self {
        Self {
            unit,
            amount: u32::try_from(amount).unwrap_or(u32::MAX),
        }
    }

    /// One call that is counted.
    pub const CALL: Self = Self {
        unit: CALLS,
        amount: 1,
    };
}

/// What these calls take in `dialect`.
pub fn cost_of(dialect: &dyn Dialect, calls: &[NativeCall]) -> Cost {
    let mut cost = count(calls, |call| dialect.draws(call));
    for call in calls {
        let again = dialect.second_call(call).map(|_| SECOND_CALLS);
        for more in dialect.may_add(call).into_iter().chain(again) {
            if !cost.more.contains(&more) {
                cost.more.push(more);
            }
        }
    }
    cost.more.extend(dialect.has_jobs().then_some(QUESTIONS));
    cost
}

/// What these calls of a mapping take.
pub fn cost_of_mapped(calls: &[NativeCall]) -> Cost {
    Cost {
        more: vec![QUESTIONS_OF_MAPPING],
        ..count(calls, mapped::draws)
    }
}

fn count(calls: &[NativeCall], draws: impl Fn(&NativeCall) -> Vec<Draw>) -> Cost {
    let mut cost = Cost {
        calls: u32::try_from(calls.len()).unwrap_or(u32::MAX),
        ..Cost::default()
    };
    for draw in calls.iter().flat_map(draws) {
        if draw.unit != CALLS {
            *cost.units.entry(draw.unit).or_default() += u64::from(draw.amount);
        }
    }
    cost
}

/// Every unit that some dialect knows a limit of, and that of mappings.
pub fn units() -> impl Iterator<Item = &'static str> {
    let limits = crate::all().iter().map(|dialect| dialect.limits());
    let known = limits.flat_map(|limits| {
        let budgets = limits.budgets.iter().map(|budget| budget.unit);
        budgets.chain(limits.outstanding.iter().map(|limit| limit.unit))
    });
    known.chain([mapped::ITEMS])
}
