//! `fedctl list`.

use clap::Args;
use proto::v1::{Command, ListCommandsRequest};

use super::Context;
use crate::{
    arguments::at_least_one,
    exit::Exit,
    failure::Failure,
    table,
    view::{CommandListView, CommandView},
};

/// The most that a broker gives in one page.
const PAGE_SIZE_MAXIMUM: usize = 500;

/// Lists the caller's commands.
#[derive(Debug, Args)]
pub(crate) struct List {
    /// Only commands of this configuration
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    configuration: String,
    /// Only commands of this participant; for operators of the federation
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    originator: String,
    /// At most so many
    #[arg(long, value_name = "NUMBER", default_value_t = 50, value_parser = at_least_one)]
    limit: usize,
}

impl List {
    /// Lists page by page up to the limit.
    pub(crate) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let mut commands: Vec<Command> = Vec::new();
        let mut page_token = String::new();
        while commands.len() < self.limit {
            let wanted = (self.limit - commands.len()).min(PAGE_SIZE_MAXIMUM);
            let request = ListCommandsRequest {
                page_size: i32::try_from(wanted).unwrap_or(i32::MAX),
                page_token,
                configuration_id: self.configuration.clone(),
                originator_id: self.originator.clone(),
            };
            let page = context
                .broker
                .commands(async |mut client| client.list_commands(request.clone()).await);
            let page = page.await?;
            commands.extend(page.commands);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        commands.truncate(self.limit);
        show(context, commands, !page_token.is_empty())
    }
}

fn show(context: &Context, commands: Vec<Command>, more: bool) -> Result<Exit, Failure> {
    let commands: Vec<CommandView> = commands.into_iter().map(CommandView::from).collect();
    if context.output.json {
        context
            .output
            .document(&CommandListView { commands, more })?;
        return Ok(Exit::Done);
    }
    if commands.is_empty() {
        context.output.note("no commands yet");
        return Ok(Exit::Done);
    }
    context.output.text(&table::commands(&commands))?;
    if more {
        context
            .output
            .note("there are older ones; --limit shows more");
    }
    Ok(Exit::Done)
}
