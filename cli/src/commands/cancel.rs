//! `fedctl cancel`.

use clap::Args;
use proto::v1::CancelCommandRequest;

use super::Context;
use crate::{exit::Exit, failure::Failure, table, view::CancelView};

/// Takes a command back.
#[derive(Debug, Args)]
pub(crate) struct Cancel {
    /// The command's id
    #[arg(value_name = "COMMAND")]
    command_id: String,
}

impl Cancel {
    /// Takes back what has not been sent, and says what has.
    pub(crate) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let request = CancelCommandRequest {
            command_id: self.command_id,
        };
        let answer = context
            .broker
            .commands(async |mut client| client.cancel_command(request.clone()).await);
        let view = CancelView::from(answer.await?);
        context.output.show(&view, table::cancelled)?;
        Ok(exit(&view))
    }
}

/// Done when it was taken back everywhere, partly when somewhere, failed when it was too late for all.
fn exit(view: &CancelView) -> Exit {
    let taken_back = !view.cancelled_participant_ids.is_empty();
    match (taken_back, view.sent_participant_ids.is_empty()) {
        (true, true) => Exit::Done,
        (true, false) => Exit::Partly,
        (false, _) if view.command.standing.overall == "cancelled" => Exit::Done,
        (false, _) => Exit::Failed,
    }
}
