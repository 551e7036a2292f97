//! Taking commands in: one by one, and as a stream.
//!
//! Invariant: a caller who gives up does not stop an acceptance half way.

use std::{panic::AssertUnwindSafe, sync::Arc};

use domain::ParticipantId;
use futures::{FutureExt as _, Stream, StreamExt as _, future::join_all};
use proto::v1;
use service::trace::TraceContext;
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};
use tonic_types::StatusExt as _;
use tracing::info;

use super::{
    commands::{Commands, of_draft},
    draft,
    identity::Identity,
    view,
};
use crate::{
    error::{Error, Violation},
    finished::Finished,
    pipeline::{Pipeline, Taken},
    store::StoredCommand,
    verify::Draft,
};

/// Commands of one stream that go together where so many have come: they share a task, and are answered together.
pub(super) const TOGETHER: usize = 16;
/// How many times so many of one stream are accepted at a time: they share a flush to disk.
pub(super) const STREAM_CONCURRENCY: usize = 32;

impl Commands {
    /// One command: the plan where only that is asked for, otherwise accepted and shown.
    pub(super) async fn submit(
        &self,
        request: v1::SubmitCommandRequest,
        caller: Identity,
        trace: TraceContext,
    ) -> Result<v1::SubmitCommandResponse, Error> {
        let directory = &self.pipeline.directory;
        let draft = draft::read(
            request.draft,
            &request.request_id,
            &caller,
            &trace,
            directory,
        )?;
        if request.validate_only {
            let plan = self.pipeline.plan(draft)?;
            return Ok(v1::SubmitCommandResponse {
                command: None,
                plan: Some(view::plan(&plan)),
                participants_without_servers: ids(&plan.without_servers),
            });
        }
        let mut without_servers = Vec::new();
        // Shown as it was when it was accepted, so that a repeated call has the same command in its answer.
        let command = match self.accept(draft, &trace).await? {
            Taken::Now(planned, places) => {
                without_servers = ids(&planned.without_servers);
                view::command(&StoredCommand::accepted(*planned, &places), true)
            }
            Taken::Before(id) => match self.pipeline.store.command(id).await {
                Ok(Some(stored)) => view::command(&stored.as_accepted(), true),
                // It is accepted, whatever happens to the look at it.
                Ok(None) | Err(_) => v1::Command {
                    id: id.to_string(),
                    ..v1::Command::default()
                },
            },
        };
        Ok(v1::SubmitCommandResponse {
            command: Some(command),
            plan: None,
            participants_without_servers: without_servers,
        })
    }

    /// Accepts it. A caller who gives up leaves no question open whether it was written: it is finished all the same.
    async fn accept(&self, draft: Draft, trace: &TraceContext) -> Result<Taken, Error> {
        if self.stop.is_cancelled() {
            return Err(Error::ShuttingDown);
        }
        let (pipeline, trace) = (Arc::clone(&self.pipeline), trace.trace_id_text());
        let accepting = async move { accept_and_log(&pipeline, draft, &trace).await };
        let accepting = AssertUnwindSafe(Finished::new(accepting)).catch_unwind();
        accepting.await.unwrap_or(Err(Error::Interrupted))
    }

    /// Accepts commands of a stream, in a task of their own: other processors plan while this one reads what comes next.
    async fn accept_together(
        &self,
        drafts: Vec<Draft>,
        trace: &TraceContext,
    ) -> Vec<Result<Taken, Error>> {
        let count = drafts.len();
        let all = |error: fn() -> Error| (0..count).map(|_| Err(error())).collect();
        if self.stop.is_cancelled() {
            return all(|| Error::ShuttingDown);
        }
        let (pipeline, trace) = (Arc::clone(&self.pipeline), trace.trace_id_text());
        // In a box: a task is moved whole when it begins and twice when it ends.
        let accepting = tokio::spawn(Box::pin(async move {
            let each = drafts
                .into_iter()
                .map(|draft| Box::pin(accept_and_log(&pipeline, draft, &trace)));
            join_all(each).await
        }));
        accepting
            .await
            .unwrap_or_else(|_| all(|| Error::Interrupted))
    }

    /// Commands of a stream that came together; a refusal is the answer of one, and the stream goes on.
    pub(super) async fn submit_together(
        &self,
        requests: Vec<v1::SubmitCommandsRequest>,
        caller: Identity,
        trace: TraceContext,
    ) -> Vec<v1::SubmitCommandsResponse> {
        use v1::submit_commands_response::Result as Answer;
        let (mut answers, mut drafts) = (Vec::with_capacity(requests.len()), Vec::new());
        for request in requests {
            let (tag, resource) = (request.tag.clone(), of_draft(request.draft.as_ref()));
            let refused = match self.read_one(&caller, request, &trace.child()) {
                Ok(draft) => {
                    drafts.push(draft);
                    None
                }
                Err(error) => Some(error),
            };
            answers.push((tag, resource, refused));
        }
        let mut taken = self.accept_together(drafts, &trace).await.into_iter();
        let answer = |(tag, resource, refused): (String, String, Option<Error>)| {
            let result = match refused {
                Some(error) => Err(error),
                None => taken.next().unwrap_or(Err(Error::Interrupted)),
            };
            let result = match result {
                Ok(taken) => Answer::CommandId(taken.id().to_string()),
                Err(error) => {
                    self.gate.refused_one(&caller, resource, &error);
                    Answer::Failure(failure(error))
                }
            };
            v1::SubmitCommandsResponse {
                tag,
                result: Some(result),
            }
        };
        answers.into_iter().map(answer).collect()
    }

    fn read_one(
        &self,
        caller: &Identity,
        request: v1::SubmitCommandsRequest,
        trace: &TraceContext,
    ) -> Result<Draft, Error> {
        self.gate.count_one(caller)?;
        let directory = &self.pipeline.directory;
        draft::read(request.draft, &request.request_id, caller, trace, directory)
    }
}

async fn accept_and_log(pipeline: &Pipeline, draft: Draft, trace: &str) -> Result<Taken, Error> {
    let operation = draft.operation.name().to_owned();
    let originator = draft.originator.clone();
    let taken = pipeline.accept(draft).await?;
    info!(
        command.id = %taken.id(),
        participant.id = %originator,
        operation,
        trace.id = trace,
        "accepted a command"
    );
    Ok(taken)
}

/// The commands of a stream; when the broker is asked to end, no more of them and the reason as the last word, for a stream
/// that just ended would say that all was taken.
pub(super) fn until_stopped(
    requests: Streaming<v1::SubmitCommandsRequest>,
    stop: CancellationToken,
) -> impl Stream<Item = Result<v1::SubmitCommandsRequest, Status>> {
    futures::stream::unfold(Some((requests, stop)), |open| async move {
        let (mut requests, stop) = open?;
        tokio::select! {
            biased;
            () = stop.cancelled() => Some((Err(Error::ShuttingDown.into()), None)),
            request = requests.next() => Some((request?, Some((requests, stop)))),
        }
    })
}

fn ids(participants: &[ParticipantId]) -> Vec<String> {
    participants.iter().map(ToString::to_string).collect()
}

fn failure(error: Error) -> v1::SubmitFailure {
    let violations = match &error {
        Error::Invalid(violations) => violations.clone(),
        _ => Vec::new(),
    };
    let status = Status::from(error);
    let violation = |violation: Violation| v1::FieldViolation {
        field: violation.field,
        description: violation.rule,
    };
    let retry = status.get_details_retry_info();
    let retry = retry.and_then(|retry| retry.retry_delay);
    v1::SubmitFailure {
        retry_delay: retry.and_then(|delay| delay.try_into().ok()),
        code: status.code().into(),
        message: status.message().to_owned(),
        violations: violations.into_iter().map(violation).collect(),
    }
}
