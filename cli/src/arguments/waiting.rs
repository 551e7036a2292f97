//! Whether and how long `fedctl` waits for a command to settle.

use std::time::Duration;

use clap::Args;

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
    /// Wait at most so long, such as 30s or 5m; then the exit code is 5 and the command goes on
    #[arg(long, value_name = "DURATION", help_heading = HEADING, default_value = DEFAULT_TIMEOUT,
        value_parser = humantime::parse_duration)]
    pub(crate) timeout: Duration,
}
