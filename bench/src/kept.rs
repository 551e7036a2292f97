//! What a command costs while so many settled ones are in the store, and as many are deleted as come in.
//!
//! Invariant: everything is as in production but for the times: commands go the whole way, by a stream as fast as they are
//! taken, and are deleted by the broker's own retention, which is as long as it takes to settle that many. Each size is
//! measured only once deleting keeps up with accepting. The smallest is measured again at the end, with servers of its own, so
//! that a machine that has become slower meanwhile is seen.
//! Not here: what a command takes of RabbitMQ and of adapters, which never see the store.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::{
    latency::micros,
    load::{self, Commands},
    processes::Watched,
    report::Report,
    stage::{Reach, Stage},
};

/// How many are kept, one after the other.
const SIZES: [u64; 4] = [1_000, 10_000, 100_000, 1_000_000];
/// Commands between two looks at the store.
const PART: u64 = 10_000;
/// Parts that are measured of each size.
const PARTS: u64 = 6;
/// How often the broker looks for what has had its time: often, for else even a small store would hold the commands of seconds.
const SWEEP: Duration = Duration::from_millis(250);
/// Bytes of a mebibyte.
const MEBIBYTE: f64 = 1024.0 * 1024.0;

/// Measures all sizes up to `most`, prints them, and writes them down.
pub(crate) async fn measure(most: u64) -> Result<()> {
    let mut report = Report::default();
    grow(most, &mut report).await?;
    report.print();
    report.write()
}

async fn grow(most: u64, report: &mut Report) -> Result<()> {
    let mut store = Filled::start().await?;
    for size in SIZES.into_iter().filter(|size| *size <= most) {
        store.measure(size, &size.to_string(), report).await?;
    }
    drop(store);
    let [least, ..] = SIZES;
    let mut store = Filled::start().await?;
    store.measure(least, "1000_again", report).await?;
    let name = |size: u64| format!("growth_kept_{size}_store_processor_microseconds_per_command");
    let again = report.figure("growth_kept_1000_again_store_processor_microseconds_per_command");
    // Before and after all others, so that it is the machine's middle.
    let least = f64::midpoint(report.figure(&name(least)), again);
    for size in SIZES.into_iter().skip(1).filter(|size| *size <= most) {
        let ratio = report.figure(&name(size)) / least;
        report.add(format!("growth_kept_{size}_to_1000_processor_ratio"), ratio);
    }
    Ok(())
}

/// A federation whose store is filled.
struct Filled {
    stage: Stage,
    /// Keys of the store that are no commands.
    others: u64,
    /// The number of the next command.
    next: u64,
    /// Commands a second, as the last part went.
    speed: f64,
}

/// What was spent by a moment, since the broker started.
struct Spent {
    commands: u64,
    broker: Duration,
    redis: Duration,
    rewriting: Duration,
    deleted: u64,
}

impl Spent {
    /// Microseconds of the broker's and of Redis' processors for each command until a later moment.
    fn for_each_command(&self, later: &Self) -> (f64, f64) {
        let commands = float(later.commands - self.commands);
        let each = |before: Duration, after: Duration| {
            float(micros(after.saturating_sub(before))) / commands
        };
        (
            each(self.broker, later.broker),
            each(self.redis, later.redis),
        )
    }
}

impl Filled {
    /// Empty, and warm: the first commands of a federation cost more.
    async fn start() -> Result<Self> {
        let mut stage = Stage::start("1s").await?;
        let others = stage.keys().await?;
        stage.keep_for(Duration::from_secs(1), SWEEP).await?;
        let mut filled = Self {
            stage,
            others,
            next: 1_000,
            speed: 0.0,
        };
        filled.part().await?;
        Ok(filled)
    }

    /// Fills it, waits until as many leave as come, and measures.
    async fn measure(&mut self, size: u64, word: &str, report: &mut Report) -> Result<()> {
        let retention = Duration::from_secs_f64(float(size) / self.speed);
        // What settles between two looks is there too.
        let retention = retention.saturating_sub(SWEEP / 2).max(SWEEP / 5);
        self.stage.keep_for(retention, SWEEP).await?;
        let (began, before) = (Instant::now(), self.spent().await?);
        while began.elapsed() < retention + 8 * SWEEP {
            self.part().await?;
        }
        let (filled, mut kept) = (self.spent().await?, Vec::new());
        for _ in 0..PARTS {
            self.part().await?;
            kept.push(self.kept().await?);
        }
        println!(
            "  {word}: {kept:?} kept for {retention:?}, {:.0} commands a second",
            self.speed
        );
        let after = self.spent().await?;
        let (broker, redis) = filled.for_each_command(&after);
        // Too seldom to be in each measurement, and too much to be in one by chance.
        let rewriting = after.rewriting.saturating_sub(before.rewriting);
        let rewriting = float(micros(rewriting)) / float(after.commands - before.commands);
        let deleted = float(after.deleted - filled.deleted);
        let memory = |process: Watched| Ok::<_, anyhow::Error>(float(process.memory()?) / MEBIBYTE);
        for (what, figure) in [
            ("broker_processor_microseconds_per_command", broker),
            ("redis_processor_microseconds_per_command", redis),
            ("store_processor_microseconds_per_command", broker + redis),
            ("redis_rewriting_microseconds_per_command", rewriting),
            ("commands_in_store", float(kept.iter().sum()) / float(PARTS)),
            (
                "deleted_per_accepted_command",
                deleted / float(after.commands - filled.commands),
            ),
            ("redis_memory_mebibytes", memory(self.watched("redis")?)?),
            ("broker_memory_mebibytes", memory(self.watched("broker")?)?),
        ] {
            report.add(format!("growth_kept_{word}_{what}"), figure);
        }
        Ok(())
    }

    /// Some commands, until the broker has counted them as settled. Nobody watches them: the first would be deleted before
    /// somebody on a busy machine has looked.
    async fn part(&mut self) -> Result<()> {
        let commands = Commands {
            reach: Reach::One,
            first: self.next,
            count: PART,
            urls: 1,
        };
        self.next += PART;
        let (began, before) = (Instant::now(), self.stage.settled().await?);
        load::submit(&self.stage, commands).await?;
        load::settled(&self.stage, before + PART).await?;
        self.speed = float(PART) / began.elapsed().as_secs_f64();
        Ok(())
    }

    /// Commands in the store.
    async fn kept(&self) -> Result<u64> {
        Ok(self.stage.keys().await?.saturating_sub(self.others))
    }

    async fn spent(&mut self) -> Result<Spent> {
        let (broker, redis) = (self.watched("broker")?, self.watched("redis")?);
        Ok(Spent {
            commands: self.next,
            broker: broker.processor_time()?,
            redis: redis.processor_time()?,
            rewriting: redis.processor_time_of_children()?,
            deleted: self.stage.retired().await?,
        })
    }

    fn watched(&mut self, name: &str) -> Result<Watched> {
        let mut processes = self.stage.processes().into_iter();
        let found = processes.find(|one| one.name == name);
        found.context("it is one of the processes")
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts and sizes")]
fn float(count: u64) -> f64 {
    count as f64
}
