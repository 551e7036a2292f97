//! What an adapter knows of executions: its journal, which survives a crash, and its ledger, which does not.
//!
//! Invariant: as in `adapters::journal` and `adapters::ledger`: what is reported stands on disk before, but for what may be repeated
//! and is done; a cancel holds only where the execution was not begun, by nobody.

use std::collections::{BTreeMap, BTreeSet};

use amqp::envelope::ExecutionReport;
use domain::{CommandId, ExecutionId, Timestamp};

use super::{mutation::Mutation, reporter::Reportable, world::World};

/// Journal and ledger of one adapter.
#[derive(Default)]
pub(super) struct Book {
    disk: BTreeMap<CommandId, Entry>,
    memory: Memory,
}

/// What the journal knows.
#[derive(Debug, Clone)]
pub(super) enum Entry {
    Begun(Timestamp),
    Finished(ExecutionReport),
}

#[derive(Default)]
struct Memory {
    /// What the journal will know once it is on disk.
    known: BTreeMap<CommandId, Entry>,
    records: Vec<Record>,
    seen: BTreeSet<CommandId>,
    begun: BTreeMap<CommandId, Timestamp>,
    /// Perhaps begun, by somebody else.
    doubtful: BTreeSet<CommandId>,
    cancelled: BTreeSet<CommandId>,
}

enum Record {
    Begin(CommandId, Timestamp),
    Finish(Vec<Reportable>),
    /// It is reported already.
    Keep(Box<Reportable>),
    Answer(Box<Reportable>),
}

impl Book {
    /// The process is gone.
    pub(super) fn forget(&mut self) {
        self.memory = Memory::default();
    }

    /// What the journal knows of an execution.
    pub(super) fn find(&self, world: &World, execution: &ExecutionId) -> Option<Entry> {
        let known = self.memory.known.get(&execution.command);
        let entry = known.or_else(|| self.disk.get(&execution.command)).cloned();
        entry.filter(|_| !world.broken(Mutation::JournalIgnored))
    }

    /// Whether its beginning is written.
    pub(super) fn is_on_disk(&self, execution: &ExecutionId) -> bool {
        self.disk.contains_key(&execution.command)
    }

    /// It came.
    pub(super) fn see(&mut self, execution: &ExecutionId, comes_again: bool) {
        let is_new = self.memory.seen.insert(execution.command);
        if is_new && comes_again {
            self.memory.doubtful.insert(execution.command);
        }
    }

    /// These are not to be begun any more.
    pub(super) fn cancel(&mut self, executions: &[ExecutionId]) {
        let commands = executions.iter().map(|execution| execution.command);
        self.memory.cancelled.extend(commands);
    }

    /// Whether it was cancelled, and not begun before that.
    pub(super) fn is_cancelled(&self, execution: &ExecutionId) -> bool {
        let Memory {
            cancelled,
            begun,
            doubtful,
            ..
        } = &self.memory;
        let command = &execution.command;
        cancelled.contains(command) && !begun.contains_key(command) && !doubtful.contains(command)
    }

    /// Whether somebody else may have begun it.
    pub(super) fn is_doubtful(&self, execution: &ExecutionId) -> bool {
        self.memory.doubtful.contains(&execution.command)
    }

    /// Whether this process began it.
    pub(super) fn has_begun(&self, execution: &ExecutionId) -> bool {
        self.memory.begun.contains_key(&execution.command)
    }

    /// Begins it, and answers when it was first begun; nothing where it was cancelled before.
    pub(super) fn begin(
        &mut self,
        execution: &ExecutionId,
        can_be_cancelled: bool,
        now: Timestamp,
    ) -> Option<Timestamp> {
        if can_be_cancelled && self.is_cancelled(execution) {
            return None;
        }
        Some(*self.memory.begun.entry(execution.command).or_insert(now))
    }

    /// Writes down that it was begun.
    pub(super) fn write_begun(&mut self, execution: &ExecutionId, begun: Timestamp) {
        self.memory
            .known
            .insert(execution.command, Entry::Begun(begun));
        self.memory
            .records
            .push(Record::Begin(execution.command, begun));
    }

    /// Writes down how they ended, all or none, and reports it then.
    pub(super) fn finish(&mut self, ends: Vec<Reportable>) {
        self.know(&ends);
        self.memory.records.push(Record::Finish(ends));
    }

    /// Writes down how one ended that is reported meanwhile.
    pub(super) fn keep(&mut self, end: Reportable) {
        self.know(std::slice::from_ref(&end));
        self.memory.records.push(Record::Keep(Box::new(end)));
    }

    /// Knows how they ended, without writing it down.
    pub(super) fn know(&mut self, ends: &[Reportable]) {
        let known = ends
            .iter()
            .map(|end| (end.command(), Entry::Finished(end.report.clone())));
        self.memory.known.extend(known);
    }

    /// Reports what is written already, behind what is not.
    pub(super) fn answer(&mut self, answer: Reportable) {
        self.memory.records.push(Record::Answer(Box::new(answer)));
    }

    /// Everything is on disk now; what is to be reported then, and what was reported already. Nothing where nothing waited.
    pub(super) fn flush(&mut self) -> Option<(Vec<Reportable>, Vec<Reportable>)> {
        if self.memory.records.is_empty() {
            return None;
        }
        let (mut reports, mut kept) = (Vec::new(), Vec::new());
        for record in std::mem::take(&mut self.memory.records) {
            match record {
                Record::Begin(command, begun) => {
                    self.disk.entry(command).or_insert(Entry::Begun(begun));
                }
                Record::Finish(ends) => {
                    for end in &ends {
                        self.write_end(end);
                    }
                    reports.extend(ends);
                }
                Record::Keep(end) => {
                    self.write_end(&end);
                    kept.push(*end);
                }
                Record::Answer(answer) => reports.push(*answer),
            }
        }
        Some((reports, kept))
    }

    fn write_end(&mut self, end: &Reportable) {
        let entry = Entry::Finished(end.report.clone());
        self.disk.insert(end.command(), entry);
        self.memory.known.remove(&end.command());
    }
}
