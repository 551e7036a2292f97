//! A broker replica on the real store: its lanes, the reports it takes, its sweeps.
//!
//! Invariant: a step is one call to the store or to RabbitMQ, so that everything that replicas can do to each other between
//! two calls happens. Any call to the store may fail before it reached Redis, or lose its answer.

use std::{collections::BTreeMap, time::Duration};

use amqp::envelope::Report;
use anyhow::{Result, ensure};
use broker::store::{Applied, Lane, Outcome, Shard, Store, StoreError, Terms};
use domain::{CommandId, Event, ParticipantId, Timestamp};
use rand::{
    Rng,
    seq::{IndexedMutRandom as _, IteratorRandom as _},
};

use super::{
    lane::LaneWorker,
    mutation::Mutation,
    rabbitmq::Queued,
    world::{World, short},
};

/// Reports that a replica holds unsettled.
const PREFETCH: usize = 3;
/// How long a settled command is kept: for longer than any run.
pub(super) const RETENTION: Duration = Duration::from_hours(24 * 365);
/// How long a running job may be silent.
const RUNNING: Duration = Duration::from_hours(1);

/// How far a replica's clock may be wrong, in milliseconds.
const SKEW_MILLIS: i64 = 2_000;
/// The same.
pub(super) const SKEW: Duration = Duration::from_millis(SKEW_MILLIS.unsigned_abs());

/// One process of the broker.
pub(super) struct Replica {
    number: usize,
    /// Grows with every start.
    starts: u32,
    /// How far its clock is ahead, in milliseconds; negative when it is behind.
    skew: i64,
    lanes: BTreeMap<Lane, LaneWorker>,
    reports: Vec<Taken>,
    sweep: Option<(Shard, ParticipantId, Vec<CommandId>)>,
    /// Whose leases have not run out, though they were killed.
    dead: Vec<LaneWorker>,
}

struct Taken {
    message: Queued,
    written: bool,
}

/// Runs a call, and perhaps loses it on the way there or on the way back.
pub(super) async fn call<T>(
    world: &mut World,
    call: impl Future<Output = Result<T, StoreError>>,
) -> Result<Option<T>> {
    if world.fault(60) {
        world.note("  … the call does not reach the store");
        return Ok(None);
    }
    let answer = call.await?;
    if world.fault(60) {
        world.note("  … the store's answer is lost");
        return Ok(None);
    }
    Ok(Some(answer))
}

impl Replica {
    /// A replica that has just started.
    pub(super) fn new(number: usize, world: &mut World, store: &Store) -> Self {
        let mut replica = Self {
            number,
            starts: 0,
            skew: world.rng.random_range(-SKEW_MILLIS..=SKEW_MILLIS),
            lanes: BTreeMap::new(),
            reports: Vec::new(),
            sweep: None,
            dead: Vec::new(),
        };
        replica.start(world, store);
        replica
    }

    /// Its clock.
    pub(super) fn now(&self, world: &World) -> Timestamp {
        Timestamp::from_millis(world.clock.as_millis().saturating_add_signed(self.skew))
    }

    /// The process is killed and started again.
    pub(super) fn crash(&mut self, world: &mut World, store: &Store) {
        world.note(format!("replica {} is killed", self.number));
        let taken = std::mem::take(&mut self.reports);
        world
            .rabbit
            .replies
            .give_back(taken.into_iter().map(|one| one.message));
        self.sweep = None;
        self.start(world, store);
    }

    fn start(&mut self, world: &World, store: &Store) {
        self.starts += 1;
        let lanes =
            world
                .cast
                .participants
                .iter()
                .enumerate()
                .flat_map(|(index, (participant, _))| {
                    store.keys().shards().map(move |shard| {
                        (
                            index,
                            Lane {
                                shard,
                                participant: participant.clone(),
                            },
                        )
                    })
                });
        let holder = format!("r{}/{}", self.number, self.starts);
        let lanes =
            lanes.map(|(index, lane)| (lane.clone(), LaneWorker::new(index, lane, holder.clone())));
        let killed = std::mem::replace(&mut self.lanes, lanes.collect());
        self.dead.extend(killed.into_values());
    }

    /// One of its lanes that may have something to do goes some steps further; whether there was one.
    pub(super) async fn step_lane(&mut self, world: &mut World, store: &Store) -> Result<bool> {
        let now = self.now(world);
        let lanes = self.lanes.values_mut();
        let busy = lanes.filter(|lane| !lane.is_at_rest(world));
        let mut busy = busy.collect::<Vec<_>>();
        let Some(lane) = busy.choose_mut(&mut world.rng) else {
            return Ok(false);
        };
        for _ in 0..world.rng.random_range(1..=10) {
            if !lane.step(world, store, now).await? {
                break;
            }
        }
        Ok(true)
    }

    /// All of its lanes that may have something to do go one step further; whether one could.
    pub(super) async fn step_lanes(&mut self, world: &mut World, store: &Store) -> Result<bool> {
        let now = self.now(world);
        let mut moved = false;
        for lane in self.lanes.values_mut() {
            if !lane.is_at_rest(world) {
                moved |= lane.step(world, store, now).await?;
            }
        }
        Ok(moved)
    }

    /// A lease runs out: that of one who was killed, or of one who does not notice.
    pub(super) async fn lose_lease(&mut self, world: &mut World, store: &Store) -> Result<()> {
        let all = self.dead.iter().chain(self.lanes.values());
        let lane = all.choose(&mut world.rng).unwrap();
        lane.lose_lease(world, store).await
    }

    /// The leases of all who were killed run out.
    pub(super) async fn bury(&mut self, world: &mut World, store: &Store) -> Result<()> {
        for lane in std::mem::take(&mut self.dead) {
            lane.lose_lease(world, store).await?;
        }
        Ok(())
    }

    /// Takes, writes or acknowledges one report. Answers the commands that may have changed; `None` when there was
    /// nothing to do.
    pub(super) async fn step_reports(
        &mut self,
        world: &mut World,
        store: &Store,
    ) -> Result<Option<Vec<CommandId>>> {
        let may_take = self.reports.len() < PREFETCH && !world.rabbit.replies.is_empty();
        let take = may_take && (self.reports.is_empty() || world.rng.random_bool(0.5));
        if take {
            let message = world.rabbit.replies.take().unwrap();
            self.reports.push(Taken {
                message,
                written: false,
            });
            return Ok(Some(Vec::new()));
        }
        if self.reports.is_empty() {
            return Ok(None);
        }
        let index = world.rng.random_range(0..self.reports.len());
        if self.reports[index].written || world.broken(Mutation::ReportUnwritten) && world.fault(3)
        {
            let taken = self.reports.swap_remove(index);
            world.note(format!(
                "replica {} acknowledges report {}",
                self.number, taken.message.place
            ));
            return Ok(Some(Vec::new()));
        }
        let report: Report = serde_json::from_slice(&self.reports[index].message.body)?;
        world.note(format!(
            "replica {} writes report {}",
            self.number, self.reports[index].message.place
        ));
        let (written, changed) = self.write(world, store, report).await?;
        self.reports[index].written = written;
        Ok(Some(changed))
    }

    /// Whether all of it was written, and which commands it spoke of.
    async fn write(
        &self,
        world: &mut World,
        store: &Store,
        report: Report,
    ) -> Result<(bool, Vec<CommandId>)> {
        let mut shards: BTreeMap<Shard, Vec<Outcome>> = BTreeMap::new();
        let mut changed = Vec::new();
        for entry in report.executions {
            let command = entry.execution.command;
            changed.push(command);
            let shard = store.keys().shard_of_command(command).unwrap();
            shards.entry(shard).or_default().push(Outcome {
                command,
                event: Event::from(&entry.outcome),
                results: entry.results,
                receipt: None,
            });
        }
        for (shard, outcomes) in shards {
            let now = self.now(world);
            let applying = store.apply(shard, &report.participant, &outcomes, now, terms(now));
            match call(world, applying).await? {
                Some(applied) => ensure!(
                    !applied.contains(&Applied::Unknown),
                    "a report of what is not there"
                ),
                None => return Ok((false, changed)),
            }
            // There may be room in a window.
            world.news(shard, Some(&report.participant));
        }
        Ok((true, changed))
    }

    /// Looks for silence, or ends what was found silent. Answers the commands that may have changed.
    pub(super) async fn step_sweep(
        &mut self,
        world: &mut World,
        store: &Store,
    ) -> Result<Vec<CommandId>> {
        let now = self.now(world);
        if let Some((shard, participant, commands)) = self.sweep.take() {
            let silent = |command: &CommandId| Outcome {
                command: *command,
                event: Event::Silence,
                results: Vec::new(),
                receipt: None,
            };
            let outcomes = commands.iter().map(silent).collect::<Vec<_>>();
            let names = commands.iter().map(|id| short(*id)).collect::<Vec<_>>();
            world.note(format!(
                "replica {} ends the silence of {participant}: {names:?}",
                self.number
            ));
            call(
                world,
                store.apply(shard, &participant, &outcomes, now, terms(now)),
            )
            .await?;
            return Ok(commands);
        }
        let lane = self.lanes.keys().choose(&mut world.rng).unwrap().clone();
        let overdue = call(world, store.overdue(lane.shard, &lane.participant, now, 10)).await?;
        if let Some(overdue) = overdue.filter(|overdue| !overdue.is_empty()) {
            self.sweep = Some((lane.shard, lane.participant, overdue));
        }
        Ok(Vec::new())
    }

    /// Does what is due in one shard.
    pub(super) async fn step_due(&mut self, world: &mut World, store: &Store) -> Result<()> {
        let shard = self.lanes.keys().choose(&mut world.rng).unwrap().shard;
        self.do_due(world, store, shard).await
    }

    /// Does what is due in every shard.
    pub(super) async fn step_all_due(&mut self, world: &mut World, store: &Store) -> Result<()> {
        for shard in store.keys().shards() {
            self.do_due(world, store, shard).await?;
        }
        Ok(())
    }

    /// First what expires, then what was scheduled.
    async fn do_due(&self, world: &mut World, store: &Store, shard: Shard) -> Result<()> {
        let now = self.now(world);
        world.note(format!(
            "replica {} does what is due in {}",
            self.number,
            shard.number()
        ));
        call(world, store.expire_due(shard, now, RETENTION, 10)).await?;
        call(world, store.release_due(shard, now, 10)).await?;
        world.news(shard, None);
        Ok(())
    }
}

fn terms(now: Timestamp) -> Terms {
    Terms {
        retention: RETENTION,
        running_until: now.plus(RUNNING),
    }
}
