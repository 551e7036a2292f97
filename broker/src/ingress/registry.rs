//! `RegistryService`: reads a record, asks the registry, shows the answer; the same four times.

use std::{collections::BTreeMap, str::FromStr, sync::Arc};

use domain::{
    BrokenRule, Configuration, ConfigurationId, Deployment, HostName, Participant, ParticipantId,
    Server,
};
use proto::v1::{self, registry_service_server::RegistryService};
use tonic::{Request, Response, Status};

use super::{
    commands::page_size,
    gate::Gate,
    identity::Identity,
    mappings,
    records::{Form, granted_servers},
};
use crate::{
    authorise::{Access, Rpc},
    error::{Error, Violation},
    registry::{Change, Registrar, Visible, Written},
};

/// Records on a page unless the caller says otherwise, and the most.
const PAGE_SIZE: (usize, usize) = (100, 1_000);

/// Records with how much of each the caller may see, and the token of the next page.
type Page<R> = (Vec<(Arc<R>, Access)>, String);

/// The service of one replica.
#[derive(Clone)]
pub(super) struct Registry {
    pub(super) registrar: Registrar,
    pub(super) gate: Arc<Gate>,
}

impl Registry {
    async fn write<R: Form + Written>(
        &self,
        identity: &Identity,
        message: Option<R::Message>,
        change: Change,
    ) -> Result<R::Message, Error> {
        let record = R::read(message.ok_or_else(|| Error::invalid(R::RESOURCE, "must be given"))?)?;
        Ok(self.registrar.write(identity, record, change).await?.show())
    }

    fn get<R: Form + Visible>(&self, identity: &Identity, id: &str) -> Result<R::Message, Error> {
        let tables = self.registrar.directory().read();
        let key = id
            .parse::<R::Id>()
            .map_err(Error::broken(format!("{}_id", R::RESOURCE)))?;
        let (record, access) = R::admitted(&tables, identity, R::GET, &key, id)?;
        Ok(record.show_to(access))
    }

    async fn grant(
        &self,
        identity: &Identity,
        request: v1::GrantDeploymentRequest,
    ) -> Result<v1::GrantDeploymentResponse, Error> {
        let servers = granted_servers(&request.server_ids)?;
        let granted = self
            .registrar
            .grant(identity, &request.deployment_id, servers);
        Ok(v1::GrantDeploymentResponse {
            deployment: Some(granted.await?.show()),
        })
    }

    async fn revoke(
        &self,
        identity: &Identity,
        request: v1::RevokeDeploymentRequest,
    ) -> Result<v1::RevokeDeploymentResponse, Error> {
        let revoked = self.registrar.revoke(identity, &request.deployment_id);
        Ok(v1::RevokeDeploymentResponse {
            deployment: Some(revoked.await?.show()),
        })
    }

    /// A page of what the caller may see and asked for, by id.
    pub(super) fn page<R: Visible>(
        &self,
        identity: &Identity,
        asked: i32,
        token: &str,
        wanted: impl Fn(&R) -> bool,
    ) -> Result<Page<R>, Error> {
        let count = page_size(asked, PAGE_SIZE)?;
        let tables = self.registrar.directory().read();
        let seen = |record: &'_ Arc<R>| {
            let access = record.seen_by(identity, &tables);
            (access >= Access::Part).then_some(access)
        };
        let mut found = after::<R>(R::table(&tables), token)?
            .filter(|record| wanted(record))
            .filter_map(|record| Some((record, seen(record)?)));
        let mut page = Vec::with_capacity(count.min(64));
        let mut last = String::new();
        while page.len() < count
            && let Some((record, access)) = found.next()
        {
            record.id_text().clone_into(&mut last);
            page.push((Arc::clone(record), access));
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

/// What a list is narrowed to. Empty means all; what could never be the value is a mistake, and not an empty list.
struct Filters(Vec<Violation>);

impl Filters {
    fn read<T: FromStr<Err = BrokenRule>>(&mut self, field: &str, text: &str) -> Option<T> {
        if text.is_empty() {
            return None;
        }
        let broken = |rule: BrokenRule| self.0.push(Violation::new(field, rule.to_string()));
        text.parse().map_err(broken).ok()
    }
}

fn is_or_any<T: PartialEq>(filter: Option<&T>, value: &T) -> bool {
    filter.is_none_or(|filter| filter == value)
}

/// The five calls of each kind of record; only how a list is filtered differs. The whole implementation comes from one
/// macro because the attribute on it must see the functions, not a macro that makes them.
macro_rules! resources {
    (records {$(
        $record:ident $field:ident $id:ident $list_field:ident filtered by $filter:ident {
            $create:ident($create_rpc:ident, $create_request:ident) -> $create_response:ident;
            $get:ident($get_rpc:ident, $get_request:ident) -> $get_response:ident;
            $list:ident($list_rpc:ident, $list_request:ident) -> $list_response:ident;
            $update:ident($update_rpc:ident, $update_request:ident) -> $update_response:ident;
            $delete:ident($delete_rpc:ident, $delete_request:ident) -> $delete_response:ident;
        }
    )+} others {
        $($other:ident($other_rpc:ident, $other_request:ident) -> $other_response:ident by $work:ident about $about:expr;)+
    } named by their answers {
        $($act:ident($act_rpc:ident, $act_request:ident) -> $act_response:ident by $act_work:ident about $asked:expr, $done:expr;)+
    }) => {
        #[tonic::async_trait]
        impl RegistryService for Registry {$(
            async fn $create(&self, request: Request<v1::$create_request>) -> Result<Response<v1::$create_response>, Status> {
                self.gate.call(Rpc::$create_rpc, request, |request| of_record::<$record>(request.$field.as_ref().map(|record| &record.id)), |caller, request| async move {
                    let record = self.write::<$record>(&caller, request.$field, Change::Create).await?;
                    Ok(v1::$create_response { $field: Some(record) })
                }).await
            }

            async fn $get(&self, request: Request<v1::$get_request>) -> Result<Response<v1::$get_response>, Status> {
                self.gate.call(Rpc::$get_rpc, request, |request| of_record::<$record>(Some(&request.$id)), |caller, request| async move {
                    let record = self.get::<$record>(&caller, &request.$id)?;
                    Ok(v1::$get_response { $field: Some(record) })
                }).await
            }

            async fn $list(&self, request: Request<v1::$list_request>) -> Result<Response<v1::$list_response>, Status> {
                self.gate.call(Rpc::$list_rpc, request, |_| String::new(), |caller, request| async move {
                    let wanted = $filter(&request)?;
                    let (page, next_page_token) =
                        self.page::<$record>(&caller, request.page_size, &request.page_token, wanted)?;
                    let $list_field = page.iter().map(|(record, access)| record.show_to(*access)).collect();
                    Ok(v1::$list_response { $list_field, next_page_token })
                }).await
            }

            async fn $update(&self, request: Request<v1::$update_request>) -> Result<Response<v1::$update_response>, Status> {
                self.gate.call(Rpc::$update_rpc, request, |request| of_record::<$record>(request.$field.as_ref().map(|record| &record.id)), |caller, request| async move {
                    let change = request.change();
                    let record = self.write::<$record>(&caller, request.$field, change).await?;
                    Ok(v1::$update_response { $field: Some(record) })
                }).await
            }

            async fn $delete(&self, request: Request<v1::$delete_request>) -> Result<Response<v1::$delete_response>, Status> {
                self.gate.call(Rpc::$delete_rpc, request, |request| of_record::<$record>(Some(&request.$id)), |caller, request| async move {
                    self.registrar.delete::<$record>(&caller, &request.$id).await?;
                    Ok(v1::$delete_response {})
                }).await
            }
        )+$(
            async fn $other(&self, request: Request<v1::$other_request>) -> Result<Response<v1::$other_response>, Status> {
                self.gate.call(Rpc::$other_rpc, request, $about, |caller, request| async move {
                    self.$work(&caller, request).await
                }).await
            }
        )+$(
            async fn $act(&self, request: Request<v1::$act_request>) -> Result<Response<v1::$act_response>, Status> {
                self.gate.call_that_names(Rpc::$act_rpc, request, $asked, $done, |caller, request| async move {
                    self.$act_work(&caller, request).await
                }).await
            }
        )+}
    };
}

resources! {
    records {
    Participant participant participant_id participants filtered by any {
        create_participant(CreateParticipant, CreateParticipantRequest) -> CreateParticipantResponse;
        get_participant(GetParticipant, GetParticipantRequest) -> GetParticipantResponse;
        list_participants(ListParticipants, ListParticipantsRequest) -> ListParticipantsResponse;
        update_participant(UpdateParticipant, UpdateParticipantRequest) -> UpdateParticipantResponse;
        delete_participant(DeleteParticipant, DeleteParticipantRequest) -> DeleteParticipantResponse;
    }
    Server server server_id servers filtered by of_participant {
        create_server(CreateServer, CreateServerRequest) -> CreateServerResponse;
        get_server(GetServer, GetServerRequest) -> GetServerResponse;
        list_servers(ListServers, ListServersRequest) -> ListServersResponse;
        update_server(UpdateServer, UpdateServerRequest) -> UpdateServerResponse;
        delete_server(DeleteServer, DeleteServerRequest) -> DeleteServerResponse;
    }
    Configuration configuration configuration_id configurations filtered by of_owner_and_host {
        create_configuration(CreateConfiguration, CreateConfigurationRequest) -> CreateConfigurationResponse;
        get_configuration(GetConfiguration, GetConfigurationRequest) -> GetConfigurationResponse;
        list_configurations(ListConfigurations, ListConfigurationsRequest) -> ListConfigurationsResponse;
        update_configuration(UpdateConfiguration, UpdateConfigurationRequest) -> UpdateConfigurationResponse;
        delete_configuration(DeleteConfiguration, DeleteConfigurationRequest) -> DeleteConfigurationResponse;
    }
    Deployment deployment deployment_id deployments filtered by of_configuration_and_participant {
        create_deployment(CreateDeployment, CreateDeploymentRequest) -> CreateDeploymentResponse;
        get_deployment(GetDeployment, GetDeploymentRequest) -> GetDeploymentResponse;
        list_deployments(ListDeployments, ListDeploymentsRequest) -> ListDeploymentsResponse;
        update_deployment(UpdateDeployment, UpdateDeploymentRequest) -> UpdateDeploymentResponse;
        delete_deployment(DeleteDeployment, DeleteDeploymentRequest) -> DeleteDeploymentResponse;
    }
    }
    others {
        list_participant_progress(ListParticipantProgress, ListParticipantProgressRequest)
            -> ListParticipantProgressResponse by list_progress
            about |_| String::new();
        issue_credentials(IssueCredentials, IssueCredentialsRequest) -> IssueCredentialsResponse by issue
            about |request| format!("participant/{}", request.participant_id);
        grant_deployment(GrantDeployment, GrantDeploymentRequest) -> GrantDeploymentResponse by grant
            about |request| format!("deployment/{}", request.deployment_id);
        revoke_deployment(RevokeDeployment, RevokeDeploymentRequest) -> RevokeDeploymentResponse by revoke
            about |request| format!("deployment/{}", request.deployment_id);
        get_mapping(GetMapping, GetMappingRequest) -> GetMappingResponse by get_version
            about |request| of_mapping(Some(&request.mapping_name));
        list_mappings(ListMappings, ListMappingsRequest) -> ListMappingsResponse by list_current
            about |_| String::new();
        delete_mapping(DeleteMapping, DeleteMappingRequest) -> DeleteMappingResponse by delete_named
            about |request| of_mapping(Some(&request.mapping_name));
    }
    named by their answers {
        put_mapping(PutMapping, PutMappingRequest) -> PutMappingResponse by put
            about |request| of_mapping(request.mapping.as_ref().and_then(mappings::claimed_name).as_ref()),
            |answer: &v1::PutMappingResponse| answer.mapping.as_ref().map(|put| of_mapping(Some(&put.name)));
    }
}

/// What an update says besides the record.
trait Update {
    fn change(&self) -> Change {
        Change::Update
    }
}

impl Update for v1::UpdateParticipantRequest {
    fn change(&self) -> Change {
        if self.removes_signing_keys {
            Change::UpdateWithoutKeys
        } else {
            Change::Update
        }
    }
}

impl Update for v1::UpdateServerRequest {}
impl Update for v1::UpdateConfigurationRequest {}
impl Update for v1::UpdateDeploymentRequest {}

/// A record in the audit log.
fn of_record<R: Visible>(id: Option<&String>) -> String {
    format!("{}/{}", R::RESOURCE, id.map_or("", String::as_str))
}

fn of_mapping(name: Option<&String>) -> String {
    format!("mapping/{}", name.map_or("", String::as_str))
}

type Wanted<F> = Result<F, Error>;

#[expect(
    clippy::unnecessary_wraps,
    reason = "as the others, which read a filter"
)]
fn any(_: &v1::ListParticipantsRequest) -> Wanted<impl Fn(&Participant) -> bool + use<>> {
    Ok(|_: &Participant| true)
}

fn of_participant(request: &v1::ListServersRequest) -> Wanted<impl Fn(&Server) -> bool + use<>> {
    let mut filters = Filters(Vec::new());
    let id = filters.read::<ParticipantId>("participant_id", &request.participant_id);
    Error::unless_empty(filters.0)?;
    Ok(move |server: &Server| is_or_any(id.as_ref(), &server.participant))
}

fn of_owner_and_host(
    request: &v1::ListConfigurationsRequest,
) -> Wanted<impl Fn(&Configuration) -> bool + use<>> {
    let mut filters = Filters(Vec::new());
    let owner = filters.read::<ParticipantId>("owner_id", &request.owner_id);
    let host = filters.read::<HostName>("host", &request.host);
    Error::unless_empty(filters.0)?;
    Ok(move |configuration: &Configuration| {
        let mut hosts = host.iter();
        is_or_any(owner.as_ref(), &configuration.owner)
            && hosts.all(|host| configuration.hosts.contains(host))
    })
}

fn of_configuration_and_participant(
    request: &v1::ListDeploymentsRequest,
) -> Wanted<impl Fn(&Deployment) -> bool + use<>> {
    let mut filters = Filters(Vec::new());
    let id = filters.read::<ConfigurationId>("configuration_id", &request.configuration_id);
    let participant = filters.read::<ParticipantId>("participant_id", &request.participant_id);
    Error::unless_empty(filters.0)?;
    Ok(move |deployment: &Deployment| {
        is_or_any(id.as_ref(), &deployment.configuration)
            && is_or_any(participant.as_ref(), &deployment.participant)
    })
}
