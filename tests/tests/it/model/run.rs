//! One interleaving: steps in the seed's order, then everything heals, comes to rest, and is looked at.

use anyhow::{Context, Result};
use broker::store::Store;
use domain::{CommandId, Timestamp};
use rand::{
    Rng,
    seq::{IndexedMutRandom as _, IteratorRandom as _, SliceRandom as _},
};

use super::{
    adapter::Host,
    check::{Seen, at_rest},
    client::Request,
    lane::REPORT,
    mutation::Mutation,
    replica::{Replica, SKEW},
    world::World,
};

/// Rounds in which everything must come to rest; each takes every actor a step further.
const ROUNDS: usize = 1_000;

/// Who acts, and what was seen.
pub(super) struct Run<'a> {
    pub(super) world: World,
    store: &'a Store,
    replicas: Vec<Replica>,
    participants: Vec<Adapters>,
    requests: Vec<Request>,
    seen: Seen,
}

/// The adapters of one participant: one, or another one that stands by. Only one is delivered to.
struct Adapters {
    hosts: Vec<Host>,
    active: usize,
}

impl<'a> Run<'a> {
    pub(super) fn new(seed: u64, mutation: Option<Mutation>, store: &'a Store) -> Self {
        let mut world = World::new(seed, mutation);
        let replicas = world.rng.random_range(2..=3);
        let replicas = (0..replicas)
            .map(|number| Replica::new(number, &mut world, store))
            .collect();
        let requests = world.rng.random_range(3..=12);
        let requests = (0..requests)
            .map(|_| Request::draw(&mut world, store.keys()))
            .collect();
        let participants =
            world
                .cast
                .participants
                .iter()
                .enumerate()
                .map(|(index, (participant, _))| Adapters {
                    hosts: (0..world.hosts)
                        .map(|_| Host::new(index, participant))
                        .collect(),
                    active: 0,
                });
        Self {
            participants: participants.collect(),
            world,
            store,
            replicas,
            requests,
            seen: Seen::default(),
        }
    }

    /// Everything, from the first step to the last question.
    /// Answers how many commands were accepted.
    pub(super) async fn play(&mut self) -> Result<usize> {
        for _ in 0..self.world.rng.random_range(30..=120) {
            let millis = self.world.rng.random_range(0..200);
            self.world.wait(millis);
            self.step().await?;
        }
        self.heal().await?;
        let accepted = self
            .requests
            .iter()
            .filter_map(Request::accepted)
            .collect::<Vec<_>>();
        at_rest(&self.world, self.store, &mut self.seen, &accepted)
            .await
            .context("at rest")?;
        Ok(accepted.len())
    }

    async fn step(&mut self) -> Result<()> {
        let Self {
            world,
            store,
            replicas,
            participants,
            requests,
            seen,
        } = self;
        let replica = replicas.choose_mut(&mut world.rng).unwrap();
        let changed = match world.rng.random_range(0..100) {
            0..12 => {
                let now = replica.now(world);
                let open = requests
                    .iter_mut()
                    .filter(|request| request.accepted().is_none());
                if let Some(request) = open.choose(&mut world.rng) {
                    request.submit(world, store, now).await?;
                } else if let Some(request) = requests.choose_mut(&mut world.rng) {
                    request.submit(world, store, now).await?;
                }
                Vec::new()
            }
            12..42 => {
                replicas.shuffle(&mut world.rng);
                for replica in replicas {
                    if replica.step_lane(world, store).await? {
                        break;
                    }
                }
                Vec::new()
            }
            42..70 => {
                let adapters = participants.choose_mut(&mut world.rng).unwrap();
                for _ in 0..world.rng.random_range(1..=12) {
                    adapters.step(world);
                }
                Vec::new()
            }
            70..82 => replica
                .step_reports(world, store)
                .await?
                .unwrap_or_default(),
            82..84 => replica.step_sweep(world, store).await?,
            84 => {
                replica.step_due(world, store).await?;
                Vec::new()
            }
            85..89 => {
                let now = replica.now(world);
                let index = world.rng.random_range(0..requests.len());
                requests[index]
                    .cancel(world, store, now)
                    .await?
                    .into_iter()
                    .collect()
            }
            89..91 => {
                replica.lose_lease(world, store).await?;
                Vec::new()
            }
            91 => {
                replica.crash(world, store);
                Vec::new()
            }
            92..96 => {
                participants.choose_mut(&mut world.rng).unwrap().fail(world);
                Vec::new()
            }
            96 => {
                world.note("time passes");
                world.wait(u64::try_from(REPORT.as_millis())? + 5_000);
                Vec::new()
            }
            _ => {
                world.rabbit.arrive(&mut world.rng);
                Vec::new()
            }
        };
        look(store, seen, &changed).await
    }

    /// Nothing fails any more, everybody goes on, until nobody can.
    async fn heal(&mut self) -> Result<()> {
        self.world.note("everything heals");
        self.world.faults = false;
        for replica in &mut self.replicas {
            replica.bury(&mut self.world, self.store).await?;
        }
        for _ in 0..ROUNDS {
            if !self.round().await? && !self.wait_until_due().await? {
                return Ok(());
            }
        }
        anyhow::bail!("it does not come to rest")
    }

    /// Everybody goes on for a while; whether somebody could.
    async fn round(&mut self) -> Result<bool> {
        let mut moved = self.submit_all().await?;
        let Self {
            world,
            store,
            replicas,
            participants,
            seen,
            ..
        } = self;
        moved |= world.rabbit.arrive(&mut world.rng);
        participants.shuffle(&mut world.rng);
        for adapters in &mut *participants {
            while adapters.step(world) {
                moved = true;
                if world.rng.random_ratio(1, 8) {
                    break;
                }
            }
        }
        replicas.shuffle(&mut world.rng);
        for replica in &mut *replicas {
            moved |= replica.step_lanes(world, store).await?;
            while let Some(changed) = replica.step_reports(world, store).await? {
                moved = true;
                look(store, seen, &changed).await?;
            }
        }
        Ok(moved)
    }

    /// Nobody can go on: the next thing that is due is done. Whether there was one.
    async fn wait_until_due(&mut self) -> Result<bool> {
        let mut next = None;
        for shard in self.store.keys().shards() {
            let due = self.store.next_due(shard).await?;
            next = due.map_or(next, |due| {
                Some(next.map_or(due, |next: Timestamp| next.min(due)))
            });
        }
        let Some(next) = next else {
            return Ok(false);
        };
        let world = &mut self.world;
        world.note("time passes until something is due");
        // Every replica's clock, however slow, must have come to it.
        world.clock = world.clock.max(next.plus(SKEW));
        self.replicas[0].step_all_due(world, self.store).await?;
        Ok(true)
    }

    /// Whoever has no answer asks again. Whether somebody got one.
    async fn submit_all(&mut self) -> Result<bool> {
        let now = self.replicas[0].now(&self.world);
        let mut moved = false;
        for request in &mut self.requests {
            if request.accepted().is_none() {
                moved |= request.submit(&mut self.world, self.store, now).await?;
            }
        }
        Ok(moved)
    }
}

impl Adapters {
    /// One of them goes a step further; whether one could.
    fn step(&mut self, world: &mut World) -> bool {
        let first = world.rng.random_range(0..self.hosts.len());
        (0..self.hosts.len()).any(|offset| {
            let index = (first + offset) % self.hosts.len();
            self.hosts[index].step(world, index == self.active)
        })
    }

    /// The active one is killed or cut off; another one may take over.
    fn fail(&mut self, world: &mut World) {
        let host = &mut self.hosts[self.active];
        if world.rng.random_bool(0.5) {
            host.crash(world);
        } else {
            host.disconnect(world);
        }
        self.active = world.rng.random_range(0..self.hosts.len());
    }
}

/// Looks at commands that may have changed.
async fn look(store: &Store, seen: &mut Seen, changed: &[CommandId]) -> Result<()> {
    for id in changed {
        if let Some(stored) = store.command(*id).await? {
            seen.look(&stored)?;
        }
    }
    Ok(())
}
