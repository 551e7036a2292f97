//! Full speed for minutes: what every process holds of memory meanwhile, and whether a command costs the same at the end.

use std::{
    fmt::Write as _,
    time::{Duration, Instant},
};

use anyhow::Result;

use crate::{
    latency::micros,
    load::{self, Commands, Way},
    processes::{Watched, spent},
    report::Report,
    stage::{Reach, Stage},
};

/// Commands between two looks at the clock.
const PART: u64 = 10_000;
/// Between two looks at the processes.
const LOOK: Duration = Duration::from_secs(30);
/// Looks until memory is expected to stay: after a minute.
const WARM: usize = 2;
/// Bytes of a mebibyte.
const MEBIBYTE: f64 = 1024.0 * 1024.0;

/// As many commands as go through, and what every process holds of memory meanwhile.
pub(crate) async fn at_full_speed(minutes: u64, way: Way) -> Result<()> {
    // Deleted soon after they settle, as they are in production after days.
    let mut stage = Stage::start("30s").await?;
    let processes = stage.processes();
    let mut looks = Looks::begin(&processes)?;
    let names = processes.iter().map(|one| format!("{:>16}", one.name));
    println!(
        "minute  commands  per second{}  (MiB)",
        names.collect::<String>()
    );
    while looks.began.elapsed() < Duration::from_mins(minutes) {
        let commands = Commands {
            reach: Reach::One,
            first: 1_000 + looks.commands,
            count: PART,
            urls: 1,
        };
        load::run(&stage, way, commands).await?;
        looks.commands += PART;
        if looks.last.elapsed() >= LOOK {
            looks.look(&processes)?;
        }
    }
    let report = looks.end(&processes);
    report.print();
    report.write()
}

/// What was seen, look by look.
struct Looks {
    report: Report,
    began: Instant,
    last: Instant,
    /// Since the beginning, and until the last look.
    commands: u64,
    commands_before: u64,
    spent: Vec<Duration>,
    /// Of each process, look by look.
    memory: Vec<Vec<f64>>,
}

impl Looks {
    fn begin(processes: &[Watched]) -> Result<Self> {
        let now = Instant::now();
        Ok(Self {
            report: Report::default(),
            began: now,
            last: now,
            commands: 0,
            commands_before: 0,
            spent: spent(processes)?,
            memory: vec![Vec::new(); processes.len()],
        })
    }

    #[expect(clippy::cast_precision_loss, reason = "counts and sizes")]
    fn look(&mut self, processes: &[Watched]) -> Result<()> {
        let commands = (self.commands - self.commands_before) as f64;
        let speed = commands / self.last.elapsed().as_secs_f64();
        self.report.add("full_speed_commands_per_second", speed);
        let spent = spent(processes)?;
        let mut shown = String::new();
        for (number, process) in processes.iter().enumerate() {
            let memory = process.memory()? as f64 / MEBIBYTE;
            write!(shown, "{memory:>16.0}")?;
            self.memory[number].push(memory);
            let name = process.name;
            self.report
                .add(format!("full_speed_{name}_memory_mebibytes"), memory);
            let took = spent[number].saturating_sub(self.spent[number]);
            self.report.add(
                format!("full_speed_{name}_processor_microseconds_per_command"),
                micros(took) as f64 / commands,
            );
        }
        println!(
            "{:>6.1} {:>9} {speed:>11.0}{shown}",
            self.began.elapsed().as_secs_f64() / 60.0,
            self.commands,
        );
        self.spent = spent;
        self.commands_before = self.commands;
        self.last = Instant::now();
        Ok(())
    }

    /// With what each process came to hold beside what it held after the first minute.
    fn end(mut self, processes: &[Watched]) -> Report {
        for (process, memory) in processes.iter().zip(&self.memory) {
            if let (Some(warm), Some(last)) = (memory.get(WARM - 1), memory.last()) {
                self.report.add(
                    format!(
                        "full_speed_{}_memory_end_to_first_minute_ratio",
                        process.name
                    ),
                    last / warm,
                );
            }
        }
        self.report
    }
}
