//! `make chaos`: breaks everything that can break, one thing after the other, under continuous load, and counts.
//!
//! Invariant: nothing is believed but the store's own answers and what the servers heard. What was acknowledged must settle,
//! keep its meaning and reach its servers; what may not be repeated must reach none of them twice; and at the end nothing
//! may wait in any queue or outbox.

mod audit;
pub mod backlog;
mod breaking;
mod faults;
mod ledger;
mod load;
mod probe;
mod proc;
mod program;
mod recorder;
mod recovery;
mod repeats;
pub mod soak;
mod stage;
pub mod storm;
mod table;
mod traffic;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use tokio::time::sleep;

pub use self::table::Verdict;
use self::{
    audit::Auditor,
    faults::Fault,
    ledger::Ledger,
    load::Load,
    probe::{EVERY, Probes},
    recovery::{Normal, Recovery},
    stage::{Build, Stage},
    table::Row,
    traffic::PARTICIPANTS,
};

/// How long the federation works undisturbed at first, to know how fast it is.
const BEFORE: Duration = Duration::from_secs(5);
/// How long what was acknowledged may take to settle once all is well.
const SETTLES: Duration = Duration::from_secs(90);
/// How long the last answers may take.
const ANSWERS: Duration = Duration::from_mins(1);
/// What repeated submits are called in the table.
const REPEATS: &str = "one request again and again at both brokers";

/// How a run is made.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The round of faults is repeated until so much time has passed; once at least.
    pub time: Duration,
    /// The load goes on until so many commands were accepted.
    pub commands: u64,
    /// New commands each second.
    pub per_second: u32,
    /// How often one request is repeated.
    pub repeats: usize,
    /// Only the faults whose names contain this.
    pub only: Option<String>,
}

/// Everything that runs.
struct Run {
    stage: Stage,
    ledger: Arc<Ledger>,
    load: Load,
    probes: Probes,
    auditor: Auditor,
    settings: Settings,
    rows: Vec<Row>,
}

/// Breaks everything, and says what came of it. The error is only that it could not be tried.
pub async fn run(settings: Settings) -> Result<Verdict> {
    let stage = Stage::start(Build::default()).await?;
    let ledger = Arc::<Ledger>::default();
    let brokers = stage.addresses();
    let mut run = Run {
        load: Load::start(brokers, &ledger, settings.per_second, None),
        probes: Probes::start(brokers, &ledger, &PARTICIPANTS, EVERY)?,
        auditor: Auditor::new(brokers)?,
        stage,
        ledger,
        settings,
        rows: Vec::new(),
    };
    let verdict = run.play().await;
    if !verdict.as_ref().is_ok_and(Verdict::is_good) {
        let folder = run.stage.keep();
        table::aside(&format!("logs are kept in {}", folder.display()));
    }
    verdict
}

impl Run {
    async fn play(&mut self) -> Result<Verdict> {
        let began = Instant::now();
        self.rows.push(Row::new("nothing: as it was before", None));
        sleep(BEFORE).await;
        let normal = Normal::of(&self.probes.since(began + BEFORE / 2));
        table::aside(&format!("undisturbed: {normal}"));
        let mut faults = faults::all();
        if let Some(only) = &self.settings.only {
            faults.retain(|fault| fault.name.contains(only));
        }
        for round in 0.. {
            for fault in &faults {
                self.strike(fault, round, normal)
                    .await
                    .with_context(|| fault.name)?;
            }
            self.repeat().await.context(REPEATS)?;
            if began.elapsed() >= self.settings.time {
                break;
            }
        }
        self.ledger.turn_to(0);
        while self.ledger.acknowledged() < self.settings.commands {
            sleep(Duration::from_secs(1)).await;
        }
        self.judge().await
    }

    /// One fault, from its beginning to the moment at which nothing of it can be seen any more.
    async fn strike(&mut self, fault: &Fault, round: usize, normal: Normal) -> Result<()> {
        let number = self.turn(fault.name, fault.target);
        let began = Instant::now();
        let ended = (fault.strike)(&mut self.stage, round).await?;
        let recovery = Recovery::wait(&self.probes, began, ended, normal).await;
        let settled = self.auditor.settle(&self.ledger, SETTLES).await;
        self.check_programs()?;
        let row = &mut self.rows[number];
        row.recovered(recovery);
        table::aside(&format!(
            "{} s {row}{}",
            began.elapsed().as_secs(),
            if settled.is_err() {
                ", and not everything has settled"
            } else {
                ""
            }
        ));
        Ok(())
    }

    /// Not a fault of ours but of the originators': the same request again and again.
    async fn repeat(&mut self) -> Result<()> {
        self.turn(REPEATS, None);
        let times = self.settings.repeats;
        let took = repeats::repeat(self.stage.addresses(), &self.ledger, times).await?;
        table::aside(&format!("{} s {REPEATS}", took.as_secs()));
        Ok(())
    }

    /// From now on commands count for this fault; its number.
    fn turn(&mut self, name: &str, target: Option<Duration>) -> usize {
        let number = self.rows.len();
        self.rows.push(Row::new(name, target));
        self.ledger.turn_to(number);
        number
    }

    fn check_programs(&mut self) -> Result<()> {
        for program in self.stage.programs() {
            if !program.is_running() {
                bail!(
                    "{} has ended by itself\n{}",
                    program.name,
                    program.log_tail()
                );
            }
        }
        Ok(())
    }

    /// Lets everything come to its end, and looks at all of it once more.
    async fn judge(&mut self) -> Result<Verdict> {
        self.load.end(ANSWERS).await?;
        // What does not settle is counted as lost, a probe too.
        let _ = self.probes.end(ANSWERS).await;
        let _ = self.auditor.settle(&self.ledger, SETTLES).await;
        self.auditor.look_at_all(&self.ledger).await?;
        let left_over = self.auditor.left_over(&self.stage).await?;
        let counts = self.ledger.counts(self.rows.len(), &self.stage.recorder);
        for (row, counts) in self.rows.iter_mut().zip(counts) {
            row.counts = counts;
        }
        let mut words = self.ledger.words();
        words.extend(self.ledger.lost(&self.stage.recorder));
        words.extend(
            left_over
                .iter()
                .map(|(name, count)| format!("{count} left over in {name}")),
        );
        Ok(Verdict {
            rows: std::mem::take(&mut self.rows),
            left_over: left_over.iter().map(|(_, count)| count).sum(),
            words,
        })
    }
}
