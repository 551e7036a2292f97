//! Runs the real `fedctl`, so that what the person sees is what a person gets.
//!
//! Invariant: it writes to the demo's own terminal, and the demo goes on only when it ended as it should.

use std::{process::Stdio, time::Duration};

use anyhow::{Context, Result, bail};

use super::{cast::OWNER, outcome::Outcome, passes::OPERATOR, screen, stage::Stage};
use crate::binaries;

/// How long one call may take, waiting for the participants included.
const LIMIT: Duration = Duration::from_mins(1);

/// How a command should end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// At every participant.
    Done = 0,
    /// At some of them.
    Partly = 3,
}

/// Shows the command line and runs it, as the configuration's owner.
pub(super) async fn run(stage: &Stage, arguments: &[&str], end: End) -> Result<()> {
    screen::typed(&[&["fedctl"], arguments].concat());
    run_as(stage, &format!("participant/{OWNER}"), arguments, end).await
}

/// The same as an operator of the federation.
pub(super) async fn run_as_operator(stage: &Stage, arguments: &[&str], end: End) -> Result<()> {
    screen::typed(&[&["as_operator", "fedctl"], arguments].concat());
    run_as(stage, OPERATOR, arguments, end).await
}

async fn run_as(stage: &Stage, identity: &str, arguments: &[&str], end: End) -> Result<()> {
    let mut command = tokio::process::Command::new(binaries::fedctl()?);
    command
        .args(arguments)
        .env("FEDCTL_BROKER", format!("https://{}", stage.broker.address))
        .envs(stage.passes.variables(identity))
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let ended = tokio::time::timeout(LIMIT, command.status()).await;
    let how = match ended {
        Ok(status) => {
            let status = status.context("cannot run fedctl")?;
            if status.code() == Some(end as i32) {
                return Ok(());
            }
            format!("ended with {status} instead of {}", end as i32)
        }
        Err(_) => format!("did not end within {LIMIT:?}"),
    };
    bail!(
        "fedctl {} {how}\n{}",
        arguments.first().unwrap_or(&""),
        logs(stage).await
    )
}

/// The logs of those who have not done the newest command; the broker's where nobody else is to blame.
async fn logs(stage: &Stage) -> String {
    let outcome = Outcome::newest(stage).await;
    let undone = outcome.map_or(Vec::new(), |outcome| outcome.undone());
    let logs: String = undone
        .iter()
        .map(|participant| stage.logs_of(participant))
        .collect();
    if logs.is_empty() {
        return stage.broker.process.log_tail();
    }
    logs
}
