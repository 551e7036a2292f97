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
//! 4. What is cancelled, expired or unsupported was told to nobody, and nothing was begun after its time was over.
//! 5. Order. At one participant, executions of one configuration are told in the order of their sequences: with one journal no
//!    server is told of an execution after one with a higher sequence, not even again. An adapter that stands by has not
//!    the journal of the other, so where it takes over, only the first tellings keep the order.
//! 6. Nothing is left: outboxes, lists of the unreported and queues are empty, and every command counts as settled.
//!
//! A failure shows its seed and every step. `MODEL_SEED=n` replays one seed, `MODEL_RUNS=n` sets how many.

mod adapter;
mod book;
mod cast;
mod check;
mod client;
mod lane;
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
    time::Instant,
};

use anyhow::{Context, Result, bail};
use broker::store::{Keys, Store};
use service::configuration::SecretUrl;
use tests::redis::Redis;
use tokio::task::JoinSet;

use self::{mutation::Mutation, run::Run};

/// Interleavings in one run of the tests.
const RUNS: u64 = 10_000;
/// Interleavings within which a mutation must be noticed.
const RUNS_OF_A_MUTATION: u64 = 2_000;
/// Runs at a time; each has a database for each number of shards.
const AT_ONCE: usize = 12;
/// How many shards the stores have.
const SHARDS: [u16; 2] = [1, 2];
/// Seeds that failed once.
const FAILED_ONCE: [u64; 0] = [];

/// The promises hold in every order of events that ten thousand seeds come up with.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn every_interleaving_keeps_the_promises() -> Result<()> {
    let redis = Redis::forgetful().await?;
    let first = number("MODEL_SEED")?;
    let runs = number("MODEL_RUNS")?.unwrap_or(if first.is_some() { 1 } else { RUNS });
    let first = first.unwrap_or_else(|| rand::random::<u64>() >> 16);
    for seed in FAILED_ONCE {
        play_all(&redis, seed, 1, None).await?;
    }
    let began = Instant::now();
    play_all(&redis, first, runs, None).await?;
    let client = redis::Client::open(redis.url())?;
    let info: String = redis::cmd("INFO")
        .arg("commandstats")
        .query_async(&mut client.get_multiplexed_async_connection().await?)
        .await?;
    say(&info);
    say(&format!(
        "model: {runs} interleavings from seed {first}, {:.1?}",
        began.elapsed()
    ));
    Ok(())
}

/// The invariants are worth something: whatever is broken on purpose is noticed.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn what_is_broken_on_purpose_is_noticed() -> Result<()> {
    let redis = Redis::forgetful().await?;
    for mutation in Mutation::ALL {
        let outcome = play_all(&redis, 1, RUNS_OF_A_MUTATION, Some(mutation)).await;
        let Err(failure) = outcome else {
            bail!("{mutation:?} was not noticed");
        };
        let what = format!("{failure:#}");
        say(&format!(
            "model: {mutation:?}: {}",
            what.lines().next_back().unwrap_or_default()
        ));
    }
    Ok(())
}

/// Plays seeds side by side; the first one that fails ends it.
async fn play_all(redis: &Redis, first: u64, runs: u64, mutation: Option<Mutation>) -> Result<()> {
    let next = Arc::new(AtomicU64::new(0));
    let mut workers = JoinSet::<Result<()>>::new();
    for worker in 0..AT_ONCE {
        let tables = Tables::open(redis, worker * SHARDS.len()).await?;
        let next = Arc::clone(&next);
        workers.spawn(async move {
            loop {
                let run = next.fetch_add(1, Ordering::Relaxed);
                if run >= runs {
                    return Ok(());
                }
                tables.play(first.wrapping_add(run), mutation).await?;
            }
        });
    }
    while let Some(ended) = workers.join_next().await {
        ended??;
    }
    Ok(())
}

/// The stores of one worker, one for each number of shards, each in a database of its own.
struct Tables(Vec<(Store, redis::aio::MultiplexedConnection)>);

impl Tables {
    async fn open(redis: &Redis, first: usize) -> Result<Self> {
        let mut stores = Vec::new();
        for (index, shards) in SHARDS.into_iter().enumerate() {
            let url = format!("{}/{}", redis.url(), first + index);
            let store = Store::connect(&SecretUrl::parse(&url)?, Keys::new("", shards)).await?;
            let client = redis::Client::open(url)?;
            stores.push((store, client.get_multiplexed_async_connection().await?));
        }
        Ok(Self(stores))
    }

    async fn play(&self, seed: u64, mutation: Option<Mutation>) -> Result<()> {
        let index = usize::try_from(seed)? % self.0.len();
        let (store, database) = &self.0[index];
        redis::cmd("FLUSHDB")
            .query_async::<()>(&mut database.clone())
            .await?;
        let mut run = Run::new(seed, mutation, store);
        let outcome = run.play().await;
        outcome
            .with_context(|| format!("seed {seed}:\n{}\nseed {seed}", run.world.trace.join("\n")))
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
