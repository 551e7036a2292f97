//! What a provider counts: how much of it comes back in which time, and how much may be under way.
//!
//! Invariant: what a call takes is known from the call alone, so that a plan shows the same numbers that the adapter keeps.
//! Not here: waiting for it (`adapters::api`), and other numbers than the defaults (the adapter's configuration).

use std::{collections::BTreeMap, time::Duration};

use domain::NativeCall;

use crate::Dialect;

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
}

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
    let mut cost = Cost {
        calls: u32::try_from(calls.len()).unwrap_or(u32::MAX),
        units: BTreeMap::new(),
    };
    for draw in calls.iter().flat_map(|call| dialect.draws(call)) {
        if draw.unit != CALLS {
            *cost.units.entry(draw.unit).or_default() += u64::from(draw.amount);
        }
    }
    cost
}

/// Every unit that some dialect knows a limit of.
pub fn units() -> impl Iterator<Item = &'static str> {
    let limits = crate::all().iter().map(|dialect| dialect.limits());
    limits.flat_map(|limits| {
        let budgets = limits.budgets.iter().map(|budget| budget.unit);
        budgets.chain(limits.outstanding.iter().map(|limit| limit.unit))
    })
}
