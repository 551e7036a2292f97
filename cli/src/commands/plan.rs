//! `fedctl plan`: what would be done, and nothing is done.

use clap::{Args, Subcommand};
use proto::v1::CommandDraft;

use super::{Context, submit};
use crate::{
    clock::Clock,
    draft::{Asked as _, CustomRequest, LoadRequest, PurgeRequest},
    exit::Exit,
    failure::Failure,
    output::Output,
    table,
    view::{DraftView, OperationView, PlanView},
};

/// Shows a plan.
#[derive(Debug, Args)]
pub(crate) struct Plan {
    #[command(subcommand)]
    of: Planned,
}

/// What is planned, typed as if it were submitted.
#[derive(Debug, Subcommand)]
pub(crate) enum Planned {
    /// A purge
    Purge(PurgeRequest),
    /// A load
    Load(LoadRequest),
    /// A registered operation
    Run(CustomRequest),
}

impl Planned {
    /// The draft; files are read and durations become moments here.
    pub(crate) fn draft(&self) -> Result<CommandDraft, Failure> {
        match self {
            Self::Purge(request) => request.draft(),
            Self::Load(request) => request.draft(),
            Self::Run(request) => request.draft(),
        }
    }
}

impl Plan {
    /// Asks for the plan and shows it.
    pub(crate) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let draft = self.of.draft()?;
        let plan = submit::plan(context, draft.clone()).await?;
        print(context.output, &plan, draft)
    }
}

/// Asks for the plan of a draft, in the time that there is, and shows it.
pub(super) async fn show_within(
    context: &Context,
    draft: CommandDraft,
    clock: &Clock,
) -> Result<Exit, Failure> {
    let plan = submit::plan_within(context, draft.clone(), clock).await?;
    print(context.output, &plan, draft)
}

/// Prints the plan of a draft.
pub(super) fn print(output: Output, plan: &PlanView, draft: CommandDraft) -> Result<Exit, Failure> {
    if output.json {
        output.document(plan)?;
        return Ok(Exit::Done);
    }
    let asked = DraftView::from(CommandDraft {
        configuration_id: plan.configuration_id.clone(),
        ..draft
    });
    output.text(&table::plan(plan, &asked_as_read(plan, asked)))?;
    Ok(Exit::Done)
}

/// What is asked for; of a native request, what the broker reads it as.
fn asked_as_read(plan: &PlanView, asked: DraftView) -> String {
    let OperationView::Native { dialect } = &asked.operation else {
        return table::operation(&asked);
    };
    if matches!(plan.operation, OperationView::Unrecognized) {
        // An older broker does not say.
        return table::operation(&asked);
    }
    let request = format!("a request to {dialect}, read as: ");
    let read = DraftView {
        operation: plan.operation.clone(),
        selectors: plan.selectors.clone(),
        ..asked
    };
    let mut lines = vec![request + &table::operation(&read)];
    lines.extend(table::shown_selectors(&read));
    lines.join("\n  ")
}
