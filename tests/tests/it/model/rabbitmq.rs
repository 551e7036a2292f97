//! RabbitMQ as the core sees it: queues in order, what is unsettled comes back in its place, and a publisher that does
//! not always learn what became of its message.
//!
//! Invariant: what a queue took is never lost; a message is delivered to one consumer at a time.

use std::{collections::VecDeque, sync::Arc};

use rand::{Rng, rngs::StdRng};

/// A message in a queue or with its consumer.
#[derive(Debug, Clone)]
pub(super) struct Queued {
    /// Its place among all that were ever in its queue.
    pub(super) place: u64,
    /// JSON, as in the real one.
    pub(super) body: Arc<[u8]>,
    /// Whether it was with a consumer before.
    pub(super) redelivered: bool,
}

/// One queue.
#[derive(Debug, Default)]
pub(super) struct Queue {
    ready: VecDeque<Queued>,
    published: u64,
}

/// What a publish comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is there, and the publisher learns it.
    Confirmed,
    /// It is there, but the confirm is lost.
    ConfirmLost,
    /// It is not there.
    Lost,
    /// The publisher gives it up, and then it comes after all.
    Late,
}

/// All queues, and what is still on its way to them.
#[derive(Debug, Default)]
pub(super) struct RabbitMq {
    /// By participant, in the order of the cast.
    pub(super) commands: Vec<Queue>,
    /// From all participants to all replicas.
    pub(super) replies: Queue,
    late: Vec<(Address, Arc<[u8]>)>,
}

/// Where a message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Address {
    /// The queue of this participant, by its place in the cast.
    Commands(usize),
    /// The queue of reports.
    Replies,
}

impl Fate {
    /// Mostly well.
    pub(super) fn draw(rng: &mut StdRng, faults: bool) -> Self {
        match rng.random_range(0..20) {
            _ if !faults => Self::Confirmed,
            0 => Self::ConfirmLost,
            1 | 2 => Self::Lost,
            3 => Self::Late,
            _ => Self::Confirmed,
        }
    }
}

impl Queue {
    /// The next message, for one consumer.
    pub(super) fn take(&mut self) -> Option<Queued> {
        self.ready.pop_front()
    }

    /// A consumer is gone: what it did not settle goes back to its old place.
    pub(super) fn give_back(&mut self, unsettled: impl IntoIterator<Item = Queued>) {
        for mut message in unsettled {
            message.redelivered = true;
            let place = self
                .ready
                .partition_point(|other| other.place < message.place);
            self.ready.insert(place, message);
        }
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.ready.is_empty()
    }

    fn put(&mut self, body: Arc<[u8]>) {
        self.published += 1;
        self.ready.push_back(Queued {
            place: self.published,
            body,
            redelivered: false,
        });
    }
}

impl RabbitMq {
    /// For so many participants.
    pub(super) fn new(participants: usize) -> Self {
        Self {
            commands: (0..participants).map(|_| Queue::default()).collect(),
            ..Self::default()
        }
    }

    /// Takes a message, as its fate will have it.
    pub(super) fn publish(&mut self, address: Address, body: Arc<[u8]>, fate: Fate) {
        match fate {
            Fate::Confirmed | Fate::ConfirmLost => self.queue(address).put(body),
            Fate::Late => self.late.push((address, body)),
            Fate::Lost => {}
        }
    }

    /// One of those that were given up arrives; whether there was one.
    pub(super) fn arrive(&mut self, rng: &mut StdRng) -> bool {
        if self.late.is_empty() {
            return false;
        }
        let (address, body) = self.late.swap_remove(rng.random_range(0..self.late.len()));
        self.queue(address).put(body);
        true
    }

    /// Whether nothing waits and nothing is on its way.
    pub(super) fn is_empty(&self) -> bool {
        self.late.is_empty() && self.replies.is_empty() && self.commands.iter().all(Queue::is_empty)
    }

    fn queue(&mut self, address: Address) -> &mut Queue {
        match address {
            Address::Commands(participant) => &mut self.commands[participant],
            Address::Replies => &mut self.replies,
        }
    }
}
