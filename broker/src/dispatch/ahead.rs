//! Looking further into a backlog than a message reaches, so that a participant that was away gets what it missed in few
//! messages.
//!
//! Invariant: a lane that keeps up pays nothing for it. What is remembered of the entries behind a message is bounded in
//! number and bytes, and each is looked at once however many messages it takes to come to it.
//! Not here: who absorbs whom (`compact`).

use std::{
    collections::{HashSet, VecDeque},
    time::Duration,
};

use super::compact::{Candidate, Room, compact};
use crate::{
    pipeline::now,
    store::{
        AbsorbedEntry, Batch, BatchLimits, Entry, Lane, Mark, Plans, Store, StoreError, Waiting,
        accepted_at,
    },
};

/// A lane is behind when the oldest entry has waited so long: a busy one that keeps up is not.
const BEHIND: Duration = Duration::from_secs(2);
/// Bytes of the orders of entries that are remembered; what is remembered of them is less.
const REMEMBERED_BYTES: usize = 16 * 1024 * 1024;

/// What is known of the entries from the head of an outbox on.
#[derive(Default)]
pub struct Ahead {
    /// How much of the window a lane that is behind leaves free before it sends again: what is absorbed, is absorbed by one
    /// of the same message, so few long messages absorb more than many short ones. Its adapter has enough to do meanwhile. At most
    /// half of it, for what is marked when it is accepted may have a quarter.
    reserve: u64,
    known: VecDeque<Waiting>,
    bytes: usize,
    plans: Plans,
}

impl Ahead {
    /// How much may be out before the next batch is read.
    pub const fn window(&self, limits: BatchLimits) -> BatchLimits {
        BatchLimits {
            window: limits.window - self.reserve,
            ..limits
        }
    }

    /// How many entries are looked at instead of a batch, at most `most`, where the lane is behind. Asked once for each batch, for
    /// the answer changes with time: who has more looked at must know it, or what is taken from behind the batch is sent twice.
    pub fn looks(batch: &Batch, most: usize) -> Option<usize> {
        (most > 0 && is_behind(batch)).then_some(most)
    }

    /// Makes of a batch one that covers more of the outbox, where it is to be looked at so far (`looks`): its entries are those that
    /// are sent, and the answer holds those whose work they do too.
    pub async fn compact(
        &mut self,
        store: &Store,
        lane: &Lane,
        batch: &mut Batch,
        limits: BatchLimits,
        lookahead: Option<usize>,
    ) -> Result<Vec<AbsorbedEntry>, StoreError> {
        if batch.entries.is_empty() {
            return Ok(Vec::new());
        }
        let Some(lookahead) = lookahead else {
            *self = Self::default();
            return Ok(Vec::new());
        };
        self.match_up(batch);
        self.look(store, lane, lookahead).await?;
        let room = Room {
            executions: if batch.held_back {
                // The window has let so many through; what is absorbed is no work and needs no room in it.
                let free = usize::try_from(self.reserve).unwrap_or(usize::MAX);
                batch.entries.len().saturating_add(free).min(limits.entries)
            } else {
                limits.entries
            },
            bytes: limits.bytes,
        };
        self.reserve = (limits.window / 2).min(limits.entries as u64);
        loop {
            let (sent, absorbed) = self.choose(room);
            if self.fetch(store, lane, batch, &sent).await? {
                return Ok(absorbed);
            }
        }
    }

    /// Forgets what is gone: the batch is read anew each time, and what is not in it and stands before its end is no more.
    fn match_up(&mut self, batch: &Batch) {
        let there = sequences(&batch.entries);
        let end = batch.entries.last().map_or(0, |entry| entry.sequence);
        self.known
            .retain(|waiting| waiting.sequence > end || there.contains(&waiting.sequence));
        self.bytes = self.known.iter().map(|waiting| waiting.bytes).sum();
        // What is known is the head of the outbox without a gap, or nothing.
        if self.known.front().is_some_and(|first| {
            batch
                .entries
                .first()
                .is_some_and(|entry| entry.sequence != first.sequence)
        }) {
            self.known.clear();
            self.bytes = 0;
        }
    }

    /// Looks until enough is known, or nothing is left.
    async fn look(
        &mut self,
        store: &Store,
        lane: &Lane,
        lookahead: usize,
    ) -> Result<(), StoreError> {
        while self.known.len() < lookahead && self.bytes < REMEMBERED_BYTES {
            let after = self.known.back().map(|waiting| waiting.sequence);
            let count = lookahead - self.known.len();
            let more = store
                .look_ahead(lane, after, count, &mut self.plans)
                .await?;
            if more.is_empty() {
                break;
            }
            self.bytes += more.iter().map(|waiting| waiting.bytes).sum::<usize>();
            self.known.extend(more);
        }
        Ok(())
    }

    /// The sequences of those that are sent, in order, and those whose work they do too.
    fn choose(&self, room: Room) -> (Vec<u64>, Vec<AbsorbedEntry>) {
        let candidates = self.known.iter().map(|waiting| Candidate {
            bytes: waiting.bytes,
            subject: waiting.subject.as_ref(),
        });
        let absorbed_by = compact(&candidates.collect::<Vec<_>>(), room);
        let (mut sent, mut absorbed) = (Vec::new(), Vec::new());
        for (waiting, by) in self.known.iter().zip(absorbed_by) {
            match by.and_then(|by| self.known.get(by)) {
                None => sent.push(waiting.sequence),
                Some(by) => absorbed.push(AbsorbedEntry {
                    sequence: waiting.sequence,
                    command: waiting.command,
                    by_sequence: by.sequence,
                    by: by.command,
                }),
            }
        }
        (sent, absorbed)
    }

    /// Makes the batch hold just those; `false` where some are no more, which are forgotten then: taken back since they were
    /// looked at, they absorb nothing.
    async fn fetch(
        &mut self,
        store: &Store,
        lane: &Lane,
        batch: &mut Batch,
        sent: &[u64],
    ) -> Result<bool, StoreError> {
        let there = sequences(&batch.entries);
        let missing = sent.iter().copied().filter(|one| !there.contains(one));
        let missing = missing.collect::<Vec<_>>();
        let found = store.entries(lane, &missing).await?;
        if found.len() < missing.len() {
            let found = sequences(&found);
            let gone = |one: &u64| missing.contains(one) && !found.contains(one);
            self.known.retain(|waiting| !gone(&waiting.sequence));
            return Ok(false);
        }
        let sent = sent.iter().copied().collect::<HashSet<_>>();
        batch.entries.retain(|entry| sent.contains(&entry.sequence));
        // They stand behind those that the batch had.
        batch.entries.extend(found);
        Ok(true)
    }
}

fn sequences(entries: &[Entry]) -> HashSet<u64> {
    entries.iter().map(|entry| entry.sequence).collect()
}

/// Those that are told with their absorber: the others have ended meanwhile.
pub fn marked(absorbed: &[AbsorbedEntry], marks: &[Mark]) -> Vec<(AbsorbedEntry, Mark)> {
    let marked = absorbed.iter().copied().zip(marks.iter().copied());
    marked
        .filter(|(_, mark)| matches!(mark, Mark::Send | Mark::SendAgain))
        .collect()
}

/// Whether more waits than one fresh entry, and for long.
fn is_behind(batch: &Batch) -> bool {
    let more = batch.entries.len() > 1 || batch.held_back;
    let first = batch.entries.first();
    more && first.is_some_and(|entry| now().since(accepted_at(entry.command)) >= BEHIND)
}
