//! The registry's commands, against a directory in memory.

use std::{collections::BTreeMap, sync::Mutex};

use proto::v1::{registry_service_server::RegistryService, *};
use tonic::{Request, Response, Status};

use crate::{fedctl::run, peer::Peer};

/// Two records on each page, so that every list turns pages.
const PAGE_SIZE: usize = 2;

type Records<T> = Mutex<BTreeMap<String, T>>;

/// Records in memory, without any rule.
#[derive(Default)]
pub(crate) struct Directory {
    participants: Records<Participant>,
    servers: Records<Server>,
    configurations: Records<Configuration>,
    deployments: Records<Deployment>,
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

fn is(value: &str, wanted: &str) -> bool {
    wanted.is_empty() || value == wanted
}

#[tonic::async_trait]
impl RegistryService for Directory {
    async fn create_participant(
        &self,
        request: Request<CreateParticipantRequest>,
    ) -> Result<Response<CreateParticipantResponse>, Status> {
        let participant = request.into_inner().participant.unwrap_or_default();
        put(&self.participants, &participant.id, &participant);
        Ok(Response::new(CreateParticipantResponse {
            participant: Some(participant),
        }))
    }

    async fn get_participant(
        &self,
        request: Request<GetParticipantRequest>,
    ) -> Result<Response<GetParticipantResponse>, Status> {
        let participant = get(&self.participants, &request.into_inner().participant_id)?;
        Ok(Response::new(GetParticipantResponse {
            participant: Some(participant),
        }))
    }

    async fn list_participants(
        &self,
        request: Request<ListParticipantsRequest>,
    ) -> Result<Response<ListParticipantsResponse>, Status> {
        let filter = request.into_inner();
        let (participants, next_page_token) =
            page(&self.participants, &filter.page_token, |_| true);
        Ok(Response::new(ListParticipantsResponse {
            participants,
            next_page_token,
        }))
    }

    async fn update_participant(
        &self,
        request: Request<UpdateParticipantRequest>,
    ) -> Result<Response<UpdateParticipantResponse>, Status> {
        let participant = request.into_inner().participant.unwrap_or_default();
        put(&self.participants, &participant.id, &participant);
        Ok(Response::new(UpdateParticipantResponse {
            participant: Some(participant),
        }))
    }

    async fn delete_participant(
        &self,
        request: Request<DeleteParticipantRequest>,
    ) -> Result<Response<DeleteParticipantResponse>, Status> {
        let id = request.into_inner().participant_id;
        get(&self.participants, &id)?;
        self.participants
            .lock()
            .expect("nobody panicked")
            .remove(&id);
        Ok(Response::new(DeleteParticipantResponse {}))
    }

    async fn create_server(
        &self,
        request: Request<CreateServerRequest>,
    ) -> Result<Response<CreateServerResponse>, Status> {
        let server = request.into_inner().server.unwrap_or_default();
        put(&self.servers, &server.id, &server);
        Ok(Response::new(CreateServerResponse {
            server: Some(server),
        }))
    }

    async fn get_server(
        &self,
        request: Request<GetServerRequest>,
    ) -> Result<Response<GetServerResponse>, Status> {
        let server = get(&self.servers, &request.into_inner().server_id)?;
        Ok(Response::new(GetServerResponse {
            server: Some(server),
        }))
    }

    async fn list_servers(
        &self,
        request: Request<ListServersRequest>,
    ) -> Result<Response<ListServersResponse>, Status> {
        let filter = request.into_inner();
        let (servers, next_page_token) = page(&self.servers, &filter.page_token, |record| {
            is(&record.participant_id, &filter.participant_id)
        });
        Ok(Response::new(ListServersResponse {
            servers,
            next_page_token,
        }))
    }

    async fn update_server(
        &self,
        request: Request<UpdateServerRequest>,
    ) -> Result<Response<UpdateServerResponse>, Status> {
        let server = request.into_inner().server.unwrap_or_default();
        put(&self.servers, &server.id, &server);
        Ok(Response::new(UpdateServerResponse {
            server: Some(server),
        }))
    }

    async fn delete_server(
        &self,
        request: Request<DeleteServerRequest>,
    ) -> Result<Response<DeleteServerResponse>, Status> {
        let id = request.into_inner().server_id;
        get(&self.servers, &id)?;
        self.servers.lock().expect("nobody panicked").remove(&id);
        Ok(Response::new(DeleteServerResponse {}))
    }

    async fn create_configuration(
        &self,
        request: Request<CreateConfigurationRequest>,
    ) -> Result<Response<CreateConfigurationResponse>, Status> {
        let configuration = request.into_inner().configuration.unwrap_or_default();
        put(&self.configurations, &configuration.id, &configuration);
        Ok(Response::new(CreateConfigurationResponse {
            configuration: Some(configuration),
        }))
    }

    async fn get_configuration(
        &self,
        request: Request<GetConfigurationRequest>,
    ) -> Result<Response<GetConfigurationResponse>, Status> {
        let configuration = get(&self.configurations, &request.into_inner().configuration_id)?;
        Ok(Response::new(GetConfigurationResponse {
            configuration: Some(configuration),
        }))
    }

    async fn list_configurations(
        &self,
        request: Request<ListConfigurationsRequest>,
    ) -> Result<Response<ListConfigurationsResponse>, Status> {
        let filter = request.into_inner();
        let (configurations, next_page_token) =
            page(&self.configurations, &filter.page_token, |record| {
                is(&record.owner_id, &filter.owner_id)
                    && (filter.host.is_empty() || record.hosts.contains(&filter.host))
            });
        Ok(Response::new(ListConfigurationsResponse {
            configurations,
            next_page_token,
        }))
    }

    async fn update_configuration(
        &self,
        request: Request<UpdateConfigurationRequest>,
    ) -> Result<Response<UpdateConfigurationResponse>, Status> {
        let configuration = request.into_inner().configuration.unwrap_or_default();
        put(&self.configurations, &configuration.id, &configuration);
        Ok(Response::new(UpdateConfigurationResponse {
            configuration: Some(configuration),
        }))
    }

    async fn delete_configuration(
        &self,
        request: Request<DeleteConfigurationRequest>,
    ) -> Result<Response<DeleteConfigurationResponse>, Status> {
        let id = request.into_inner().configuration_id;
        get(&self.configurations, &id)?;
        self.configurations
            .lock()
            .expect("nobody panicked")
            .remove(&id);
        Ok(Response::new(DeleteConfigurationResponse {}))
    }

    async fn create_deployment(
        &self,
        request: Request<CreateDeploymentRequest>,
    ) -> Result<Response<CreateDeploymentResponse>, Status> {
        let deployment = request.into_inner().deployment.unwrap_or_default();
        put(&self.deployments, &deployment.id, &deployment);
        Ok(Response::new(CreateDeploymentResponse {
            deployment: Some(deployment),
        }))
    }

    async fn get_deployment(
        &self,
        request: Request<GetDeploymentRequest>,
    ) -> Result<Response<GetDeploymentResponse>, Status> {
        let deployment = get(&self.deployments, &request.into_inner().deployment_id)?;
        Ok(Response::new(GetDeploymentResponse {
            deployment: Some(deployment),
        }))
    }

    async fn list_deployments(
        &self,
        request: Request<ListDeploymentsRequest>,
    ) -> Result<Response<ListDeploymentsResponse>, Status> {
        let filter = request.into_inner();
        let (deployments, next_page_token) =
            page(&self.deployments, &filter.page_token, |record| {
                is(&record.configuration_id, &filter.configuration_id)
                    && is(&record.participant_id, &filter.participant_id)
            });
        Ok(Response::new(ListDeploymentsResponse {
            deployments,
            next_page_token,
        }))
    }

    async fn update_deployment(
        &self,
        request: Request<UpdateDeploymentRequest>,
    ) -> Result<Response<UpdateDeploymentResponse>, Status> {
        let deployment = request.into_inner().deployment.unwrap_or_default();
        put(&self.deployments, &deployment.id, &deployment);
        Ok(Response::new(UpdateDeploymentResponse {
            deployment: Some(deployment),
        }))
    }

    async fn delete_deployment(
        &self,
        request: Request<DeleteDeploymentRequest>,
    ) -> Result<Response<DeleteDeploymentResponse>, Status> {
        let id = request.into_inner().deployment_id;
        get(&self.deployments, &id)?;
        self.deployments
            .lock()
            .expect("nobody panicked")
            .remove(&id);
        Ok(Response::new(DeleteDeploymentResponse {}))
    }
}

/// Runs one line after the other and keeps all that was said.
async fn session(lines: &[&str]) -> String {
    let (_peer, broker) = Peer::default().listen().await;
    let mut said = Vec::new();
    for line in lines {
        let run = run(&broker, line).await;
        let code = run.code.unwrap_or(-1);
        let (stdout, stderr) = (run.stdout, run.stderr);
        said.push(format!(
            "$ fedctl {line}\n{stdout}{stderr}exit code {code}\n"
        ));
    }
    said.join("\n")
}

/// An operator builds a small federation by hand and looks at it; a bare noun lists, over all pages.
#[tokio::test]
async fn records_are_created_and_listed() {
    let text = session(&[
        "participants",
        "participants create north --display-name North",
        "participants create south --excludes-own-servers",
        "participants create west --invocation-system canonical",
        "servers create varnish-1 --participant north --dialect varnish --address 10.0.0.7:80 --place eu/de/berlin",
        "servers create nginx-1 --participant south --dialect nginx --address 10.1.0.7:80",
        "configurations create shop --customer acme --owner north --host www.example.com,img.example.com",
        "deployments create shop-at-north --configuration shop --participant north",
        "deployments create shop-at-south --configuration shop --participant south --server nginx-1",
        "participants",
        "servers",
        "servers list --participant south",
        "configurations",
        "deployments",
        "deployments list --participant south --json",
    ])
    .await;
    insta::assert_snapshot!(text);
}

/// An update replaces the record at the broker, but what was not typed stays as it was.
#[tokio::test]
async fn an_update_keeps_what_was_not_typed() {
    let text = session(&[
        "servers create varnish-1 --participant north --dialect varnish --address 10.0.0.7:80 --place eu/de/berlin",
        "servers update varnish-1 --address 10.0.0.8:80",
        "servers update varnish-1",
        "deployments create shop-at-south --configuration shop --participant south --server nginx-1",
        "deployments update shop-at-south --all-servers",
        "servers get varnish-1 --json",
        "servers delete varnish-1",
        "servers get varnish-1",
    ])
    .await;
    insta::assert_snapshot!(text);
}
