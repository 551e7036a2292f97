//! `fedctl participants`: the CDNs in the federation.

use std::path::PathBuf;

use clap::Args;
use proto::v1::{
    CreateParticipantRequest, DeleteParticipantRequest, GetParticipantRequest,
    ListParticipantsRequest, Participant, UpdateParticipantRequest,
};

use super::{Change, Kind, Page, calls::registry_calls, credentials::Destination, progress, set};
use crate::{
    arguments::{
        capability::{Capabilities, capabilities},
        native_limit::{NativeLimits, native_limits},
    },
    broker::{Broker, Refusal},
    failure::Failure,
    view::ParticipantView,
};

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
    /// The dialect of its invocation system or the name of a mapping, where commands go to that instead of to its servers
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
    /// All that its invocation system can do, such as purge:url,purge:tag,load:url [default: everything]
    #[arg(long, value_name = "OPERATION:SELECTOR,...", value_parser = capabilities)]
    can: Option<Capabilities>,
    /// How much one call to its provider holds, such as tags=30,bytes=40000 [default: what docs/dialects.md says]
    #[arg(long, value_name = "UNIT=NUMBER,...", value_parser = native_limits)]
    native_limits: Option<NativeLimits>,
    #[command(flatten)]
    destination: Destination,
    /// Leave its RabbitMQ user without a password
    #[arg(long, conflicts_with = "credentials")]
    no_credentials: bool,
}

impl Create {
    /// Its id, and where the credentials of its adapters go, if they are wanted.
    pub(super) fn wanted(&self) -> Result<Option<(String, PathBuf)>, Failure> {
        if self.no_credentials {
            return Ok(None);
        }
        Ok(Some((self.id.clone(), self.destination.of(&self.id)?)))
    }
}

/// What may be changed in a participant.
#[derive(Debug, Args)]
pub(crate) struct Changes {
    /// What people call it
    #[arg(long, value_name = "NAME")]
    display_name: Option<String>,
    /// The dialect of its invocation system or the name of a mapping; '' tells its servers directly
    #[arg(long, value_name = "DIALECT")]
    invocation_system: Option<String>,
    /// Whether its own commands leave its own servers alone
    #[arg(long, value_name = "BOOL")]
    excludes_own_servers: Option<bool>,
    /// All that its invocation system can do from now on, such as purge:url,load:url
    #[arg(
        long,
        value_name = "OPERATION:SELECTOR,...",
        value_parser = capabilities,
        conflicts_with = "can_everything"
    )]
    can: Option<Capabilities>,
    /// Its invocation system can do everything
    #[arg(long)]
    can_everything: bool,
    /// All that is special from now on in how much one call to its provider holds, such as tags=30,bytes=40000
    #[arg(
        long,
        value_name = "UNIT=NUMBER,...",
        value_parser = native_limits,
        conflicts_with = "usual_native_limits"
    )]
    native_limits: Option<NativeLimits>,
    /// One call to its provider holds what docs/dialects.md says
    #[arg(long)]
    usual_native_limits: bool,
}

impl From<Create> for Participant {
    fn from(typed: Create) -> Self {
        Self {
            id: typed.id,
            display_name: typed.display_name,
            invocation_system: typed.invocation_system,
            excludes_own_servers: typed.excludes_own_servers,
            capabilities: typed.can.map(|can| can.0).unwrap_or_default(),
            signing_keys: Vec::new(),
            native_limits: typed.native_limits.map(|own| own.0).unwrap_or_default(),
        }
    }
}

impl Change<Participant> for Changes {
    fn is_empty(&self) -> bool {
        self.display_name.is_none()
            && self.invocation_system.is_none()
            && self.excludes_own_servers.is_none()
            && self.can.is_none()
            && !self.can_everything
            && self.native_limits.is_none()
            && !self.usual_native_limits
    }

    fn apply(self, record: &mut Participant) {
        set(&mut record.display_name, self.display_name);
        set(&mut record.invocation_system, self.invocation_system);
        set(&mut record.excludes_own_servers, self.excludes_own_servers);
        let can = match self.can {
            None if self.can_everything => Some(Vec::new()),
            can => can.map(|can| can.0),
        };
        set(&mut record.capabilities, can);
        let limits = match self.native_limits {
            None if self.usual_native_limits => Some(Vec::new()),
            own => own.map(|own| own.0),
        };
        set(&mut record.native_limits, limits);
    }
}

impl Kind for Participants {
    const PLURAL: &'static str = "participants";
    type Record = Participant;
    type View = ParticipantView;
    type Filter = Filter;
    type Create = Create;
    type Change = Changes;

    fn listing(_: &Filter, page: Page) -> ListParticipantsRequest {
        ListParticipantsRequest {
            page_size: page.size,
            page_token: page.token,
        }
    }

    registry_calls! {
        participant, participant_id, participants;
        list_participants(ListParticipantsRequest), get_participant(GetParticipantRequest), create_participant(CreateParticipantRequest),
        update_participant(UpdateParticipantRequest, removes_signing_keys), delete_participant(DeleteParticipantRequest)
    }

    async fn complete(
        broker: &Broker,
        participants: &mut [ParticipantView],
    ) -> Result<(), Refusal> {
        progress::complete(broker, participants).await
    }
}
