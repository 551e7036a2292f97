//! `make storm`: one participant asks for ten times what it may, and the others must not notice.
//!
//! Invariant: quiet and stormy spans take turns in one run, so that what else the machine does falls on both; the probes are
//! another participant's, and go to servers of others.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::Code;

use super::{
    ledger::Ledger,
    probe::{Probe, Probes},
    recovery::{percentile, sorted},
    stage::{Build, Stage},
    table::{aside, say},
    traffic::{ORIGINATORS, PARTICIPANTS, Traffic},
};
use crate::federation::client;

/// Who storms.
const STORMS: &str = ORIGINATORS[1];
/// At whom.
const AT: &str = PARTICIPANTS[3];
/// Those who must not notice.
const OTHERS: [&str; 3] = [PARTICIPANTS[0], PARTICIPANTS[1], PARTICIPANTS[2]];
/// How much more it asks for than it may.
const TIMES: u32 = 10;
/// Calls of the storm that are under way at a replica.
const AT_A_TIME: u32 = 20;
/// Between two probes: many are needed, for the slowest hundredth decides.
const PROBE_EVERY: Duration = Duration::from_millis(20);
/// How long the federation rests before it is measured.
const REST: Duration = Duration::from_secs(5);
/// Quiet and stormy spans.
const ROUNDS: u32 = 4;
/// How long the last answers may take.
const ANSWERS: Duration = Duration::from_mins(1);

/// How a run is made.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Calls a second that one replica allows the one who storms.
    pub quota: u32,
    /// How long probes are timed, in quiet and in storm.
    pub measured: Duration,
    /// How many times as long as in quiet the slowest hundredth of the others may take in a storm.
    pub slower_at_most: f64,
}

/// What became of the storm's calls.
#[derive(Debug, Default)]
struct Counts {
    accepted: AtomicU64,
    refused: AtomicU64,
    /// Refused without a time for the next try, or failed otherwise.
    odd: AtomicU64,
}

/// Runs, prints, and says whether everything stayed within its bounds.
pub async fn run(settings: Settings) -> Result<bool> {
    let build = Build {
        adapters: 1,
        queue_length: 100_000,
        quota: Some((STORMS, settings.quota)),
        ..Build::default()
    };
    let stage = Stage::start(build).await?;
    let (ledger, counts) = (Arc::<Ledger>::default(), Arc::<Counts>::default());
    let probes = Probes::start(stage.addresses(), &ledger, &OTHERS, PROBE_EVERY)?;
    // The first make connections.
    sleep(REST).await;
    let span = settings.measured / ROUNDS;
    let mut spans = Vec::new();
    for _ in 0..ROUNDS {
        let quiet = Instant::now();
        sleep(span).await;
        let stormy = Instant::now();
        let storm = Storm::start(&stage, &counts, settings)?;
        sleep(span).await;
        spans.push((quiet, stormy, Instant::now()));
        storm.end().await;
    }
    probes.end(ANSWERS).await?;
    let first = spans.first().context("there are rounds")?.0;
    let all = probes.since(first);
    let within = |from: Instant, to: Instant| {
        let those = all
            .iter()
            .filter(move |one| one.began >= from && one.began < to);
        those.map(Probe::took)
    };
    let quiet = sorted(
        spans
            .iter()
            .flat_map(|(quiet, stormy, _)| within(*quiet, *stormy)),
    );
    let stormy = sorted(
        spans
            .iter()
            .flat_map(|(_, stormy, end)| within(*stormy, *end)),
    );
    ensure!(
        !quiet.is_empty() && !stormy.is_empty(),
        "nothing was measured"
    );
    Ok(judge(settings, &counts, (&quiet, &stormy)))
}

fn judge(settings: Settings, counts: &Counts, (quiet, stormy): (&[Duration], &[Duration])) -> bool {
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let (accepted, refused, odd) = (
        count(&counts.accepted),
        count(&counts.refused),
        count(&counts.odd),
    );
    for (when, took) in [("in quiet", quiet), ("in the storm", stormy)] {
        let [p50, p99] = [50, 99].map(|percent| percentile(took, percent));
        aside(&format!(
            "{when}: {} probes of the others settle in {p50:?} (p50), {p99:?} (p99)",
            took.len()
        ));
    }
    let (p99, with) = (percentile(quiet, 99), percentile(stormy, 99));
    let times = with.as_secs_f64() / p99.as_secs_f64();
    say(&format!(
        "storm: {STORMS} asked {} times for what it may ask once, {accepted} accepted, {refused} refused with a time, {odd} \
         answered otherwise; others p99 {:.1} ms in quiet and {:.1} ms in the storm, {times:.2} of at most {:.2} times",
        TIMES,
        p99.as_secs_f64() * 1e3,
        with.as_secs_f64() * 1e3,
        settings.slower_at_most,
    ));
    odd == 0 && accepted > 0 && refused > accepted && times <= settings.slower_at_most
}

/// A storm that goes on until it is told to end.
struct Storm {
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Storm {
    fn start(stage: &Stage, counts: &Arc<Counts>, settings: Settings) -> Result<Self> {
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let pause = Duration::from_secs(1) * AT_A_TIME / (settings.quota * TIMES);
        for (replica, address) in stage.addresses().into_iter().enumerate() {
            let caller = client(address, &format!("participant/{STORMS}"))?;
            for number in 0..AT_A_TIME as usize {
                let mut client = caller.clone();
                let mut traffic = Traffic::new(STORMS, 1_000 * replica + number, Some(AT));
                let (counts, stop) = (Arc::clone(counts), stop.clone());
                tasks.spawn(async move {
                    let mut every = interval(pause);
                    every.set_missed_tick_behavior(MissedTickBehavior::Burst);
                    while stop.run_until_cancelled(every.tick()).await.is_some() {
                        count(&counts, client.submit(traffic.next().0).await);
                    }
                });
            }
        }
        tasks.close();
        Ok(Self { tasks, stop })
    }

    async fn end(self) {
        self.stop.cancel();
        self.tasks.wait().await;
    }
}

fn count<T>(counts: &Counts, answer: Result<T, tonic::Status>) {
    use tonic_types::StatusExt as _;
    let counter = match answer {
        Ok(_) => &counts.accepted,
        Err(status)
            if status.code() == Code::ResourceExhausted
                && status.get_details_retry_info().is_some() =>
        {
            &counts.refused
        }
        Err(_) => &counts.odd,
    };
    counter.fetch_add(1, Ordering::Relaxed);
}
