//! `fedctl`, the federation's command line: submits commands to the broker, watches them, and keeps the registry.
//!
//! Invariant: data goes to stdout and messages to stderr; the exit code alone says how it ended (`exit`).
//! Not here: any rule about what is well formed or allowed. The broker decides, and its answer is shown whole; only a mapping
//! is also read here (`commands::dialects`), by the code that the broker reads it with.

mod arguments;
mod broker;
mod clock;
mod commands;
mod draft;
mod exit;
mod failure;
mod follow;
mod output;
mod progress;
mod table;
mod view;
mod words;

use std::process::ExitCode;

use crate::{
    arguments::{Arguments, Verb},
    broker::Broker,
    commands::{Context, run},
    exit::Exit,
    failure::{Failure, FailureView},
    output::Output,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments = match Arguments::read() {
        Ok(arguments) => arguments,
        Err(error) => return misread(&error),
    };
    let output = Output::new(arguments.json);
    let exit = match carry_out(arguments, output).await {
        Ok(exit) => exit,
        Err(failure) => {
            output.failure(&failure);
            failure.exit()
        }
    };
    ExitCode::from(exit.code())
}

/// Help and mistakes for people; a script that asked for documents gets one.
fn misread(error: &clap::Error) -> ExitCode {
    if error.use_stderr() && std::env::args_os().any(|word| word == "--json") {
        let message = error.render().to_string();
        let message = message.trim().trim_start_matches("error: ");
        Output::new(true).failure_document(&FailureView::of_arguments(message));
        return ExitCode::from(Exit::Usage.code());
    }
    error.exit()
}

async fn carry_out(arguments: Arguments, output: Output) -> Result<Exit, Failure> {
    let connection = arguments.connection;
    let context = || Broker::new(&connection).map(|broker| Context { broker, output });
    match arguments.verb {
        // These need no broker, and so none of the caller's certificates.
        Verb::Pki(pki) => pki.run(output),
        Verb::Keys(keys) => keys.run(output),
        Verb::Dialects(dialects) => dialects.run(output),
        verb => run(verb, &context()?).await,
    }
}
