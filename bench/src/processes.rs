//! What processes take of the machine: time of the processors, memory, and flushes to disk.

use std::{
    fs,
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result};

/// Linux counts processors' time in hundredths of a second, whatever the machine.
const TICK: Duration = Duration::from_millis(10);

/// One process.
#[derive(Debug, Clone)]
pub(crate) struct Watched {
    pub(crate) name: &'static str,
    pid: u32,
}

impl Watched {
    pub(crate) const fn new(name: &'static str, pid: u32) -> Self {
        Self { name, pid }
    }

    /// Time of the processors that it has taken so far.
    pub(crate) fn processor_time(&self) -> Result<Duration> {
        self.ticks(11)
    }

    /// Time of the processors that those of its children took that have ended: Redis rewrites its file in one.
    pub(crate) fn processor_time_of_children(&self) -> Result<Duration> {
        self.ticks(13)
    }

    /// Two neighbouring fields of `/proc/PID/stat` behind the name of the program: for users, and for the kernel.
    fn ticks(&self, first: usize) -> Result<Duration> {
        let text = fs::read_to_string(format!("/proc/{}/stat", self.pid))?;
        // The name of the program, in parentheses, may hold spaces.
        let (_, rest) = text.rsplit_once(')').context("a process has a name")?;
        let ticks = rest.split_whitespace().skip(first).take(2);
        let ticks: u32 = ticks.filter_map(|field| field.parse::<u32>().ok()).sum();
        Ok(TICK * ticks)
    }

    /// Bytes of memory that it holds now.
    pub(crate) fn memory(&self) -> Result<u64> {
        let text = fs::read_to_string(format!("/proc/{}/status", self.pid))?;
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kibibytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        Ok(kibibytes.context("a process has memory")? * 1_024)
    }
}

/// Counts the flushes of one process by `perf`, where that is installed and allowed.
pub(crate) struct Flushes(Option<Child>);

impl Flushes {
    /// Begins to count.
    pub(crate) fn of(process: &Watched) -> Self {
        let events = "syscalls:sys_enter_fsync,syscalls:sys_enter_fdatasync";
        let mut command = Command::new("perf");
        command
            .args(["stat", "-x", ";", "-e", events, "-p"])
            .arg(process.pid.to_string());
        command.stdin(Stdio::null()).stdout(Stdio::null());
        Self(command.stderr(Stdio::piped()).spawn().ok())
    }

    /// How many there were; `None` where nothing counts.
    pub(crate) fn end(self) -> Option<u64> {
        let child = self.0?;
        let pid = child.id().to_string();
        // `perf` prints what it has when it is interrupted.
        Command::new("kill").args(["-INT", &pid]).status().ok()?;
        let output = child.wait_with_output().ok()?;
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        let counts = text
            .lines()
            .filter(|line| line.contains("sys_enter_f"))
            .map(|line| line.split(';').next()?.parse::<u64>().ok());
        let counts = counts.collect::<Option<Vec<_>>>()?;
        (!counts.is_empty()).then(|| counts.iter().sum())
    }
}

/// Time of the processors that each process has taken so far.
pub(crate) fn spent(processes: &[Watched]) -> Result<Vec<Duration>> {
    processes.iter().map(Watched::processor_time).collect()
}

/// Seconds of the processors that each process has taken since, for each of so many.
pub(crate) fn costs(
    processes: &[Watched],
    before: &[Duration],
    count: u64,
) -> Result<Vec<(&'static str, f64)>> {
    let costs = processes.iter().zip(before).map(|(process, before)| {
        let spent = process.processor_time()?.saturating_sub(*before);
        #[expect(clippy::cast_precision_loss, reason = "a count")]
        Ok((process.name, spent.as_secs_f64() / count as f64))
    });
    costs.collect()
}

/// Microseconds of each process, for people.
pub(crate) fn shown(costs: &[(&'static str, f64)]) -> String {
    let words = costs
        .iter()
        .map(|(name, seconds)| format!("{name} {:.0} µs", seconds * 1e6));
    words.collect::<Vec<_>>().join(", ")
}
