//! `fedctl plan`: what would be done, and nothing is done.

use clap::{Args, Subcommand};
use proto::v1::CommandDraft;

use super::{Context, submit};
use crate::{
    draft::{Asked as _, CustomRequest, LoadRequest, PurgeRequest},
    exit::Exit,
    failure::Failure,
    table,
    view::{DraftView, PlanView},
};

/// Shows a plan.
#[derive(Debug, Args)]
pub(crate) struct Plan {
    #[command(subcommand)]
    of: Planned,
}

#[derive(Debug, Subcommand)]
enum Planned {
    /// Plan a purge
    Purge(PurgeRequest),
    /// Plan a load
    Load(LoadRequest),
    /// Plan a registered operation
    Run(CustomRequest),
}

impl Plan {
    /// Asks for the plan and shows it.
    pub(crate) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let draft = match self.of {
            Planned::Purge(request) => request.draft()?,
            Planned::Load(request) => request.draft()?,
            Planned::Run(request) => request.draft()?,
        };
        show(context, draft).await
    }
}

/// Asks for the plan of a draft and shows it.
pub(super) async fn show(context: &Context, draft: CommandDraft) -> Result<Exit, Failure> {
    let plan = PlanView::from(submit::plan(context, draft.clone()).await?);
    if context.output.json {
        context.output.document(&plan)?;
        return Ok(Exit::Done);
    }
    let asked = DraftView::from(CommandDraft {
        configuration_id: plan.configuration_id.clone(),
        ..draft
    });
    context
        .output
        .text(&table::plan(&plan, &table::operation(&asked)))?;
    Ok(Exit::Done)
}
