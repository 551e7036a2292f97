//! The frame of every `main`: load, log, run, and one exit code.
//!
//! Invariant: a process prints nothing but the problems of its configuration; everything later is logged, once. What only answers
//! prints its answer and logs nothing.
//! Not here: what the process does, and how long it may take to drain.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::process::ExitCode;
use std::time::Duration;

use crate::configuration::{Checked, Problems};
use crate::shutdown::Shutdown;
use crate::telemetry::{LogSettings, init_logs};

/// How long blocking calls may still take after everything else has ended.
const LIMIT_OF_BLOCKING_CALLS: Duration = Duration::from_secs(2);

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// As it should.
    Done,
    /// The configuration or the arguments are wrong (`EX_USAGE` of sysexits.h).
    Configuration,
    /// Something failed that should not (`EX_SOFTWARE` of sysexits.h).
    Internal,
}

impl Exit {
    /// The number that the process ends with.
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Configuration => 64,
            Self::Internal => 70,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// A configuration that says how its process logs.
pub trait Settings: Checked {
    /// How the process logs.
    fn logs(&self) -> &LogSettings;
}

/// Runs a process: loads its configuration, starts the log, the runtime and the listening to signals,
/// and runs `run` to its end. `run` drains by itself, with the limit of its configuration.
///
/// Problems of the configuration go to stderr and end in [`Exit::Configuration`]. An error of `run`, or a part
/// that ended before its time (see [`Shutdown::spawn`]), is logged and ends in [`Exit::Internal`]; where [`Problems`] are behind
/// an error, because they showed only with what runs outside, in [`Exit::Configuration`] too.
pub fn main<C, F, E>(
    name: &'static str,
    load: impl FnOnce() -> Result<C, Problems>,
    run: impl FnOnce(C, Shutdown) -> F,
) -> ExitCode
where
    C: Settings,
    F: Future<Output = Result<(), E>>,
    E: Into<Box<dyn Error + Send + Sync>>,
{
    match load() {
        Ok(configuration) => start(name, configuration, run).into(),
        Err(problems) => refuse(name, &problems).into(),
    }
}

/// Reads a program's arguments. What is wrong with them ends it with [`Exit::Configuration`], where clap's own code would be 2.
pub fn arguments<A: clap::Parser>() -> Result<A, ExitCode> {
    A::try_parse().map_err(|error| {
        // There is nobody left to tell where this fails.
        let _ = error.print();
        let exit = if error.use_stderr() {
            Exit::Configuration
        } else {
            Exit::Done
        };
        exit.into()
    })
}

/// Prints what was asked for, whatever the configuration, and ends.
#[expect(clippy::print_stdout, reason = "this is what was asked for")]
pub fn show(text: &str) -> ExitCode {
    print!("{text}");
    Exit::Done.into()
}

/// Runs a task that only answers: prints what `answer` makes of the configuration, and ends. Nothing is logged.
///
/// Problems, of the configuration or of the answer, go to stderr and end in [`Exit::Configuration`].
pub fn answer<C: Checked>(
    name: &'static str,
    load: impl FnOnce() -> Result<C, Problems>,
    answer: impl FnOnce(&C) -> Result<String, Problems>,
) -> ExitCode {
    match load().and_then(|configuration| answer(&configuration)) {
        Ok(text) => show(&text),
        Err(problems) => refuse(name, &problems).into(),
    }
}

#[expect(
    clippy::print_stderr,
    reason = "there is no log before there is a configuration"
)]
fn refuse(name: &str, problems: &dyn fmt::Display) -> Exit {
    eprintln!("{name}: the configuration is refused:");
    for line in problems.to_string().lines() {
        eprintln!("  {line}");
    }
    Exit::Configuration
}

fn start<C, F, E>(name: &'static str, configuration: C, run: impl FnOnce(C, Shutdown) -> F) -> Exit
where
    C: Settings,
    F: Future<Output = Result<(), E>>,
    E: Into<Box<dyn Error + Send + Sync>>,
{
    if let Err(error) = init_logs(configuration.logs()) {
        return refuse(name, &Chain(&error));
    }
    crate::install_crypto();
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return fail(name, &error),
    };
    let exit = runtime.block_on(async {
        let shutdown = match Shutdown::listen() {
            Ok(shutdown) => shutdown,
            Err(error) => return fail(name, &error),
        };
        let ended = run(configuration, shutdown.clone()).await;
        conclude(name, ended.map_err(Into::into), &shutdown)
    });
    runtime.shutdown_timeout(LIMIT_OF_BLOCKING_CALLS);
    exit
}

fn conclude(
    name: &str,
    ended: Result<(), Box<dyn Error + Send + Sync>>,
    shutdown: &Shutdown,
) -> Exit {
    match (ended, shutdown.failure()) {
        (Err(error), _) if is_of_configuration(error.as_ref()) => {
            fail(name, error.as_ref());
            Exit::Configuration
        }
        (Err(error), _) => fail(name, error.as_ref()),
        // The part that failed was logged when it failed.
        (Ok(()), Some(_)) => Exit::Internal,
        (Ok(()), None) => {
            tracing::info!(process.name = name, "ended");
            Exit::Done
        }
    }
}

fn is_of_configuration(error: &(dyn Error + 'static)) -> bool {
    let mut link = Some(error);
    while let Some(error) = link {
        if error.is::<Problems>() {
            return true;
        }
        link = error.source();
    }
    false
}

fn fail(name: &str, error: &dyn Error) -> Exit {
    tracing::error!(process.name = name, error = %Chain(error), "failed");
    Exit::Internal
}

/// Shows an error and all its sources in one line: `cannot connect: refused`.
#[derive(Debug)]
pub struct Chain<'a>(pub &'a dyn Error);

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(error) = source {
            write!(f, ": {error}")?;
            source = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Configuration;
    impl Checked for Configuration {}
    impl Settings for Configuration {
        fn logs(&self) -> &LogSettings {
            unreachable!("a refused configuration starts no log")
        }
    }

    /// An operator's scripts tell a wrong file from a broken process.
    #[test]
    fn a_refused_configuration_ends_with_64_and_runs_nothing() {
        let load = || Err::<Configuration, _>(Problems::one("amqp.url", "is missing"));
        let code = main("test", load, |_, _| async { Err::<(), _>("it ran") });
        assert_eq!(format!("{code:?}"), format!("{:?}", ExitCode::from(64)));
    }

    /// A part that ended before its time fails the process, even when `run` returns as if all were well.
    #[tokio::test]
    async fn a_failed_part_ends_in_an_internal_failure() {
        let shutdown = Shutdown::new();
        assert_eq!(conclude("test", Ok(()), &shutdown), Exit::Done);
        shutdown.spawn("part", async {});
        shutdown.asked().await;
        assert_eq!(conclude("test", Ok(()), &shutdown), Exit::Internal);
    }

    /// What only a server outside can tell, such as a number that it was begun with, is still a matter of the file.
    #[test]
    fn problems_that_show_at_the_start_end_with_64() {
        #[derive(Debug, thiserror::Error)]
        #[error("cannot start")]
        struct CannotStart(#[source] Problems);
        let problems = CannotStart(Problems::one("store.shards", "must be 4"));
        let shutdown = Shutdown::new();
        let ended = conclude("test", Err(problems.into()), &shutdown);
        assert_eq!(ended, Exit::Configuration);
        assert_eq!(
            conclude("test", Err("away".into()), &shutdown),
            Exit::Internal
        );
    }

    /// `Display` of our errors never repeats the source, so the chain shows each once.
    #[test]
    fn a_chain_shows_every_source_once() {
        #[derive(Debug, thiserror::Error)]
        #[error("cannot connect")]
        struct CannotConnect(#[source] std::io::Error);
        let error = CannotConnect(std::io::Error::other("refused"));
        assert_eq!(Chain(&error).to_string(), "cannot connect: refused");
    }
}
