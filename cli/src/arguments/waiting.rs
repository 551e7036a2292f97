//! Whether and how long `fedctl` waits for a command to settle.

use std::time::Duration;

use clap::Args;
use tokio::time::timeout;

use crate::failure::Failure;

/// Long enough for every deadline of the broker to pass first.
pub(crate) const DEFAULT_TIMEOUT: &str = "10m";
const HEADING: &str = "Waiting";

/// Whether and how long to wait.
#[derive(Debug, Args)]
pub(crate) struct Waiting {
    /// Show progress per participant and server while waiting
    #[arg(long, help_heading = HEADING)]
    pub(crate) watch: bool,
    /// Return as soon as the broker has accepted the command
    #[arg(long, help_heading = HEADING, conflicts_with = "watch")]
    pub(crate) no_wait: bool,
    #[command(flatten)]
    pub(crate) limit: Limit,
}

/// How long to wait.
#[derive(Debug, Args)]
pub(crate) struct Limit {
    /// Wait at most so long for everything, such as 30s or 5m; then the exit code is 5, and an accepted command goes on
    #[arg(long, value_name = "DURATION", help_heading = HEADING, default_value = DEFAULT_TIMEOUT,
        value_parser = humantime::parse_duration)]
    pub(crate) timeout: Duration,
}

impl Limit {
    /// What comes of a call to the broker that counts into the time; `hint` says what to do where that passed first.
    pub(crate) async fn within<T>(
        &self,
        call: impl Future<Output = Result<T, Failure>>,
        hint: impl FnOnce() -> String,
    ) -> Result<T, Failure> {
        let answer = timeout(self.timeout, call).await;
        answer.unwrap_or_else(|_| {
            Err(Failure::TimedOut {
                limit: self.timeout,
                hint: hint(),
            })
        })
    }
}
