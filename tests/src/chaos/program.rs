//! A broker or an adapter of a run: one configuration, one address, and a process that comes and goes.
//!
//! Invariant: whenever it is started it is the same one, on the same ports and with the same journal.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};

use crate::{process::Process, wait};

/// How long it may take to be ready, on a machine that has other things to do.
const START: Duration = Duration::from_mins(1);
/// How long it may take to end when asked: its own drain time and a little.
const END: Duration = Duration::from_secs(30);
/// The library that lies to a process about the time of day.
const FAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";

/// What surrounds a process that is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Surroundings {
    /// As it should be.
    #[default]
    Good,
    /// The clock is ahead by this many seconds.
    ClockAhead(u32),
    /// No file can be written beyond this many bytes, as on a disk that is full.
    FullDisk(u64),
}

/// One of our programs.
#[derive(Debug)]
pub(super) struct Program {
    /// What it is called in logs and tables.
    pub(super) name: String,
    /// Where it serves metrics and health.
    pub(super) signals: SocketAddr,
    binary: PathBuf,
    configuration: PathBuf,
    folder: PathBuf,
    process: Option<Process>,
}

impl Program {
    /// Writes its configuration; it does not run yet.
    pub(super) fn new(
        name: &str,
        binary: PathBuf,
        folder: &Path,
        configuration: &str,
        signals: SocketAddr,
    ) -> Result<Self> {
        let file = folder.join(format!("{name}.toml"));
        std::fs::write(&file, configuration)?;
        Ok(Self {
            name: name.to_owned(),
            signals,
            binary,
            configuration: file,
            folder: folder.to_owned(),
            process: None,
        })
    }

    /// Starts it and waits until it is ready.
    pub(super) async fn start(&mut self) -> Result<()> {
        self.launch(Surroundings::Good)?;
        self.ready().await
    }

    /// Starts it in surroundings that may be bad, and does not wait.
    pub(super) fn launch(&mut self, surroundings: Surroundings) -> Result<()> {
        let mut command = match surroundings {
            Surroundings::FullDisk(bytes) => limited(&self.binary, bytes),
            Surroundings::Good | Surroundings::ClockAhead(_) => Command::new(&self.binary),
        };
        if let Surroundings::ClockAhead(seconds) = surroundings {
            command
                .env("LD_PRELOAD", FAKETIME)
                .env("FAKETIME", format!("+{seconds}s"))
                .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
                .env("DONT_FAKE_MONOTONIC", "1");
        }
        command.arg("--config").arg(&self.configuration);
        self.process = Some(Process::start(&self.name, &self.folder, command)?);
        Ok(())
    }

    /// Waits until it says that it is ready.
    pub(super) async fn ready(&mut self) -> Result<()> {
        let (http, url) = (crate::http(), format!("http://{}/readyz", self.signals));
        let process = self.process.as_mut().context("it was started")?;
        let ready = async || {
            let answer = http.get(&url).send().await;
            answer.is_ok_and(|answer| answer.status() == 200)
        };
        process.ready(START, ready).await
    }

    /// Whether its process runs; a stopped one does.
    pub(super) fn is_running(&mut self) -> bool {
        self.process.as_mut().is_some_and(Process::is_running)
    }

    /// Its process id, while it has one.
    pub(super) fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Process::pid)
    }

    /// SIGKILL.
    pub(super) fn kill9(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill9();
        }
    }

    /// SIGTERM, and waits until it has ended by itself; an error when it has not in time.
    pub(super) async fn end(&mut self) -> Result<()> {
        let Some(mut process) = self.process.take() else {
            return Ok(());
        };
        let pid = Pid::from_raw(process.pid().cast_signed()).context("a process has an id")?;
        kill_process(pid, Signal::TERM)?;
        let what = format!("{} ends after SIGTERM", self.name);
        wait::until(END, &what, async || !process.is_running()).await
    }

    /// SIGSTOP, or SIGCONT.
    pub(super) fn freeze(&self, frozen: bool) -> Result<()> {
        let process = self.process.as_ref().context("it runs")?;
        if frozen {
            process.pause()
        } else {
            process.resume()
        }
    }

    /// The end of its log.
    pub(super) fn log_tail(&self) -> String {
        let log = self.folder.join(format!("{}.log", self.name));
        let bytes = std::fs::read(&log).unwrap_or_default();
        let tail = &bytes[bytes.len().saturating_sub(2_000)..];
        format!("{}:\n{}", log.display(), String::from_utf8_lossy(tail))
    }
}

/// Whether this machine has what a clock that is ahead needs.
pub(super) fn can_change_clocks() -> bool {
    Path::new(FAKETIME).exists()
}

/// Writing beyond the limit fails with an error instead of a signal, as it does on a full disk.
fn limited(binary: &Path, bytes: u64) -> Command {
    let mut command = Command::new("/bin/bash");
    let script = r#"trap '' XFSZ; ulimit -f "$1"; shift; exec "$@""#;
    let blocks = bytes.div_ceil(1024).to_string();
    command.args(["-c", script, "limited", &blocks]).arg(binary);
    command
}
