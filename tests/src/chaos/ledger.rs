//! What was asked for, what was promised, and what became of it.
//!
//! Invariant: a command enters before it is sent, so nothing that the broker may have accepted is unknown here; what was
//! once seen as settled is compared with everything that is seen of it later.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
};

use proto::v1::{self, ExecutionState};
use uuid::Uuid;

use super::recorder::Recorder;

/// How many contradictions are told in words.
const TOLD_IN_WORDS: usize = 20;

/// All commands of a run, by their request ids.
#[derive(Debug, Default)]
pub(super) struct Ledger(Mutex<Book>);

#[derive(Debug, Default)]
struct Book {
    entries: HashMap<Uuid, Entry>,
    /// The number of the fault that is on.
    fault: usize,
    acknowledged: u64,
    contradictions: Vec<Contradiction>,
    refusals: BTreeMap<String, u64>,
}

#[derive(Debug)]
struct Contradiction {
    fault: usize,
    words: String,
}

#[derive(Debug)]
struct Entry {
    fault: usize,
    repeatable: bool,
    acknowledged: bool,
    command: Option<Uuid>,
    /// The latest that was seen of it: what was read before is told late sometimes.
    revision: u64,
    /// How each participant's part ended, once all had.
    ends: Option<Ends>,
}

/// A participant's part, how it ended, and whether a later command did its work.
type Ends = Vec<(String, ExecutionState, bool)>;

/// What is to be said of the commands of one fault.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Acknowledged to the originator.
    pub(super) accepted: u64,
    /// Acknowledged, and never settled, settled by silence, done without a server that was told, or not in the store.
    pub(super) lost: u64,
    /// Two commands of one request, or two ends of one execution.
    pub(super) contradictory: u64,
    /// Tellings beyond the first, by server.
    pub(super) told_again: Vec<u64>,
    /// Executions that may not be repeated and were told more than once.
    pub(super) forbidden: u64,
}

impl Ledger {
    /// From now on commands belong to this fault.
    pub(super) fn turn_to(&self, fault: usize) {
        self.lock().fault = fault;
    }

    /// About to be sent.
    pub(super) fn ask(&self, request: Uuid, repeatable: bool) {
        let mut book = self.lock();
        let fault = book.fault;
        let entry = Entry {
            fault,
            repeatable,
            acknowledged: false,
            command: None,
            revision: 0,
            ends: None,
        };
        book.entries.insert(request, entry);
    }

    /// The broker has answered with a command.
    pub(super) fn acknowledge(&self, request: Uuid, command: &str) {
        let Ok(command) = command.parse::<Uuid>() else {
            return;
        };
        let mut book = self.lock();
        let Some(entry) = book.entries.get_mut(&request) else {
            return;
        };
        let first = !std::mem::replace(&mut entry.acknowledged, true);
        let (before, fault) = (entry.command.replace(command), entry.fault);
        book.acknowledged += u64::from(first);
        if before.is_some_and(|before| before != command) {
            let words = format!("request {request} has two commands: {before:?} and {command}");
            book.contradict(fault, words);
        }
    }

    /// The broker refused, for a reason that another try does not change.
    pub(super) fn refuse(&self, words: &str) {
        *self.lock().refusals.entry(words.to_owned()).or_default() += 1;
    }

    /// A command as the store has it.
    pub(super) fn see(&self, command: &v1::Command) {
        let (Ok(request), Ok(id)) = (command.request_id.parse::<Uuid>(), command.id.parse()) else {
            return;
        };
        let mut book = self.lock();
        let Some(entry) = book.entries.get_mut(&request) else {
            return;
        };
        let fault = entry.fault;
        let mut words = Vec::new();
        if let Some(before) = entry.command.replace(id).filter(|before| *before != id) {
            words.push(format!(
                "request {request} has two commands: {before} and {id}"
            ));
        }
        let older = command.revision < entry.revision;
        entry.revision = entry.revision.max(command.revision);
        if let Some(ends) = ends(command) {
            words.extend(contradictions(id, entry.ends.as_ref(), &ends));
            entry.ends = Some(ends);
        } else if let (Some(before), false) = (&entry.ends, older) {
            words.push(format!(
                "{id} was settled as {before:?} and is not any more"
            ));
        }
        for words in words {
            book.contradict(fault, words);
        }
    }

    /// How many were acknowledged so far.
    pub(super) fn acknowledged(&self) -> u64 {
        self.lock().acknowledged
    }

    /// The acknowledged commands that nobody has seen settled.
    pub(super) fn open(&self) -> std::collections::HashSet<Uuid> {
        let book = self.lock();
        let open = book.entries.values().filter(|entry| entry.is_open());
        open.filter_map(|entry| entry.command).collect()
    }

    /// What went wrong, in words, and what was refused.
    pub(super) fn words(&self) -> Vec<String> {
        let book = self.lock();
        let contradictions = book.contradictions.iter().take(TOLD_IN_WORDS);
        let contradictions = contradictions.map(|one| one.words.clone());
        let refusals = book.refusals.iter();
        contradictions
            .chain(refusals.map(|(words, count)| format!("refused {count} times: {words}")))
            .collect()
    }

    /// Acknowledged commands that are lost, with what is known of each; only some of them.
    pub(super) fn lost(&self, recorder: &Recorder) -> Vec<String> {
        let book = self.lock();
        let lost = book
            .entries
            .iter()
            .filter(|(_, entry)| entry.is_lost(recorder));
        let words = lost.map(|(request, entry)| {
            format!(
                "fault {}: request {request}, command {:?}: {:?}",
                entry.fault, entry.command, entry.ends
            )
        });
        words.take(TOLD_IN_WORDS).collect()
    }

    /// The counts of each fault, from 0 to `faults`.
    pub(super) fn counts(&self, faults: usize, recorder: &Recorder) -> Vec<Counts> {
        let book = self.lock();
        let servers = recorder.participants().len();
        let empty = Counts {
            told_again: vec![0; servers],
            ..Counts::default()
        };
        let mut counts = vec![empty; faults];
        for entry in book.entries.values() {
            let Some(count) = counts.get_mut(entry.fault) else {
                continue;
            };
            count.accepted += u64::from(entry.acknowledged);
            count.lost += u64::from(entry.is_lost(recorder));
            let Some(command) = entry.command else {
                continue;
            };
            for (server, again) in count.told_again.iter_mut().enumerate() {
                let more = recorder.told(server, command).saturating_sub(1);
                *again += u64::from(more);
                count.forbidden += u64::from(more > 0 && !entry.repeatable);
            }
        }
        for contradiction in &book.contradictions {
            if let Some(count) = counts.get_mut(contradiction.fault) {
                count.contradictory += 1;
            }
        }
        counts
    }

    fn lock(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    fn contradict(&mut self, fault: usize, words: String) {
        self.contradictions.push(Contradiction { fault, words });
    }
}

impl Entry {
    fn is_open(&self) -> bool {
        self.acknowledged && self.ends.is_none()
    }

    fn is_lost(&self, recorder: &Recorder) -> bool {
        let (true, Some(command)) = (self.acknowledged, self.command) else {
            return false;
        };
        let Some(ends) = &self.ends else {
            return true;
        };
        ends.iter()
            .any(|(participant, state, absorbed)| match state {
                ExecutionState::Unanswered => true,
                ExecutionState::Done => !absorbed && recorder.told_by(participant, command) == 0,
                _ => false,
            })
    }
}

/// How its executions ended; `None` while one has not.
fn ends(command: &v1::Command) -> Option<Ends> {
    let settled = command
        .standing
        .as_ref()
        .is_some_and(|standing| standing.settled);
    let end = |execution: &v1::Execution| {
        let absorbed = !execution.absorbed_by_command_id.is_empty();
        (
            execution.participant_id.clone(),
            execution.state(),
            absorbed,
        )
    };
    let ends = || command.executions.iter().map(end).collect::<Ends>();
    settled.then(ends).filter(|ends| !ends.is_empty())
}

/// Where what is seen now means something else than what was seen before. Silence may be replaced by a late report.
fn contradictions(id: Uuid, before: Option<&Ends>, now: &Ends) -> Vec<String> {
    let Some(before) = before else {
        return Vec::new();
    };
    let changed = before.iter().filter(|(participant, state, _)| {
        let after = now.iter().find(|(other, ..)| other == participant);
        *state != ExecutionState::Unanswered && after.is_none_or(|(_, after, _)| after != state)
    });
    changed
        .map(|end| format!("{id} was {end:?} and is {now:?}"))
        .collect()
}
