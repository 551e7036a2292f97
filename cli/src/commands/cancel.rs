//! `fedctl cancel`.
//!
//! Invariant: what is certain and what was only asked for are never mixed up, neither in words nor in the exit code.

use clap::Args;
use proto::v1::{CancelCommandRequest, CancelCommandResponse};

use super::{Context, wait};
use crate::{
    arguments::waiting::Limit,
    exit::Exit,
    failure::{Failure, come_back, resume},
    table,
    view::{CancelView, CommandView, ExecutionView},
};

/// Takes a command back.
#[derive(Debug, Args)]
pub(crate) struct Cancel {
    /// The command's id
    #[arg(value_name = "COMMAND")]
    command_id: String,
    /// Wait for the participants that had been told already and were asked to leave it, and show which won
    #[arg(long)]
    watch: bool,
    #[command(flatten)]
    limit: Limit,
}

impl Cancel {
    /// Takes back what has not been sent, asks where it has, and says which is which.
    pub(crate) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let clock = self.limit.start();
        let asked = ask(context, &self.command_id);
        let late = |limit| {
            let look = come_back(&self.command_id);
            let hint = format!("it may have been taken back, and another try is safe; {look}");
            Failure::TimedOut { limit, hint }
        };
        let answer = clock.within(asked, late).await?;
        let command = answer.command.clone().unwrap_or_default();
        let view = CancelView::from(answer);
        if !is_open(&view.command) {
            context.output.show(&view, table::cancelled)?;
            return Ok(exit(&view.command));
        }
        if !self.watch {
            context.output.show(&view, table::cancelled)?;
            for line in resume(&view.command.command_id) {
                context.output.note(&line);
            }
            return Ok(Exit::StillRunning);
        }
        show_first(context, &view)?;
        let timeout = clock.limit();
        let watch = wait::Watch {
            shown: true,
            clock,
            resume_token: String::new(),
        };
        let waited = wait::until_left(context, command, watch).await?;
        if !context.output.json {
            let raced = |command| table::raced(&view.sent_participant_ids, command);
            let text = raced(&waited.command);
            // Where nobody answered in time, it stands above already.
            if text != raced(&view.command) {
                context.output.text(&text)?;
            }
        }
        let ended = exit(&waited.command);
        Ok(waited.leave(context, timeout).unwrap_or(ended))
    }
}

async fn ask(context: &Context, command_id: &str) -> Result<CancelCommandResponse, Failure> {
    let request = CancelCommandRequest {
        command_id: command_id.to_owned(),
    };
    let answer = context
        .broker
        .commands(async |mut client| client.cancel_command(request.clone()).await);
    Ok(answer.await?)
}

/// Scripts read one document on each line.
fn show_first(context: &Context, view: &CancelView) -> Result<(), Failure> {
    if context.output.json {
        return context.output.document_line(view);
    }
    context.output.text(&(table::cancelled(view) + "\n"))
}

fn is_open(command: &CommandView) -> bool {
    let mut executions = command.executions.iter();
    executions.any(ExecutionView::is_under_way)
}

/// Done when it began nowhere, partly when somewhere, failed when it was too late for all that could carry it out.
fn exit(command: &CommandView) -> Exit {
    let executions = command.executions.iter();
    let able: Vec<_> = executions
        .filter(|execution| !execution.is_unsupported())
        .collect();
    let undone = able.iter().filter(|execution| execution.is_undone());
    match undone.count() {
        _ if is_open(command) => Exit::StillRunning,
        undone if undone == able.len() => Exit::Done,
        0 => Exit::Failed,
        _ => Exit::Partly,
    }
}
