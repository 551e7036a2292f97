//! `fedctl approve`: the second person's word for a wide purge.

use clap::Args;
use proto::v1::ApproveCommandRequest;

use super::Context;
use crate::{
    exit::Exit,
    failure::{Failure, resume},
    table,
    view::CommandView,
};

/// Lets a command go that waits for a second person.
#[derive(Debug, Args)]
pub(crate) struct Approve {
    /// The command's id
    #[arg(value_name = "COMMAND")]
    command_id: String,
    /// Why, for those who read of it later
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    reason: String,
}

impl Approve {
    /// Approves it, and shows it as it stands then.
    pub(crate) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let request = ApproveCommandRequest {
            command_id: self.command_id,
            reason: self.reason,
        };
        let answer = context
            .broker
            .commands(async |mut client| client.approve_command(request.clone()).await);
        let view = CommandView::from(answer.await?.command.unwrap_or_default());
        context.output.show(&view, table::details)?;
        if !context.output.json {
            context.output.note("approved; it goes on by itself");
            for line in resume(&view.command_id) {
                context.output.note(&format!("  {line}"));
            }
        }
        Ok(Exit::Done)
    }
}
