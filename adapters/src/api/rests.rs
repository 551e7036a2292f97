//! Jobs that are not asked after yet, because their provider said when to come again.
//!
//! Invariant: it holds for the job of one account alone, and never longer than a limit (`headers::poll_after`). It is not remembered over a
//! restart: one question too early harms nobody.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Jobs that rest. Past that, those whose rest is over are looked for.
const MOST: usize = 4_096;

/// Those of one account, by key.
#[derive(Debug, Default)]
pub(super) struct Rests(Mutex<HashMap<String, Instant>>);

impl Rests {
    /// The provider wants to be asked after so long.
    pub(super) fn begin(&self, key: &str, time: Duration) {
        let now = Instant::now();
        let mut rests = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if rests.len() >= MOST {
            rests.retain(|_, until| *until > now);
        }
        if rests.len() < MOST {
            rests.insert(key.to_owned(), now + time);
        }
    }

    pub(super) fn is_resting(&self, key: &str) -> bool {
        let rests = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        rests.get(key).is_some_and(|until| *until > Instant::now())
    }

    /// Nobody asks after it any more.
    pub(super) fn end(&self, key: &str) {
        let mut rests = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        rests.remove(key);
    }
}
