//! What a replica does with one outbox, taken apart where it can be interrupted.
//!
//! Invariant: the steps and their order are those of `broker::dispatch`: lease, read, look ahead, mark, mark what is absorbed,
//! publish, confirm, remove; what is handed over goes without being read and marked. What is absorbed, what the message says and
//! whether what was handed over comes next is decided there, and not here.

use std::{sync::Arc, time::Duration};

use anyhow::Result;
use broker::{
    directory::Directory,
    dispatch::{
        ahead::{self, Ahead},
        message,
        tenure::Tenure,
    },
    store::{
        AbsorbedEntry, Batch, BatchLimits, Entry, Gone, Lane, Lease, Mark, Marked, Marking, Marks,
        Reach, Store,
    },
};
use domain::{CommandId, Timestamp};
use rand::Rng;

use super::{
    mutation::Mutation,
    rabbitmq::{Address, Fate},
    replica::{RETENTION, call},
    world::World,
};

/// Leases end when the run says so, and not by Redis' clock.
const LEASE: Duration = Duration::from_hours(1);
/// How long a report may take.
pub(super) const REPORT: Duration = Duration::from_secs(10);
/// Executions that may be out without a report.
pub(super) const WINDOW: u64 = 10;
/// Entries that a lane that is behind looks at.
const LOOKAHEAD: usize = 10;

/// One replica's worker for one lane.
pub(super) struct LaneWorker {
    /// The participant's place in the cast.
    index: usize,
    lane: Lane,
    holder: String,
    tenure: Option<Tenure>,
    limits: BatchLimits,
    ahead: Ahead,
    stage: Stage,
    /// The news at which it had nothing to do, and what was given back when it got no lease.
    idle_at: Option<(u64, u64)>,
}

/// Between which two calls it is.
enum Stage {
    Idle,
    Read(Batch),
    Chosen {
        batch: Batch,
        absorbed: Vec<AbsorbedEntry>,
    },
    Marked(Sending),
    Composed {
        body: Vec<u8>,
        gone: Gone,
        read: Option<Reach>,
    },
    Sent {
        fate: Fate,
        gone: Gone,
        read: Option<Reach>,
    },
    LostLease,
}

/// What is marked but for what it absorbs.
struct Sending {
    reach: Reach,
    sent: Vec<(Entry, Mark)>,
    absorbed: Vec<AbsorbedEntry>,
    cancels: Vec<CommandId>,
    gone: Gone,
}

impl LaneWorker {
    pub(super) fn new(index: usize, lane: Lane, holder: String) -> Self {
        let limits = BatchLimits {
            entries: 0,
            bytes: 100_000,
            window: WINDOW,
        };
        Self {
            index,
            lane,
            holder,
            tenure: None,
            limits,
            ahead: Ahead::default(),
            stage: Stage::Idle,
            idle_at: None,
        }
    }

    /// Its lease runs out, and it does not notice.
    pub(super) async fn lose_lease(&self, world: &mut World, store: &Store) -> Result<()> {
        world.note(format!("{} runs out of its lease", self.name()));
        if let Some(lease) = store.own(&self.lane, &self.holder, LEASE).await? {
            store.release(&self.lane, &lease).await?;
        }
        world.released += 1;
        Ok(())
    }

    fn name(&self) -> String {
        let Lane { shard, participant } = &self.lane;
        format!("{} for {participant} in {}", self.holder, shard.number())
    }

    /// Whether it would only ask again what it knows, because nothing has happened since.
    pub(super) fn is_at_rest(&self, world: &World) -> bool {
        match self.idle_at {
            Some((_, released)) if self.tenure.is_none() => released == world.released,
            Some((news, _)) => news == world.news_of(&self.lane),
            None => false,
        }
    }

    /// One call; whether it did anything.
    pub(super) async fn step(
        &mut self,
        world: &mut World,
        store: &Store,
        now: Timestamp,
    ) -> Result<bool> {
        self.idle_at = None;
        let Some(tenure) = &mut self.tenure else {
            return self.take(world, store).await;
        };
        let lease = tenure.lease.clone();
        let marking = Marking {
            now,
            deadline: now.plus(REPORT),
            retention: RETENTION,
        };
        match std::mem::replace(&mut self.stage, Stage::Idle) {
            Stage::Idle if world.fault(10) => self.renew(world, store, &lease).await?,
            Stage::Idle if world.fault(20) => tenure.fell_behind(),
            Stage::Idle => {
                self.limits.entries = world.rng.random_range(1..=4);
                let handed = tenure.take(self.limits);
                if handed.is_empty() {
                    return self.read(world, store).await;
                }
                self.compose_handed(world, &handed, now)?;
            }
            Stage::Read(batch) => self.choose(world, store, batch).await?,
            Stage::Chosen { batch, absorbed } => {
                self.mark(world, store, &lease, (batch, absorbed), marking)
                    .await?;
            }
            Stage::Marked(sending) => {
                self.mark_absorbed(world, store, &lease, sending, marking)
                    .await?;
            }
            Stage::Composed { body, gone, read } => self.publish(world, body, gone, read),
            Stage::Sent { fate, gone, read } => {
                let name = self.name();
                world.note(format!("{name} learns of {:?}: {fate:?}", gone.sequences));
                let anyway = world.broken(Mutation::RemovedUnconfirmed);
                if fate == Fate::Confirmed || anyway {
                    self.learn(gone, read);
                } else if !world.broken(Mutation::HandedOutOfTurn) {
                    self.tenure().fell_behind();
                }
            }
            Stage::LostLease => self.leave(world, store, &lease).await?,
        }
        Ok(true)
    }

    async fn take(&mut self, world: &mut World, store: &Store) -> Result<bool> {
        let owning = store.own(&self.lane, &self.holder, LEASE);
        match call(world, owning).await? {
            Some(Some(lease)) => {
                world.note(format!("{} takes the lease", self.name()));
                let handed = store.handing_over(&self.lane, &lease, Arc::default(), || true);
                self.tenure = Some(Tenure::new(lease, handed));
            }
            Some(None) => self.idle_at = Some((0, world.released)),
            None => {}
        }
        Ok(self.tenure.is_some())
    }

    async fn renew(&mut self, world: &mut World, store: &Store, lease: &Lease) -> Result<()> {
        let owning = store.own(&self.lane, &self.holder, LEASE);
        if let Some(held) = call(world, owning).await?
            && held.as_ref() != Some(lease)
        {
            self.stage = Stage::LostLease;
        }
        Ok(())
    }

    async fn read(&mut self, world: &mut World, store: &Store) -> Result<bool> {
        let Some(tenure) = &mut self.tenure else {
            return Ok(false);
        };
        let (news, removed) = (world.news_of(&self.lane), !tenure.gone.is_empty());
        let within = self.ahead.window(self.limits);
        let reading = store.next_entries(&self.lane, &tenure.gone, within);
        let Some(batch) = call(world, reading).await? else {
            tenure.fell_behind();
            return Ok(true);
        };
        tenure.has_read(batch.reach);
        if batch.entries.is_empty() && batch.cancels.is_empty() {
            tenure.has_dealt_with(batch.reach);
            if !batch.held_back {
                self.ahead = Ahead::default();
            }
            self.idle_at = Some((news, 0));
            return Ok(removed);
        }
        let sequences = batch
            .entries
            .iter()
            .map(|entry| entry.sequence)
            .collect::<Vec<_>>();
        world.note(format!(
            "{} reads {sequences:?} and {} cancels",
            self.name(),
            batch.cancels.len()
        ));
        self.stage = Stage::Read(batch);
        Ok(true)
    }

    async fn choose(&mut self, world: &mut World, store: &Store, mut batch: Batch) -> Result<()> {
        let lookahead = Ahead::looks(&batch, LOOKAHEAD);
        if lookahead.is_some() {
            self.tenure().fell_behind();
            batch.reach.is_all = false;
        }
        let compacting = self
            .ahead
            .compact(store, &self.lane, &mut batch, self.limits, lookahead);
        match call(world, compacting).await? {
            Some(absorbed) => self.stage = Stage::Chosen { batch, absorbed },
            None => self.tenure().fell_behind(),
        }
        Ok(())
    }

    async fn mark(
        &mut self,
        world: &mut World,
        store: &Store,
        lease: &Lease,
        (batch, absorbed): (Batch, Vec<AbsorbedEntry>),
        marking: Marking,
    ) -> Result<()> {
        let marks = if world.broken(Mutation::SentUnmarked) {
            Some(Marked::All(Marks {
                entries: vec![Mark::Send; batch.entries.len()],
                cancels: vec![true; batch.cancels.len()],
            }))
        } else {
            let marking = store.mark_dispatched(&self.lane, lease, &batch, &absorbed, marking);
            call(world, marking).await?
        };
        match marks {
            Some(Marked::All(marks)) => self.marked(world, batch, absorbed, marks),
            Some(Marked::Ended(ended)) => {
                world.note(format!("{} finds ended {ended:?}", self.name()));
                let ended = ended.into_iter().map(|(sequence, _)| sequence);
                self.tenure().gone.sequences = ended.collect();
            }
            Some(Marked::LostLease) => {
                world.note(format!("{} has lost its lease", self.name()));
                self.stage = Stage::LostLease;
            }
            None => self.tenure().fell_behind(),
        }
        Ok(())
    }

    fn marked(
        &mut self,
        world: &mut World,
        batch: Batch,
        absorbed: Vec<AbsorbedEntry>,
        marks: Marks,
    ) {
        let mut marks = marks;
        let sequences = batch.entries.iter().map(|entry| entry.sequence);
        self.tenure().tries(sequences.zip(&mut marks.entries));
        world.note(format!("{} marks {:?}", self.name(), marks.entries));
        let mut gone = Gone {
            sequences: batch.entries.iter().map(|entry| entry.sequence).collect(),
            cancels: batch.cancels.clone(),
        };
        let entries = batch.entries.into_iter().zip(marks.entries);
        let sent = entries.filter(|(_, mark)| matches!(mark, Mark::Send | Mark::SendAgain));
        gone.sequences
            .extend(absorbed.iter().map(|entry| entry.sequence));
        let cancels = batch.cancels.into_iter().zip(marks.cancels);
        self.stage = Stage::Marked(Sending {
            reach: batch.reach,
            sent: sent.collect(),
            absorbed,
            cancels: cancels
                .filter(|(_, matters)| *matters)
                .map(|(command, _)| command)
                .collect(),
            gone,
        });
    }

    async fn mark_absorbed(
        &mut self,
        world: &mut World,
        store: &Store,
        lease: &Lease,
        sending: Sending,
        marking: Marking,
    ) -> Result<()> {
        let Sending {
            reach,
            sent,
            absorbed,
            cancels,
            gone,
        } = sending;
        let marking_them = store.mark_absorbed(&self.lane, lease, &absorbed, marking);
        let Some(marks) = call(world, marking_them).await? else {
            self.tenure().fell_behind();
            return Ok(());
        };
        let Some(mut marks) = marks else {
            self.stage = Stage::LostLease;
            return Ok(());
        };
        let sequences = absorbed.iter().map(|entry| entry.sequence);
        self.tenure().tries(sequences.zip(&mut marks));
        if sent.is_empty() && cancels.is_empty() {
            self.learn(gone, Some(reach));
            return Ok(());
        }
        let absorbed = ahead::marked(&absorbed, &marks);
        let names = absorbed
            .iter()
            .map(|(entry, mark)| (entry.sequence, entry.by_sequence, mark));
        let names = names.collect::<Vec<_>>();
        if !names.is_empty() {
            world.note(format!("{} absorbs {names:?}", self.name()));
        }
        let sent = sent
            .iter()
            .map(|(entry, mark)| (entry, mark))
            .collect::<Vec<_>>();
        let (unmapped, now) = (Directory::default(), marking.now);
        let message = message::of(&self.lane, &sent, &absorbed, &cancels, &unmapped, now)?;
        self.stage = Stage::Composed {
            body: message.body,
            gone,
            read: Some(reach),
        };
        Ok(())
    }

    fn compose_handed(
        &mut self,
        world: &mut World,
        handed: &[Entry],
        now: Timestamp,
    ) -> Result<()> {
        let sequences: Vec<_> = handed.iter().map(|entry| entry.sequence).collect();
        world.note(format!("{} was handed {sequences:?}", self.name()));
        let sent: Vec<_> = handed.iter().map(|entry| (entry, &Mark::Send)).collect();
        let message = message::of(&self.lane, &sent, &[], &[], &Directory::default(), now)?;
        self.stage = Stage::Composed {
            body: message.body,
            gone: Gone {
                sequences,
                cancels: Vec::new(),
            },
            read: None,
        };
        Ok(())
    }

    /// What was confirmed is removed by the next look.
    fn learn(&mut self, gone: Gone, read: Option<Reach>) {
        let tenure = self.tenure();
        tenure.gone.sequences.extend(gone.sequences);
        tenure.gone.cancels.extend(gone.cancels);
        if let Some(reach) = read {
            tenure.has_dealt_with(reach);
        }
    }

    /// Between two calls it has the lease, or believes so.
    fn tenure(&mut self) -> &mut Tenure {
        self.tenure.as_mut().expect("it has taken the lease")
    }

    fn publish(&mut self, world: &mut World, body: Vec<u8>, gone: Gone, read: Option<Reach>) {
        let fate = match Fate::draw(&mut world.rng, world.faults) {
            Fate::Late if !world.late => Fate::Lost,
            fate => fate,
        };
        world.note(format!("{} publishes {gone:?}: {fate:?}", self.name()));
        world
            .rabbit
            .publish(Address::Commands(self.index), body.into(), fate);
        self.stage = Stage::Sent { fate, gone, read };
    }

    /// Removes what was confirmed last, and gives back what may be another's by now.
    async fn leave(&mut self, world: &mut World, store: &Store, lease: &Lease) -> Result<()> {
        let gone = std::mem::take(&mut self.tenure().gone);
        call(world, store.forget_entries(&self.lane, &gone)).await?;
        call(world, store.release(&self.lane, lease)).await?;
        self.tenure = None;
        world.released += 1;
        Ok(())
    }
}
