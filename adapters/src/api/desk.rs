//! Where everybody waits who calls with one account, and hears the answer of a call that was made for several.
//!
//! Invariant: one call is chosen at a time, by what the account has left at that moment; whoever leaves is passed over, and what he
//! waited for is another's at once; whoever is left by the one that called for him waits again. Nobody but the one that chooses waits
//! for the file that replicas share.
//! Not here: the order (`queue`), what is left (`budget`), making the call (`call`), and who asks after its job (`lead`).

mod lead;

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
use service::exit::Chain;
use tokio::{
    sync::{Notify, Semaphore, oneshot},
    task::AbortHandle,
    time::sleep,
};
use tracing::error;

pub(super) use self::lead::{Asker, Lead, key_of};
use super::{
    budget::{Levels, Moment, Purse, Rates},
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
/// How long nobody is chosen after a fault of ours.
const AFTER_A_FAULT: Duration = Duration::from_secs(1);
/// Who looks at edges at a time because jobs have ended.
const LOOKS_AT_ONCE: usize = 64;

/// The account's desk.
#[derive(Debug)]
pub(super) struct Desk {
    /// Places of executions that are asked after at a time.
    pub(super) questions: Semaphore,
    /// Places of those who look because jobs have ended, who have none among the questions.
    pub(super) looks: Semaphore,
    inner: Arc<Inner>,
    choosing: AbortHandle,
}

#[derive(Debug)]
struct Inner {
    state: Mutex<State>,
    /// Of the one that chooses.
    purse: Mutex<Purse>,
    /// Its jobs whose provider said when to come again.
    rests: Rests,
    news: Notify,
}

#[derive(Debug)]
struct State {
    queue: Queue<Seat>,
    /// What the provider said, and the one that chooses has not heard yet.
    said: Vec<Said>,
    /// Calls that were chosen.
    calls: u64,
}

/// What a provider says of its pace.
#[derive(Debug)]
enum Said {
    /// Nobody calls before that.
    Hold(Moment),
    /// Nobody calls within this scope before that.
    HoldIn(String, Moment),
    /// No more than this was left then.
    AtMost(Draw, Moment),
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
    /// It was made by another; and who asks after the job that it began, if it did.
    Answered(Reply, Option<Asker>),
    /// It was refused for all that it said: ask for a call alone.
    Alone,
    /// Whoever was to call has gone: wait again.
    Again,
    /// There is none in time, or at no time.
    Never(Fault),
}

/// Somebody waits; where he leaves without an answer, others may have what he waited for.
struct Waiting<'a> {
    news: &'a Notify,
    has_heard: bool,
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
            said: Vec::new(),
            calls: 0,
        };
        let inner = Arc::new(Inner {
            state: Mutex::new(state),
            purse: Mutex::new(purse),
            rests: Rests::default(),
            news: Notify::new(),
        });
        let choosing = tokio::spawn(choose(Arc::clone(&inner))).abort_handle();
        Self {
            questions: Semaphore::new(settings.polls_at_once),
            looks: Semaphore::new(LOOKS_AT_ONCE),
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
        // What is dropped last tells of a seat that is empty already.
        let mut waiting = Waiting {
            news: &self.inner.news,
            has_heard: false,
        };
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
                    waiting.has_heard = true;
                    return Some(turn.unwrap_or(Turn::Again));
                }
                () = sleep(LOOK_EVERY) => {}
            }
            let is_late = Instant::now() >= until && {
                // Nobody is chosen meanwhile.
                let _state = self.inner.lock();
                let is_served = is_served.load(Ordering::Acquire);
                if !is_served {
                    heard.close();
                }
                !is_served
            };
            if is_late {
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
        self.inner.hear([Said::Hold(Moment::now().plus(time))]);
    }

    /// The provider wants those to wait that call within this scope.
    pub(super) fn hold_in(&self, scope: &str, time: Duration) {
        let until = Moment::now().plus(time);
        self.inner.hear([Said::HoldIn(scope.to_owned(), until)]);
    }

    /// The provider says how much is left.
    pub(super) fn at_most(&self, left: &[Draw]) {
        if !left.is_empty() {
            let now = Moment::now();
            self.inner
                .hear(left.iter().map(|one| Said::AtMost(*one, now)));
        }
    }

    /// The provider wants the job of this key to be asked after so long.
    pub(super) fn rest(&self, key: &str, time: Duration) {
        self.inner.rests.begin(key, time);
    }

    /// Whether a job is not asked after yet.
    pub(super) fn is_resting(&self, key: &str) -> bool {
        self.inner.rests.is_resting(key)
    }

    /// Whether somebody waits for room in this scope.
    pub(super) fn is_full(&self, scope: &str) -> bool {
        self.inner.lock().queue.is_full(scope)
    }

    /// A job of the process before.
    pub(super) fn resume(&self, key: &str, takes: Takes) {
        self.inner.change(|state| {
            state.queue.under_way.begin(key.to_owned(), takes);
            state.queue.under_way.ask_after(key);
        });
    }

    /// An execution asks after this job no longer, and it may run on.
    pub(super) fn leave(&self, key: &str) {
        self.inner.leave(key);
    }

    /// A job has ended.
    pub(super) fn end(&self, key: &str) {
        self.inner.rests.end(key);
        self.inner.change(|state| state.queue.under_way.end(key));
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

    /// The provider said this; whoever chooses hears it before he does.
    fn hear(&self, said: impl IntoIterator<Item = Said>) {
        self.change(|state| state.said.extend(said));
    }

    fn leave(&self, key: &str) {
        if self.change(|state| state.queue.under_way.leave(key)) {
            self.rests.end(key);
        }
    }

    /// The next that may go, or how long nobody can. Waits for the file.
    fn next(&self) -> Result<(Going<Seat>, String), Duration> {
        let mut purse = self.purse.lock().unwrap_or_else(PoisonError::into_inner);
        purse.with(|levels, rates| self.lock().choose(levels, rates))
    }
}

impl State {
    fn choose(
        &mut self,
        levels: &mut Levels,
        rates: &Rates,
    ) -> Result<(Going<Seat>, String), Duration> {
        for said in self.said.drain(..) {
            match said {
                Said::Hold(until) => levels.hold(until),
                Said::HoldIn(scope, until) => levels.hold_in(&scope, until),
                Said::AtMost(left, then) => levels.at_most(rates, &left, then),
            }
        }
        let now = Moment::now();
        match self.queue.next(levels, rates, now) {
            Next::Go(going) => {
                self.calls += 1;
                // No job's key begins so, but with a path or a blank.
                let holder = format!("call {}", self.calls);
                let takes = going.takes.clone();
                self.queue.under_way.begin(holder.clone(), takes);
                for (seat, _) in &going.partners {
                    seat.is_served.store(true, Ordering::Release);
                }
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
        match tokio::task::spawn_blocking(move || own.next()).await {
            Err(fault) if fault.is_cancelled() => return,
            Err(fault) => {
                error!(error = %Chain(&fault), "nobody could be chosen for an account");
                sleep(AFTER_A_FAULT).await;
            }
            Ok(Ok((going, holder))) => lead::lead(&inner, going, holder),
            Ok(Err(rest)) => {
                tokio::select! {
                    () = inner.news.notified() => {}
                    () = sleep(rest) => {}
                }
            }
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if !self.has_heard {
            self.news.notify_one();
        }
    }
}

fn too_late() -> Fault {
    let message = "not tried: the account at the provider had nothing left in the execution's time, by its budgets or because \
                   the provider asked to wait";
    Fault::participant(FaultCode::Throttled, Again::Soon, message)
}
