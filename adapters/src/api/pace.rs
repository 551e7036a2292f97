//! How often an account at a provider may be called.
//!
//! Invariant: one bucket for each account's credentials, shared by everything in this adapter, and whoever asks first goes
//! first; only the adapter that consumes the participant's queue calls, so nobody else draws from it. When a provider
//! names a time to wait, everybody who would call with that account waits.
//!
//! It is a bucket in the form of a schedule (GCRA): what is kept is when the bucket would be full again.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use dialects::Pace;
use domain::{
    Fault,
    fault::{Again, FaultCode},
};

use super::account::Account;
use crate::config::AccountPace;

/// The buckets of all accounts.
#[derive(Debug)]
pub(super) struct Paces {
    configured: Option<AccountPace>,
    buckets: Mutex<HashMap<Option<PathBuf>, Arc<Bucket>>>,
}

/// The bucket of one account.
#[derive(Debug)]
pub(super) struct Bucket {
    pace: Option<Pace>,
    schedule: Mutex<Schedule>,
}

#[derive(Debug, Default)]
struct Schedule {
    /// When the bucket is full again; in the past, it is.
    full_at: Option<Instant>,
    held_until: Option<Instant>,
}

impl Paces {
    pub(super) fn new(configured: Option<AccountPace>) -> Self {
        Self {
            configured,
            buckets: Mutex::default(),
        }
    }

    /// The bucket of an account; `known` is what the dialect knows of its provider. There are as many as the configuration
    /// names files.
    pub(super) fn of(&self, account: &Account<'_>, known: Option<Pace>) -> Arc<Bucket> {
        let configured = self.configured.map(|pace| Pace {
            calls: pace.calls,
            per: pace.per,
            burst: pace.burst,
        });
        let mut buckets = lock(&self.buckets);
        let key = account.file().map(PathBuf::from);
        let bucket = buckets
            .entry(key)
            .or_insert_with(|| Arc::new(Bucket::new(configured.or(known))));
        Arc::clone(bucket)
    }
}

impl Bucket {
    fn new(pace: Option<Pace>) -> Self {
        Self {
            pace,
            schedule: Mutex::default(),
        }
    }

    /// Takes a call out of the bucket, and says when it may be made. `None`, and nothing is taken, where that is after
    /// `until`.
    pub(super) fn reserve(&self, now: Instant, until: Instant) -> Option<Instant> {
        let mut schedule = lock(&self.schedule);
        let begin = schedule.held_until.map_or(now, |held| held.max(now));
        let Some(pace) = self.pace else {
            return (begin <= until).then_some(begin);
        };
        let each = pace.per / pace.calls.max(1);
        let full_at = schedule.full_at.map_or(begin, |full| full.max(begin)) + each;
        let room = each.saturating_mul(pace.burst.max(1));
        let turn = full_at
            .checked_sub(room)
            .map_or(begin, |turn| turn.max(begin));
        if turn > until {
            return None;
        }
        schedule.full_at = Some(full_at);
        Some(turn)
    }

    /// Nobody calls before that.
    pub(super) fn hold(&self, until: Instant) {
        let mut schedule = lock(&self.schedule);
        let held = schedule.held_until.map_or(until, |held| held.max(until));
        schedule.held_until = Some(held);
    }

    /// Whether nobody may call yet.
    pub(super) fn is_held(&self, now: Instant) -> bool {
        lock(&self.schedule)
            .held_until
            .is_some_and(|held| held > now)
    }

    /// Why there is no turn in time.
    pub(super) fn fault(&self) -> Fault {
        let pace = self.pace.map_or_else(
            || "as long as the provider asked to wait".to_owned(),
            |pace| format!("at its pace of {} calls in {:?}", pace.calls, pace.per),
        );
        let message = format!(
            "not tried: the account at the provider has no call left in the execution's time, {pace}"
        );
        Fault::participant(FaultCode::Throttled, Again::Soon, &message)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const HOUR: Duration = Duration::from_hours(1);

    fn bucket() -> Bucket {
        Bucket::new(Some(Pace {
            calls: 5,
            per: Duration::from_secs(1),
            burst: 3,
        }))
    }

    fn waits(bucket: &Bucket, now: Instant, calls: usize) -> Vec<u128> {
        let turns = (0..calls).map(|_| bucket.reserve(now, now + HOUR).unwrap());
        turns
            .map(|turn| turn.saturating_duration_since(now).as_millis())
            .collect()
    }

    /// A quiet account has its burst at once, and then one call in every fifth of a second.
    #[test]
    fn after_the_burst_calls_come_at_the_pace() {
        let (bucket, now) = (bucket(), Instant::now());
        assert_eq!(waits(&bucket, now, 6), [0, 0, 0, 200, 400, 600]);
        let later = now + Duration::from_secs(10);
        assert_eq!(waits(&bucket, later, 4), [0, 0, 0, 200]);
    }

    /// A call whose turn would come too late takes nothing away from the others.
    #[test]
    fn a_turn_that_comes_too_late_is_not_taken() {
        let (bucket, now) = (bucket(), Instant::now());
        waits(&bucket, now, 3);
        assert_eq!(bucket.reserve(now, now + Duration::from_millis(100)), None);
        assert_eq!(waits(&bucket, now, 1), [200]);
        assert_eq!(bucket.fault().code, FaultCode::Throttled);
    }

    /// The provider's own wish holds for every call with that account.
    #[test]
    fn who_is_held_waits_whatever_is_in_the_bucket() {
        let (bucket, now) = (bucket(), Instant::now());
        bucket.hold(now + Duration::from_secs(7));
        assert!(bucket.is_held(now));
        assert_eq!(waits(&bucket, now, 4), [7_000, 7_000, 7_000, 7_200]);
        let without = Bucket::new(None);
        without.hold(now + Duration::from_secs(7));
        assert_eq!(waits(&without, now, 2), [7_000, 7_000]);
    }
}
