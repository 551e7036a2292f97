//! What an account at a provider has left, unit by unit, in a file that replicas share.
//!
//! Invariant: what is drawn is drawn for everybody who has the file, at any time by one of them; and nobody who begins
//! without knowing what was drawn before him counts on a full bucket.
//! Not here: who draws next (`queue`).
//!
//! A bucket is kept in the form of a schedule (GCRA): one number, when it would be full again. Times are those of this
//! machine's clock, since replicas and restarts share them.

mod file;

use std::{
    collections::BTreeMap,
    path::PathBuf,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use dialects::{Budget, Draw};
use serde::{Deserialize, Serialize};

use self::file::{File, Locked};
use crate::config::{Api as Settings, ApiBudget};

/// A bucket that takes longer than this to fill is a quota: the provider counts it itself, and an execution could not wait
/// for it. It begins full; all others begin empty.
const QUOTA: Duration = Duration::from_hours(1);
/// Scopes that are held at a time. Past that, the account is.
const SCOPES: usize = 256;
/// A provider's wish to wait holds no longer than this.
const HOLD_LIMIT: Duration = Duration::from_hours(1);

/// A moment, in nanoseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Moment(u64);

/// How a bucket fills.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rate {
    /// One of the unit comes back in so many nanoseconds.
    each: u64,
    /// The whole bucket does in so many.
    room: u64,
}

/// All rates of an account, by unit.
pub(super) type Rates = BTreeMap<String, Rate>;

/// What is known of an account's buckets.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Levels {
    /// When each is full again; in the past, it is.
    full_at: BTreeMap<String, Moment>,
    /// Nobody calls before that.
    held_until: Moment,
    /// The same within one scope, where the provider's limit is one of that.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    held_in: BTreeMap<String, Moment>,
}

/// The buckets of one account.
#[derive(Debug)]
pub(super) struct Purse {
    rates: Rates,
    file: Option<File>,
    /// As they were when they were last looked at.
    levels: Levels,
    /// Whether that was without the file.
    is_apart: bool,
}

impl Moment {
    pub(super) fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        Self(nanos(since.unwrap_or_default()))
    }

    pub(super) fn plus(self, time: Duration) -> Self {
        Self(self.0.saturating_add(nanos(time)))
    }

    /// How long it is from `earlier` to this.
    pub(super) fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Rate {
    fn new(amount: u32, per: Duration, burst: u32, sharers: u32) -> Self {
        let each = nanos(per).saturating_mul(sharers.max(1).into()) / u64::from(amount.max(1));
        Self {
            each,
            room: each.saturating_mul(burst.max(1).into()),
        }
    }

    fn is_quota(self) -> bool {
        self.room > nanos(QUOTA)
    }

    /// How long it takes until so much has come back.
    pub(super) fn time_of(self, amount: u32) -> u64 {
        self.each.saturating_mul(amount.into())
    }
}

/// What holds for an account: what the dialect knows, and instead of that what the operator says.
pub(super) fn rates(known: &[Budget], settings: &Settings) -> Rates {
    let rate = |amount, per, burst| Rate::new(amount, per, burst, settings.budgets_shared_by);
    let known = known.iter().map(|budget| {
        let Budget {
            unit,
            amount,
            per,
            burst,
            ..
        } = *budget;
        (unit.to_owned(), rate(amount, per, burst))
    });
    let own = settings.budgets.iter().map(|(unit, budget)| {
        let ApiBudget { amount, per, burst } = *budget;
        (unit.clone(), rate(amount, per, burst))
    });
    known.chain(own).collect()
}

impl Purse {
    /// The buckets that are kept in `file`; without one, only by this process.
    pub(super) fn open(rates: Rates, file: Option<PathBuf>) -> Self {
        Self {
            levels: Levels::begin(&rates, Moment::now()),
            rates,
            file: file.map(File::new),
            is_apart: false,
        }
    }

    /// Looks at the buckets as they are now and changes them, while nobody else does. A file that cannot be used leaves
    /// what this process knows.
    pub(super) fn with<T>(&mut self, change: impl FnOnce(&mut Levels, &Rates) -> T) -> T {
        let open = self.file.as_mut().and_then(File::lock);
        let known = open.as_ref().and_then(Locked::read);
        let was_apart = std::mem::replace(&mut self.is_apart, open.is_none());
        if open.is_some() {
            let begin = || Levels::begin(&self.rates, Moment::now());
            let own = std::mem::replace(&mut self.levels, known.clone().unwrap_or_else(begin));
            if was_apart || known.is_none() {
                self.levels.at_least(own);
            }
        }
        self.levels.correct(&self.rates, Moment::now());
        let made = change(&mut self.levels, &self.rates);
        // What begins is written down too, or it would begin again each time.
        if let Some(open) = open.filter(|_| known.as_ref() != Some(&self.levels)) {
            open.write(&self.levels);
        }
        made
    }
}

impl Levels {
    /// Nobody knows what was drawn before.
    fn begin(rates: &Rates, now: Moment) -> Self {
        let mut levels = Self::default();
        levels.correct(rates, now);
        levels
    }

    /// What is not known begins, and a clock that was set back does not make anybody wait for the old time.
    fn correct(&mut self, rates: &Rates, now: Moment) {
        for (unit, rate) in rates {
            let empty = Moment(now.0.saturating_add(rate.room));
            let begin = if rate.is_quota() { now } else { empty };
            let full_at = self.full_at.entry(unit.clone()).or_insert(begin);
            let longest = rate.room.saturating_mul(2).max(nanos(QUOTA));
            *full_at = Moment(full_at.0.min(now.0.saturating_add(longest)));
        }
        let longest = now.plus(HOLD_LIMIT);
        self.held_until = self.held_until.min(longest);
        self.held_in.retain(|_, until| *until > now);
        for until in self.held_in.values_mut() {
            *until = (*until).min(longest);
        }
    }

    /// No less was drawn and heard than this, whatever stands in the file: this process had done without it, or it was lost.
    fn at_least(&mut self, own: Self) {
        for (unit, full_at) in own.full_at {
            let known = self.full_at.entry(unit).or_default();
            *known = (*known).max(full_at);
        }
        self.hold(own.held_until);
        for (scope, until) in own.held_in {
            self.hold_in(&scope, until);
        }
    }

    /// Since when all of it can be drawn, if not yet; and the units that lack.
    pub(super) fn lacks(
        &self,
        rates: &Rates,
        draws: &[Draw],
        now: Moment,
    ) -> Option<(Moment, Vec<&'static str>)> {
        let mut at = now;
        let mut lacking = Vec::new();
        for draw in draws {
            let Some((full_at, rate)) = self.after(rates, draw, now) else {
                continue;
            };
            // A draw that is larger than the bucket waits until it is full.
            let room = rate.room.max(rate.time_of(draw.amount));
            let turn = Moment(full_at.0.saturating_sub(room));
            if turn > now {
                lacking.push(draw.unit);
                at = at.max(turn);
            }
        }
        (!lacking.is_empty()).then_some((at, lacking))
    }

    /// Takes it out.
    pub(super) fn draw(&mut self, rates: &Rates, draws: &[Draw], now: Moment) {
        for draw in draws {
            if let Some((full_at, _)) = self.after(rates, draw, now) {
                self.full_at.insert(draw.unit.to_owned(), full_at);
            }
        }
    }

    /// The provider counts less than we do: somebody else draws from the same account.
    pub(super) fn at_most(&mut self, rates: &Rates, left: &Draw, now: Moment) {
        let Some(rate) = rates.get(left.unit) else {
            return;
        };
        let missing = rate.room.saturating_sub(rate.time_of(left.amount));
        let full_at = Moment(now.0.saturating_add(missing));
        let known = self.full_at.entry(left.unit.to_owned()).or_default();
        *known = (*known).max(full_at);
    }

    /// Nobody calls before that.
    pub(super) fn hold(&mut self, until: Moment) {
        self.held_until = self.held_until.max(until);
    }

    /// Nobody calls within this scope before that.
    pub(super) fn hold_in(&mut self, scope: &str, until: Moment) {
        if self.held_in.len() >= SCOPES && !self.held_in.contains_key(scope) {
            self.hold(until);
            return;
        }
        let held = self.held_in.entry(scope.to_owned()).or_default();
        *held = (*held).max(until);
    }

    /// Until when nobody calls within this scope, if that is so.
    pub(super) fn held_in(&self, scope: &str, now: Moment) -> Option<Moment> {
        self.held_in
            .get(scope)
            .copied()
            .filter(|until| *until > now)
    }

    /// Until when nobody calls, if that is so.
    pub(super) fn held(&self, now: Moment) -> Option<Moment> {
        (self.held_until > now).then_some(self.held_until)
    }

    /// When the bucket would be full after that; nothing where the unit is not counted.
    fn after(&self, rates: &Rates, draw: &Draw, now: Moment) -> Option<(Moment, Rate)> {
        let rate = *rates.get(draw.unit)?;
        let full_at = self.full_at.get(draw.unit).copied().unwrap_or(now).max(now);
        let after = full_at.0.saturating_add(rate.time_of(draw.amount));
        Some((Moment(after), rate))
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
