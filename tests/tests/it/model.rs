//! The core in every order that loss, repetition, delay, reordering and crashes can bring it into.
//!
//! Real: the store with all its scripts on a real Redis, the messages, the state machine. Simulated, a call at a time and by
//! a seed: RabbitMQ, the adapters and their journals, the servers, the replicas' steps, every clock. A run is 3 to 12
//! commands and 30 to 120 steps in the seed's order: replicas are killed, lose their leases, lose calls to the store on the
//! way there or back; publishes are lost, or arrive and seem lost, or arrive late; reports are repeated and reordered;
//! adapters are killed, cut off, replaced by one that stands by; clients repeat themselves and take back. Then
//! everything heals and comes to rest, and this must be true:
//!
//! 1. Every command that was accepted is there, every one of its executions is settled, and none is `unanswered`. One
//!    request is one command.
//! 2. At no time was an execution seen in a state that may not follow the one it was seen in before: what has settled keeps its
//!    meaning; evidence may rise, and a late report may replace `unanswered`.
//! 3. Every server of an execution that is done or failed was told at least once; what may not be repeated, at most once.
//! 4. What is unsupported, or was said to be taken back in the outbox, was told to nobody; with one journal also what is
//!    cancelled or expired. Nothing was begun after its time was over.
//! 5. Order, at one participant among the executions of one configuration. With one journal the last tellings have the order of
//!    the sequences: what a crash repeats, it repeats from some place on, in order, so no earlier one is told after the last
//!    telling of a later one. Where another adapter takes over, which has not the journal of the first, the first tellings
//!    have that order, but for what was to be cancelled and what one gave up as unknown while the other had begun it; unless a dispatch
//!    that a replica had given up arrives late, for the other one takes it for new.
//! 6. Nothing is left: outboxes, lists of the unreported, schedules and queues are empty, and every command counts as settled.
//!
//! A failure shows its seed and every step. `MODEL_SEED=n` replays one seed, `MODEL_RUNS=n` sets how many.

mod adapter;
mod book;
mod cast;
mod check;
mod client;
mod lane;
mod leftovers;
mod mutation;
mod rabbitmq;
mod replica;
mod reporter;
mod run;
mod world;

use std::{
    env,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use broker::store::{Keys, Store};
use futures::future::try_join_all;
use service::configuration::SecretUrl;
use tests::{
    redis::{Redis, connect},
    wait,
};
use tokio::{runtime::Builder, task::JoinSet};

use self::{mutation::Mutation, run::Run};

/// Interleavings in one run of the tests.
const RUNS: u64 = 10_000;
/// Interleavings within which a mutation must be noticed.
const RUNS_OF_A_MUTATION: u64 = 2_000;
/// Threads that play.
const THREADS: usize = 4;
/// Seeds that a thread plays side by side, so that it seldom waits for Redis.
const PLAYERS: usize = 4;
/// How long connecting may take.
const START: Duration = Duration::from_secs(30);
/// How many shards the stores have.
const SHARDS: [u16; 2] = [1, 2];
/// Seeds that failed once.
const FAILED_ONCE: [u64; 2] = [165_164_260_080_850, 42_069_736_453_810];

/// The promises hold in every order of events that ten thousand seeds come up with.
#[tokio::test]
async fn every_interleaving_keeps_the_promises() -> Result<()> {
    let redis = Redis::forgetful().await?;
    let first = number("MODEL_SEED")?;
    let runs = number("MODEL_RUNS")?.unwrap_or(if first.is_some() { 1 } else { RUNS });
    let first = first.unwrap_or_else(|| rand::random::<u64>() >> 16);
    for seed in FAILED_ONCE {
        play_all(&redis, seed, 1, None).await?;
    }
    say(&format!("model: {runs} interleavings from seed {first}"));
    let began = Instant::now();
    play_all(&redis, first, runs, None).await?;
    say(&format!("model: they took {:.1?}", began.elapsed()));
    Ok(())
}

/// The invariants are worth something: whatever is broken on purpose is noticed.
#[tokio::test]
async fn what_is_broken_on_purpose_is_noticed() -> Result<()> {
    let redis = Redis::forgetful().await?;
    for mutation in Mutation::ALL {
        let outcome = play_all(&redis, 1, RUNS_OF_A_MUTATION, Some(mutation)).await;
        let Err(failure) = outcome else {
            bail!("{mutation:?} was not noticed");
        };
        say(&format!("model: {mutation:?}: {}", failure.root_cause()));
    }
    Ok(())
}

/// Plays seeds side by side; the first one that fails ends it.
async fn play_all(redis: &Redis, first: u64, runs: u64, mutation: Option<Mutation>) -> Result<()> {
    let next = Arc::new(AtomicU64::new(0));
    let mut threads = JoinSet::new();
    for thread in 0..THREADS {
        let next = Arc::clone(&next);
        let players = (0..PLAYERS).map(|player| {
            let first = (thread * PLAYERS + player) * SHARDS.len();
            (first..first + SHARDS.len())
                .map(|number| redis.database(number))
                .collect()
        });
        let players = players.collect::<Vec<Vec<String>>>();
        threads.spawn_blocking(move || {
            // A runtime of its own: a call to the store wakes nobody on another thread.
            let runtime = Builder::new_current_thread().enable_all().build()?;
            let players = players.iter().map(async |databases| {
                let player = Player::open(databases).await?;
                player.play_on(&next, first, runs, mutation).await
            });
            runtime.block_on(try_join_all(players)).map(drop)
        });
    }
    let mut outcome = Ok(());
    while let Some(ended) = threads.join_next().await {
        outcome = outcome.and(ended?);
    }
    outcome
}

/// Plays one seed after another on stores of its own, one for each number of shards, each in a database of its own.
struct Player(Vec<(Store, redis::aio::MultiplexedConnection)>);

impl Player {
    async fn open(databases: &[String]) -> Result<Self> {
        let mut stores = Vec::new();
        for (url, shards) in databases.iter().zip(SHARDS) {
            // On a busy machine connecting may take longer than a store waits for it.
            let store = wait::until(START, "a store", async || {
                Store::connect(&SecretUrl::parse(url).ok()?, Keys::new("", shards))
                    .await
                    .ok()
            });
            let store = store.await?;
            stores.push((store, connect(url).await?));
        }
        Ok(Self(stores))
    }

    /// Until all are played, or one fails, here or elsewhere.
    async fn play_on(
        self,
        next: &AtomicU64,
        first: u64,
        runs: u64,
        mutation: Option<Mutation>,
    ) -> Result<()> {
        loop {
            let run = next.fetch_add(1, Ordering::Relaxed);
            if run >= runs {
                return Ok(());
            }
            let outcome = self.play(first.wrapping_add(run), mutation).await;
            if outcome.is_err() {
                next.store(runs, Ordering::Relaxed);
                return outcome;
            }
        }
    }

    async fn play(&self, seed: u64, mutation: Option<Mutation>) -> Result<()> {
        let index = usize::try_from(seed)? % self.0.len();
        let (store, database) = &self.0[index];
        let mut database = database.clone();
        redis::cmd("FLUSHDB")
            .query_async::<()>(&mut database)
            .await?;
        let mut run = Run::new(seed, mutation, store);
        let outcome = match run.play().await {
            Ok(accepted) => leftovers::none(&mut database, accepted).await,
            Err(error) => Err(error),
        };
        let trace = || format!("seed {seed}:\n{}\nseed {seed}", run.world.trace.join("\n"));
        outcome.with_context(trace)
    }
}

fn number(variable: &str) -> Result<Option<u64>> {
    let text = env::var(variable).ok();
    text.map(|text| {
        text.parse()
            .with_context(|| format!("{variable} is no number"))
    })
    .transpose()
}

#[expect(
    clippy::print_stderr,
    reason = "the seed and the figures belong into the log of the tests"
)]
fn say(line: &str) {
    eprintln!("{line}");
}
