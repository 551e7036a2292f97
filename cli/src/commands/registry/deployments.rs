//! `fedctl deployments`: which configuration is placed at which participant.

use clap::Args;
use proto::v1::{
    CreateDeploymentRequest, DeleteDeploymentRequest, Deployment, GetDeploymentRequest,
    ListDeploymentsRequest, UpdateDeploymentRequest,
};

use super::{Change, Kind, Page, calls::registry_calls, set};
use crate::view::DeploymentView;

/// Which configuration is placed at which participant.
#[derive(Debug)]
pub(crate) struct Deployments;

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
