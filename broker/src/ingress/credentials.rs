//! `IssueCredentials`: what a participant's adapters log in to RabbitMQ with.
//!
//! Invariant: the password stands in the answer and nowhere else.

use proto::v1;
use secrecy::ExposeSecret as _;

use super::{identity::Identity, registry::Registry};
use crate::error::Error;

impl Registry {
    /// A new password, or which user is to be made by hand.
    pub(super) async fn issue(
        &self,
        identity: &Identity,
        request: v1::IssueCredentialsRequest,
    ) -> Result<v1::IssueCredentialsResponse, Error> {
        let issued = self
            .registrar
            .issue(identity, &request.participant_id)
            .await?;
        let credentials = issued.credentials.map(|given| v1::AdapterCredentials {
            url: given.url,
            user: given.user,
            password: given.password.expose_secret().to_owned(),
        });
        Ok(v1::IssueCredentialsResponse {
            credentials,
            user: Some(v1::RabbitUser {
                name: issued.user,
                virtual_host: issued.virtual_host,
                configure: issued.rights.configure,
                write: issued.rights.write,
                read: issued.rights.read,
            }),
        })
    }
}
