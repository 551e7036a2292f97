//! The host's side of a deployment: granting and revoking.
//!
//! Invariant: only who runs the servers (or an operator, for it) agrees. What was accepted before a grant was taken back stays
//! as it is; what is resolved afterwards does not mean those servers.

use domain::{Agreement, Deployment, DeploymentId, ServerId};

use super::{Registrar, Visible as _, check::check_carrier};
use crate::{authorise::Rpc, error::Error, ingress::Identity};

impl Registrar {
    /// Agrees to a deployment, on these servers of the participant; on all, also later ones, where none is named.
    pub async fn grant(
        &self,
        identity: &Identity,
        id: &str,
        servers: Vec<ServerId>,
    ) -> Result<Deployment, Error> {
        let key = parse(id)?;
        self.rewrite(|tables| {
            let (before, _) =
                Deployment::admitted(tables, identity, Rpc::GrantDeployment, &key, id)?;
            let granted = Deployment {
                servers: servers.clone(),
                agreement: Agreement::Granted,
                ..Deployment::clone(before)
            };
            check_carrier(tables, &granted, "server_ids")?;
            Ok(granted)
        })
        .await
    }

    /// Takes a grant back, or refuses a wish.
    pub async fn revoke(&self, identity: &Identity, id: &str) -> Result<Deployment, Error> {
        let key = parse(id)?;
        self.rewrite(|tables| {
            let (before, _) =
                Deployment::admitted(tables, identity, Rpc::RevokeDeployment, &key, id)?;
            Ok(Deployment {
                agreement: Agreement::Revoked,
                ..Deployment::clone(before)
            })
        })
        .await
    }
}

fn parse(id: &str) -> Result<DeploymentId, Error> {
    id.parse().map_err(Error::broken("deployment_id"))
}
