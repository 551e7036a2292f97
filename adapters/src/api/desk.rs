//! Where everybody waits who calls with one account, and hears the answer of a call that was made for several.
//!
//! Invariant: one call is chosen at a time, by what the account has left at that moment; whoever leaves is passed over, and
//! whoever is left by the one that called for him waits again.
//! Not here: the order (`queue`), what is left (`budget`), making the call (`call`).

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use dialects::Draw;
use domain::{
    Fault,
    fault::{Again, FaultCode},
};
use tokio::{
    sync::{Notify, oneshot},
    task::AbortHandle,
    time::sleep,
};

use super::{
    budget::{Moment, Purse},
    queue::{Going, Next, Queue, Takes, Waits, Wish},
    rests::Rests,
};
use crate::{attempt::Reply, caches::Surroundings, metrics};

/// How often somebody who waits looks whether to go on waiting.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How long nothing is looked at when nothing can happen; news wakes.
const IDLE: Duration = Duration::from_hours(1);
/// Replicas that share a file may give something back sooner than it looks.
const SHORTEST: Duration = Duration::from_millis(1);

/// The account's desk.
#[derive(Debug)]
pub(super) struct Desk {
    /// Its jobs that nobody asks after yet.
    pub(super) rests: Rests,
    inner: Arc<Inner>,
    choosing: AbortHandle,
}

#[derive(Debug)]
struct Inner {
    state: Mutex<State>,
    news: Notify,
}

#[derive(Debug)]
struct State {
    queue: Queue<Seat>,
    purse: Purse,
    /// Calls that were chosen.
    calls: u64,
}

/// Somebody who waits.
#[derive(Debug)]
struct Seat {
    answer: oneshot::Sender<Turn>,
    /// Whether another one calls for him, which goes on whatever his time.
    is_served: Arc<AtomicBool>,
}

/// What came of waiting.
#[derive(Debug)]
pub(super) enum Turn {
    /// Make the call.
    Lead(Lead),
    /// It was made by another.
    Answered(Reply),
    /// It was refused for all that it said: ask for a call alone.
    Alone,
    /// Whoever was to call has gone: wait again.
    Again,
    /// There is none in time, or at no time.
    Never(Fault),
}

/// A call that was chosen, for everybody that it serves.
#[derive(Debug)]
pub(super) struct Lead {
    /// What it says, where that is more than its own.
    pub(super) items: Option<Vec<String>>,
    partners: Vec<Partner>,
    inner: Arc<Inner>,
    /// Its name among what is under way, until it has ended or has a job.
    holder: Option<String>,
}

#[derive(Debug)]
struct Partner {
    answer: oneshot::Sender<Turn>,
    items: Vec<String>,
}

impl Waits for Seat {
    fn is_gone(&self) -> bool {
        self.answer.is_closed()
    }
}

impl Desk {
    pub(super) fn open(
        purse: Purse,
        settings: &crate::config::Api,
        known: &[dialects::Outstanding],
    ) -> Self {
        let state = State {
            queue: Queue::new(known, settings),
            purse,
            calls: 0,
        };
        let inner = Arc::new(Inner {
            state: Mutex::new(state),
            news: Notify::new(),
        });
        let choosing = tokio::spawn(choose(Arc::clone(&inner))).abort_handle();
        Self {
            rests: Rests::default(),
            inner,
            choosing,
        }
    }

    /// Waits for a turn. `None` where the order was left meanwhile.
    pub(super) async fn wait(
        &self,
        wish: Wish,
        until: Instant,
        around: &dyn Surroundings,
    ) -> Option<Turn> {
        if let Some(fault) = self.inner.lock().queue.under_way.never_fits(&wish.draws) {
            return Some(Turn::Never(fault));
        }
        let began = Instant::now();
        let is_served = Arc::new(AtomicBool::new(false));
        let (answer, mut heard) = oneshot::channel();
        let seat = Seat {
            answer,
            is_served: Arc::clone(&is_served),
        };
        self.inner.lock().queue.push(wish, seat);
        self.inner.news.notify_one();
        loop {
            if !around.is_current() {
                return None;
            }
            tokio::select! {
                turn = &mut heard => {
                    metrics::paced(began.elapsed());
                    return Some(turn.unwrap_or(Turn::Again));
                }
                () = sleep(LOOK_EVERY) => {}
            }
            if Instant::now() >= until && !is_served.load(Ordering::Acquire) {
                return Some(Turn::Never(too_late()));
            }
        }
    }

    /// How many calls wait, questions aside.
    #[cfg(test)]
    pub(super) fn calls_waiting(&self) -> usize {
        self.inner.lock().queue.calls()
    }

    /// What was said came to nothing.
    pub(super) fn unsay(&self, wish: &Wish) {
        self.inner.change(|state| state.queue.unsay(wish));
    }

    /// The provider wants everybody to wait.
    pub(super) fn hold(&self, time: Duration) {
        let until = Moment::now().plus(time);
        let change = |state: &mut State| state.purse.with(|levels, _| levels.hold(until));
        self.inner.change(change);
    }

    /// The provider wants those to wait that call within this scope.
    pub(super) fn hold_in(&self, scope: &str, time: Duration) {
        let until = Moment::now().plus(time);
        let change = |state: &mut State| {
            state.purse.with(|levels, _| levels.hold_in(scope, until));
        };
        self.inner.change(change);
    }

    /// The provider says how much is left.
    pub(super) fn at_most(&self, left: &[Draw]) {
        if left.is_empty() {
            return;
        }
        let now = Moment::now();
        self.inner.change(|state| {
            state.purse.with(|levels, rates| {
                for one in left {
                    levels.at_most(rates, one, now);
                }
            });
        });
    }

    /// What is under way with a job, for the journal.
    pub(super) fn takes_of(&self, job: &str) -> Option<Takes> {
        self.inner.lock().queue.under_way.of(job)
    }

    /// A job of the process before.
    pub(super) fn resume(&self, job: &str, takes: Takes) {
        self.inner.change(|state| {
            state.queue.under_way.begin(job.to_owned(), takes);
            state.queue.under_way.ask_after(job);
        });
    }

    /// An execution asks after this job from now on.
    pub(super) fn ask_after(&self, job: &str) {
        self.inner.lock().queue.under_way.ask_after(job);
    }

    /// An execution asks after this job no longer, and it may run on.
    pub(super) fn leave(&self, job: &str) {
        if self.inner.change(|state| state.queue.under_way.leave(job)) {
            self.rests.end(job);
        }
    }

    /// A job has ended.
    pub(super) fn end(&self, job: &str) {
        self.rests.end(job);
        self.inner.change(|state| state.queue.under_way.end(job));
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        self.choosing.abort();
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let changed = change(&mut self.lock());
        self.news.notify_one();
        changed
    }

    /// The next that may go, or how long nobody can.
    fn next(&self) -> Result<(Going<Seat>, String), Duration> {
        let mut state = self.lock();
        let State {
            queue,
            purse,
            calls,
        } = &mut *state;
        let now = Moment::now();
        match purse.with(|levels, rates| queue.next(levels, rates, now)) {
            Next::Go(going) => {
                *calls += 1;
                // No provider names a job so.
                let holder = format!(" {calls}");
                queue.under_way.begin(holder.clone(), going.takes.clone());
                Ok((going, holder))
            }
            Next::Wait(at) => Err(at.map_or(IDLE, |at| at.since(now).max(SHORTEST))),
        }
    }
}

/// Chooses one after the other, for as long as there is a desk.
async fn choose(inner: Arc<Inner>) {
    loop {
        let own = Arc::clone(&inner);
        // Another process may have the file for a moment.
        let Ok(next) = tokio::task::spawn_blocking(move || own.next()).await else {
            return;
        };
        match next {
            Ok((going, holder)) => lead(&inner, going, holder),
            Err(rest) => {
                tokio::select! {
                    () = inner.news.notified() => {}
                    () = sleep(rest) => {}
                }
            }
        }
    }
}

fn lead(inner: &Arc<Inner>, going: Going<Seat>, holder: String) {
    let partners = going.partners.into_iter().map(|(seat, items)| {
        seat.is_served.store(true, Ordering::Release);
        Partner {
            answer: seat.answer,
            items,
        }
    });
    let lead = Lead {
        items: going.items,
        partners: partners.collect(),
        inner: Arc::clone(inner),
        holder: Some(holder),
    };
    // Who has left meanwhile leaves those that he was to call for, and they wait again.
    let _ = going.lead.answer.send(Turn::Lead(lead));
}

impl Lead {
    /// Whether it serves others too.
    pub(super) fn is_for_several(&self) -> bool {
        !self.partners.is_empty()
    }

    /// How many it serves besides.
    pub(super) fn served(&self) -> usize {
        self.partners.len()
    }

    /// It began a job, with which all that it takes stays under way.
    pub(super) fn began(&mut self, job: &str) {
        let Some(holder) = self.holder.take() else {
            return;
        };
        let job = job.to_owned();
        self.inner.change(|state| {
            let takes = state.queue.under_way.end(&holder).unwrap_or_default();
            state.queue.under_way.begin(job, takes);
        });
    }

    /// Tells everybody that it serves besides the one that called; `of` decides by a partner's items.
    pub(super) fn tell(self, of: impl Fn(&[String]) -> Turn) {
        let mut lead = self;
        for partner in std::mem::take(&mut lead.partners) {
            // Who has left needs no answer.
            let _ = partner.answer.send(of(&partner.items));
        }
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        if let Some(holder) = self.holder.take() {
            self.inner
                .change(|state| state.queue.under_way.end(&holder));
        }
    }
}

fn too_late() -> Fault {
    let message = "not tried: the account at the provider had nothing left in the execution's time, by its budgets or because \
                   the provider asked to wait";
    Fault::participant(FaultCode::Throttled, Again::Soon, message)
}
