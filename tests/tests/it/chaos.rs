//! Short runs of what `make chaos` and `make backlog` do at length.

use std::time::Duration;

use anyhow::{Result, ensure};
use tests::chaos::{self, backlog, storm};

/// Commands each second: the machine runs other tests too.
const PER_SECOND: u32 = 60;

/// Faults whose name contains this, under load: nothing is lost, contradicted, repeated against the rules or left over.
async fn survives(fault: &str) -> Result<()> {
    let settings = chaos::Settings {
        time: Duration::ZERO,
        commands: 0,
        per_second: PER_SECOND,
        repeats: 1_000,
        only: Some(fault.to_owned()),
    };
    let verdict = chaos::run(settings).await?;
    ensure!(verdict.faults() >= 2, "no fault is called {fault}");
    ensure!(verdict.is_good(), "{verdict}: {:#?}", verdict.words);
    Ok(())
}

/// A broker and then the adapters are killed, and one request is repeated a thousand times at both brokers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_processes_lose_nothing() -> Result<()> {
    survives("kill -9 the working adapter").await
}

/// RabbitMQ dies in the middle of everything.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_rabbitmq_loses_nothing() -> Result<()> {
    survives("kill -9 RabbitMQ").await
}

/// Calls to Redis are cut in half, again and again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broken_links_to_redis_lose_nothing() -> Result<()> {
    survives("Redis reset").await
}

/// A participant is away; what waits for it costs the brokers no memory that grows with it. How fast the others are is
/// measured by `make backlog`, on a machine that does nothing else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backlog_stays_within_the_brokers_memory() -> Result<()> {
    let settings = backlog::Settings {
        executions: 5_000,
        measured: Duration::from_secs(3),
        slower_at_most: f64::INFINITY,
    };
    ensure!(
        backlog::run(settings).await?,
        "the brokers take too much memory"
    );
    Ok(())
}

/// A participant asks for ten times what it may: it gets its share, and for the rest a time. How little the others notice is
/// measured by `make storm`, on a machine that does nothing else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_gets_its_share_and_no_more() -> Result<()> {
    let settings = storm::Settings {
        quota: 20,
        measured: Duration::from_secs(4),
        slower_at_most: f64::INFINITY,
    };
    ensure!(
        storm::run(settings).await?,
        "the storm got what it asked for"
    );
    Ok(())
}
