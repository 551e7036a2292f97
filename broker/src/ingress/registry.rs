//! `RegistryService`: reads a record, asks the registry, shows the answer; the same four times.

use std::{collections::BTreeMap, sync::Arc};

use domain::{Configuration, Deployment, HostName, Participant, Server};
use proto::v1::{self, registry_service_server::RegistryService};
use tonic::{Request, Response, Status};

use super::{
    commands::page_size,
    identity::{Identity, IdentitySource},
    records::Form,
};
use crate::{
    error::Error,
    registry::{Change, Registrar, Visible},
};

/// Records on a page unless the caller says otherwise, and the most.
const PAGE_SIZE: (usize, usize) = (100, 1_000);

/// The service of one replica.
#[derive(Clone)]
pub(super) struct Registry {
    pub(super) registrar: Registrar,
    pub(super) identities: Arc<IdentitySource>,
}

impl Registry {
    async fn write<R: Form + Clone>(
        &self,
        identity: &Identity,
        message: Option<R::Message>,
        change: Change,
    ) -> Result<R::Message, Error> {
        let record = R::read(message.ok_or_else(|| Error::invalid("record", "must be given"))?)?;
        self.registrar
            .write(identity, record.clone().into_record(), change)
            .await?;
        Ok(record.show())
    }

    fn get<R: Form + Visible>(&self, identity: &Identity, id: &str) -> Result<R::Message, Error> {
        let tables = self.registrar.directory().read();
        let key = id
            .parse::<R::Id>()
            .map_err(Error::broken(format!("{}_id", R::RESOURCE)))?;
        let record = R::table(&tables)
            .get(&key)
            .filter(|record| record.is_visible(identity, &tables));
        record
            .map(|record| record.show())
            .ok_or_else(|| Error::not_found(R::RESOURCE, id))
    }

    /// A page of what the caller may see and asked for, by id.
    pub(super) fn page<R: Visible>(
        &self,
        identity: &Identity,
        asked: i32,
        token: &str,
        wanted: impl Fn(&R) -> bool,
    ) -> Result<(Vec<Arc<R>>, String), Error> {
        let count = page_size(asked, PAGE_SIZE)?;
        let tables = self.registrar.directory().read();
        let mut found = after::<R>(R::table(&tables), token)?
            .filter(|record| record.is_visible(identity, &tables) && wanted(record));
        let mut page = Vec::with_capacity(count.min(64));
        let mut last = String::new();
        while page.len() < count
            && let Some(record) = found.next()
        {
            record.id_text().clone_into(&mut last);
            page.push(Arc::clone(record));
        }
        let next = if found.next().is_some() {
            last
        } else {
            String::new()
        };
        Ok((page, next))
    }
}

/// The records behind a page token, which is the last id of the page before.
fn after<'a, R: Visible>(
    table: &'a BTreeMap<R::Id, Arc<R>>,
    token: &str,
) -> Result<impl Iterator<Item = &'a Arc<R>> + use<'a, R>, Error> {
    use std::ops::Bound;
    let from = match token {
        "" => Bound::Unbounded,
        token => Bound::Excluded(
            token
                .parse::<R::Id>()
                .map_err(|_| Error::invalid("page_token", "must be from an answer before"))?,
        ),
    };
    Ok(table
        .range((from, Bound::Unbounded))
        .map(|(_, record)| record))
}

fn is_or_any(filter: &str, value: &str) -> bool {
    filter.is_empty() || filter == value
}

/// The five calls of each kind of record; only how a list is filtered differs. The whole implementation comes from one
/// macro because the attribute on it must see the functions, not a macro that makes them.
macro_rules! resources {
    ($(
        $record:ident $field:ident $id:ident $list_field:ident filtered by $filter:ident {
            $create:ident($create_request:ident) -> $create_response:ident;
            $get:ident($get_request:ident) -> $get_response:ident;
            $list:ident($list_request:ident) -> $list_response:ident;
            $update:ident($update_request:ident) -> $update_response:ident;
            $delete:ident($delete_request:ident) -> $delete_response:ident;
        }
    )+) => {
        #[tonic::async_trait]
        impl RegistryService for Registry {$(
            async fn $create(&self, request: Request<v1::$create_request>) -> Result<Response<v1::$create_response>, Status> {
                let identity = self.identities.identify(&request)?;
                let record = self.write::<$record>(&identity, request.into_inner().$field, Change::Create).await?;
                Ok(Response::new(v1::$create_response { $field: Some(record) }))
            }

            async fn $get(&self, request: Request<v1::$get_request>) -> Result<Response<v1::$get_response>, Status> {
                let identity = self.identities.identify(&request)?;
                let record = self.get::<$record>(&identity, &request.get_ref().$id)?;
                Ok(Response::new(v1::$get_response { $field: Some(record) }))
            }

            async fn $list(&self, request: Request<v1::$list_request>) -> Result<Response<v1::$list_response>, Status> {
                let identity = self.identities.identify(&request)?;
                let request = request.into_inner();
                let wanted = |record: &$record| $filter(record, &request);
                let (page, next_page_token) =
                    self.page::<$record>(&identity, request.page_size, &request.page_token, wanted)?;
                let $list_field = page.iter().map(|record| record.show()).collect();
                Ok(Response::new(v1::$list_response { $list_field, next_page_token }))
            }

            async fn $update(&self, request: Request<v1::$update_request>) -> Result<Response<v1::$update_response>, Status> {
                let identity = self.identities.identify(&request)?;
                let record = self.write::<$record>(&identity, request.into_inner().$field, Change::Update).await?;
                Ok(Response::new(v1::$update_response { $field: Some(record) }))
            }

            async fn $delete(&self, request: Request<v1::$delete_request>) -> Result<Response<v1::$delete_response>, Status> {
                let identity = self.identities.identify(&request)?;
                self.registrar.delete::<$record>(&identity, &request.get_ref().$id).await?;
                Ok(Response::new(v1::$delete_response {}))
            }
        )+
            async fn list_participant_progress(
                &self,
                request: Request<v1::ListParticipantProgressRequest>,
            ) -> Result<Response<v1::ListParticipantProgressResponse>, Status> {
                let identity = self.identities.identify(&request)?;
                Ok(Response::new(self.list_progress(&identity, request.get_ref()).await?))
            }

            async fn issue_credentials(
                &self,
                request: Request<v1::IssueCredentialsRequest>,
            ) -> Result<Response<v1::IssueCredentialsResponse>, Status> {
                let identity = self.identities.identify(&request)?;
                Ok(Response::new(self.issue(&identity, request.get_ref()).await?))
            }

            async fn put_mapping(
                &self,
                request: Request<v1::PutMappingRequest>,
            ) -> Result<Response<v1::PutMappingResponse>, Status> {
                let identity = self.identities.identify(&request)?;
                Ok(Response::new(self.put(&identity, request.into_inner()).await?))
            }

            async fn get_mapping(
                &self,
                request: Request<v1::GetMappingRequest>,
            ) -> Result<Response<v1::GetMappingResponse>, Status> {
                let identity = self.identities.identify(&request)?;
                Ok(Response::new(self.get_version(&identity, request.get_ref())?))
            }

            async fn list_mappings(
                &self,
                request: Request<v1::ListMappingsRequest>,
            ) -> Result<Response<v1::ListMappingsResponse>, Status> {
                let identity = self.identities.identify(&request)?;
                Ok(Response::new(self.list_current(&identity, request.get_ref())?))
            }

            async fn delete_mapping(
                &self,
                request: Request<v1::DeleteMappingRequest>,
            ) -> Result<Response<v1::DeleteMappingResponse>, Status> {
                let identity = self.identities.identify(&request)?;
                self.registrar.delete_mapping(&identity, &request.get_ref().mapping_name).await?;
                Ok(Response::new(v1::DeleteMappingResponse {}))
            }
        }
    };
}

resources! {
    Participant participant participant_id participants filtered by any {
        create_participant(CreateParticipantRequest) -> CreateParticipantResponse;
        get_participant(GetParticipantRequest) -> GetParticipantResponse;
        list_participants(ListParticipantsRequest) -> ListParticipantsResponse;
        update_participant(UpdateParticipantRequest) -> UpdateParticipantResponse;
        delete_participant(DeleteParticipantRequest) -> DeleteParticipantResponse;
    }
    Server server server_id servers filtered by of_participant {
        create_server(CreateServerRequest) -> CreateServerResponse;
        get_server(GetServerRequest) -> GetServerResponse;
        list_servers(ListServersRequest) -> ListServersResponse;
        update_server(UpdateServerRequest) -> UpdateServerResponse;
        delete_server(DeleteServerRequest) -> DeleteServerResponse;
    }
    Configuration configuration configuration_id configurations filtered by of_owner_and_host {
        create_configuration(CreateConfigurationRequest) -> CreateConfigurationResponse;
        get_configuration(GetConfigurationRequest) -> GetConfigurationResponse;
        list_configurations(ListConfigurationsRequest) -> ListConfigurationsResponse;
        update_configuration(UpdateConfigurationRequest) -> UpdateConfigurationResponse;
        delete_configuration(DeleteConfigurationRequest) -> DeleteConfigurationResponse;
    }
    Deployment deployment deployment_id deployments filtered by of_configuration_and_participant {
        create_deployment(CreateDeploymentRequest) -> CreateDeploymentResponse;
        get_deployment(GetDeploymentRequest) -> GetDeploymentResponse;
        list_deployments(ListDeploymentsRequest) -> ListDeploymentsResponse;
        update_deployment(UpdateDeploymentRequest) -> UpdateDeploymentResponse;
        delete_deployment(DeleteDeploymentRequest) -> DeleteDeploymentResponse;
    }
}

fn any(_: &Participant, _: &v1::ListParticipantsRequest) -> bool {
    true
}

fn of_participant(server: &Server, request: &v1::ListServersRequest) -> bool {
    is_or_any(&request.participant_id, server.participant.as_str())
}

fn of_owner_and_host(
    configuration: &Configuration,
    request: &v1::ListConfigurationsRequest,
) -> bool {
    let host = request.host.parse::<HostName>();
    let has_host =
        request.host.is_empty() || host.is_ok_and(|host| configuration.hosts.contains(&host));
    has_host && is_or_any(&request.owner_id, configuration.owner.as_str())
}

fn of_configuration_and_participant(
    deployment: &Deployment,
    request: &v1::ListDeploymentsRequest,
) -> bool {
    is_or_any(&request.configuration_id, deployment.configuration.as_str())
        && is_or_any(&request.participant_id, deployment.participant.as_str())
}
