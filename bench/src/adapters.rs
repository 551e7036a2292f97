//! The adapters of the participants that are measured: the real ones, in one process, before servers that answer at once.
//!
//! Invariant: everything of an adapter runs as always, its journal, its limits and its judgement included; only the request
//! to the server is not made.

use std::{path::PathBuf, process::ExitCode};

use adapters::{app, config::Configuration, metrics::TABLE};
use dialects::Answer;
use domain::NativeCall;
use service::{
    Shutdown,
    configuration::Problems,
    telemetry::{Readiness, Signals, install_metrics},
};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Runs one adapter for each file until it is asked to end.
pub(crate) fn main(files: &[PathBuf]) -> ExitCode {
    let (Some((first, others)), more) = (files.split_first(), files.len()) else {
        return ExitCode::FAILURE;
    };
    let load = || Configuration::load(Some(first));
    service::main("bench adapters", load, |first, shutdown| async move {
        let mut all = Vec::with_capacity(more);
        for file in others {
            all.push(Configuration::load(Some(file)).map_err(refused)?);
        }
        all.push(first);
        run(&all, shutdown).await
    })
}

async fn run(configurations: &[Configuration], shutdown: Shutdown) -> Result<(), Failure> {
    let readiness = Readiness::new();
    let metrics = install_metrics(TABLE)?;
    let Some(last) = configurations.last() else {
        return Ok(());
    };
    for configuration in configurations {
        app::start(configuration, Some(purged), &readiness, &shutdown).await?;
    }
    let signals = Signals::bind(last.signals.listen).await?;
    signals.start(metrics, readiness, &shutdown);
    shutdown.asked().await;
    Ok(shutdown.drain(last.drain_time).await?)
}

/// As a Varnish with the federation's VCL answers a PURGE of an object that it has.
fn purged(_: &NativeCall) -> Answer {
    Answer {
        status: 200,
        headers: vec![("x-purged".to_owned(), "1".to_owned())],
        body: String::new(),
    }
}

fn refused(problems: Problems) -> Failure {
    problems.into()
}
