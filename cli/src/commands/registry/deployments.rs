//! `fedctl deployments`: which configuration is placed at which participant.

use clap::{Args, Subcommand};
use proto::v1::{
    CreateDeploymentRequest, DeleteDeploymentRequest, Deployment, GetDeploymentRequest,
    GrantDeploymentRequest, ListDeploymentsRequest, RevokeDeploymentRequest,
    UpdateDeploymentRequest,
};

use super::{Action, Change, Id, Kind, Page, act, calls::registry_calls, lost, set, show};
use crate::{commands::Context, exit::Exit, failure::Failure, view::DeploymentView};

/// Which configuration is placed at which participant.
#[derive(Debug)]
pub(crate) struct Deployments;

/// What to do with deployments: what every kind of record has, and the host's agreement.
#[derive(Debug, Args)]
pub(crate) struct DeploymentsCommand {
    #[command(subcommand)]
    action: Option<DeploymentAction>,
}

#[derive(Debug, Subcommand)]
enum DeploymentAction {
    #[command(flatten)]
    Registry(Action<Filter, Create, Changes>),
    /// Agree that a configuration runs on your servers
    Grant(Grant),
    /// Take that back, or refuse; what was accepted before stays as it is
    Revoke(Id),
}

/// An agreement.
#[derive(Debug, Args)]
struct Grant {
    /// The deployment's id
    #[arg(value_name = "ID")]
    id: String,
    /// On which of your servers; may be repeated [default: all, also later ones]
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    server: Vec<String>,
}

impl DeploymentsCommand {
    /// Does it and shows the record, or all of them.
    pub(crate) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        match self.action {
            None => act::<Deployments>(None, context).await,
            Some(DeploymentAction::Registry(action)) => {
                act::<Deployments>(Some(action), context).await
            }
            Some(DeploymentAction::Grant(grant)) => grant.run(context).await,
            Some(DeploymentAction::Revoke(Id { id })) => revoke(&id, context).await,
        }
    }
}

impl Grant {
    async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let request = GrantDeploymentRequest {
            deployment_id: self.id.clone(),
            server_ids: self.server,
        };
        let granted = context
            .broker
            .registry(async |mut client| client.grant_deployment(request.clone()).await);
        let granted = granted.await;
        let granted = granted.map_err(|refusal| lost::<Deployments>(refusal, &self.id))?;
        show::<Deployments>(context, granted.deployment)
    }
}

async fn revoke(id: &str, context: &Context) -> Result<Exit, Failure> {
    let request = RevokeDeploymentRequest {
        deployment_id: id.to_owned(),
    };
    let revoked = context
        .broker
        .registry(async |mut client| client.revoke_deployment(request.clone()).await);
    let revoked = revoked.await;
    let revoked = revoked.map_err(|refusal| lost::<Deployments>(refusal, id))?;
    show::<Deployments>(context, revoked.deployment)
}

/// Which of them.
#[derive(Debug, Default, Args)]
pub(crate) struct Filter {
    /// Only of this configuration
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    configuration: String,
    /// Only at this participant
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    participant: String,
}

/// A whole deployment.
#[derive(Debug, Args)]
pub(crate) struct Create {
    /// Its id
    #[arg(value_name = "ID")]
    id: String,
    /// What is placed
    #[arg(long, value_name = "ID")]
    configuration: String,
    /// At whom
    #[arg(long, value_name = "ID")]
    participant: String,
    /// On which of its servers; may be repeated [default: all, also later ones]
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    server: Vec<String>,
}

/// What may be changed in a deployment.
#[derive(Debug, Args)]
pub(crate) struct Changes {
    /// What is placed
    #[arg(long, value_name = "ID")]
    configuration: Option<String>,
    /// At whom
    #[arg(long, value_name = "ID")]
    participant: Option<String>,
    /// On which of its servers from now on; may be repeated
    #[arg(
        long,
        value_name = "ID",
        value_delimiter = ',',
        conflicts_with = "all_servers"
    )]
    server: Option<Vec<String>>,
    /// On all of its servers from now on, also later ones
    #[arg(long)]
    all_servers: bool,
}

impl From<Create> for Deployment {
    fn from(typed: Create) -> Self {
        Self {
            id: typed.id,
            configuration_id: typed.configuration,
            participant_id: typed.participant,
            server_ids: typed.server,
            state: 0,
        }
    }
}

impl Change<Deployment> for Changes {
    fn is_empty(&self) -> bool {
        self.configuration.is_none()
            && self.participant.is_none()
            && self.server.is_none()
            && !self.all_servers
    }

    fn apply(self, record: &mut Deployment) {
        let servers = if self.all_servers {
            Some(Vec::new())
        } else {
            self.server
        };
        set(&mut record.configuration_id, self.configuration);
        set(&mut record.participant_id, self.participant);
        set(&mut record.server_ids, servers);
    }
}

impl Kind for Deployments {
    const PLURAL: &'static str = "deployments";
    type Record = Deployment;
    type View = DeploymentView;
    type Filter = Filter;
    type Create = Create;
    type Change = Changes;

    fn as_typed(record: Deployment) -> Deployment {
        Deployment { state: 0, ..record }
    }

    fn listing(filter: &Filter, page: Page) -> ListDeploymentsRequest {
        ListDeploymentsRequest {
            page_size: page.size,
            page_token: page.token,
            configuration_id: filter.configuration.clone(),
            participant_id: filter.participant.clone(),
        }
    }

    registry_calls! {
        deployment, deployment_id, deployments;
        list_deployments(ListDeploymentsRequest), get_deployment(GetDeploymentRequest), create_deployment(CreateDeploymentRequest),
        update_deployment(UpdateDeploymentRequest), delete_deployment(DeleteDeploymentRequest)
    }
}
