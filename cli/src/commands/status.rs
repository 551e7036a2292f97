//! `fedctl status`.

use clap::Args;
use proto::v1::{Command, GetCommandRequest};
use tonic::Status as GrpcStatus;

use super::Context;
use crate::{
    exit::{Answer, Exit},
    failure::Failure,
    table,
    view::CommandView,
};

/// Shows one command.
#[derive(Debug, Args)]
pub(crate) struct Status {
    /// The command's id
    #[arg(value_name = "COMMAND")]
    command_id: String,
    /// Show also which states each participant's part went through, and when; --json always has them
    #[arg(long)]
    history: bool,
}

impl Status {
    /// Shows it; the exit code tells the standing.
    pub(crate) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let command = get(context, &self.command_id).await?;
        let standing = command.standing.clone().unwrap_or_default();
        let view = CommandView::from(command).seen_by(context.broker.participant());
        context.output.show(&view, |view| {
            let history = self.history.then(|| table::history(view));
            table::details(view) + &history.unwrap_or_default()
        })?;
        Ok(Exit::of(Answer::Standing(&standing)))
    }
}

/// The command as it stands.
pub(super) async fn get(context: &Context, command_id: &str) -> Result<Command, Failure> {
    let request = GetCommandRequest {
        command_id: command_id.to_owned(),
    };
    let answer = context
        .broker
        .commands(async |mut client| client.get_command(request.clone()).await);
    let incomplete = || GrpcStatus::internal("the broker's answer is incomplete");
    Ok(answer.await?.command.ok_or_else(incomplete)?)
}
