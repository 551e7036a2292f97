//! What is broken, one after the other, and how each is mended.
//!
//! Invariant: a fault that did not bite is an error: what can be looked at (an alarm, a full queue, a process that is gone)
//! is looked at. When a fault has ended, everything runs again.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures::future::{LocalBoxFuture, try_join_all};

use super::{breaking, program::can_change_clocks, stage::Stage};

/// How long a fault lasts that has a length of its own.
pub(super) const LASTS: Duration = Duration::from_secs(5);
/// How long something may take to show that it is broken.
pub(super) const BITES: Duration = Duration::from_secs(40);

/// One kind of fault.
#[derive(Clone, Copy)]
pub(super) struct Fault {
    /// As in the table.
    pub(super) name: &'static str,
    /// The 99th percentile of recovery that we promise.
    pub(super) target: Option<Duration>,
    /// Breaks and mends; the moment at which it ended, from which recovery counts.
    pub(super) strike: for<'a> fn(&'a mut Stage, usize) -> LocalBoxFuture<'a, Result<Instant>>,
}

/// Names a fault, its function, and the seconds in which we promise to recover.
macro_rules! fault {
    ($name:literal, $strike:path $(, $seconds:literal)?) => {
        Fault {
            name: $name,
            target: None$(.or(Some(Duration::from_secs($seconds))))?,
            strike: |stage, round| Box::pin($strike(stage, round)),
        }
    };
}

/// All faults, in the order of a run.
pub(super) fn all() -> Vec<Fault> {
    let mut faults = vec![
        fault!("kill -9 a broker", kill_broker),
        fault!("kill -9 the working adapter", kill_adapter, 5),
        fault!(
            "kill -9 both adapters of one participant",
            kill_both_adapters,
            5
        ),
        fault!("a broker stops for 5 s (SIGSTOP)", stop_broker),
        fault!("the working adapter stops for 5 s (SIGSTOP)", stop_adapter),
        fault!("rolling restart of the brokers (SIGTERM)", roll_brokers),
        fault!("rolling restart of all adapters (SIGTERM)", roll_adapters),
        fault!("RabbitMQ restarts", breaking::restart_rabbitmq, 10),
        fault!("kill -9 RabbitMQ", breaking::kill_rabbitmq, 10),
        fault!("kill -9 Redis", breaking::kill_redis, 15),
        fault!(
            "both brokers cut off from RabbitMQ",
            breaking::cut_brokers_off
        ),
        fault!("the working adapter's link stalls", breaking::stall_adapter),
        fault!(
            "links between brokers and Redis reset",
            breaking::reset_redis_links
        ),
        fault!("all links slow and thin", breaking::slow_links),
        fault!("RabbitMQ is short of memory", breaking::memory_alarm),
        fault!("a server answers nobody", breaking::dead_server),
        fault!("a participant's queue is full", breaking::full_queue),
        fault!("a journal's disk is full", breaking::full_disk),
    ];
    if can_change_clocks() {
        faults.push(fault!(
            "a broker's clock is 2 min ahead",
            breaking::clock_ahead
        ));
    }
    faults
}

async fn kill_broker(stage: &mut Stage, round: usize) -> Result<Instant> {
    let broker = &mut stage.brokers[round % 2].program;
    broker.kill9();
    let ended = Instant::now();
    tokio::time::sleep(LASTS).await;
    broker.start().await?;
    Ok(ended)
}

/// Kills the one that works; the one that stands by takes over.
async fn kill_adapter(stage: &mut Stage, round: usize) -> Result<Instant> {
    let participant = round % stage.adapters.len();
    let active = stage.active(participant).await?;
    let adapter = &mut stage.adapters[participant][active].program;
    adapter.kill9();
    let ended = Instant::now();
    tokio::time::sleep(LASTS).await;
    adapter.start().await?;
    Ok(ended)
}

/// Nobody stands by any more; recovery counts from the start of the first.
async fn kill_both_adapters(stage: &mut Stage, round: usize) -> Result<Instant> {
    let participant = (round + 1) % stage.adapters.len();
    let adapters = &mut stage.adapters[participant];
    for adapter in adapters.iter_mut() {
        adapter.program.kill9();
    }
    tokio::time::sleep(LASTS).await;
    let ended = Instant::now();
    try_join_all(adapters.iter_mut().map(|hand| hand.program.start())).await?;
    Ok(ended)
}

async fn stop_broker(stage: &mut Stage, round: usize) -> Result<Instant> {
    let broker = &stage.brokers[(round + 1) % 2].program;
    broker.freeze(true)?;
    tokio::time::sleep(LASTS).await;
    broker.freeze(false)?;
    Ok(Instant::now())
}

async fn stop_adapter(stage: &mut Stage, round: usize) -> Result<Instant> {
    let participant = (round + 2) % stage.adapters.len();
    let active = stage.active(participant).await?;
    let adapter = &stage.adapters[participant][active].program;
    adapter.freeze(true)?;
    tokio::time::sleep(LASTS).await;
    adapter.freeze(false)?;
    Ok(Instant::now())
}

/// One after the other, each ended gently and awaited.
async fn roll_brokers(stage: &mut Stage, _: usize) -> Result<Instant> {
    let mut ended = Instant::now();
    for broker in &mut stage.brokers {
        broker.program.end().await?;
        ended = Instant::now();
        broker.program.start().await?;
    }
    Ok(ended)
}

async fn roll_adapters(stage: &mut Stage, _: usize) -> Result<Instant> {
    let mut ended = Instant::now();
    for number in 0..stage.adapters.first().context("participants")?.len() {
        let adapters = stage
            .adapters
            .iter_mut()
            .filter_map(|hands| hands.get_mut(number));
        let rolling = adapters.map(async |hand| {
            hand.program.end().await?;
            hand.program.start().await
        });
        try_join_all(rolling).await?;
        ended = Instant::now();
    }
    ensure!(
        stage.programs().all(super::program::Program::is_running),
        "all run again"
    );
    Ok(ended)
}
