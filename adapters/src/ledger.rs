//! What this process knows of the executions that came by: which it saw, which it began, which were cancelled.
//!
//! Invariant: a cancel holds only where the execution was not begun. This process began it or did not; but one that comes
//! again and was not seen before may have been begun by a process that died, or by another adapter, and is carried out:
//! the cancel came too late, and the report says so. For the same reason it is not called expired.
//! Not here: what is finished, and what may not be repeated (`journal`, which outlives the process).
//!
//! Each list forgets its oldest, so memory is bounded. Not noticed is an execution that was seen here, begun by another
//! adapter that took over and died in its midst, and came back.

use std::{
    collections::{HashSet, VecDeque},
    hash::Hash,
    sync::{Mutex, MutexGuard, PoisonError},
};

use domain::{CommandId, ExecutionId};

/// Executions that each list holds: more than are unsettled at a time with any sensible prefetch.
const LIMIT: usize = 65_536;

/// All lists. A ledger belongs to one participant, so the command alone names the execution.
#[derive(Debug, Default)]
pub(crate) struct Ledger(Mutex<Lists>);

#[derive(Debug, Default)]
struct Lists {
    seen: Recent<CommandId>,
    begun: Recent<CommandId>,
    /// Perhaps begun, by somebody else.
    doubtful: Recent<CommandId>,
    cancelled: Recent<CommandId>,
}

impl Ledger {
    /// Takes note of an execution that came, for the first time or again, as far as RabbitMQ and the broker know.
    pub(crate) fn see(&self, execution: &ExecutionId, comes_again: bool) {
        let mut lists = self.lock();
        let is_new = lists.seen.insert(execution.command);
        if is_new && comes_again {
            lists.doubtful.insert(execution.command);
        }
    }

    /// Takes note that these are not to be begun any more. Repeating it changes nothing.
    pub(crate) fn cancel(&self, executions: &[ExecutionId]) {
        let mut lists = self.lock();
        for execution in executions {
            lists.cancelled.insert(execution.command);
        }
    }

    /// Whether it was cancelled, and not begun before that.
    pub(crate) fn is_cancelled(&self, execution: &ExecutionId) -> bool {
        self.lock().is_cancelled(execution.command)
    }

    /// Begins it, or says `false` because it was cancelled before. From now on no cancel holds.
    pub(crate) fn begin(&self, execution: &ExecutionId, can_be_cancelled: bool) -> bool {
        let mut lists = self.lock();
        if can_be_cancelled && lists.is_cancelled(execution.command) {
            return false;
        }
        lists.begun.insert(execution.command);
        true
    }

    /// Whether somebody else may have begun it.
    pub(crate) fn is_doubtful(&self, execution: &ExecutionId) -> bool {
        self.lock().doubtful.contains(execution.command)
    }

    /// Whether this process began it.
    pub(crate) fn has_begun(&self, execution: &ExecutionId) -> bool {
        self.lock().begun.contains(execution.command)
    }

    fn lock(&self) -> MutexGuard<'_, Lists> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lists {
    fn is_cancelled(&self, command: CommandId) -> bool {
        self.cancelled.contains(command)
            && !self.begun.contains(command)
            && !self.doubtful.contains(command)
    }
}

/// The latest of what was put in.
#[derive(Debug)]
struct Recent<T> {
    known: HashSet<T>,
    order: VecDeque<T>,
}

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Self {
            known: HashSet::new(),
            order: VecDeque::new(),
        }
    }
}

impl<T: Copy + Eq + Hash> Recent<T> {
    /// Whether it is new.
    fn insert(&mut self, item: T) -> bool {
        if !self.known.insert(item) {
            return false;
        }
        self.order.push_back(item);
        if self.order.len() > LIMIT
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        true
    }

    fn contains(&self, item: T) -> bool {
        self.known.contains(&item)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn execution() -> ExecutionId {
        ExecutionId {
            command: CommandId::from_uuid(Uuid::now_v7()),
            participant: "b".parse().unwrap(),
        }
    }

    /// Whoever is first wins, and the answer says who that was.
    #[test]
    fn a_cancel_holds_until_the_execution_is_begun() {
        let (ledger, early, late) = (Ledger::default(), execution(), execution());
        ledger.cancel(std::slice::from_ref(&early));
        assert!(ledger.is_cancelled(&early) && !ledger.begin(&early, true));
        assert!(ledger.begin(&late, true));
        ledger.cancel(std::slice::from_ref(&late));
        assert!(!ledger.is_cancelled(&late) && ledger.has_begun(&late));
        assert!(
            ledger.begin(&late, true),
            "what was left half-way is gone on with"
        );
    }

    /// One that may have been begun by somebody else is not called cancelled; one that only came back to us is.
    #[test]
    fn what_may_have_been_begun_elsewhere_is_begun_in_spite_of_a_cancel() {
        let (ledger, ours, theirs) = (Ledger::default(), execution(), execution());
        ledger.see(&ours, false);
        for execution in [&ours, &theirs, &theirs] {
            ledger.see(execution, true);
            ledger.cancel(std::slice::from_ref(execution));
        }
        assert!(!ledger.begin(&ours, true));
        assert!(ledger.begin(&theirs, true) && ledger.has_begun(&theirs));
    }

    /// The one that does the work of others too goes on, for their sake.
    #[test]
    fn what_cannot_be_cancelled_is_begun() {
        let (ledger, execution) = (Ledger::default(), execution());
        ledger.cancel(std::slice::from_ref(&execution));
        assert!(ledger.begin(&execution, false));
    }

    /// Memory does not grow with the days that an adapter runs.
    #[test]
    fn the_oldest_are_forgotten() {
        let mut recent = Recent::default();
        for number in 0..=LIMIT {
            assert!(recent.insert(number));
        }
        assert!(!recent.contains(0) && recent.contains(1) && recent.contains(LIMIT));
        assert_eq!((recent.known.len(), recent.order.len()), (LIMIT, LIMIT));
    }
}
