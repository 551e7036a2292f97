//! Taking commands in: one by one, and as a stream.
//!
//! Invariant: a caller who gives up does not stop an acceptance half way: it runs in a task of its own.

use std::sync::Arc;

use domain::{CommandId, ParticipantId};
use futures::{Stream, StreamExt as _};
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
    pipeline::Taken,
    store::StoredCommand,
    verify::Draft,
};

/// Commands of one stream that are accepted at a time: together they share a flush to disk.
pub(super) const STREAM_CONCURRENCY: usize = 512;

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

    /// Accepts in a task of its own: a caller who is gone must not leave the question open whether it was written.
    async fn accept(&self, draft: Draft, trace: &TraceContext) -> Result<Taken, Error> {
        if self.stop.is_cancelled() {
            return Err(Error::ShuttingDown);
        }
        let (pipeline, operation, originator) = (
            Arc::clone(&self.pipeline),
            draft.operation.name().to_owned(),
            draft.originator.clone(),
        );
        // In a box: a task is moved whole when it begins and twice when it ends.
        let accepting = tokio::spawn(Box::pin(async move { pipeline.accept(draft).await }));
        let taken = accepting.await.map_err(|_| Error::Interrupted)??;
        info!(
            command.id = %taken.id(),
            participant.id = %originator,
            operation,
            trace.id = %trace.trace_id_text(),
            "accepted a command"
        );
        Ok(taken)
    }

    /// One command of a stream; a refusal is its answer, and the stream goes on.
    pub(super) async fn submit_one(
        &self,
        request: v1::SubmitCommandsRequest,
        caller: Identity,
        trace: TraceContext,
    ) -> v1::SubmitCommandsResponse {
        use v1::submit_commands_response::Result as Answer;
        let (tag, resource) = (request.tag.clone(), of_draft(request.draft.as_ref()));
        let result = match self.accept_one(&caller, request, &trace).await {
            Ok(id) => Answer::CommandId(id.to_string()),
            Err(error) => {
                self.gate.refused_one(&caller, resource, &error);
                Answer::Failure(failure(error))
            }
        };
        v1::SubmitCommandsResponse {
            tag,
            result: Some(result),
        }
    }

    async fn accept_one(
        &self,
        caller: &Identity,
        request: v1::SubmitCommandsRequest,
        trace: &TraceContext,
    ) -> Result<CommandId, Error> {
        self.gate.count_one(caller)?;
        let directory = &self.pipeline.directory;
        let draft = draft::read(request.draft, &request.request_id, caller, trace, directory)?;
        Ok(self.accept(draft, trace).await?.id())
    }
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
