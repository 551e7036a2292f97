//! `with-servers COMMAND…`: runs a command beside one RabbitMQ and one Redis, and ends with its exit code.
//!
//! Where a surrounding `with-servers` runs, its servers serve this command too: `with-servers bash` gives a shell in
//! which tests start at once.
//! Invariant: silent when all is well, and nothing runs when it has ended. On Ctrl-C or SIGTERM the command is
//! awaited first: the terminal has told it too, and SIGTERM is passed on.

use std::{
    env,
    os::unix::process::ExitStatusExt,
    process::{ExitCode, ExitStatus},
};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};
use tests::{rabbitmq::RabbitMq, redis::Redis, shared};
use tokio::{
    process::{Child, Command},
    signal::unix::{SignalKind, signal},
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<ExitCode> {
    let arguments: Vec<_> = env::args_os()
        .skip(1)
        .skip_while(|argument| argument == "--")
        .collect();
    let (program, rest) = arguments
        .split_first()
        .context("usage: with-servers [--] COMMAND…")?;
    let mut terminated = signal(SignalKind::terminate())?;
    let mut interrupted = signal(SignalKind::interrupt())?;
    let mut command = Command::new(program);
    let servers = tokio::select! {
        servers = start_unless_there() => servers?,
        _ = terminated.recv() => return Ok(code_of_signal(Signal::TERM)),
        _ = interrupted.recv() => return Ok(code_of_signal(Signal::INT)),
    };
    if let Some((rabbitmq, redis)) = &servers {
        command
            .env(shared::AMQP, rabbitmq.amqp_url())
            .env(shared::MANAGEMENT, rabbitmq.management_url())
            .env(shared::REDIS, redis.url());
    }
    let mut child = command
        .args(rest)
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("cannot start {}", program.display()))?;
    loop {
        tokio::select! {
            status = child.wait() => return Ok(code_of(status?)),
            _ = terminated.recv() => pass_on(&child),
            _ = interrupted.recv() => {}
        }
    }
}

/// One RabbitMQ and one Redis, at the same time; none where the environment already names some.
async fn start_unless_there() -> Result<Option<(RabbitMq, Redis)>> {
    match shared::shared() {
        Ok(_) => Ok(None),
        Err(_) => tokio::try_join!(RabbitMq::start(), Redis::start()).map(Some),
    }
}

fn pass_on(child: &Child) {
    if let Some(pid) = child.id().and_then(|id| Pid::from_raw(id.try_into().ok()?)) {
        let _ = kill_process(pid, Signal::TERM);
    }
}

/// As shells have it: the code, or 128 and the signal's number.
fn code_of(status: ExitStatus) -> ExitCode {
    let code = status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal))
        .unwrap_or(1);
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}

fn code_of_signal(signal: Signal) -> ExitCode {
    ExitCode::from(u8::try_from(128 + signal.as_raw()).unwrap_or(1))
}
