//! Handing over: what a replica accepts for a lane that it empties itself need not be read back from the outbox.
//!
//! Invariant: what is handed over stands in the outbox all the same, marked as dispatched under the lease that its door was made
//! with, and comes in the order of its sequences. It is a shortcut in memory and nothing else: whoever loses it, or finds that
//! something is missing, reads the outbox.
//! Not here: who sends (`dispatch::turn`), and what is marked (`accept`, `mark`).

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
};

use domain::ParticipantId;
use tokio::sync::Notify;

use super::{
    Shard,
    outbox::{BatchLimits, Entry, Lane, Lease},
};

/// What may lie behind a door: a lane that does not keep up reads its outbox.
const MOST: usize = 1_000;
/// Bytes of the orders.
const MOST_BYTES: usize = 4 * 1024 * 1024;

/// The doors of one replica, by shard.
#[derive(Clone)]
pub(super) struct Doors(Arc<[RwLock<OfShard>]>);

type OfShard = HashMap<ParticipantId, Arc<Door>>;

/// Where what is accepted for a lane is handed over.
struct Door {
    lease: Lease,
    waker: Arc<Notify>,
    can_send: Box<dyn Fn() -> bool + Send + Sync>,
    inside: Mutex<Inside>,
}

#[derive(Default)]
struct Inside {
    is_open: bool,
    entries: VecDeque<Entry>,
    bytes: usize,
}

impl Doors {
    pub(super) fn new(shards: usize) -> Self {
        Self((0..shards).map(|_| RwLock::default()).collect())
    }

    /// The lease under which an execution of this participant may be marked now.
    pub(super) fn lease(&self, shard: Shard, participant: &ParticipantId) -> Option<Lease> {
        let door = self.of(shard, participant)?;
        let takes = {
            let inside = door.lock();
            inside.is_open && inside.entries.len() < MOST && inside.bytes < MOST_BYTES
        };
        (takes && (door.can_send)()).then(|| door.lease.clone())
    }

    /// Hands over what was marked under this lease. Where nobody takes it any more the outbox has it.
    pub(super) fn hand(
        &self,
        shard: Shard,
        (participant, lease): (&ParticipantId, &Lease),
        entry: Entry,
    ) {
        let door = self.of(shard, participant);
        if let Some(door) = door.filter(|door| door.lease == *lease) {
            door.push(entry);
            door.waker.notify_one();
        }
    }

    /// Something may have been marked in this shard that was not handed over: everybody looks.
    pub(super) fn look(&self, shard: Shard) {
        let doors = self.0[usize::from(shard.number())].read();
        for door in doors.unwrap_or_else(PoisonError::into_inner).values() {
            door.shut();
            door.waker.notify_one();
        }
    }

    fn of(&self, shard: Shard, participant: &ParticipantId) -> Option<Arc<Door>> {
        let doors = self.0[usize::from(shard.number())].read();
        let doors = doors.unwrap_or_else(PoisonError::into_inner);
        doors.get(participant).cloned()
    }

    /// A door for who has this lease. It is shut at first, and there no longer when what this gives is dropped.
    pub(super) fn build(
        &self,
        lane: &Lane,
        lease: &Lease,
        waker: Arc<Notify>,
        can_send: impl Fn() -> bool + Send + Sync + 'static,
    ) -> Handed {
        let door = Arc::new(Door {
            lease: lease.clone(),
            waker,
            can_send: Box::new(can_send),
            inside: Mutex::default(),
        });
        let mut doors = self.0[usize::from(lane.shard.number())]
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        doors.insert(lane.participant.clone(), Arc::clone(&door));
        drop(doors);
        Handed {
            doors: self.clone(),
            lane: lane.clone(),
            door,
        }
    }
}

impl Door {
    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, entry: Entry) {
        let mut inside = self.lock();
        inside.bytes += entry.order.get().len();
        inside.entries.push_back(entry);
    }

    /// Nothing more is marked at once, and what lies here is read from the outbox.
    fn shut(&self) {
        *self.lock() = Inside::default();
    }
}

/// The inner side of a door.
pub struct Handed {
    doors: Doors,
    lane: Lane,
    door: Arc<Door>,
}

impl Handed {
    /// From now on what is accepted here may be marked at once.
    pub fn open(&self) {
        self.door.lock().is_open = true;
    }

    /// From now on nothing is; what was handed over stays.
    pub fn close(&self) {
        self.door.lock().is_open = false;
    }

    /// The same, and what was handed over is forgotten.
    pub fn shut(&self) {
        self.door.shut();
    }

    /// Whether something lies there.
    pub fn has_any(&self) -> bool {
        !self.door.lock().entries.is_empty()
    }

    /// Takes what comes right behind `after`, as much as fits into a message; nothing where something is missing in between.
    pub fn take(&self, after: u64, limits: BatchLimits) -> Vec<Entry> {
        let mut inside = self.door.lock();
        let (mut taken, mut bytes, mut next) = (Vec::new(), 0, after + 1);
        while let Some(first) = inside.entries.front() {
            let length = first.order.get().len();
            if first.sequence >= next {
                let fits = taken.len() < limits.entries
                    && (taken.is_empty() || bytes + length <= limits.bytes);
                if first.sequence > next || !fits {
                    break;
                }
                bytes += length;
                next += 1;
                taken.extend(inside.entries.pop_front());
            } else {
                // It was read from the outbox meanwhile.
                inside.entries.pop_front();
            }
            inside.bytes -= length;
        }
        taken
    }
}

impl Drop for Handed {
    fn drop(&mut self) {
        let mut doors = self.doors.0[usize::from(self.lane.shard.number())]
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        // A later owner's door is its own.
        if doors
            .get(&self.lane.participant)
            .is_some_and(|door| Arc::ptr_eq(door, &self.door))
        {
            doors.remove(&self.lane.participant);
        }
    }
}
