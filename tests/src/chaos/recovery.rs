//! How long it takes until things are as before, seen by probes.
//!
//! Invariant: a probe was hit when it began after the fault did and took longer than any does on a good day. Its recovery is
//! the time from the fault's end until it settled: nothing where it settled before. It is over when for a while no probe
//! was hit.

use std::{
    fmt,
    time::{Duration, Instant},
};

use tokio::time::sleep;

use super::probe::{Probe, Probes};

/// No probe counts as hit that took less.
const NEVER_SLOW: Duration = Duration::from_millis(500);
/// So long no probe may have been hit.
const QUIET: Duration = Duration::from_secs(2);
/// Recovery that takes longer is none.
const LIMIT: Duration = Duration::from_mins(2);
/// How often we look.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How fast it is on a good day.
#[derive(Debug, Clone, Copy)]
pub(super) struct Normal {
    p50: Duration,
    p99: Duration,
}

/// What the probes of one fault came to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Recovery {
    /// How many were hit.
    pub(super) hit: usize,
    /// When half of them had settled.
    pub(super) p50: Duration,
    /// When nearly all had.
    pub(super) p99: Duration,
    /// Whether it was over within the limit.
    pub(super) complete: bool,
}

impl Normal {
    /// From probes that nothing disturbed.
    pub(super) fn of(probes: &[Probe]) -> Self {
        let took = sorted(probes.iter().map(Probe::took));
        Self {
            p50: percentile(&took, 50),
            p99: percentile(&took, 99),
        }
    }

    /// What takes longer was hit by something.
    fn slow(self) -> Duration {
        NEVER_SLOW.max(3 * self.p99)
    }
}

impl fmt::Display for Normal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "a probe settles in {} ms (p50), {} ms (p99); slower than {} ms counts as hit",
            self.p50.as_millis(),
            self.p99.as_millis(),
            self.slow().as_millis()
        )
    }
}

impl Recovery {
    /// Waits until things are as before.
    pub(super) async fn wait(
        probes: &Probes,
        began: Instant,
        ended: Instant,
        normal: Normal,
    ) -> Self {
        let slow = normal.slow();
        while Instant::now() < ended + LIMIT {
            let now = Instant::now();
            let since = now.checked_sub(QUIET).unwrap_or(now);
            let seen = probes.since(began);
            let quiet = |probe: &Probe| match probe.settled {
                // Those that settle late are seen late.
                Some(settled) => settled < since || probe.took() <= slow,
                None => probe.took() <= slow,
            };
            if now > ended + QUIET && seen.iter().all(quiet) {
                return Self::of(&seen, ended, slow, true);
            }
            sleep(LOOK_EVERY).await;
        }
        Self::of(&probes.since(began), ended, slow, false)
    }

    fn of(probes: &[Probe], ended: Instant, slow: Duration, complete: bool) -> Self {
        let hit = probes.iter().filter(|probe| probe.took() > slow);
        let recovery = sorted(hit.map(|probe| {
            let settled = probe.settled.unwrap_or_else(Instant::now);
            settled.saturating_duration_since(ended)
        }));
        Self {
            hit: recovery.len(),
            p50: percentile(&recovery, 50),
            p99: percentile(&recovery, 99),
            complete,
        }
    }
}

pub(super) fn sorted(durations: impl Iterator<Item = Duration>) -> Vec<Duration> {
    let mut sorted: Vec<_> = durations.collect();
    sorted.sort_unstable();
    sorted
}

/// The nearest rank, of durations in order; nothing where there are none.
pub(super) fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or_default()
}
