//! The registry of the peer: records in memory, without any rule but that an id is there once or not at all.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Mutex,
};

use proto::v1::{registry_service_server::RegistryService, *};
use tonic::{Request, Response, Status};

/// Two records on each page, so that every list turns pages.
const PAGE_SIZE: usize = 2;

type Records<T> = Mutex<BTreeMap<String, T>>;

/// Records in memory.
#[derive(Default)]
pub(crate) struct Directory {
    participants: Records<Participant>,
    servers: Records<Server>,
    configurations: Records<Configuration>,
    deployments: Records<Deployment>,
    mappings: Records<Mapping>,
    progress: Records<ParticipantProgress>,
    /// What the next creations answer before they do anything.
    refused: Mutex<VecDeque<Status>>,
    /// What the next changes answer once they have done their work.
    lost: Mutex<VecDeque<Status>>,
    /// What is issued; where there is none, users are the operator's to make.
    credentials: Mutex<Option<AdapterCredentials>>,
    /// What is answered to who asks for the progress.
    withheld: Mutex<Option<Status>>,
}

impl Directory {
    /// The next change is carried out, and answered so.
    pub(crate) fn lose_answer(&self, status: Status) {
        self.lost.lock().expect("nobody panicked").push_back(status);
    }

    /// The next creation is not carried out, and answered so.
    pub(crate) fn refuse(&self, status: Status) {
        self.refused
            .lock()
            .expect("nobody panicked")
            .push_back(status);
    }

    /// This is issued to whoever asks.
    pub(crate) fn set_credentials(&self, credentials: AdapterCredentials) {
        *self.credentials.lock().expect("nobody panicked") = Some(credentials);
    }

    /// Nobody is shown the progress.
    pub(crate) fn withhold(&self, status: Status) {
        *self.withheld.lock().expect("nobody panicked") = Some(status);
    }

    /// How far a participant has come.
    pub(crate) fn set_progress(&self, progress: &ParticipantProgress) {
        put(&self.progress, &progress.participant_id, progress);
    }

    fn answered<T>(&self, answer: T) -> Result<Response<T>, Status> {
        match self.lost.lock().expect("nobody panicked").pop_front() {
            Some(status) => Err(status),
            None => Ok(Response::new(answer)),
        }
    }
}

fn page<T: Clone>(
    records: &Records<T>,
    token: &str,
    wanted: impl Fn(&T) -> bool,
) -> (Vec<T>, String) {
    let records = records.lock().expect("nobody panicked");
    let rest = records
        .iter()
        .filter(|(id, record)| id.as_str() > token && wanted(record));
    let page: Vec<_> = rest.take(PAGE_SIZE).collect();
    let next = match page.last() {
        Some((id, _)) if page.len() == PAGE_SIZE => (*id).clone(),
        _ => String::new(),
    };
    (
        page.into_iter().map(|(_, record)| record.clone()).collect(),
        next,
    )
}

fn get<T: Clone>(records: &Records<T>, id: &str) -> Result<T, Status> {
    let found = records.lock().expect("nobody panicked").get(id).cloned();
    found.ok_or_else(|| Status::not_found(format!("there is no {id}")))
}

fn put<T: Clone>(records: &Records<T>, id: &str, record: &T) {
    records
        .lock()
        .expect("nobody panicked")
        .insert(id.to_owned(), record.clone());
}

fn add<T: Clone>(records: &Records<T>, id: &str, record: &T) -> Result<(), Status> {
    if get(records, id).is_ok() {
        return Err(Status::already_exists(format!("there is a {id}")));
    }
    put(records, id, record);
    Ok(())
}

fn is(value: &str, wanted: &str) -> bool {
    wanted.is_empty() || value == wanted
}

/// Writes the service; the four kinds differ in names and in what their lists are narrowed by.
macro_rules! directory {
    ($(
        $many:ident, $one:ident, $id:ident, $wanted:expr;
        $create:ident $creating:ident $created:ident, $get:ident $getting:ident $got:ident,
        $list:ident $listing:ident $listed:ident, $update:ident $updating:ident $updated:ident,
        $delete:ident $deleting:ident $deleted:ident
    )+) => {
        #[tonic::async_trait]
        impl RegistryService for Directory {
            $(
                async fn $create(
                    &self,
                    request: Request<$creating>,
                ) -> Result<Response<$created>, Status> {
                    let refused = self.refused.lock().expect("nobody panicked").pop_front();
                    refused.map_or(Ok(()), Err)?;
                    let record = request.into_inner().$one.unwrap_or_default();
                    add(&self.$many, &record.id, &record)?;
                    self.answered($created { $one: Some(record) })
                }

                async fn $get(
                    &self,
                    request: Request<$getting>,
                ) -> Result<Response<$got>, Status> {
                    let record = get(&self.$many, &request.into_inner().$id)?;
                    Ok(Response::new($got { $one: Some(record) }))
                }

                async fn $list(
                    &self,
                    request: Request<$listing>,
                ) -> Result<Response<$listed>, Status> {
                    let filter = request.into_inner();
                    let wanted = $wanted;
                    let (found, next_page_token) =
                        page(&self.$many, &filter.page_token, |record| wanted(record, &filter));
                    Ok(Response::new($listed {
                        $many: found,
                        next_page_token,
                    }))
                }

                async fn $update(
                    &self,
                    request: Request<$updating>,
                ) -> Result<Response<$updated>, Status> {
                    let record = request.into_inner().$one.unwrap_or_default();
                    put(&self.$many, &record.id, &record);
                    self.answered($updated { $one: Some(record) })
                }

                async fn $delete(
                    &self,
                    request: Request<$deleting>,
                ) -> Result<Response<$deleted>, Status> {
                    let id = request.into_inner().$id;
                    get(&self.$many, &id)?;
                    self.$many.lock().expect("nobody panicked").remove(&id);
                    self.answered($deleted {})
                }
            )+

            async fn issue_credentials(
                &self,
                request: Request<IssueCredentialsRequest>,
            ) -> Result<Response<IssueCredentialsResponse>, Status> {
                let id = request.into_inner().participant_id;
                get(&self.participants, &id)?;
                let credentials = self.credentials.lock().expect("nobody panicked").clone();
                let user = RabbitUser {
                    name: format!("participant-{id}"),
                    virtual_host: "/".to_owned(),
                    configure: "^$".to_owned(),
                    write: format!(r"^replies\.{id}$"),
                    read: format!(r"^commands\.{id}$"),
                };
                self.answered(IssueCredentialsResponse { credentials, user: Some(user) })
            }

            async fn list_participant_progress(
                &self,
                request: Request<ListParticipantProgressRequest>,
            ) -> Result<Response<ListParticipantProgressResponse>, Status> {
                let withheld = self.withheld.lock().expect("nobody panicked").clone();
                withheld.map_or(Ok(()), Err)?;
                let token = request.into_inner().page_token;
                let (progress, next_page_token) = page(&self.progress, &token, |_| true);
                Ok(Response::new(ListParticipantProgressResponse {
                    progress,
                    next_page_token,
                }))
            }

            async fn grant_deployment(
                &self,
                request: Request<GrantDeploymentRequest>,
            ) -> Result<Response<GrantDeploymentResponse>, Status> {
                let request = request.into_inner();
                let mut record = get(&self.deployments, &request.deployment_id)?;
                record.server_ids = request.server_ids;
                record.set_state(DeploymentState::Granted);
                put(&self.deployments, &request.deployment_id, &record);
                self.answered(GrantDeploymentResponse { deployment: Some(record) })
            }

            async fn revoke_deployment(
                &self,
                request: Request<RevokeDeploymentRequest>,
            ) -> Result<Response<RevokeDeploymentResponse>, Status> {
                let id = request.into_inner().deployment_id;
                let mut record = get(&self.deployments, &id)?;
                record.set_state(DeploymentState::Revoked);
                put(&self.deployments, &id, &record);
                self.answered(RevokeDeploymentResponse { deployment: Some(record) })
            }

            async fn put_mapping(
                &self,
                request: Request<PutMappingRequest>,
            ) -> Result<Response<PutMappingResponse>, Status> {
                let refused = self.refused.lock().expect("nobody panicked").pop_front();
                refused.map_or(Ok(()), Err)?;
                let mut record = request.into_inner().mapping.unwrap_or_default();
                let name = record.document.lines().find_map(|line| line.strip_prefix("name: "));
                record.name = name.unwrap_or_default().to_owned();
                let before = get(&self.mappings, &record.name);
                record.version = 1 + before.map_or(0, |before| before.version);
                record.put_time = Some(prost_types::Timestamp::default());
                put(&self.mappings, &record.name, &record);
                self.answered(PutMappingResponse { mapping: Some(record) })
            }

            async fn get_mapping(
                &self,
                request: Request<GetMappingRequest>,
            ) -> Result<Response<GetMappingResponse>, Status> {
                let record = get(&self.mappings, &request.into_inner().mapping_name)?;
                Ok(Response::new(GetMappingResponse { mapping: Some(record) }))
            }

            async fn list_mappings(
                &self,
                request: Request<ListMappingsRequest>,
            ) -> Result<Response<ListMappingsResponse>, Status> {
                let token = request.into_inner().page_token;
                let (mut mappings, next_page_token) = page(&self.mappings, &token, |_| true);
                for mapping in &mut mappings {
                    mapping.document.clear();
                }
                Ok(Response::new(ListMappingsResponse { mappings, next_page_token }))
            }

            async fn delete_mapping(
                &self,
                request: Request<DeleteMappingRequest>,
            ) -> Result<Response<DeleteMappingResponse>, Status> {
                let name = request.into_inner().mapping_name;
                get(&self.mappings, &name)?;
                self.mappings.lock().expect("nobody panicked").remove(&name);
                self.answered(DeleteMappingResponse {})
            }
        }
    };
}

directory! {
    participants, participant, participant_id, |_: &Participant, _: &ListParticipantsRequest| true;
    create_participant CreateParticipantRequest CreateParticipantResponse,
    get_participant GetParticipantRequest GetParticipantResponse,
    list_participants ListParticipantsRequest ListParticipantsResponse,
    update_participant UpdateParticipantRequest UpdateParticipantResponse,
    delete_participant DeleteParticipantRequest DeleteParticipantResponse

    servers, server, server_id, |record: &Server, filter: &ListServersRequest| {
        is(&record.participant_id, &filter.participant_id)
    };
    create_server CreateServerRequest CreateServerResponse,
    get_server GetServerRequest GetServerResponse,
    list_servers ListServersRequest ListServersResponse,
    update_server UpdateServerRequest UpdateServerResponse,
    delete_server DeleteServerRequest DeleteServerResponse

    configurations, configuration, configuration_id,
    |record: &Configuration, filter: &ListConfigurationsRequest| {
        is(&record.owner_id, &filter.owner_id)
            && (filter.host.is_empty() || record.hosts.contains(&filter.host))
    };
    create_configuration CreateConfigurationRequest CreateConfigurationResponse,
    get_configuration GetConfigurationRequest GetConfigurationResponse,
    list_configurations ListConfigurationsRequest ListConfigurationsResponse,
    update_configuration UpdateConfigurationRequest UpdateConfigurationResponse,
    delete_configuration DeleteConfigurationRequest DeleteConfigurationResponse

    deployments, deployment, deployment_id,
    |record: &Deployment, filter: &ListDeploymentsRequest| {
        is(&record.configuration_id, &filter.configuration_id)
            && is(&record.participant_id, &filter.participant_id)
    };
    create_deployment CreateDeploymentRequest CreateDeploymentResponse,
    get_deployment GetDeploymentRequest GetDeploymentResponse,
    list_deployments ListDeploymentsRequest ListDeploymentsResponse,
    update_deployment UpdateDeploymentRequest UpdateDeploymentResponse,
    delete_deployment DeleteDeploymentRequest DeleteDeploymentResponse
}
