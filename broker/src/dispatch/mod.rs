//! From the outboxes to RabbitMQ: which replica empties which outbox.
//!
//! Invariant: one lane (the outbox of one participant in one shard) has one owner at a time, by a lease in Redis; the
//! replicas agree on whose turn it is without talking, by the list of those that live. A participant that is slow or gone
//! has its own lane and delays nobody else.
//! Not here: what a lane does (`lane`), what it says (`message`).

pub mod ahead;
mod compact;
mod depth;
mod lane;
pub mod message;
pub mod tenure;
mod turn;

use std::{
    collections::{BTreeSet, HashMap},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use amqp::{Copies, Publisher, Topology};
use domain::ParticipantId;
use metrics::gauge;
use service::exit::Chain;
use tokio::sync::{Notify, Semaphore};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::warn;

use crate::{
    config::{Deadlines, OutboxSettings},
    directory::Directory,
    metrics as names,
    signing::Signing,
    store::{Lane, Shard, Store},
};

/// How often a replica says that it lives, and looks which lanes are its own.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// Lanes that send at a time. A message costs RabbitMQ, the adapter and the store more than what is in it: where many lanes have
/// something to send, what comes while one waits for its turn goes in the same message.
const TURNS: usize = 64;

/// What every lane needs.
pub struct Shared {
    /// Where the outboxes are.
    pub store: Store,
    /// Who takes part.
    pub directory: Arc<Directory>,
    /// Where messages go.
    pub publisher: Publisher,
    /// Where copies for people go, if they are kept.
    pub copies: Option<Copies>,
    /// What the exchange is called.
    pub topology: Topology,
    /// Who signs.
    pub signing: Arc<Signing>,
    /// Limits of the way out.
    pub outbox: OutboxSettings,
    /// When silence ends.
    pub deadlines: Deadlines,
    /// How long a settled command is kept.
    pub retention: Duration,
    /// This replica's name: new with every start.
    pub replica: String,
    /// Whose turn it is to send.
    pub turns: Semaphore,
}

/// Turns for the lanes of one replica.
pub fn turns() -> Semaphore {
    Semaphore::new(TURNS)
}

/// Wakes lanes that may have something to do.
#[derive(Clone, Default)]
pub struct Wakers(Arc<Mutex<HashMap<Lane, Waker>>>);

/// Wakes one lane.
#[derive(Clone, Default)]
struct Waker {
    /// Kept for the lane when it does not wait at the moment.
    notify: Arc<Notify>,
    /// There is something in its outbox that is not handed over.
    look: Arc<AtomicBool>,
}

impl Wakers {
    /// The outboxes of these participants in this shard were filled.
    pub fn wake(&self, shard: Shard, participants: Vec<ParticipantId>) {
        let wakers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for participant in participants {
            if let Some(waker) = wakers.get(&Lane { shard, participant }) {
                waker.look.store(true, Ordering::Release);
                waker.notify.notify_one();
            }
        }
    }

    fn of(&self, lane: &Lane) -> Waker {
        let mut wakers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        wakers.entry(lane.clone()).or_default().clone()
    }
}

/// Runs the lanes of one replica.
pub struct Dispatcher {
    shared: Arc<Shared>,
    wakers: Wakers,
    running: HashMap<Lane, CancellationToken>,
    tasks: TaskTracker,
}

impl Dispatcher {
    /// A dispatcher that owns nothing yet.
    pub fn new(shared: Shared, wakers: Wakers) -> Self {
        Self {
            shared: Arc::new(shared),
            wakers,
            running: HashMap::new(),
            tasks: TaskTracker::new(),
        }
    }

    /// Runs until asked to stop; then every lane finishes what is in flight and gives its lease back.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut beat = tokio::time::interval(HEARTBEAT);
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while stop.run_until_cancelled(beat.tick()).await.is_some() {
            match self
                .shared
                .store
                .replicas(&self.shared.replica, 5 * HEARTBEAT)
                .await
            {
                Ok(replicas) => self.adjust(&replicas, &stop),
                Err(error) => warn!(error = %Chain(&error), "cannot see which replicas live"),
            }
        }
        self.tasks.close();
        self.tasks.wait().await;
        if let Err(error) = self.shared.store.leave(&self.shared.replica).await {
            warn!(error = %Chain(&error), "cannot say that this replica ends");
        }
    }

    /// Starts the lanes that are ours now and ends those that are no longer.
    fn adjust(&mut self, replicas: &[String], stop: &CancellationToken) {
        let ours = self.our_lanes(replicas);
        self.running.retain(|lane, token| {
            let keep = ours.contains(lane) && !token.is_cancelled();
            if !keep {
                token.cancel();
            }
            keep
        });
        for lane in ours {
            if !self.running.contains_key(&lane) {
                self.start(lane, stop.child_token());
            }
        }
        #[expect(
            clippy::cast_precision_loss,
            reason = "a gauge of a few thousand lanes"
        )]
        gauge!(names::LANES_OWNED).set(self.running.len() as f64);
    }

    fn our_lanes(&self, replicas: &[String]) -> BTreeSet<Lane> {
        let mut lanes = BTreeSet::new();
        for participant in self.shared.directory.read().participants.keys() {
            for shard in self.shared.store.keys().shards() {
                let lane = Lane {
                    shard,
                    participant: participant.clone(),
                };
                if preferred(replicas, &lane).is_none_or(|replica| *replica == self.shared.replica)
                {
                    lanes.insert(lane);
                }
            }
        }
        lanes
    }

    fn start(&mut self, lane: Lane, token: CancellationToken) {
        let waker = self.wakers.of(&lane);
        let worker = lane::Worker::new(Arc::clone(&self.shared), lane.clone(), waker);
        let stop = token.clone();
        self.tasks.spawn(async move {
            // A worker that panicked is started again at the next heartbeat.
            let _ended = stop.clone().drop_guard();
            worker.run(stop).await;
        });
        self.running.insert(lane, token);
    }
}

/// The replica whose turn a lane is: rendezvous hashing, so that a replica that comes or goes moves only its own share.
fn preferred<'a>(replicas: &'a [String], lane: &Lane) -> Option<&'a String> {
    let weight = |replica: &&String| {
        let name = format!("{replica} {} {}", lane.shard.number(), lane.participant);
        crate::store::stable_hash(name.as_bytes())
    };
    replicas.iter().max_by_key(weight)
}
