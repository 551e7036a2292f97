//! `fedctl purge`.

use std::io::{self, BufRead as _};

use clap::Args;
use proto::v1::CommandDraft;

use super::{
    Context, plan,
    submit::{self, Attempt},
};
use crate::{
    arguments::waiting::Waiting,
    draft::PurgeRequest,
    exit::Exit,
    failure::Failure,
    output::can_ask,
    table,
    view::{DraftView, PlanView},
    words,
};

/// Makes cached content unusable.
#[derive(Debug, Args)]
pub(crate) struct Purge {
    #[command(flatten)]
    request: PurgeRequest,
    #[command(flatten)]
    waiting: Waiting,
    /// Only show what each participant would be told, like fedctl plan purge
    #[arg(long, conflicts_with_all = ["watch", "no_wait"])]
    plan: bool,
    /// Do not ask before a wide purge (--host, --wildcard, --everything, a --prefix without a path)
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    attempt: Attempt,
}

impl Purge {
    /// Plans, or asks where it is wise, and submits.
    pub(crate) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let draft = self.request.draft()?;
        if self.plan {
            return plan::show(context, draft).await;
        }
        if self.request.selection.is_wide() && !self.yes {
            confirm(context, &draft).await?;
        }
        submit::submit(context, draft, &self.attempt, &self.waiting).await
    }
}

/// Asks with the plan in hand, so that the answer is given about real servers.
async fn confirm(context: &Context, draft: &CommandDraft) -> Result<(), Failure> {
    if !can_ask() {
        let usage = "this purge is wide; without a terminal to ask on, say --yes";
        return Err(Failure::Usage(usage.to_owned()));
    }
    let plan = PlanView::from(submit::plan(context, draft.clone()).await?);
    let servers: usize = plan
        .executions
        .iter()
        .map(|execution| execution.server_ids.len())
        .sum();
    let draft = DraftView::from(CommandDraft {
        configuration_id: plan.configuration_id,
        ..draft.clone()
    });
    context.output.note(&format!(
        "{}: {} of {}.\nGo on? [y/N]",
        table::operation(&draft),
        words::count(servers, "server"),
        words::count(plan.executions.len(), "participant"),
    ));
    let mut answer = String::new();
    // A closed stdin says no.
    let _ = io::stdin().lock().read_line(&mut answer);
    match answer.trim().to_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(Failure::Declined),
    }
}
