//! A server as a child process: in the foreground, its output in a file, ended when it is dropped.
//!
//! Invariant: the child and everything that it started in its process group end with this process, even when
//! this process is killed. Each child has a guardian, a shell that holds the other end of a pipe: when the pipe
//! closes without a word, the guardian kills the group. A parent-death signal was refused: it is sent when the
//! *thread* that started the child ends, and it does not reach the child's own children (nginx, RabbitMQ).
//! Not here: when a server is ready (its own module knows, and asks with [`Process::ready`]).

use std::{
    fs::{self, File},
    io::{ErrorKind, Write},
    os::{fd::OwnedFd, unix::process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{
        Pid, PidfdFlags, Signal, kill_process_group, pidfd_open, pidfd_send_signal,
        test_kill_process_group,
    },
};

use crate::wait;

/// How long a server may take to end by itself after SIGTERM, before SIGKILL.
pub const GRACE: Duration = Duration::from_secs(10);

/// The end of a log that an error message shows, in bytes.
const LOG_TAIL: usize = 4_000;

/// Waits for a line; at the end of the pipe instead, kills the group that is its first argument.
const GUARDIAN: &str = r#"read -r _ || kill -s KILL -- "-$1""#;

/// A child process that ends when this is dropped: SIGTERM first, SIGKILL to its whole group after [`GRACE`].
#[derive(Debug)]
pub struct Process {
    name: String,
    log: PathBuf,
    child: Child,
    pid: Pid,
    descriptor: OwnedFd,
    guardian: Child,
    status: Option<ExitStatus>,
}

impl Process {
    /// Starts `command` as leader of its own process group, without input, its output added to `FOLDER/NAME.log`.
    pub fn start(name: &str, folder: &Path, mut command: Command) -> Result<Self> {
        let log = folder.join(format!("{name}.log"));
        let output = File::options().create(true).append(true).open(&log)?;
        let program = command.get_program().to_string_lossy().into_owned();
        let child = command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .process_group(0)
            .spawn()
            .with_context(|| {
                format!("cannot start {program} (`tests/install` adds what is missing)")
            })?;
        let pid = Pid::from_child(&child);
        let guardian = guard(pid)?;
        let descriptor = pidfd_open(pid, PidfdFlags::empty())?;
        Ok(Self {
            name: name.to_owned(),
            log,
            child,
            pid,
            descriptor,
            guardian,
            status: None,
        })
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether somebody has asked already, and was told that it has ended.
    pub const fn was_reaped(&self) -> bool {
        self.status.is_some()
    }

    /// The child's process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Where the child's output goes.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Whether the child still runs; a stopped one does.
    pub fn is_running(&mut self) -> bool {
        self.exit_status().is_none()
    }

    /// How the child ended, if it has.
    pub fn exit_status(&mut self) -> Option<ExitStatus> {
        if self.status.is_none() {
            self.status = self.child.try_wait().ok().flatten();
        }
        self.status
    }

    /// Waits until `check` says yes, and gives up at once when the child ends. The error shows the log's end.
    pub async fn ready<T, A>(
        &mut self,
        limit: Duration,
        mut check: impl AsyncFnMut() -> A,
    ) -> Result<T>
    where
        A: wait::Answer<Value = T>,
    {
        let what = format!("{} is ready", self.name);
        let reached = wait::until(limit, &what, async || match self.exit_status() {
            Some(status) => Ok(Err(status)),
            None => check().await.reached().map(Ok),
        })
        .await;
        match reached {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(status)) => bail!("{} ended with {status}\n{}", self.name, self.log_tail()),
            Err(error) => Err(error.context(self.log_tail())),
        }
    }

    /// Sends SIGKILL to the child and its group, and waits until the child is gone.
    pub fn kill9(&mut self) {
        self.end_group();
        self.reap(GRACE);
    }

    /// Asks the child to end, and kills its group when it has not within [`GRACE`]. What outlives it is killed too.
    pub fn terminate(&mut self) {
        if self.is_running() {
            let _ = pidfd_send_signal(&self.descriptor, Signal::CONT);
            let _ = pidfd_send_signal(&self.descriptor, Signal::TERM);
            self.reap(GRACE);
        }
        self.kill9();
    }

    /// Freezes the child and its group: sockets stay open and nothing answers.
    pub fn pause(&self) -> Result<()> {
        kill_process_group(self.pid, Signal::STOP).context("cannot stop the group")
    }

    /// Lets a frozen child go on.
    pub fn resume(&self) -> Result<()> {
        kill_process_group(self.pid, Signal::CONT).context("cannot continue the group")
    }

    /// The end of the child's output, with the file's path.
    pub fn log_tail(&self) -> String {
        let bytes = fs::read(&self.log).unwrap_or_default();
        let tail = String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(LOG_TAIL)..]);
        format!("the end of {}:\n{tail}", self.log.display())
    }

    /// Kills the group, if anything of it is left: its number is ours as long as a member lives.
    fn end_group(&mut self) {
        if test_kill_process_group(self.pid).is_ok() {
            let _ = kill_process_group(self.pid, Signal::KILL);
        }
    }

    /// Waits at most `limit` for the child's end, and takes its status.
    fn reap(&mut self, limit: Duration) {
        let limit = Timespec::try_from(limit).expect("the limits are seconds");
        let mut ended = [PollFd::new(&self.descriptor, PollFlags::IN)];
        while poll(&mut ended, Some(&limit))
            .is_err_and(|error| error.kind() == ErrorKind::Interrupted)
        {}
        self.exit_status();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.terminate();
        if let Some(mut pipe) = self.guardian.stdin.take() {
            let _ = pipe.write_all(b"ended\n");
        }
        let _ = self.guardian.wait();
    }
}

/// Starts the guardian of one process group, in a group of its own so that Ctrl-C does not reach it.
fn guard(group: Pid) -> Result<Child> {
    Command::new("/bin/sh")
        .args(["-c", GUARDIAN, "guardian", &group.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .context("cannot start /bin/sh")
}
