//! `adapter --config FILE`: carries out one participant's executions. `adapters/default.toml` documents the file.

use std::process::ExitCode;

use adapters::{
    app::{self, Arguments},
    config::Configuration,
};

fn main() -> ExitCode {
    let arguments: Arguments = match app::arguments() {
        Ok(arguments) => arguments,
        Err(exit) => return exit,
    };
    let load = || Configuration::load(arguments.config.as_deref());
    service::main("adapter", load, app::run)
}
