//! `fedctl watch`.

use clap::Args;

use super::{Context, status, wait};
use crate::{
    arguments::waiting::Limit,
    exit::Exit,
    failure::{Failure, come_back},
};

/// Follows one command.
#[derive(Debug, Args)]
pub(crate) struct Watch {
    /// The command's id
    #[arg(value_name = "COMMAND")]
    command_id: String,
    /// Only what changed since; each document of --json has one
    #[arg(
        long,
        value_name = "TOKEN",
        default_value = "",
        hide_default_value = true
    )]
    resume_token: String,
    #[command(flatten)]
    limit: Limit,
}

impl Watch {
    /// Follows it; the exit code tells the standing.
    pub(crate) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let clock = self.limit.start();
        let found = status::get(context, &self.command_id);
        let late = |limit| Failure::TimedOut {
            limit,
            hint: come_back(&self.command_id),
        };
        let command = clock.within(found, late).await?;
        let watch = wait::Watch {
            shown: true,
            clock,
            resume_token: self.resume_token,
        };
        wait::wait(context, command, watch).await
    }
}
