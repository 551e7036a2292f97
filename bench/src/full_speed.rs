//! Full speed for minutes: what every process holds of memory meanwhile, and whether a command costs the same at the end.

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::{
    load::{self, Commands, Way},
    stage::{Reach, Stage},
};

/// Commands between two looks at the clock.
const PART: u64 = 10_000;

/// As many commands as go through, and what every process holds of memory meanwhile.
pub(crate) async fn at_full_speed(minutes: u64) -> Result<()> {
    // Deleted soon after they settle, as they are in production after days.
    let mut stage = Stage::start("30s").await?;
    let processes = stage.processes();
    let names = processes.iter().map(|one| format!("{:>16}", one.name));
    println!(
        "minute  commands  per second{}  (MiB)",
        names.collect::<String>()
    );
    let (began, mut next, part) = (Instant::now(), 1_000, PART);
    let mut shown = 0;
    while began.elapsed() < Duration::from_mins(minutes) {
        let commands = Commands {
            reach: Reach::One,
            first: next,
            count: part,
            urls: 1,
        };
        let speed = load::run(&stage, Way::Streams(1), commands).await?;
        next += part;
        let passed = began.elapsed().as_secs() / 30;
        if passed > shown {
            shown = passed;
            let memory = processes.iter().map(|one| {
                let mebibytes = one.memory().unwrap_or_default() / (1024 * 1024);
                format!("{mebibytes:>16}")
            });
            #[expect(clippy::cast_precision_loss, reason = "minutes")]
            let minute = passed as f64 / 2.0;
            println!(
                "{minute:>6.1} {:>9} {:>11.0}{}",
                next - 1_000,
                speed.commands,
                memory.collect::<String>()
            );
        }
    }
    Ok(())
}
