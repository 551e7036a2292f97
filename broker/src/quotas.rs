//! What one caller may ask of this replica: token buckets, for calls and for the breadth of commands.
//!
//! Invariant: a caller empties only its own buckets; refusing costs a look into a map and nothing of the store. Each replica
//! counts by itself, so behind `n` replicas a caller that uses all of them has up to `n` times as much.
//! Not here: what may wait for a participant (`outbox.limit`) and how many commands may be open, which the store counts for
//! all replicas together.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use domain::{Operation, Selector, SelectorKind};

use crate::{
    config::{Allowance, QuotaSettings},
    error::Error,
    ingress::Identity,
};

/// Callers that are remembered; when there are more, those who have not called for a while start anew.
const CALLERS: usize = 10_000;

/// Tokens that come back with time.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    tokens: f64,
    looked_at: Instant,
}

impl Bucket {
    /// Takes `price`, or says how long until there is enough. What costs more than the bucket holds is let through when it is
    /// full, and paid back afterwards.
    fn take(
        &mut self,
        price: f64,
        (rate, holds): (f64, f64),
        now: Instant,
    ) -> Result<(), Duration> {
        let passed = now.saturating_duration_since(self.looked_at).as_secs_f64();
        self.tokens = (self.tokens + passed * rate).min(holds);
        self.looked_at = now;
        let needed = price.min(holds);
        if self.tokens >= needed {
            self.tokens -= price;
            return Ok(());
        }
        Err(Duration::from_secs_f64((needed - self.tokens) / rate))
    }
}

/// The buckets of one caller.
#[derive(Debug)]
struct Buckets {
    calls: Bucket,
    /// By operation.
    work: BTreeMap<String, Bucket>,
}

/// The quotas of one replica.
#[derive(Debug)]
pub struct Quotas {
    settings: QuotaSettings,
    callers: Mutex<HashMap<Identity, Buckets>>,
}

impl Quotas {
    /// Every bucket is full.
    pub fn new(settings: QuotaSettings) -> Self {
        Self {
            settings,
            callers: Mutex::default(),
        }
    }

    /// Counts a call.
    pub fn call(&self, caller: &Identity) -> Result<(), Error> {
        let allowed = self.allowance(caller);
        let rate = f64::from(allowed.calls);
        self.take(caller, "calls", rate, |buckets, now| {
            buckets.calls.take(1.0, self.bounds(rate), now)
        })
    }

    /// Counts what a command asks for: the sum of its selectors' prices, for its operation.
    pub fn work(
        &self,
        caller: &Identity,
        operation: &Operation,
        selectors: &[Selector],
    ) -> Result<(), Error> {
        let allowed = self.allowance(caller);
        let name = operation.name();
        let rate = allowed.operations.get(name).unwrap_or(&allowed.selectors);
        let rate = f64::from(*rate);
        let price = selectors.iter().map(|selector| self.price(selector)).sum();
        self.take(caller, "selectors", rate, |buckets, now| {
            let full = Bucket {
                tokens: self.bounds(rate).1,
                looked_at: now,
            };
            let bucket = buckets.work.entry(name.to_owned()).or_insert(full);
            bucket.take(price, self.bounds(rate), now)
        })
    }

    /// How many commands of a participant may be open in one shard.
    pub fn open_commands(&self, caller: &Identity) -> u64 {
        self.allowance(caller).open_commands
    }

    fn allowance(&self, caller: &Identity) -> &Allowance {
        let own = caller
            .participant()
            .and_then(|id| self.settings.participants.get(id));
        own.unwrap_or(&self.settings.each)
    }

    /// Tokens a second, and how many the bucket holds.
    fn bounds(&self, rate: f64) -> (f64, f64) {
        (rate, rate * self.settings.burst.as_secs_f64())
    }

    fn price(&self, selector: &Selector) -> f64 {
        let prices = &self.settings.prices;
        f64::from(match SelectorKind::of(selector) {
            SelectorKind::Url => prices.url,
            SelectorKind::Prefix => prices.prefix,
            SelectorKind::Wildcard => prices.wildcard,
            SelectorKind::Regex => prices.regex,
            SelectorKind::Tag => prices.tag,
            SelectorKind::Host => prices.host,
            SelectorKind::Everything => prices.everything,
        })
    }

    fn take(
        &self,
        caller: &Identity,
        quota: &'static str,
        rate: f64,
        take: impl FnOnce(&mut Buckets, Instant) -> Result<(), Duration>,
    ) -> Result<(), Error> {
        let now = Instant::now();
        // A participant's persons share what it may.
        let caller = &caller.acts_as();
        let mut callers = self.callers.lock().unwrap_or_else(PoisonError::into_inner);
        if !callers.contains_key(caller) {
            if callers.len() >= CALLERS {
                let idle = self.settings.burst;
                callers.retain(|_, buckets| now - buckets.calls.looked_at < idle);
            }
            let calls = Bucket {
                tokens: self.bounds(f64::from(self.allowance(caller).calls)).1,
                looked_at: now,
            };
            let work = BTreeMap::new();
            callers.insert(caller.clone(), Buckets { calls, work });
        }
        let buckets = callers
            .get_mut(caller)
            .expect("it was inserted a line above");
        take(buckets, now).map_err(|again_in| Error::OverQuota {
            caller: caller.to_string(),
            quota,
            rate,
            again_in,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: (f64, f64) = (10.0, 20.0);

    /// A full bucket gives a burst, then what comes back with time, and says how long the next one takes.
    #[test]
    fn a_bucket_gives_its_burst_and_then_its_rate() {
        let began = Instant::now();
        let mut bucket = Bucket {
            tokens: 20.0,
            looked_at: began,
        };
        for _ in 0..20 {
            bucket.take(1.0, RATE, began).unwrap();
        }
        let wait = bucket.take(1.0, RATE, began).unwrap_err();
        assert_eq!(wait, Duration::from_millis(100));
        bucket.take(1.0, RATE, began + wait).unwrap();
        assert!(bucket.take(1.0, RATE, began + wait).is_err());
        let later = began + Duration::from_mins(1);
        let taken = (0..100).filter(|_| bucket.take(1.0, RATE, later).is_ok());
        assert_eq!(taken.count(), 20);
    }

    /// What costs more than a bucket holds is not impossible: it takes the full bucket and the time that it costs.
    #[test]
    fn what_costs_more_than_a_bucket_is_paid_back() {
        let began = Instant::now();
        let mut bucket = Bucket {
            tokens: 20.0,
            looked_at: began,
        };
        bucket.take(100.0, RATE, began).unwrap();
        assert_eq!(
            bucket.take(1.0, RATE, began).unwrap_err(),
            Duration::from_millis(8_100)
        );
    }
}
