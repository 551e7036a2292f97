//! What a provider takes of calls and of what it counts, as its documentation says: buckets that fill with time.
//!
//! Invariant: a call that is denied takes nothing.

use std::{mem, time::Instant};

/// A unit and how much of it there is: so much at once, and so much more in every second.
#[derive(Debug, Clone, Copy)]
pub struct Rate {
    /// What is counted.
    pub unit: &'static str,
    /// At once.
    pub burst: f64,
    /// In a second.
    pub per_second: f64,
}

/// All buckets of one account.
#[derive(Debug)]
pub(super) struct Buckets {
    rates: &'static [Rate],
    levels: Vec<f64>,
    at: Instant,
    /// Whether somebody else is faster than the next call.
    is_taken_before: bool,
}

impl Buckets {
    pub(super) fn new(rates: &'static [Rate]) -> Self {
        let levels = rates.iter().map(|rate| rate.burst).collect();
        Self {
            rates,
            levels,
            at: Instant::now(),
            is_taken_before: false,
        }
    }

    /// Somebody else has just taken all that there was.
    pub(super) fn empty(&mut self) {
        self.fill();
        self.levels.fill(0.0);
    }

    /// Somebody else takes all that there is when the next call comes, right before it.
    pub(super) fn empty_before_next(&mut self) {
        self.is_taken_before = true;
    }

    /// Whether there is enough of all of it, which is taken then. What is larger than its bucket takes all of that.
    pub(super) fn take(&mut self, units: &[(&'static str, usize)]) -> bool {
        if mem::take(&mut self.is_taken_before) {
            self.empty();
        } else {
            self.fill();
        }
        let wanted = |rate: &Rate| {
            let own = units.iter().filter(|(unit, _)| *unit == rate.unit);
            let amount: usize = own.map(|(_, amount)| amount).sum();
            f64::from(u32::try_from(amount).unwrap_or(u32::MAX)).min(rate.burst)
        };
        let wanted: Vec<_> = self.rates.iter().map(wanted).collect();
        let is_enough = self
            .levels
            .iter()
            .zip(&wanted)
            .all(|(has, wants)| has >= wants);
        if is_enough {
            for (has, wants) in self.levels.iter_mut().zip(wanted) {
                *has -= wants;
            }
        }
        is_enough
    }

    /// Of a unit, in whole ones.
    pub(super) fn left(&self, unit: &str) -> Option<String> {
        let place = self.rates.iter().position(|rate| rate.unit == unit)?;
        Some(format!("{:.0}", self.levels[place].floor()))
    }

    fn fill(&mut self) {
        let now = Instant::now();
        let passed = now.duration_since(self.at).as_secs_f64();
        self.at = now;
        for (rate, level) in self.rates.iter().zip(&mut self.levels) {
            *level = passed.mul_add(rate.per_second, *level).min(rate.burst);
        }
    }
}
