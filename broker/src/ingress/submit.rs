//! Taking a command in by a call of its own.
//!
//! Invariant: a caller who gives up does not stop an acceptance half way.
//! Not here: commands of a stream (`stream`).

use std::sync::Arc;

use domain::{CommandId, ParticipantId};
use proto::v1;
use service::trace::TraceContext;
use tracing::info;

use super::{commands::Commands, draft, identity::Identity, view};
use crate::{
    error::{Error, caught},
    finished::Finished,
    pipeline::Taken,
    store::StoredCommand,
    verify::Draft,
};

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
        let accepting = async move {
            let asked = Asked::by(&draft);
            let taken = pipeline.accept(draft).await?;
            asked.log(taken.id(), &trace);
            Ok(taken)
        };
        caught(Finished::new(accepting)).await
    }
}

/// Who asked for what, for the log.
pub(super) struct Asked {
    operation: String,
    originator: ParticipantId,
}

impl Asked {
    pub(super) fn by(draft: &Draft) -> Self {
        Self {
            operation: draft.operation.name().to_owned(),
            originator: draft.originator.clone(),
        }
    }

    /// It was accepted, now or before.
    pub(super) fn log(&self, id: CommandId, trace: &str) {
        info!(
            command.id = %id,
            participant.id = %self.originator,
            operation = self.operation,
            trace.id = trace,
            "accepted a command"
        );
    }
}

fn ids(participants: &[ParticipantId]) -> Vec<String> {
    participants.iter().map(ToString::to_string).collect()
}
