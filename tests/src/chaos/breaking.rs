//! Faults of what lies between and beneath our programs: RabbitMQ, Redis, links, disks, clocks, servers.

use std::{
    num::NonZeroU32,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use tokio::time::sleep;

use super::{
    faults::{BITES, LASTS},
    program::Surroundings,
    stage::{QUEUE_LENGTH, Stage, commands_queue},
    traffic::PARTICIPANTS,
};
use crate::{
    relay::{Relay, Weather},
    wait,
};

/// How far a clock is ahead.
const AHEAD_SECONDS: u32 = 120;
/// How far into its journal's file an adapter can write on a disk that is full. A journal has room inside for what was deleted,
/// so that it would not notice for long if only growing failed.
const ROOM_BYTES: u64 = 64 * 1024;
/// A link that is slow, and how thin it is: about a tenth of what the load needs at its best.
const SLOW: (Duration, u32) = (Duration::from_millis(100), 256 * 1024);

/// As an operator does it; recovery counts from the moment at which it serves again.
pub(super) async fn restart_rabbitmq(stage: &mut Stage, _: usize) -> Result<Instant> {
    stage.rabbitmq.restart().await?;
    Ok(Instant::now())
}

pub(super) async fn kill_rabbitmq(stage: &mut Stage, _: usize) -> Result<Instant> {
    stage.rabbitmq.process().kill9();
    sleep(Duration::from_secs(1)).await;
    restart_rabbitmq(stage, 0).await
}

pub(super) async fn kill_redis(stage: &mut Stage, _: usize) -> Result<Instant> {
    stage.redis.process().kill9();
    sleep(LASTS).await;
    stage.redis.restart().await?;
    Ok(Instant::now())
}

/// The brokers lose RabbitMQ; it goes on with the adapters.
pub(super) async fn cut_brokers_off(stage: &mut Stage, _: usize) -> Result<Instant> {
    for broker in &stage.brokers {
        broker.to_rabbitmq.cut();
    }
    sleep(LASTS).await;
    for broker in &stage.brokers {
        broker.to_rabbitmq.heal();
    }
    Ok(Instant::now())
}

/// The cable is out, longer than the heartbeats allow, and nobody is told. Recovery counts from the stall: the adapter that
/// stands by takes over when RabbitMQ has noticed.
pub(super) async fn stall_adapter(stage: &mut Stage, round: usize) -> Result<Instant> {
    let participant = round % stage.adapters.len();
    let active = stage.active(participant).await?;
    let link = &stage.adapters[participant][active].to_rabbitmq;
    link.set(Weather {
        stalled: true,
        ..Weather::default()
    });
    sleep(2 * LASTS).await;
    link.heal();
    Ok(Instant::now())
}

/// Again and again for a while.
pub(super) async fn reset_redis_links(stage: &mut Stage, _: usize) -> Result<Instant> {
    let end = Instant::now() + LASTS;
    while Instant::now() < end {
        for broker in &stage.brokers {
            broker.to_redis.reset();
        }
        sleep(Duration::from_millis(500)).await;
    }
    Ok(Instant::now())
}

pub(super) async fn slow_links(stage: &mut Stage, _: usize) -> Result<Instant> {
    let (delay, bytes) = SLOW;
    let weather = Weather {
        delay,
        bytes_per_second: NonZeroU32::new(bytes),
        ..Weather::default()
    };
    links(stage).for_each(|link| link.set(weather));
    sleep(LASTS).await;
    links(stage).for_each(Relay::heal);
    Ok(Instant::now())
}

/// RabbitMQ blocks whoever publishes until it has memory again.
pub(super) async fn memory_alarm(stage: &mut Stage, _: usize) -> Result<Instant> {
    let mark = async |mark: &str| {
        let words = ["set_vm_memory_high_watermark", "absolute", mark];
        stage.rabbitmq.control(&words).await
    };
    mark("1MB").await?;
    let management = stage.management()?;
    wait::until(BITES, "RabbitMQ shows its alarm", async || {
        let nodes = management.get("nodes").await;
        nodes.is_ok_and(|nodes| nodes[0]["mem_alarm"] == true)
    })
    .await?;
    sleep(LASTS).await;
    mark("1GB").await?;
    Ok(Instant::now())
}

/// One participant's server hears everything and answers nothing. The others must not notice.
pub(super) async fn dead_server(stage: &mut Stage, round: usize) -> Result<Instant> {
    let participant = round % PARTICIPANTS.len();
    stage.recorder.let_die(participant, true);
    sleep(3 * LASTS).await;
    stage.recorder.let_die(participant, false);
    Ok(Instant::now())
}

/// Nobody reads a queue until it takes no more; what is over waits in the outbox.
pub(super) async fn full_queue(stage: &mut Stage, round: usize) -> Result<Instant> {
    let participant = round % stage.adapters.len();
    for adapter in &mut stage.adapters[participant] {
        adapter.program.kill9();
    }
    let queue = commands_queue(PARTICIPANTS[participant]);
    let management = stage.management()?;
    let full = wait::until(BITES, "the queue is full", async || {
        let depth = management.depth(&queue).await?;
        anyhow::ensure!(depth >= u64::from(QUEUE_LENGTH), "it holds {depth}");
        anyhow::Ok(())
    });
    full.await?;
    sleep(LASTS / 2).await;
    let ended = Instant::now();
    for adapter in &mut stage.adapters[participant] {
        adapter.program.start().await?;
    }
    Ok(ended)
}

/// The working adapter cannot write its journal any more: it must say so and end, and the other takes over.
pub(super) async fn full_disk(stage: &mut Stage, round: usize) -> Result<Instant> {
    let participant = (round + 1) % stage.adapters.len();
    let active = stage.active(participant).await?;
    let others = (0..stage.adapters[participant].len()).filter(|other| *other != active);
    for other in others.collect::<Vec<_>>() {
        stage.adapters[participant][other].program.end().await?;
    }
    let adapter = &mut stage.adapters[participant][active].program;
    adapter.end().await?;
    adapter.launch(Surroundings::FullDisk(ROOM_BYTES))?;
    wait::until(BITES, "the adapter ends without its journal", async || {
        !adapter.is_running()
    })
    .await
    .with_context(|| adapter.log_tail())?;
    let ended = Instant::now();
    for adapter in &mut stage.adapters[participant] {
        adapter.program.start().await?;
    }
    Ok(ended)
}

/// One replica lives in the future for a while; then it is restarted with the right time.
pub(super) async fn clock_ahead(stage: &mut Stage, round: usize) -> Result<Instant> {
    let broker = &mut stage.brokers[round % 2].program;
    broker.end().await?;
    broker.launch(Surroundings::ClockAhead(AHEAD_SECONDS))?;
    broker.ready().await?;
    sleep(2 * LASTS).await;
    broker.end().await?;
    broker.start().await?;
    Ok(Instant::now())
}

/// Every link of RabbitMQ and Redis.
fn links(stage: &Stage) -> impl Iterator<Item = &Relay> {
    let brokers = stage.brokers.iter();
    let brokers = brokers.flat_map(|broker| [&broker.to_rabbitmq, &broker.to_redis]);
    let adapters = stage.adapters.iter().flatten();
    brokers.chain(adapters.map(|hand| &hand.to_rabbitmq))
}
