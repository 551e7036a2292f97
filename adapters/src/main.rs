//! The adapter: `adapter [--config FILE] [run | check | defaults]`: carries out one participant's executions.

use std::{path::PathBuf, process::ExitCode};

use adapters::{
    app,
    config::{Configuration, DEFAULT},
};
use clap::{Parser, Subcommand};

/// Carries out what the federation's broker dispatches to one participant.
#[derive(Debug, Parser)]
#[command(name = "adapter", version)]
struct Arguments {
    /// The operator's configuration; see `adapter defaults` for every key.
    #[arg(long, value_name = "FILE", env = "ADAPTER_CONFIG", global = true)]
    config: Option<PathBuf>,
    #[command(subcommand)]
    task: Option<Task>,
}

#[derive(Debug, Subcommand, Clone, Copy)]
enum Task {
    /// Carries out executions (the default).
    Run,
    /// Checks the configuration, its certificates and keys included, and ends.
    Check,
    /// Prints the default configuration, which documents every key.
    Defaults,
}

fn main() -> ExitCode {
    let arguments: Arguments = match service::arguments() {
        Ok(arguments) => arguments,
        Err(exit) => return exit,
    };
    let load = || Configuration::load(arguments.config.as_deref());
    match arguments.task.unwrap_or(Task::Run) {
        Task::Run => service::main("adapter", load, app::run),
        Task::Check => service::answer("adapter", load, |_| {
            Ok("the configuration is good\n".to_owned())
        }),
        Task::Defaults => service::show(DEFAULT),
    }
}
