//! `DeadLetterService`: who may work on which dead letters.
//!
//! Invariant: a participant works on its own; the boxes of others, and the reports, do not exist for it.

use std::{collections::HashMap, sync::Arc};

use amqp::{DeathReason, HeaderValue};
use domain::{ExecutionId, State, Timestamp};
use proto::v1::{
    self, DeadLetterReason as Reason, dead_letter_selection::Kind,
    dead_letter_service_server::DeadLetterService,
};
use tonic::{Request, Response, Status};

use super::{commands::page_size, gate::Gate, identity::Identity, view};
use crate::{
    authorise::{Resource, Rpc, admit},
    dead_letters::{DeadLetters, LetterBox, Listed, Selection, Work, Worked},
    directory::Directory,
    error::Error,
};

/// Letters of a list unless the caller says otherwise, and the most.
const PAGE_SIZE: (usize, usize) = (100, 1_000);
/// The most message ids of one selection.
const IDS_MAXIMUM: usize = 1_000;
/// The most bytes of a body that are shown.
const BODY_SHOWN: usize = 256 << 10;

/// The service of one replica.
pub(super) struct Service {
    pub(super) dead_letters: DeadLetters,
    pub(super) directory: Arc<Directory>,
    pub(super) gate: Arc<Gate>,
}

impl Service {
    /// The boxes that a caller means: the one that it names, or all that exist for it.
    fn boxes(&self, identity: &Identity, rpc: Rpc, asked: &str) -> Result<Vec<LetterBox>, Error> {
        let what = ("participant", asked);
        match (identity.participant(), asked) {
            (Some(own), "") => Ok(vec![LetterBox::Participant(own.clone())]),
            (None, "") => Ok(LetterBox::all(&self.directory)),
            // It belongs to the federation.
            (_, amqp::REPLIES) => {
                admit(identity, rpc, what, Some((&(), Resource::default())))?;
                Ok(vec![LetterBox::Replies])
            }
            (_, asked) => {
                let id = asked.parse().map_err(Error::broken("participant_id"))?;
                let tables = self.directory.read();
                let found = tables.participants.get(&id);
                let found = found.map(|participant| (participant, Resource::of(&participant.id)));
                admit(identity, rpc, what, found)?;
                Ok(vec![LetterBox::Participant(id)])
            }
        }
    }

    async fn list(
        &self,
        identity: &Identity,
        request: &v1::ListDeadLettersRequest,
    ) -> Result<v1::ListDeadLettersResponse, Error> {
        let count = page_size(request.page_size, PAGE_SIZE)?;
        let selection = match read_reason(request.reason, "reason")? {
            Some(reason) => Selection::Reason(reason),
            None => Selection::All,
        };
        let boxes = self.boxes(identity, Rpc::ListDeadLetters, &request.participant_id)?;
        let page = self.dead_letters.list(boxes, &selection, count).await?;
        Ok(v1::ListDeadLettersResponse {
            letters: page.letters.iter().map(show).collect(),
            more: page.more,
        })
    }

    async fn get(
        &self,
        identity: &Identity,
        request: &v1::GetDeadLetterRequest,
    ) -> Result<v1::GetDeadLetterResponse, Error> {
        if request.message_id.is_empty() {
            return Err(Error::invalid("message_id", "must be given"));
        }
        let boxes = self.boxes(identity, Rpc::GetDeadLetter, &request.participant_id)?;
        let found = self.dead_letters.find(boxes, &request.message_id).await?;
        let states = self.dead_letters.states(&found).await?;
        let message = &found.letter.message;
        let shown = &message.body[..message.body.len().min(BODY_SHOWN)];
        Ok(v1::GetDeadLetterResponse {
            letter: Some(show(&found)),
            headers: show_headers(message),
            body: String::from_utf8_lossy(shown).into_owned(),
            body_cut: shown.len() < message.body.len(),
            executions: states.iter().map(show_execution).collect(),
        })
    }

    async fn work(
        &self,
        identity: &Identity,
        work: Work,
        participant_id: &str,
        selection: Option<v1::DeadLetterSelection>,
    ) -> Result<Worked, Error> {
        let selection = read_selection(selection)?;
        let rpc = match work {
            Work::Retry => Rpc::RetryDeadLetters,
            Work::Discard => Rpc::DiscardDeadLetters,
        };
        let mut boxes = self.boxes(identity, rpc, participant_id)?;
        if work == Work::Retry && participant_id.is_empty() {
            boxes.retain(|letter_box| *letter_box != LetterBox::Replies);
        }
        let who = identity.to_string();
        self.dead_letters.work(work, boxes, selection, who).await
    }
}

#[tonic::async_trait]
impl DeadLetterService for Service {
    async fn list_dead_letters(
        &self,
        request: Request<v1::ListDeadLettersRequest>,
    ) -> Result<Response<v1::ListDeadLettersResponse>, Status> {
        let work = |caller, request| async move { self.list(&caller, &request).await };
        let about = |request: &v1::ListDeadLettersRequest| of_box(&request.participant_id);
        self.gate
            .call(Rpc::ListDeadLetters, request, about, work)
            .await
    }

    async fn get_dead_letter(
        &self,
        request: Request<v1::GetDeadLetterRequest>,
    ) -> Result<Response<v1::GetDeadLetterResponse>, Status> {
        let work = |caller, request| async move { self.get(&caller, &request).await };
        let about = |request: &v1::GetDeadLetterRequest| of_box(&request.participant_id);
        self.gate
            .call(Rpc::GetDeadLetter, request, about, work)
            .await
    }

    async fn retry_dead_letters(
        &self,
        request: Request<v1::RetryDeadLettersRequest>,
    ) -> Result<Response<v1::RetryDeadLettersResponse>, Status> {
        let work = |caller, request: v1::RetryDeadLettersRequest| async move {
            let (whose, selection) = (&request.participant_id, request.selection);
            let worked = self.work(&caller, Work::Retry, whose, selection).await?;
            Ok(v1::RetryDeadLettersResponse {
                ended_by: ended_by(&worked),
                message_ids: worked.message_ids,
                more: worked.more,
            })
        };
        let about = |request: &v1::RetryDeadLettersRequest| of_box(&request.participant_id);
        self.gate
            .call(Rpc::RetryDeadLetters, request, about, work)
            .await
    }

    async fn discard_dead_letters(
        &self,
        request: Request<v1::DiscardDeadLettersRequest>,
    ) -> Result<Response<v1::DiscardDeadLettersResponse>, Status> {
        let work = |caller, request: v1::DiscardDeadLettersRequest| async move {
            let (whose, selection) = (&request.participant_id, request.selection);
            let worked = self.work(&caller, Work::Discard, whose, selection).await?;
            Ok(v1::DiscardDeadLettersResponse {
                ended_by: ended_by(&worked),
                message_ids: worked.message_ids,
                more: worked.more,
            })
        };
        let about = |request: &v1::DiscardDeadLettersRequest| of_box(&request.participant_id);
        self.gate
            .call(Rpc::DiscardDeadLetters, request, about, work)
            .await
    }
}

/// A participant's dead letters in the audit log; all that the caller may see where none is named.
fn of_box(participant: &str) -> String {
    format!("dead-letters/{participant}")
}

fn ended_by(worked: &Worked) -> String {
    let error = worked.ended_by.as_ref();
    error.map(ToString::to_string).unwrap_or_default()
}

fn read_selection(selection: Option<v1::DeadLetterSelection>) -> Result<Selection, Error> {
    let kind = selection.and_then(|selection| selection.kind);
    match kind.ok_or_else(|| Error::invalid("selection", "must be given"))? {
        Kind::All(v1::AllDeadLetters {}) => Ok(Selection::All),
        Kind::Reason(reason) => read_reason(reason, "selection.reason")?
            .map(Selection::Reason)
            .ok_or_else(|| Error::invalid("selection.reason", "must be given")),
        Kind::MessageIds(v1::MessageIds { ids }) => {
            let field = "selection.message_ids.ids";
            if ids.is_empty() || ids.len() > IDS_MAXIMUM {
                return Err(Error::invalid(field, format!("must be 1 to {IDS_MAXIMUM}")));
            }
            match ids.iter().position(String::is_empty) {
                Some(index) => Err(Error::invalid(
                    format!("{field}[{index}]"),
                    "must not be empty",
                )),
                None => Ok(Selection::Ids(ids.into_iter().collect())),
            }
        }
    }
}

fn read_reason(number: i32, field: &str) -> Result<Option<DeathReason>, Error> {
    match Reason::try_from(number) {
        Ok(Reason::Unspecified) => Ok(None),
        Ok(Reason::Rejected) => Ok(Some(DeathReason::Rejected)),
        Ok(Reason::DeliveryLimit) => Ok(Some(DeathReason::DeliveryLimit)),
        Ok(Reason::MaxLength) => Ok(Some(DeathReason::MaxLength)),
        Ok(Reason::Expired) => Ok(Some(DeathReason::Expired)),
        Err(_) => Err(Error::invalid(field, "must be a known reason")),
    }
}

fn show(listed: &Listed) -> v1::DeadLetter {
    let (letter, message) = (&listed.letter, &listed.letter.message);
    let reason = match letter.death.reason {
        None => Reason::Unspecified,
        Some(DeathReason::Rejected) => Reason::Rejected,
        Some(DeathReason::DeliveryLimit) => Reason::DeliveryLimit,
        Some(DeathReason::MaxLength) => Reason::MaxLength,
        Some(DeathReason::Expired) => Reason::Expired,
    };
    let small = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    let executions = message.number(amqp::header::COUNT).unwrap_or_default();
    // A message without a time has the beginning of time.
    let made = Some(message.timestamp).filter(|made| *made > Timestamp::from_millis(0));
    v1::DeadLetter {
        participant_id: listed.letter_box.name().to_owned(),
        message_id: message.message_id.clone(),
        reason: reason.into(),
        kind: message.kind.clone(),
        sender: message.app_id.clone(),
        create_time: made.map(view::timestamp),
        death_time: letter.death.at.map(view::timestamp),
        execution_count: u32::try_from(executions).unwrap_or_default(),
        body_bytes: listed.body_bytes as u64,
        retries: small(letter.retries()),
        looks: small(letter.looks),
    }
}

fn show_headers(message: &amqp::Message) -> HashMap<String, String> {
    let headers = message.headers.iter().map(|(name, value)| {
        let value = match value {
            HeaderValue::Text(text) => text.clone(),
            HeaderValue::Number(number) => number.to_string(),
        };
        (name.clone(), value)
    });
    headers.collect()
}

fn show_execution((id, state): &(ExecutionId, Option<State>)) -> v1::DeadLetterExecution {
    let state = state.as_ref().map_or_else(Default::default, view::state);
    v1::DeadLetterExecution {
        execution_id: id.to_string(),
        state: state.into(),
    }
}
