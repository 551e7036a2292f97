//! `fedctl participants`: the CDNs in the federation.

use clap::Args;
use proto::v1::{
    CreateParticipantRequest, DeleteParticipantRequest, GetParticipantRequest,
    ListParticipantsRequest, Participant, UpdateParticipantRequest,
};
use tonic::Status;

use super::{Change, Kind, Page, set};
use crate::{broker::Broker, view::ParticipantView};

/// The CDNs in the federation.
#[derive(Debug)]
pub(crate) struct Participants;

/// All of them.
#[derive(Debug, Default, Args)]
pub(crate) struct Filter {}

/// A whole participant.
#[derive(Debug, Args)]
pub(crate) struct Create {
    /// Its id: 1 to 63 lower-case letters, digits and hyphens
    #[arg(value_name = "ID")]
    id: String,
    /// What people call it
    #[arg(
        long,
        value_name = "NAME",
        default_value = "",
        hide_default_value = true
    )]
    display_name: String,
    /// The dialect of its invocation system, where commands go to that instead of to its servers
    #[arg(
        long,
        value_name = "DIALECT",
        default_value = "",
        hide_default_value = true
    )]
    invocation_system: String,
    /// Its own commands leave its own servers alone, because its own system has told them
    #[arg(long)]
    excludes_own_servers: bool,
}

/// What may be changed in a participant.
#[derive(Debug, Args)]
pub(crate) struct Changes {
    /// What people call it
    #[arg(long, value_name = "NAME")]
    display_name: Option<String>,
    /// The dialect of its invocation system; '' tells its servers directly
    #[arg(long, value_name = "DIALECT")]
    invocation_system: Option<String>,
    /// Whether its own commands leave its own servers alone
    #[arg(long, value_name = "BOOL")]
    excludes_own_servers: Option<bool>,
}

impl From<Create> for Participant {
    fn from(typed: Create) -> Self {
        Self {
            id: typed.id,
            display_name: typed.display_name,
            invocation_system: typed.invocation_system,
            excludes_own_servers: typed.excludes_own_servers,
        }
    }
}

impl Change<Participant> for Changes {
    fn is_empty(&self) -> bool {
        self.display_name.is_none()
            && self.invocation_system.is_none()
            && self.excludes_own_servers.is_none()
    }

    fn apply(self, record: &mut Participant) {
        set(&mut record.display_name, self.display_name);
        set(&mut record.invocation_system, self.invocation_system);
        set(&mut record.excludes_own_servers, self.excludes_own_servers);
    }
}

impl Kind for Participants {
    const PLURAL: &'static str = "participants";
    type Record = Participant;
    type View = ParticipantView;
    type Filter = Filter;
    type Create = Create;
    type Change = Changes;

    async fn page(
        broker: &Broker,
        _: &Filter,
        page: Page,
    ) -> Result<(Vec<Participant>, String), Status> {
        let request = ListParticipantsRequest {
            page_size: page.size,
            page_token: page.token,
        };
        let answer = broker
            .registry(async |mut client| client.list_participants(request.clone()).await)
            .await?;
        Ok((answer.participants, answer.next_page_token))
    }

    async fn get(broker: &Broker, id: &str) -> Result<Option<Participant>, Status> {
        let request = GetParticipantRequest {
            participant_id: id.to_owned(),
        };
        let answer = broker
            .registry(async |mut client| client.get_participant(request.clone()).await)
            .await?;
        Ok(answer.participant)
    }

    async fn create(broker: &Broker, record: Participant) -> Result<Option<Participant>, Status> {
        let request = CreateParticipantRequest {
            participant: Some(record),
        };
        let answer = broker
            .registry(async |mut client| client.create_participant(request.clone()).await)
            .await?;
        Ok(answer.participant)
    }

    async fn update(broker: &Broker, record: Participant) -> Result<Option<Participant>, Status> {
        let request = UpdateParticipantRequest {
            participant: Some(record),
        };
        let answer = broker
            .registry(async |mut client| client.update_participant(request.clone()).await)
            .await?;
        Ok(answer.participant)
    }

    async fn delete(broker: &Broker, id: &str) -> Result<(), Status> {
        let request = DeleteParticipantRequest {
            participant_id: id.to_owned(),
        };
        broker
            .registry(async |mut client| client.delete_participant(request.clone()).await)
            .await?;
        Ok(())
    }
}
