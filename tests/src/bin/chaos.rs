//! `chaos run`, `soak`, `backlog` and `storm`: a whole federation under load, broken, watched for long, with one who is away, or
//! with one who asks for too much. `make chaos`, `make soak`, `make backlog` and `make storm` run them.
//!
//! Invariant: whatever ends it, nothing that it started is left. Exit code 0 means that every promise was kept, 1 that one
//! was not.

use std::{process::ExitCode, time::Duration};

use anyhow::Result;
use clap::{Args, Parser, Subcommand};
use tests::chaos::{self, backlog, soak, storm};
use tokio::signal::unix::{SignalKind, signal};

/// A federation under load, and what becomes of it
#[derive(Debug, Parser)]
#[command(name = "chaos")]
struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Faults one after the other
    Run(Run),
    /// Steady load, and what it takes of the machine
    Soak(Soak),
    /// A participant that is away while much is asked of it
    Backlog(Backlog),
    /// A participant that asks for ten times what it may
    Storm(Storm),
}

#[derive(Debug, Args)]
struct Run {
    /// Seconds in all: the round of faults is repeated until they have passed, once at least
    #[arg(long, default_value_t = 0)]
    seconds: u64,
    /// Commands in all: the load goes on until so many were accepted
    #[arg(long, default_value_t = 100_000)]
    commands: u64,
    /// New commands each second
    #[arg(long, default_value_t = 300)]
    rate: u32,
    /// Only faults whose name contains this
    #[arg(long)]
    only: Option<String>,
}

#[derive(Debug, Args)]
struct Soak {
    /// Minutes of load
    #[arg(long, default_value_t = 60.0)]
    minutes: f64,
    /// New commands each second
    #[arg(long, default_value_t = 150)]
    rate: u32,
}

#[derive(Debug, Args)]
struct Backlog {
    /// Executions that wait in the end
    #[arg(long, default_value_t = 1_000_000)]
    executions: u64,
    /// Seconds for which the others are timed, without the backlog and beside it
    #[arg(long, default_value_t = 60)]
    seconds: u64,
}

#[derive(Debug, Args)]
struct Storm {
    /// Calls a second that one replica allows
    #[arg(long, default_value_t = 50)]
    quota: u32,
    /// Seconds for which the others are timed, in quiet and in storm
    #[arg(long, default_value_t = 60)]
    seconds: u64,
}

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let mut terminated = signal(SignalKind::terminate())?;
    let mut interrupted = signal(SignalKind::interrupt())?;
    let good = tokio::select! {
        good = play(arguments.what) => good?,
        _ = interrupted.recv() => return Ok(ExitCode::from(130)),
        _ = terminated.recv() => return Ok(ExitCode::from(143)),
    };
    Ok(if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

async fn play(what: What) -> Result<bool> {
    match what {
        What::Run(run) => {
            let settings = chaos::Settings {
                time: Duration::from_secs(run.seconds),
                commands: run.commands,
                per_second: run.rate,
                repeats: 10_000,
                only: run.only,
            };
            let verdict = chaos::run(settings).await?;
            verdict.print();
            Ok(verdict.is_good())
        }
        What::Soak(soak) => {
            let settings = soak::Settings {
                time: Duration::from_secs_f64(soak.minutes * 60.0),
                per_second: soak.rate,
            };
            soak::run(settings).await
        }
        What::Backlog(backlog) => {
            let settings = backlog::Settings {
                executions: backlog.executions,
                measured: Duration::from_secs(backlog.seconds),
                slower_at_most: 1.5,
            };
            backlog::run(settings).await
        }
        What::Storm(storm) => {
            let settings = storm::Settings {
                quota: storm.quota,
                measured: Duration::from_secs(storm.seconds),
                slower_at_most: 1.2,
            };
            storm::run(settings).await
        }
    }
}
