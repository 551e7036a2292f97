//! Submits a draft: accepted once, however often it must be tried; and plans it without submitting.
//!
//! Invariant: all tries of one submission carry the same request id, so the broker sees one command.

use clap::Args;
use prost_types::Timestamp;
use proto::v1::{ApprovalState, CommandDraft, SubmitCommandRequest, SubmitCommandResponse};
use tonic::Status;
use uuid::Uuid;

use super::{Context, wait};
use crate::{
    arguments::{waiting::Waiting, when::check_beginning},
    clock::Clock,
    exit::Exit,
    failure::{Failure, may_be_accepted, resume},
    table,
    view::{CommandView, DraftView, PlanView, SelectorView},
    words,
};

/// How a submission is repeated.
#[derive(Debug, Args)]
pub(crate) struct Attempt {
    /// Names this attempt: another try with the same one returns the same command [default: a new one]
    #[arg(long, value_name = "UUID")]
    request_id: Option<Uuid>,
}

/// Submits and, as asked, waits, in what is left of the time.
pub(super) async fn submit(
    context: &Context,
    draft: CommandDraft,
    attempt: &Attempt,
    waiting: &Waiting,
    clock: Clock,
) -> Result<Exit, Failure> {
    // Another try of one that was made in time is the same one, however late.
    if attempt.request_id.is_none() {
        check_beginning(draft.not_before.as_ref())?;
    }
    let request_id = attempt.request_id.unwrap_or_else(Uuid::now_v7);
    let request = request(draft, request_id, false);
    let late = |limit| Failure::TimedOut {
        limit,
        hint: may_be_accepted(&retry(&request)),
    };
    let answer = clock.within(send(context, &request), late).await?;
    if let Some(line) = table::without_servers(&answer.participants_without_servers) {
        context.output.note(&line);
    }
    let command = answer.command.ok_or_else(incomplete)?;
    let awaits_approval = command.approval.as_ref();
    let awaits_approval = awaits_approval.is_some_and(|it| it.state() == ApprovalState::Waiting);
    if waiting.no_wait || awaits_approval {
        accepted(context, &command.into())?;
        // How long a person takes is nothing to wait for.
        return Ok(if waiting.no_wait {
            Exit::Done
        } else {
            Exit::StillRunning
        });
    }
    let watch = wait::Watch {
        shown: waiting.watch,
        clock,
        resume_token: String::new(),
    };
    wait::wait(context, command, watch).await
}

/// What would be done.
pub(super) async fn plan(context: &Context, draft: CommandDraft) -> Result<PlanView, Failure> {
    check_beginning(draft.not_before.as_ref())?;
    let answer = send(context, &request(draft, Uuid::now_v7(), true)).await?;
    let plan = answer.plan.ok_or_else(incomplete)?;
    Ok(PlanView::new(plan, answer.participants_without_servers))
}

/// The same, in the time that there is. Where that passes first, nothing was sent.
pub(super) async fn plan_within(
    context: &Context,
    draft: CommandDraft,
    clock: &Clock,
) -> Result<PlanView, Failure> {
    let late = |limit| Failure::Unplanned { limit };
    clock.within(Box::pin(plan(context, draft)), late).await
}

fn request(draft: CommandDraft, request_id: Uuid, validate_only: bool) -> SubmitCommandRequest {
    SubmitCommandRequest {
        draft: Some(draft),
        request_id: request_id.to_string(),
        validate_only,
    }
}

async fn send(
    context: &Context,
    request: &SubmitCommandRequest,
) -> Result<SubmitCommandResponse, Failure> {
    let answer = context
        .broker
        .commands(async |mut client| client.submit_command(request.clone()).await);
    let refused = |status: Status| {
        let status = Box::new(status);
        let selectors = selectors(request);
        // A plan leaves nothing behind, so there is no attempt to come back to.
        let retry = (!request.validate_only).then(|| retry(request));
        Failure::Submit {
            status,
            selectors,
            retry,
        }
    };
    answer.await.map_err(refused)
}

fn selectors(request: &SubmitCommandRequest) -> Vec<SelectorView> {
    let draft = request.draft.clone().unwrap_or_default();
    DraftView::from(draft).selectors
}

/// The flags that make another try the same one: times that were typed as durations are moments by now.
fn retry(request: &SubmitCommandRequest) -> String {
    let draft = request.draft.as_ref();
    let flag = |name: &str, time: Option<&Timestamp>| {
        let time = time.and_then(words::rfc3339);
        time.map_or(String::new(), |time| format!(" {name} {time}"))
    };
    format!(
        "--request-id {}{}{}",
        request.request_id,
        flag(
            "--not-before",
            draft.and_then(|draft| draft.not_before.as_ref())
        ),
        flag(
            "--expire-at",
            draft.and_then(|draft| draft.expire_time.as_ref())
        ),
    )
}

fn accepted(context: &Context, command: &CommandView) -> Result<(), Failure> {
    if context.output.json {
        return context.output.document(command);
    }
    context.output.text(&format!("{}\n", command.command_id))?;
    match command.awaits_approval() {
        None => context.output.note("accepted; it goes on by itself"),
        Some(deadline) => context.output.note(&format!(
            "accepted; it waits until a second person has approved it, at most until {} UTC: fedctl approve {}",
            words::readable(deadline),
            command.command_id
        )),
    }
    if let Some(line) = table::schedule(command) {
        context.output.note(&line);
    }
    for line in resume(&command.command_id) {
        context.output.note(&format!("  {line}"));
    }
    Ok(())
}

fn incomplete() -> Failure {
    Status::internal("the broker's answer is incomplete").into()
}
