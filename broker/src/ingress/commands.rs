//! `CommandService`: each call reads its request, asks the pipeline or the store, and shows the answer.
//!
//! Invariant: each call goes through the gate, and what the caller may not see does not exist for it.
//! Not here: how commands are taken in (`submit`, `stream`), how a watch goes on (`watch`).

use std::{pin::Pin, sync::Arc};

use domain::{CommandId, ParticipantId, State};
use futures::Stream;
use proto::v1::{self, command_service_server::CommandService};
use service::trace::{TRACEPARENT, TRACESTATE, TraceContext};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};
use tracing::info;

use super::{gate::Gate, identity::Identity, stream, view, watch};
use crate::{
    authorise::{Access, Resource, Rpc, admit},
    error::Error,
    metrics::{count_cancel_asked, count_execution},
    pipeline::{Pipeline, now},
    store::{StoredCommand, Withdrawn},
    track::Watchers,
};

/// Commands on a page unless the caller says otherwise, and the most.
const PAGE_SIZE: (usize, usize) = (50, 500);

/// The service of one replica.
#[derive(Clone)]
pub(super) struct Commands {
    pub(super) pipeline: Arc<Pipeline>,
    pub(super) gate: Arc<Gate>,
    pub(super) watchers: Arc<Watchers>,
    pub(super) retention: std::time::Duration,
    /// What an answer may have.
    pub(super) answer_bytes: usize,
    pub(super) stop: CancellationToken,
}

impl Commands {
    /// As much of a command as the caller may see in this call; to whom it is hidden it does not exist.
    pub(super) async fn admitted(
        &self,
        identity: &Identity,
        rpc: Rpc,
        id: &str,
    ) -> Result<StoredCommand, Error> {
        let id = id
            .parse::<CommandId>()
            .map_err(Error::broken("command_id"))?;
        let stored = self.pipeline.store.command(id).await?;
        let id = id.to_string();
        let stored = stored.ok_or_else(|| Error::not_found("command", &id))?;
        let found = Some((&stored, resource(&stored)));
        let (_, access) = admit(identity, rpc, ("command", &id), found)?;
        match (access, identity.participant()) {
            (Access::Part, Some(host)) => Ok(stored.part_of(host)),
            _ => Ok(stored),
        }
    }

    async fn cancel(
        &self,
        identity: &Identity,
        id: &str,
    ) -> Result<v1::CancelCommandResponse, Error> {
        let before = self.admitted(identity, Rpc::CancelCommand, id).await?;
        let store = &self.pipeline.store;
        let withdrawn = store.cancel(&before, now(), self.retention).await?;
        let after = self.admitted(identity, Rpc::CancelCommand, id).await?;
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
            command: Some(view::command_within(&after, self.answer_bytes)),
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
        let trace = trace_of(&request);
        let work = |caller, request| async move { self.submit(request, caller, trace).await };
        let about = |request: &v1::SubmitCommandRequest| of_draft(request.draft.as_ref());
        self.gate
            .call(Rpc::SubmitCommand, request, about, work)
            .await
    }

    async fn submit_commands(
        &self,
        request: Request<Streaming<v1::SubmitCommandsRequest>>,
    ) -> Result<Response<Self::SubmitCommandsStream>, Status> {
        let trace = trace_of(&request);
        let work = |caller: Identity, requests: Streaming<_>| async move {
            let answers = stream::answers(self.clone(), requests, caller, trace);
            let answers: Self::SubmitCommandsStream = Box::pin(answers);
            Ok(answers)
        };
        let about = |_: &_| String::new();
        self.gate
            .call(Rpc::SubmitCommands, request, about, work)
            .await
    }

    async fn get_command(
        &self,
        request: Request<v1::GetCommandRequest>,
    ) -> Result<Response<v1::GetCommandResponse>, Status> {
        let work = |caller, request: v1::GetCommandRequest| async move {
            let id = &request.command_id;
            let stored = self.admitted(&caller, Rpc::GetCommand, id).await?;
            Ok(v1::GetCommandResponse {
                command: Some(view::command_within(&stored, self.answer_bytes)),
            })
        };
        let about = |request: &v1::GetCommandRequest| of_command(&request.command_id);
        self.gate.call(Rpc::GetCommand, request, about, work).await
    }

    async fn list_commands(
        &self,
        request: Request<v1::ListCommandsRequest>,
    ) -> Result<Response<v1::ListCommandsResponse>, Status> {
        let work = |caller, request| async move { self.list(&caller, request).await };
        let about = |_: &_| String::new();
        self.gate
            .call(Rpc::ListCommands, request, about, work)
            .await
    }

    async fn watch_command(
        &self,
        request: Request<v1::WatchCommandRequest>,
    ) -> Result<Response<Self::WatchCommandStream>, Status> {
        let work = |caller, request: v1::WatchCommandRequest| async move {
            let watch = watch::Watch::start(self.clone(), caller, &request).await?;
            let answers: Self::WatchCommandStream = Box::pin(watch.into_stream());
            Ok(answers)
        };
        let about = |request: &v1::WatchCommandRequest| of_command(&request.command_id);
        self.gate
            .call(Rpc::WatchCommand, request, about, work)
            .await
    }

    async fn approve_command(
        &self,
        request: Request<v1::ApproveCommandRequest>,
    ) -> Result<Response<v1::ApproveCommandResponse>, Status> {
        let work = |caller, request| async move { self.approve(&caller, request).await };
        let about = |request: &v1::ApproveCommandRequest| of_command(&request.command_id);
        self.gate
            .call(Rpc::ApproveCommand, request, about, work)
            .await
    }

    async fn cancel_command(
        &self,
        request: Request<v1::CancelCommandRequest>,
    ) -> Result<Response<v1::CancelCommandResponse>, Status> {
        let work = |caller, request: v1::CancelCommandRequest| async move {
            self.cancel(&caller, &request.command_id).await
        };
        let about = |request: &v1::CancelCommandRequest| of_command(&request.command_id);
        self.gate
            .call(Rpc::CancelCommand, request, about, work)
            .await
    }
}

/// A command in the audit log.
fn of_command(id: &str) -> String {
    format!("command/{id}")
}

/// What a submit is about in the audit log; empty where the configuration is found by a host name.
pub(super) fn of_draft(draft: Option<&v1::CommandDraft>) -> String {
    let id = draft.map_or("", |draft| draft.configuration_id.as_str());
    format!("configuration/{id}")
}

/// Whose a command is, and at whom it is carried out.
fn resource(stored: &StoredCommand) -> Resource<'_> {
    let executions = stored.executions.iter();
    Resource {
        owner: Some(&stored.command.originator),
        hosts: executions
            .map(|execution| &execution.id.participant)
            .collect(),
    }
}

/// Whose commands are listed: a participant's own; an operator says whose.
fn whose(identity: &Identity, asked: &str) -> Result<ParticipantId, Error> {
    let id = match (identity.participant(), asked) {
        (Some(own), "") => own.clone(),
        (None, "") => {
            let rule = "must name whose commands an operator wants to see";
            return Err(Error::invalid("originator_id", rule));
        }
        (_, asked) => asked.parse().map_err(Error::broken("originator_id"))?,
    };
    let found = Some((&id, Resource::of(&id)));
    admit(
        identity,
        Rpc::ListCommands,
        ("participant", id.as_str()),
        found,
    )?;
    Ok(id)
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
