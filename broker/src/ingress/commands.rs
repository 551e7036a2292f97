//! `CommandService`: each call reads its request, asks the pipeline or the store, and shows the answer.
//!
//! Invariant: a caller who gives up does not stop an acceptance half way: it runs in a task of its own.

use std::{pin::Pin, sync::Arc};

use domain::{CommandId, ParticipantId, State};
use futures::{Stream, StreamExt as _};
use proto::v1::{self, command_service_server::CommandService};
use service::trace::{TRACEPARENT, TRACESTATE, TraceContext};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};
use tracing::info;

use super::{
    draft,
    identity::{Identity, IdentitySource},
    view, watch,
};
use crate::{
    error::Error,
    metrics::{count_cancel_asked, count_execution},
    pipeline::{Pipeline, now},
    store::{StoredCommand, Withdrawn},
    track::Watchers,
};

/// Commands of one stream that are accepted at a time: together they share a flush to disk.
const STREAM_CONCURRENCY: usize = 256;
/// Commands on a page unless the caller says otherwise, and the most.
const PAGE_SIZE: (usize, usize) = (50, 500);

/// The service of one replica.
#[derive(Clone)]
pub(super) struct Commands {
    pub(super) pipeline: Pipeline,
    pub(super) identities: Arc<IdentitySource>,
    pub(super) watchers: Arc<Watchers>,
    pub(super) retention: std::time::Duration,
    pub(super) stop: CancellationToken,
}

impl Commands {
    async fn submit(
        &self,
        request: v1::SubmitCommandRequest,
        originator: ParticipantId,
        trace: TraceContext,
    ) -> Result<v1::SubmitCommandResponse, Error> {
        let directory = &self.pipeline.directory;
        let draft = draft::read(
            request.draft,
            &request.request_id,
            originator,
            &trace,
            directory,
        )?;
        if request.validate_only {
            let plan = self.pipeline.plan(draft)?;
            return Ok(v1::SubmitCommandResponse {
                command: None,
                plan: Some(view::plan(&plan)),
            });
        }
        let id = self.accept(draft, &trace).await?;
        // It is accepted, whatever happens to the look at it. Shown as it was then, so that a repeated call has the same
        // answer.
        let command = match self.pipeline.store.command(id).await {
            Ok(Some(stored)) => view::command(&stored.as_accepted(), true),
            Ok(None) | Err(_) => v1::Command {
                id: id.to_string(),
                ..v1::Command::default()
            },
        };
        Ok(v1::SubmitCommandResponse {
            command: Some(command),
            plan: None,
        })
    }

    /// Accepts in a task of its own: a caller who is gone must not leave the question open whether it was written.
    async fn accept(
        &self,
        draft: crate::verify::Draft,
        trace: &TraceContext,
    ) -> Result<CommandId, Error> {
        if self.stop.is_cancelled() {
            return Err(Error::ShuttingDown);
        }
        let (pipeline, operation, originator) = (
            self.pipeline.clone(),
            draft.operation.name().to_owned(),
            draft.originator.clone(),
        );
        let accepting = tokio::spawn(async move { pipeline.accept(draft).await });
        let id = accepting.await.map_err(|_| Error::Interrupted)??;
        info!(
            command.id = %id,
            participant.id = %originator,
            operation,
            trace.id = %trace.trace_id_text(),
            "accepted a command"
        );
        Ok(id)
    }

    async fn submit_one(
        &self,
        request: v1::SubmitCommandsRequest,
        originator: ParticipantId,
        trace: TraceContext,
    ) -> v1::SubmitCommandsResponse {
        use v1::submit_commands_response::Result as Answer;
        let directory = &self.pipeline.directory;
        let draft = draft::read(
            request.draft,
            &request.request_id,
            originator,
            &trace,
            directory,
        );
        let accepted = match draft {
            Ok(draft) => self.accept(draft, &trace).await,
            Err(error) => Err(error),
        };
        let result = match accepted {
            Ok(id) => Answer::CommandId(id.to_string()),
            Err(error) => Answer::Failure(failure(error)),
        };
        v1::SubmitCommandsResponse {
            tag: request.tag,
            result: Some(result),
        }
    }

    /// A command that the caller may see; to all others it does not exist.
    pub(super) async fn visible(
        &self,
        identity: &Identity,
        id: &str,
    ) -> Result<StoredCommand, Error> {
        let id = id
            .parse::<CommandId>()
            .map_err(Error::broken("command_id"))?;
        let stored = self.pipeline.store.command(id).await?;
        stored
            .filter(|stored| identity.may_act_for(&stored.command.originator))
            .ok_or_else(|| Error::not_found("command", &id.to_string()))
    }

    async fn cancel(
        &self,
        identity: &Identity,
        id: &str,
    ) -> Result<v1::CancelCommandResponse, Error> {
        let before = self.visible(identity, id).await?;
        let store = &self.pipeline.store;
        let withdrawn = store.cancel(&before, now(), self.retention).await?;
        let after = self.visible(identity, id).await?;
        let of = |kinds: &[Withdrawn]| {
            let those = withdrawn.iter().filter(|(_, kind)| kinds.contains(kind));
            those.map(|(id, _)| id.to_string()).collect::<Vec<_>>()
        };
        for (participant, withdrawn) in &withdrawn {
            match withdrawn {
                Withdrawn::TakenBack => count_execution(participant, &State::Cancelled),
                Withdrawn::Asked => count_cancel_asked(participant),
                Withdrawn::AskedBefore | Withdrawn::Settled => {}
            }
        }
        let cancelled = of(&[Withdrawn::TakenBack]);
        let sent = of(&[Withdrawn::Asked, Withdrawn::AskedBefore]);
        info!(
            command.id = %before.command.id,
            executions = cancelled.len(),
            asked = sent.len(),
            "cancelled a command"
        );
        Ok(v1::CancelCommandResponse {
            cancelled_participant_ids: cancelled,
            sent_participant_ids: sent,
            settled_participant_ids: of(&[Withdrawn::Settled]),
            command: Some(view::command(&after, true)),
        })
    }

    async fn list(
        &self,
        identity: &Identity,
        request: v1::ListCommandsRequest,
    ) -> Result<v1::ListCommandsResponse, Error> {
        let originator = whose(identity, &request.originator_id)?;
        let count = page_size(request.page_size, PAGE_SIZE)?;
        if !request.configuration_id.is_empty() {
            let id = request.configuration_id.parse::<domain::ConfigurationId>();
            id.map_err(Error::broken("configuration_id"))?;
        }
        let before = match request.page_token.as_str() {
            "" => None,
            token => Some(
                token
                    .parse()
                    .map_err(|_| Error::invalid("page_token", "must be from an answer before"))?,
            ),
        };
        let page = self
            .pipeline
            .store
            .commands_of(&originator, before, count)
            .await?;
        let wanted = |stored: &&StoredCommand| {
            request.configuration_id.is_empty()
                || stored.command.configuration.as_str() == request.configuration_id
        };
        Ok(v1::ListCommandsResponse {
            commands: page
                .commands
                .iter()
                .filter(wanted)
                .map(|stored| view::command(stored, false))
                .collect(),
            next_page_token: page.next.map(|id| id.to_string()).unwrap_or_default(),
        })
    }
}

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl CommandService for Commands {
    type SubmitCommandsStream = Answers<v1::SubmitCommandsResponse>;
    type WatchCommandStream = Answers<v1::WatchCommandResponse>;

    async fn submit_command(
        &self,
        request: Request<v1::SubmitCommandRequest>,
    ) -> Result<Response<v1::SubmitCommandResponse>, Status> {
        let originator = self.identities.identify(&request)?.originator()?;
        let trace = trace_of(&request);
        Ok(Response::new(
            self.submit(request.into_inner(), originator, trace).await?,
        ))
    }

    async fn submit_commands(
        &self,
        request: Request<Streaming<v1::SubmitCommandsRequest>>,
    ) -> Result<Response<Self::SubmitCommandsStream>, Status> {
        let originator = self.identities.identify(&request)?.originator()?;
        let trace = trace_of(&request);
        let service = self.clone();
        let requests = request
            .into_inner()
            .take_until(self.stop.clone().cancelled_owned());
        let answers = requests.map(move |message| {
            let (service, originator, trace) = (service.clone(), originator.clone(), trace.child());
            async move { Ok(service.submit_one(message?, originator, trace).await) }
        });
        Ok(Response::new(Box::pin(
            answers.buffered(STREAM_CONCURRENCY),
        )))
    }

    async fn get_command(
        &self,
        request: Request<v1::GetCommandRequest>,
    ) -> Result<Response<v1::GetCommandResponse>, Status> {
        let identity = self.identities.identify(&request)?;
        let stored = self
            .visible(&identity, &request.get_ref().command_id)
            .await?;
        Ok(Response::new(v1::GetCommandResponse {
            command: Some(view::command(&stored, true)),
        }))
    }

    async fn list_commands(
        &self,
        request: Request<v1::ListCommandsRequest>,
    ) -> Result<Response<v1::ListCommandsResponse>, Status> {
        let identity = self.identities.identify(&request)?;
        Ok(Response::new(
            self.list(&identity, request.into_inner()).await?,
        ))
    }

    async fn watch_command(
        &self,
        request: Request<v1::WatchCommandRequest>,
    ) -> Result<Response<Self::WatchCommandStream>, Status> {
        let identity = self.identities.identify(&request)?;
        let request = request.into_inner();
        let watch = watch::Watch::start(self.clone(), identity, &request).await?;
        Ok(Response::new(Box::pin(watch.into_stream())))
    }

    async fn cancel_command(
        &self,
        request: Request<v1::CancelCommandRequest>,
    ) -> Result<Response<v1::CancelCommandResponse>, Status> {
        let identity = self.identities.identify(&request)?;
        Ok(Response::new(
            self.cancel(&identity, &request.get_ref().command_id)
                .await?,
        ))
    }
}

/// Whose commands are listed: a participant's own; an operator says whose.
fn whose(identity: &Identity, originator_id: &str) -> Result<ParticipantId, Error> {
    match identity {
        Identity::Participant(id) if originator_id.is_empty() || originator_id == id.as_str() => {
            Ok(id.clone())
        }
        Identity::Participant(_) => Err(Error::not_found("participant", originator_id)),
        Identity::Operator(_) if originator_id.is_empty() => Err(Error::invalid(
            "originator_id",
            "must name whose commands an operator wants to see",
        )),
        Identity::Operator(_) => originator_id
            .parse()
            .map_err(Error::broken("originator_id")),
    }
}

/// The size of a page (AIP-158): the default for 0, lowered to the most, never negative.
pub(super) fn page_size(asked: i32, (default, most): (usize, usize)) -> Result<usize, Error> {
    match usize::try_from(asked) {
        Ok(0) => Ok(default),
        Ok(asked) => Ok(asked.min(most)),
        Err(_) => Err(Error::invalid("page_size", "must not be negative")),
    }
}

fn trace_of<T>(request: &Request<T>) -> TraceContext {
    let text = |name| {
        request
            .metadata()
            .get(name)
            .and_then(|value| value.to_str().ok())
    };
    TraceContext::continued(text(TRACEPARENT), text(TRACESTATE))
}

fn failure(error: Error) -> v1::SubmitFailure {
    let violations = match &error {
        Error::Invalid(violations) => violations.clone(),
        _ => Vec::new(),
    };
    let status = Status::from(error);
    let violation = |violation: crate::error::Violation| v1::FieldViolation {
        field: violation.field,
        description: violation.rule,
    };
    v1::SubmitFailure {
        code: status.code().into(),
        message: status.message().to_owned(),
        violations: violations.into_iter().map(violation).collect(),
    }
}
