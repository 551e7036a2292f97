//! `make bench`: one run, one table, one line that says whether the promised speed was there.
//!
//! Invariant: what we do and what RabbitMQ does by itself (the raw ceiling) are measured in turns in the same run, so a
//! ratio means something where a figure does not. Nothing here passes or fails by a clock.
//! Not here: RabbitMQ, Redis and the broker's process (`tests` starts them).

#![allow(clippy::print_stdout, reason = "a measurement prints its table")]

mod adapters;
mod counts;
mod full_speed;
mod growth;
mod kept;
mod latency;
mod load;
mod processes;
mod raw;
mod report;
mod run;
mod stage;

use std::{path::PathBuf, process::ExitCode};

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::load::Way;

/// Measures the broker beside what RabbitMQ alone can do.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    what: Option<What>,
    /// At most a minute: fewer commands, one round, and no growth.
    #[arg(long)]
    quick: bool,
    /// Full speed for so many minutes instead, and the memory of every process.
    #[arg(long, value_name = "N", conflicts_with = "quick")]
    minutes: Option<u64>,
    /// At full speed, by unary calls of so many clients instead of a stream.
    #[arg(long, value_name = "N", requires = "minutes")]
    clients: Option<u64>,
}

#[derive(Debug, Subcommand)]
enum What {
    /// The adapters of the participants, in one process; the bench starts it itself.
    #[command(hide = true)]
    Adapters {
        /// One configuration for each.
        files: Vec<PathBuf>,
    },
    /// The cost of growth alone: no server is started.
    Directory,
    /// The cost of a command with 1,000 to 1,000,000 settled ones in the store, while retention deletes.
    Store {
        /// The largest of the sizes.
        #[arg(long, value_name = "N", default_value_t = 1_000_000)]
        most: u64,
    },
    /// A command with 1,000 urls beside one with one, process by process.
    Urls,
    /// Instructions of the pure ways alone.
    Counts,
    /// Goes one of them so often, for valgrind to count.
    #[command(hide = true)]
    Walk {
        /// Which.
        way: counts::Way,
        /// How often.
        times: u64,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match arguments.what {
        Some(What::Adapters { files }) => return adapters::main(&files),
        Some(What::Directory) => {
            let mut report = report::Report::default();
            growth::directory(&mut report);
            report.print();
            Ok(())
        }
        Some(What::Counts) => {
            let mut report = report::Report::default();
            counts::count(&mut report).map(|()| report.print())
        }
        Some(What::Walk { way, times }) => counts::walk(way, times),
        Some(What::Urls) => served(run::urls()),
        Some(What::Store { most }) => served(kept::measure(most)),
        None => match (arguments.minutes, arguments.clients) {
            (Some(minutes), clients) => {
                let way = clients.map_or(Way::Streams(1), Way::Unary);
                served(full_speed::at_full_speed(minutes, way))
            }
            (None, _) if arguments.quick => served(run::table(run::QUICK)),
            (None, _) => served(run::table(run::FULL)),
        },
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("bench: {error:?}");
            ExitCode::FAILURE
        }
    }
}

/// Runs what needs servers.
fn served(work: impl Future<Output = Result<()>>) -> Result<()> {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.enable_all().build()?.block_on(work)
}
