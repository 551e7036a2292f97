//! What all actors of one run share: the seed's dice, the clock, RabbitMQ, the servers that are told, and the trace.
//!
//! Invariant: nothing in a run is random but by this seed, and no time passes but by this clock.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use broker::store::{Lane, Shard};
use domain::{CommandId, ConfigurationId, ExecutionId, ParticipantId, ServerId, Timestamp};
use rand::{Rng, SeedableRng, rngs::StdRng};

use super::{cast::Cast, mutation::Mutation, rabbitmq::RabbitMq};

/// When every run begins, in milliseconds: so long ago that every lane is behind with every command, and compacts.
const BEGIN: u64 = 1_700_000_000_000;

/// All that is shared.
pub(super) struct World {
    pub(super) rng: StdRng,
    pub(super) clock: Timestamp,
    /// Whether anything goes wrong.
    pub(super) faults: bool,
    /// How many adapters each participant has; one of them works.
    pub(super) hosts: usize,
    /// Whether a dispatch may arrive after it was given up.
    pub(super) late: bool,
    pub(super) mutation: Option<Mutation>,
    pub(super) cast: Cast,
    pub(super) rabbit: RabbitMq,
    /// Every telling of a server, in order.
    pub(super) tellings: Vec<Telling>,
    /// Executions that an adapter ended with a later one, and these.
    pub(super) absorbed: BTreeMap<ExecutionId, BTreeSet<CommandId>>,
    /// Commands that somebody wanted to take back, whatever came of it.
    pub(super) cancelled: BTreeSet<CommandId>,
    /// Executions that an adapter could say nothing of and went on: not to be repeated, or their time was over.
    pub(super) given_up: BTreeSet<ExecutionId>,
    /// Executions that a cancel was said to have taken back.
    pub(super) taken_back: BTreeSet<ExecutionId>,
    /// Grows whenever there may be something to do in an outbox that was not there.
    news: BTreeMap<Lane, u64>,
    /// Grows whenever somebody gives a lease back.
    pub(super) released: u64,
    /// What happened, a line for each step.
    pub(super) trace: Vec<String>,
}

/// A server was told.
#[derive(Debug, Clone)]
pub(super) struct Telling {
    pub(super) participant: ParticipantId,
    pub(super) server: ServerId,
    pub(super) configuration: ConfigurationId,
    pub(super) command: CommandId,
    pub(super) sequence: u64,
    /// When its execution was begun, by the adapter that did it.
    pub(super) begun: Timestamp,
}

impl World {
    /// As the seed wants it.
    pub(super) fn new(seed: u64, mutation: Option<Mutation>) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let cast = Cast::draw(&mut rng);
        let hosts = if rng.random_ratio(1, 4) { 2 } else { 1 };
        Self {
            rabbit: RabbitMq::new(cast.participants.len()),
            hosts,
            late: hosts == 1 || rng.random(),
            rng,
            clock: Timestamp::from_millis(BEGIN),
            faults: true,
            mutation,
            cast,
            tellings: Vec::new(),
            absorbed: BTreeMap::new(),
            cancelled: BTreeSet::new(),
            given_up: BTreeSet::new(),
            taken_back: BTreeSet::new(),
            news: BTreeMap::new(),
            released: 0,
            trace: Vec::new(),
        }
    }

    /// Whether this fault happens now: once in so many times.
    pub(super) fn fault(&mut self, once_in: u32) -> bool {
        self.faults && self.rng.random_ratio(1, once_in)
    }

    /// Whether this is broken on purpose.
    pub(super) fn broken(&self, mutation: Mutation) -> bool {
        self.mutation == Some(mutation)
    }

    /// There may be something to do in the outboxes of a shard: in all of them, or in that of one participant.
    pub(super) fn news(&mut self, shard: Shard, participant: Option<&ParticipantId>) {
        let all = self.cast.participants.iter().map(|(id, _)| id);
        for id in all.filter(|id| participant.is_none_or(|one| one == *id)) {
            let lane = Lane {
                shard,
                participant: id.clone(),
            };
            *self.news.entry(lane).or_default() += 1;
        }
    }

    /// What a lane may know.
    pub(super) fn news_of(&self, lane: &Lane) -> u64 {
        self.news.get(lane).copied().unwrap_or_default()
    }

    /// Time passes.
    pub(super) fn wait(&mut self, millis: u64) {
        self.clock = self.clock.plus(Duration::from_millis(millis));
    }

    /// A line of the trace.
    pub(super) fn note(&mut self, line: impl Into<String>) {
        self.trace.push(line.into());
    }
}

/// The end of an id: enough to tell commands of one run apart.
pub(super) fn short(id: CommandId) -> String {
    let text = id.to_string();
    text[24..32].to_owned()
}
