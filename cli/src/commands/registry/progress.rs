//! `fedctl participants`: the records, and beside them who is behind, by how many commands and how long.
//!
//! Invariant: a caller who may not see the progress, or a broker that does not know it, still gives the records.

use std::{collections::HashMap, time::SystemTime};

use clap::{Args, Subcommand};
use proto::v1::ListParticipantProgressRequest;
use tonic::Code;

use super::{
    Action, Registry,
    credentials::{Credentials, issue},
    keys::ParticipantKeys,
    pages,
    participants::{Changes, Create, Filter, Participants},
    print,
};
use crate::{
    broker::{Broker, Refusal},
    commands::Context,
    exit::Exit,
    failure::Failure,
    view::{ParticipantView, ProgressView},
};

/// What to do with participants.
#[derive(Debug, Args)]
pub(crate) struct ParticipantsCommand {
    #[command(subcommand)]
    action: Option<ParticipantsAction>,
}

#[derive(Debug, Subcommand)]
enum ParticipantsAction {
    #[command(flatten)]
    Record(Action<Filter, Create, Changes>),
    /// Make a new RabbitMQ password for its adapters; the one before opens no more connections
    Credentials(Credentials),
    /// Show who is behind, by how many commands and how long, and when each one's adapter was heard
    ///
    /// What waits and what is out is as it is now. What adapters say of themselves is written once a second, and comes with their
    /// reports: `read` and `heard` are a second or two behind.
    Progress,
    /// The public keys that one signs its reports with
    Keys(ParticipantKeys),
}

impl ParticipantsCommand {
    /// Does it; without an action it lists.
    pub(crate) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let action = match self.action {
            Some(ParticipantsAction::Progress) => {
                let progress = progress(&context.broker).await?;
                return print(context, "progress", &progress);
            }
            Some(ParticipantsAction::Credentials(credentials)) => {
                return credentials.run(context).await;
            }
            Some(ParticipantsAction::Record(Action::Create(typed))) => {
                return create(typed, context).await;
            }
            Some(ParticipantsAction::Keys(keys)) => return keys.run(context).await,
            Some(ParticipantsAction::Record(action)) => Some(action),
            None => None,
        };
        Registry::<Participants> { action }.run(context).await
    }
}

/// Adds a participant, and then asks for what its adapters log in with. Where only the second fails it can be asked for again.
async fn create(typed: Create, context: &Context) -> Result<Exit, Failure> {
    let wanted = typed.wanted()?;
    let action = Some(Action::Create(typed));
    let exit = Registry::<Participants> { action }.run(context).await?;
    if let Some((id, file)) = wanted {
        issue(context, &id, &file).await?;
    }
    Ok(exit)
}

/// Puts the progress beside each record.
pub(super) async fn complete(
    broker: &Broker,
    participants: &mut [ParticipantView],
) -> Result<(), Refusal> {
    let progress = match progress(broker).await {
        Ok(progress) => progress,
        Err(refusal) if is_withheld(&refusal) => return Ok(()),
        Err(refusal) => return Err(refusal),
    };
    let by_id = progress.into_iter();
    let mut by_id: HashMap<_, _> = by_id.map(|one| (one.participant_id.clone(), one)).collect();
    for participant in participants {
        participant.progress = by_id.remove(&participant.participant_id);
    }
    Ok(())
}

fn is_withheld(refusal: &Refusal) -> bool {
    let code = refusal.status.code();
    matches!(code, Code::Unimplemented | Code::PermissionDenied)
}

async fn progress(broker: &Broker) -> Result<Vec<ProgressView>, Refusal> {
    let found = pages(async |page| {
        let request = ListParticipantProgressRequest {
            page_size: page.size,
            page_token: page.token,
        };
        let answer = broker
            .registry(async |mut client| client.list_participant_progress(request.clone()).await)
            .await?;
        Ok((answer.progress, answer.next_page_token))
    });
    let now = SystemTime::now();
    let found = found.await?.into_iter();
    Ok(found.map(|one| ProgressView::new(one, now)).collect())
}
