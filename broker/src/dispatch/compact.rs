//! Which of a backlog's executions are sent, and which of them a later one does too.
//!
//! Invariant: a message covers the outbox from its head up to a place, without a gap: nothing waits for an absorber that
//! is further behind. What is absorbed is absorbed by one that is sent in the same message, and no load or custom
//! operation of its configuration stands between the two.
//! Not here: whether one purge covers another (`domain::absorb`), and how a subject is found (`ahead`).

use std::collections::HashMap;

use domain::{
    ConfigurationId,
    absorb::{Same, Subject, covers},
};

/// Pairs that are compared for one message: a bound on its time, a few milliseconds.
const COMPARISONS: usize = 100_000;

/// One entry of the backlog, the oldest first.
#[derive(Debug, Clone, Copy)]
pub(super) struct Candidate<'a> {
    /// Bytes of its order.
    pub(super) bytes: usize,
    /// What it is about; `None` where that is not known, so that nothing may pass it.
    pub(super) subject: Option<&'a Subject>,
}

/// What fits into a message.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    /// Executions that are sent.
    pub(super) executions: usize,
    /// Bytes of their orders.
    pub(super) bytes: usize,
}

/// For each entry that the message covers, from the head: the entry that does its work, which is none for one that is
/// sent. The first entry is always covered, whatever its bytes.
pub(super) fn compact(backlog: &[Candidate<'_>], room: Room) -> Vec<Option<usize>> {
    let mut pass = Pass::default();
    let (mut sent, mut bytes, mut covered) = (0_usize, 0_usize, 0);
    for (index, candidate) in backlog.iter().enumerate() {
        sent += 1;
        bytes += candidate.bytes;
        for absorbed in pass.next(index, candidate.subject) {
            sent -= 1;
            bytes -= backlog[absorbed].bytes;
        }
        if index == 0 || (sent <= room.executions && bytes <= room.bytes) {
            covered = index + 1;
        }
        if pass.comparisons >= COMPARISONS {
            break;
        }
    }
    let mut absorbed_by = pass.absorbed_by;
    absorbed_by.truncate(covered);
    // An absorber stands behind what it absorbs, so from the end each chain is known before it is needed.
    for index in (0..covered).rev() {
        let by = absorbed_by[index].filter(|by| *by < covered);
        absorbed_by[index] = by.map(|by| absorbed_by[by].unwrap_or(by));
    }
    absorbed_by
}

/// One pass over a backlog.
#[derive(Default)]
struct Pass<'a> {
    /// For each entry so far, the first one that covers it.
    absorbed_by: Vec<Option<usize>>,
    /// By configuration: what a later purge may still absorb.
    open: HashMap<&'a ConfigurationId, Open<'a>>,
    comparisons: usize,
}

/// Purges of one configuration since the last operation that they must not change places with.
#[derive(Default)]
struct Open<'a> {
    entries: Vec<(usize, &'a Subject)>,
    /// The same by their first selector: what covers all selectors covers the first.
    by_first: HashMap<Same<'a>, Vec<(usize, &'a Subject)>>,
}

impl<'a> Pass<'a> {
    /// Takes the next entry; answers which ones it absorbs.
    fn next(&mut self, index: usize, subject: Option<&'a Subject>) -> Vec<usize> {
        self.absorbed_by.push(None);
        let Some(subject) = subject else {
            self.open.clear();
            return Vec::new();
        };
        if subject.mode.is_none() {
            self.open.remove(&subject.configuration);
            return Vec::new();
        }
        let open = self.open.entry(&subject.configuration).or_default();
        let absorbed = open.absorb(subject, &mut self.comparisons);
        open.add(index, subject);
        for earlier in &absorbed {
            self.absorbed_by[*earlier] = Some(index);
        }
        absorbed
    }
}

impl<'a> Open<'a> {
    fn add(&mut self, index: usize, subject: &'a Subject) {
        match subject.selectors.first().and_then(Same::of) {
            Some(first) => self
                .by_first
                .entry(first)
                .or_default()
                .push((index, subject)),
            None => self.entries.push((index, subject)),
        }
    }

    /// Removes and answers what `later` covers.
    fn absorb(&mut self, later: &'a Subject, comparisons: &mut usize) -> Vec<usize> {
        let reach = later.reach();
        let mut absorbed = Vec::new();
        let mut sift = |entries: &mut Vec<(usize, &'a Subject)>| {
            *comparisons += entries.len();
            entries.retain(|(index, earlier)| {
                let covered = covers(later, &reach, earlier);
                if covered {
                    absorbed.push(*index);
                }
                !covered
            });
        };
        if reach.is_broad() {
            sift(&mut self.entries);
            self.by_first.retain(|_, entries| {
                sift(entries);
                !entries.is_empty()
            });
        } else {
            // One that covers nothing but its like: only those that begin like one of its own can be meant.
            for same in reach.same() {
                if let Some(entries) = self.by_first.get_mut(&same) {
                    sift(entries);
                }
            }
        }
        absorbed
    }
}

#[cfg(test)]
#[path = "compact/tests.rs"]
mod tests;
