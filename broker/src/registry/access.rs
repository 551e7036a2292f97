//! What a participant's adapters log in to RabbitMQ with.
//!
//! Invariant: whoever gets a password has the rights of its participant and no more. Where this broker makes no users, it says
//! which one is to be made.

use amqp::{Credentials, ManagementError, Rights, Topology, Users};
use domain::{Participant, ParticipantId};

use super::{Registrar, Visible as _};
use crate::{authorise::Rpc, error::Error, ingress::Identity};

/// RabbitMQ's users, as far as this broker makes them.
#[derive(Debug, Clone)]
pub struct Access {
    /// The names.
    pub topology: Topology,
    /// Where rights count.
    pub virtual_host: String,
    /// Absent where users are the operator's to make.
    pub users: Option<Users>,
}

/// One user.
#[derive(Debug, Clone)]
pub struct Issued {
    /// Its name.
    pub user: String,
    /// Where its rights count.
    pub virtual_host: String,
    /// What it may do.
    pub rights: Rights,
    /// What it logs in with; absent where the user is the operator's to make.
    pub credentials: Option<Credentials>,
}

impl Access {
    /// Makes the user of a participant, or sets its rights as they should be.
    pub async fn prepare(&self, participant: &ParticipantId) -> Result<(), ManagementError> {
        match &self.users {
            Some(users) => users.prepare(participant).await,
            None => Ok(()),
        }
    }

    /// Removes it.
    pub(super) async fn remove(&self, participant: &ParticipantId) -> Result<(), ManagementError> {
        match &self.users {
            Some(users) => users.remove(participant).await,
            None => Ok(()),
        }
    }

    async fn issue(&self, participant: &ParticipantId) -> Result<Issued, ManagementError> {
        let credentials = match &self.users {
            Some(users) => Some(users.issue(participant).await?),
            None => None,
        };
        Ok(Issued {
            user: self.topology.user(participant),
            virtual_host: self.virtual_host.clone(),
            rights: self.topology.rights(participant),
            credentials,
        })
    }
}

impl Registrar {
    /// A new password for the adapters of a participant that the caller may act for.
    pub async fn issue(&self, identity: &Identity, id: &str) -> Result<Issued, Error> {
        let participant: ParticipantId = id.parse().map_err(Error::broken("participant_id"))?;
        let _alone = self.changing.lock().await;
        self.follower.catch_up().await?;
        {
            let tables = self.directory.read();
            Participant::admitted(&tables, identity, Rpc::IssueCredentials, &participant, id)?;
        }
        Ok(self.access.issue(&participant).await?)
    }
}
