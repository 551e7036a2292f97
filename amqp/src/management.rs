//! RabbitMQ's users, through its management API: one for each participant, one for the brokers.
//!
//! Invariant: everything may be done twice. A user's rights stand before its password, so nobody can log in with too many.
//! A password is made here, given out once, and known to RabbitMQ by its salted hash alone.
//! Not here: which rights there are (`rights`), queues and exchanges (`provision`).

mod call;
mod password;

use domain::ParticipantId;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use tracing::info;

use self::call::Api;
pub use self::call::{ManagementError, ManagementSettings};
use crate::{
    credentials::Credentials,
    rights::Rights,
    topology::{REPLIES, Topology},
};

/// How RabbitMQ is to check a password.
const HASHING: &str = "rabbit_password_hashing_sha256";
/// Nobody can log in with that.
const NO_PASSWORD: &str = "";

/// What one participant's user may have open at a time.
#[derive(Debug, Clone, Copy)]
pub struct UserLimits {
    /// Connections. An adapter has two, and others of the participant stand by.
    pub connections: u32,
    /// Channels on all of them.
    pub channels: u32,
}

/// Makes users.
#[derive(Debug, Clone)]
pub struct Users {
    api: Api,
    topology: Topology,
    limits: UserLimits,
    adapters_url: String,
}

impl Users {
    /// Adapters are told to connect to `adapters_url`, which has neither user nor password.
    pub fn new(
        settings: ManagementSettings,
        topology: Topology,
        limits: UserLimits,
        adapters_url: String,
    ) -> Result<Self, ManagementError> {
        Ok(Self {
            api: Api::new(settings)?,
            topology,
            limits,
            adapters_url,
        })
    }

    /// Makes the user of a participant, without a password, or sets its rights and limits as they should be.
    pub async fn prepare(&self, participant: &ParticipantId) -> Result<(), ManagementError> {
        let user = self.checked_user(participant)?;
        self.make(&user, NO_PASSWORD).await?;
        self.allow(&user, &self.topology.rights(participant))
            .await?;
        for (limit, value) in [
            ("max-connections", self.limits.connections),
            ("max-channels", self.limits.channels),
        ] {
            let value = json!({ "value": value });
            self.api.put(&["user-limits", &user, limit], value).await?;
        }
        info!(%participant, user, "a participant's RabbitMQ user is as it should be");
        Ok(())
    }

    /// A new password for the user of a participant, whose rights are set first. The one before no longer opens connections; those that are
    /// open stay.
    pub async fn issue(&self, participant: &ParticipantId) -> Result<Credentials, ManagementError> {
        self.prepare(participant).await?;
        let user = self.topology.user(participant);
        let made = password::make();
        self.write(&user, &password::hash(&made)).await?;
        info!(%participant, user, "gave a participant's RabbitMQ user a new password");
        Ok(Credentials {
            url: self.adapters_url.clone(),
            user,
            password: made,
        })
    }

    /// Removes the user of a participant. RabbitMQ closes its connections.
    pub async fn remove(&self, participant: &ParticipantId) -> Result<(), ManagementError> {
        let user = self.checked_user(participant)?;
        self.api.delete(&["users", &user]).await?;
        info!(%participant, user, "removed a participant's RabbitMQ user");
        Ok(())
    }

    /// Makes the brokers' user, if it is not there, and takes from it what brokers do not need while they serve.
    pub async fn prepare_broker(
        &self,
        user: &str,
        password: &SecretString,
    ) -> Result<(), ManagementError> {
        self.make(user, &password::hash(password)).await?;
        self.allow(user, &self.topology.broker_rights()).await?;
        info!(user, "the brokers' RabbitMQ user is as it should be");
        Ok(())
    }

    fn checked_user(&self, participant: &ParticipantId) -> Result<String, ManagementError> {
        if participant.as_str() == REPLIES {
            return Err(ManagementError::Reserved);
        }
        Ok(self.topology.user(participant))
    }

    /// Leaves one that is there, with its password.
    async fn make(&self, user: &str, password_hash: &str) -> Result<(), ManagementError> {
        if self.api.exists(&["users", user]).await? {
            return Ok(());
        }
        self.write(user, password_hash).await
    }

    /// Without any tag a user may not use the management API at all, nor speak as somebody else.
    async fn write(&self, user: &str, password_hash: &str) -> Result<(), ManagementError> {
        let body = json!({
            "password_hash": password_hash,
            "hashing_algorithm": HASHING,
            "tags": "",
        });
        self.api.put(&["users", user], body).await
    }

    async fn allow(&self, user: &str, rights: &Rights) -> Result<(), ManagementError> {
        let body = json!({
            "configure": rights.configure,
            "write": rights.write,
            "read": rights.read,
        });
        let path = ["permissions", self.api.virtual_host(), user];
        self.api.put(&path, body).await
    }
}

impl Users {
    /// The virtual host that the rights count in.
    pub fn virtual_host(&self) -> &str {
        self.api.virtual_host()
    }
}

/// What of an AMQP URL those who make users must know, apart: user, password, virtual host, and the URL without user and
/// password. `None` where it is none.
pub fn parts_of(url: &SecretString) -> Option<UrlParts> {
    let uri: lapin::uri::AMQPUri = url.expose_secret().parse().ok()?;
    let mut bare: reqwest::Url = url.expose_secret().parse().ok()?;
    bare.set_username("").ok()?;
    bare.set_password(None).ok()?;
    bare.set_query(None);
    Some(UrlParts {
        user: uri.authority.userinfo.username,
        password: uri.authority.userinfo.password.into(),
        virtual_host: uri.vhost,
        bare: bare.into(),
    })
}

/// An AMQP URL taken apart.
#[derive(Debug, Clone)]
pub struct UrlParts {
    /// The user.
    pub user: String,
    /// Its password.
    pub password: SecretString,
    /// The virtual host.
    pub virtual_host: String,
    /// The URL without user and password.
    pub bare: String,
}
