//! `make backlog`: a participant is away while much is asked of it, and the others must not notice.
//!
//! Invariant: what is compared was measured in the same run, on the same machine, with the same probes: without the backlog,
//! and beside it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use tokio::time::sleep;

use super::{
    ledger::Ledger,
    load::Load,
    probe::{Probe, Probes},
    proc::{mebibytes, taken},
    recovery::{percentile, sorted},
    stage::{Build, Stage},
    table::{aside, say},
    traffic::PARTICIPANTS,
};

/// Who is away; the last of the participants.
const AWAY: &str = PARTICIPANTS[3];
/// Those who must not notice.
const OTHERS: [&str; 3] = [PARTICIPANTS[0], PARTICIPANTS[1], PARTICIPANTS[2]];
/// The memory that a broker may take, whatever waits.
const BROKER_MEMORY: u64 = 256 * 1024 * 1024;
/// Between two probes: many are needed, for the slowest hundredth decides.
const PROBE_EVERY: Duration = Duration::from_millis(20);
/// How long the federation rests before it is measured.
const REST: Duration = Duration::from_secs(5);
/// More than any broker accepts.
const AS_FAST_AS_IT_GOES: u32 = 100_000;
/// How often we look at memory while the backlog grows.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How often it is told how far the backlog has grown.
const TELL_EVERY: Duration = Duration::from_secs(30);
/// How long the last answers may take.
const ANSWERS: Duration = Duration::from_mins(1);

/// How a run is made.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Executions that wait in the end.
    pub executions: u64,
    /// How long probes are timed, without the backlog and beside it.
    pub measured: Duration,
    /// How many times as long as without it the slowest hundredth of the others may take beside it.
    pub slower_at_most: f64,
}

/// Runs, prints, and says whether everything stayed within its bounds.
pub async fn run(settings: Settings) -> Result<bool> {
    let build = Build {
        adapters: 1,
        queue_length: 100_000,
        outbox_limit: 2 * settings.executions,
        ..Build::default()
    };
    let mut stage = Stage::start(build).await?;
    let hands = stage.adapters.last_mut().context("participants")?;
    for hand in hands {
        hand.program.kill9();
    }
    let ledger = Arc::<Ledger>::default();
    let before = measure(&stage, &ledger, settings).await?;
    tell("without a backlog", &before);
    let probed = ledger.acknowledged();
    let (most, took) = fill(&mut stage, &ledger, probed + settings.executions).await?;
    let waiting = ledger.acknowledged() - probed;
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    let rate = waiting as f64 / took.as_secs_f64();
    aside(&format!(
        "{waiting} executions for {AWAY} in {:.0} s: {rate:.0} a second",
        took.as_secs_f64()
    ));
    let beside = measure(&stage, &ledger, settings).await?;
    tell("beside the backlog", &beside);
    let most = most.max(broker_memory(&mut stage)?);
    let held: u64 = stage
        .left_over()
        .await?
        .iter()
        .map(|(_, count)| count)
        .sum();
    ensure!(held >= waiting.min(10_000), "only {held} of {waiting} wait");
    let (p99, with) = (percentile(&before, 99), percentile(&beside, 99));
    let times = with.as_secs_f64() / p99.as_secs_f64();
    say(&format!(
        "backlog: {waiting} executions wait, brokers at most {} MiB of {} MiB, \
         others p99 {:.1} ms without and {:.1} ms beside it, {times:.2} of at most {:.2} times",
        mebibytes(most),
        mebibytes(BROKER_MEMORY),
        p99.as_secs_f64() * 1e3,
        with.as_secs_f64() * 1e3,
        settings.slower_at_most,
    ));
    Ok(most <= BROKER_MEMORY && times <= settings.slower_at_most)
}

/// Times probes of the others for a while; in order of length.
async fn measure(stage: &Stage, ledger: &Arc<Ledger>, settings: Settings) -> Result<Vec<Duration>> {
    sleep(REST).await;
    let probes = Probes::start(stage.addresses(), ledger, &OTHERS, PROBE_EVERY)?;
    // The first make connections.
    sleep(REST).await;
    let began = Instant::now();
    sleep(settings.measured).await;
    probes.end(ANSWERS).await?;
    Ok(sorted(probes.since(began).iter().map(Probe::took)))
}

/// Submits for the one who is away until so many commands are accepted; the most memory that a broker took, and how
/// long it took.
async fn fill(stage: &mut Stage, ledger: &Arc<Ledger>, until: u64) -> Result<(u64, Duration)> {
    let began = Instant::now();
    let load = Load::start(stage.addresses(), ledger, AS_FAST_AS_IT_GOES, Some(AWAY));
    let (mut most, mut told) = (0, Instant::now());
    while ledger.acknowledged() < until {
        most = most.max(broker_memory(stage)?);
        if told.elapsed() > TELL_EVERY {
            told = Instant::now();
            aside(&format!("{} of {until} accepted", ledger.acknowledged()));
        }
        sleep(LOOK_EVERY).await;
    }
    load.end(ANSWERS).await?;
    Ok((most, began.elapsed()))
}

/// What the larger of the brokers takes.
fn broker_memory(stage: &mut Stage) -> Result<u64> {
    let mut most = 0;
    for broker in &stage.brokers {
        let pid = broker.program.pid().context("it runs")?;
        most = most.max(taken(pid)?.memory);
    }
    Ok(most)
}

fn tell(when: &str, took: &[Duration]) {
    let [p50, p99] = [50, 99].map(|percent| percentile(took, percent));
    aside(&format!(
        "{when}: {} probes of the others settle in {p50:?} (p50), {p99:?} (p99)",
        took.len()
    ));
}
