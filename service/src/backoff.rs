//! How long to wait before another try: exponential growth with full jitter.
//!
//! Invariant: a delay is never longer than the maximum. Any delay from zero to the current ceiling is
//! as likely as another, so many processes that lost the same server do not come back together
//! (full jitter: <https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/>).
//! Not here: what is tried, and when to give up.

use std::time::Duration;

use serde::Deserialize;

use crate::configuration::{Check, Checked};

/// How delays grow.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
pub struct BackoffSettings {
    /// The ceiling of the first delay.
    #[serde(with = "humantime_serde")]
    pub first: Duration,
    /// The ceiling that is never passed.
    #[serde(with = "humantime_serde")]
    pub max: Duration,
    /// What the ceiling is multiplied by after each delay.
    pub factor: f64,
}

impl Default for BackoffSettings {
    fn default() -> Self {
        Self {
            first: Duration::from_millis(100),
            // Whoever comes back is noticed within this time, and everybody behind us waits for that.
            max: Duration::from_secs(3),
            factor: 2.0,
        }
    }
}

impl Checked for BackoffSettings {
    fn check(&self, check: &mut Check<'_>) {
        check.require("first", !self.first.is_zero(), "must be more than 0");
        check.require(
            "max",
            self.max >= self.first,
            "must not be less than `first`",
        );
        check.require(
            "factor",
            self.factor >= 1.0 && self.factor.is_finite(),
            "must be at least 1",
        );
    }
}

/// The delays of one thing that is tried again and again.
#[derive(Debug, Clone)]
pub struct Backoff {
    settings: BackoffSettings,
    attempts: u32,
}

impl Backoff {
    /// Begins with the first delay.
    pub fn new(settings: BackoffSettings) -> Self {
        Self {
            settings,
            attempts: 0,
        }
    }

    /// The delay before the next try.
    pub fn next_delay(&mut self) -> Duration {
        let ceiling = self.ceiling();
        self.attempts = self.attempts.saturating_add(1);
        ceiling.mul_f64(rand::random::<f64>())
    }

    /// Begins again, after a try that went well.
    pub fn reset(&mut self) {
        self.attempts = 0;
    }

    /// How many delays were given since the beginning or the last reset.
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    fn ceiling(&self) -> Duration {
        let max = self.settings.max.as_secs_f64();
        let exponent = i32::try_from(self.attempts).unwrap_or(i32::MAX);
        let grown = self.settings.first.as_secs_f64() * self.settings.factor.powi(exponent);
        // `min` also turns what is no number into the maximum.
        Duration::from_secs_f64(grown.min(max).max(0.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The ceiling doubles until the maximum, and a reset brings the first one back.
    #[test]
    fn the_ceiling_grows_to_the_maximum_and_falls_on_reset() {
        let settings = BackoffSettings {
            first: Duration::from_secs(1),
            max: Duration::from_secs(5),
            factor: 2.0,
        };
        let mut backoff = Backoff::new(settings);
        let ceilings: Vec<u64> = std::iter::repeat_with(|| {
            let ceiling = backoff.ceiling();
            assert!(backoff.next_delay() <= ceiling);
            ceiling.as_secs()
        })
        .take(5)
        .collect();
        assert_eq!(ceilings, [1, 2, 4, 5, 5]);
        backoff.reset();
        assert_eq!(backoff.ceiling(), Duration::from_secs(1));
    }

    /// A server that is away for weeks must not end in an overflow.
    #[test]
    fn the_ceiling_stays_at_the_maximum_after_any_number_of_attempts() {
        let backoff = Backoff {
            settings: BackoffSettings::default(),
            attempts: u32::MAX,
        };
        assert_eq!(backoff.ceiling(), BackoffSettings::default().max);
    }
}
