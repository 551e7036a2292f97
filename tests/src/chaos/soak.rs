//! `make soak`: steady load for as long as wanted, and what every process takes of the machine meanwhile.
//!
//! Invariant: what a broker or an adapter takes does not grow once it has warmed up; commands are deleted soon after they
//! settle, so that the store does not grow either.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use tokio::time::sleep;

use super::{
    ledger::Ledger,
    load::Load,
    probe::{EVERY, Probes},
    proc::{Taken, mebibytes, taken},
    recovery::{percentile, sorted},
    stage::{Build, Stage},
    table::{aside, say},
    traffic::PARTICIPANTS,
};

/// Looks in one run, but never more often than [`LOOK_AT_MOST`].
const LOOKS: u32 = 60;
/// The least time between two looks.
const LOOK_AT_MOST: Duration = Duration::from_secs(1);
/// Warming up takes this part of the time, as a divisor, and at most [`WARM_AT_MOST`].
const WARM_PART: u32 = 4;
/// Caches are full and pools have their connections by then.
const WARM_AT_MOST: Duration = Duration::from_mins(10);
/// The last part of the time that is compared with the time after warming up, as a divisor.
const LAST_PART: usize = 5;
/// By how much memory may grow: a fifth and some.
const MEMORY_MAY_GROW: fn(u64) -> u64 = |warm| warm + warm / 5 + 16 * 1024 * 1024;
/// By how many the open descriptors may grow.
const DESCRIPTORS_MAY_GROW: u64 = 16;
/// How long the last answers may take.
const ANSWERS: Duration = Duration::from_mins(1);

/// How a run is made.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// How long.
    pub time: Duration,
    /// New commands each second.
    pub per_second: u32,
}

/// One process and what it took at each look.
struct Series {
    name: String,
    pid: u32,
    /// The bounds are for our programs; what RabbitMQ and Redis take is only shown.
    ours: bool,
    seen: Vec<Taken>,
}

/// Runs, prints, and says whether everything stayed within its bounds.
pub async fn run(settings: Settings) -> Result<bool> {
    let build = Build {
        retention_seconds: 30,
        journal_cache: 8 * 1024 * 1024,
        ..Build::default()
    };
    let mut stage = Stage::start(build).await?;
    let ledger = Arc::<Ledger>::default();
    let brokers = stage.addresses();
    let load = Load::start(brokers, &ledger, settings.per_second, None);
    let probes = Probes::start(brokers, &ledger, &PARTICIPANTS, EVERY)?;
    let mut series = processes(&mut stage)?;
    say(&heading(&series));
    let began = Instant::now();
    let pause = (settings.time / LOOKS).max(LOOK_AT_MOST);
    let warm = (settings.time / WARM_PART).min(WARM_AT_MOST);
    let mut warmed = 0;
    while began.elapsed() < settings.time {
        sleep(pause).await;
        for one in &mut series {
            let now = taken(one.pid).with_context(|| format!("{} has ended", one.name))?;
            one.seen.push(now);
        }
        warmed += usize::from(began.elapsed() < warm);
        say(&line(began.elapsed(), ledger.acknowledged(), &series));
    }
    load.end(ANSWERS).await?;
    probes.end(ANSWERS).await?;
    let took = sorted(probes.since(began).iter().map(super::probe::Probe::took));
    let (p50, p99) = (percentile(&took, 50), percentile(&took, 99));
    let accepted = ledger.acknowledged();
    ensure!(
        accepted > 0,
        "no command was accepted: {:?}",
        ledger.words()
    );
    let grown = series
        .iter()
        .filter(|one| one.ours)
        .filter_map(|one| one.grown(warmed));
    let grown: Vec<_> = grown.collect();
    for words in &grown {
        aside(words);
    }
    say(&format!(
        "soak: {:.1} minutes, {accepted} commands, probes {p50:?} (p50) {p99:?} (p99), {} of {} processes grew",
        began.elapsed().as_secs_f64() / 60.0,
        grown.len(),
        series.len(),
    ));
    Ok(grown.is_empty())
}

impl Series {
    /// In words, where it takes more at the end than it may.
    fn grown(&self, warmed: usize) -> Option<String> {
        let after = self
            .seen
            .get(warmed.min(self.seen.len().saturating_sub(1))..)?;
        let part = after.len().div_ceil(LAST_PART);
        let most = |seen: &[Taken], take: fn(&Taken) -> u64| {
            seen.iter().map(take).max().unwrap_or_default()
        };
        let (first, last) = (&after[..part], &after[after.len() - part..]);
        let memory = (
            most(first, |taken| taken.memory),
            most(last, |taken| taken.memory),
        );
        let files = (
            most(first, |taken| taken.descriptors),
            most(last, |taken| taken.descriptors),
        );
        let grew = memory.1 > MEMORY_MAY_GROW(memory.0) || files.1 > files.0 + DESCRIPTORS_MAY_GROW;
        grew.then(|| {
            format!(
                "{} grew from {} to {} MiB and from {} to {} descriptors",
                self.name,
                mebibytes(memory.0),
                mebibytes(memory.1),
                files.0,
                files.1
            )
        })
    }
}

fn processes(stage: &mut Stage) -> Result<Vec<Series>> {
    let mut all = Vec::new();
    for program in stage.programs() {
        let pid = program.pid().context("it runs")?;
        all.push((program.name.clone(), pid, true));
    }
    all.push(("rabbitmq".to_owned(), stage.rabbitmq.process().pid(), false));
    all.push(("redis".to_owned(), stage.redis.process().pid(), false));
    let series = |(name, pid, ours)| Series {
        name,
        pid,
        ours,
        seen: Vec::new(),
    };
    Ok(all.into_iter().map(series).collect())
}

fn heading(series: &[Series]) -> String {
    let names = series.iter().map(|one| format!("{:>18}", one.name));
    format!(
        "minutes  commands{}\n{}",
        names.collect::<String>(),
        "(MiB of memory/open descriptors)"
    )
}

fn line(passed: Duration, commands: u64, series: &[Series]) -> String {
    let cells = series.iter().map(|one| {
        let now = one.seen.last().copied().unwrap_or_default();
        let cell = format!("{}/{}", mebibytes(now.memory), now.descriptors);
        format!("{cell:>18}")
    });
    let minutes = passed.as_secs_f64() / 60.0;
    format!("{minutes:>7.1} {commands:>9}{}", cells.collect::<String>())
}
