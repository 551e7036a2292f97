//! Whether and how long `fedctl` waits for a command to settle.

use std::time::Duration;

use clap::Args;

use crate::clock::Clock;

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
    /// Wait at most so long for everything but your answer to a question, such as 30s or 5m; then the exit code is 5 and
    /// an accepted command goes on, or 1 where nothing was sent yet
    #[arg(long, value_name = "DURATION", help_heading = HEADING, default_value = DEFAULT_TIMEOUT,
        value_parser = humantime::parse_duration)]
    timeout: Duration,
}

/// How long to wait for a command that was accepted before.
#[derive(Debug, Args)]
pub(crate) struct Limit {
    /// Wait at most so long for everything, such as 30s or 5m; then the exit code is 5, and the command goes on
    #[arg(long, value_name = "DURATION", help_heading = HEADING, default_value = DEFAULT_TIMEOUT,
        value_parser = humantime::parse_duration)]
    timeout: Duration,
}

impl Waiting {
    /// The time runs from now on.
    pub(crate) fn start(&self) -> Clock {
        Clock::start(self.timeout)
    }
}

impl Limit {
    /// The time runs from now on.
    pub(crate) fn start(&self) -> Clock {
        Clock::start(self.timeout)
    }
}
