//! `fedctl purge`, `fedctl run` and `fedctl native`: commands that may reach far, so a wide one is confirmed by a person.

use std::io::{self, BufRead as _};

use clap::Args;
use proto::v1::CommandDraft;

use super::{
    Context, plan,
    submit::{self, Attempt},
};
use crate::{
    arguments::waiting::Waiting,
    clock::Clock,
    draft::{Asked, Wide},
    exit::Exit,
    failure::Failure,
    output::can_ask,
    table,
    view::{DraftView, PlanView},
    words,
};

/// Does what was asked with any of a configuration.
#[derive(Debug, Args)]
pub(crate) struct Submission<R: Asked> {
    #[command(flatten)]
    request: R,
    #[command(flatten)]
    waiting: Waiting,
    /// Only show what each participant would be told, like fedctl plan
    #[arg(long, conflicts_with_all = ["watch", "no_wait"])]
    plan: bool,
    /// Do not ask before a wide command (--host, --wildcard, --everything, a --prefix without a path, a --regex that does not begin with a path such as ^/images/)
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    attempt: Attempt,
}

impl<R: Asked> Submission<R> {
    /// Plans, or asks where it is wise, and submits.
    pub(crate) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let draft = self.request.draft()?;
        let mut clock = self.waiting.start();
        if self.plan {
            return plan::show_within(context, draft, &clock).await;
        }
        if let Some(wide) = self.request.wide(&draft).filter(|_| !self.yes) {
            confirm(context, &draft, &wide, &mut clock).await?;
        }
        submit::submit(context, draft, &self.attempt, &self.waiting, clock).await
    }
}

/// Asks with the plan in hand, so that the answer is given about real servers.
async fn confirm(
    context: &Context,
    draft: &CommandDraft,
    wide: &Wide,
    clock: &mut Clock,
) -> Result<(), Failure> {
    let plan = submit::plan_within(context, draft.clone(), clock);
    if !can_ask() {
        return Err(unconfirmed(plan, wide).await);
    }
    let plan = plan.await?;
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
    let answer = clock.aside(|| {
        let mut answer = String::new();
        // A closed stdin says no.
        let _ = io::stdin().lock().read_line(&mut answer);
        answer
    });
    match answer.trim().to_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(Failure::Declined),
    }
}

/// Why nothing was sent where nobody can be asked. What the broker cannot read either is the mistake that it finds.
async fn unconfirmed(
    plan: impl Future<Output = Result<PlanView, Failure>>,
    wide: &Wide,
) -> Failure {
    Failure::Usage(match wide {
        Wide::Holds(wide) => {
            format!("this command is wide ({wide}); without a terminal to ask on, say --yes")
        }
        Wide::Unread => match plan.await {
            Err(failure) => return failure,
            Ok(_) => "only the broker can read this request, and it may mean a lot: --plan shows what; without a \
                      terminal to ask on, say --yes"
                .to_owned(),
        },
    })
}
