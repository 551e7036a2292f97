//! `fedctl watch`.

use std::time::Instant;

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
        let began = Instant::now();
        let found = status::get(context, &self.command_id);
        let hint = || come_back(&self.command_id);
        let command = self.limit.within(found, hint).await?;
        let watch = wait::Watch {
            shown: true,
            timeout: self.limit.timeout,
            began,
            resume_token: self.resume_token,
        };
        wait::wait(context, command, watch).await
    }
}
