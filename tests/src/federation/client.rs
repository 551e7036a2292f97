//! Clients that call a broker as somebody, and the drafts that tests submit.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use anyhow::Result;
use proto::v1::{
    self, audit_service_client::AuditServiceClient, command_service_client::CommandServiceClient,
    dead_letter_service_client::DeadLetterServiceClient,
    receipt_service_client::ReceiptServiceClient, registry_service_client::RegistryServiceClient,
};
use tonic::{
    Request, Status,
    metadata::AsciiMetadataValue,
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Channel, Endpoint},
};

use super::CALL;
use crate::wait;

/// A server at which nobody is.
pub const NOWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1);
/// The metadata field that says who calls a broker without TLS.
const IDENTITY: &str = "x-federation-identity";

/// Clients that call as somebody.
#[derive(Debug, Clone)]
pub struct Client {
    /// Commands.
    pub commands: CommandServiceClient<InterceptedService<Channel, Caller>>,
    /// The registry.
    pub registry: RegistryServiceClient<InterceptedService<Channel, Caller>>,
    /// Dead letters.
    pub dead_letters: DeadLetterServiceClient<InterceptedService<Channel, Caller>>,
    /// The audit log.
    pub audit: AuditServiceClient<InterceptedService<Channel, Caller>>,
    /// Receipts.
    pub receipts: ReceiptServiceClient<InterceptedService<Channel, Caller>>,
}

/// Puts the caller's name on each call, where no certificate says it.
#[derive(Debug, Clone)]
pub struct Caller(Option<AsciiMetadataValue>);

impl Interceptor for Caller {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(name) = &self.0 {
            request.metadata_mut().insert(IDENTITY, name.clone());
        }
        request.set_timeout(CALL);
        Ok(request)
    }
}

/// A client that calls a broker without TLS.
pub fn client(address: SocketAddr, identity: &str) -> Result<Client> {
    let channel = endpoint(&format!("http://{address}"))?.connect_lazy();
    Ok(Client::over(channel, Some(identity.parse()?)))
}

/// Where a broker is.
pub(crate) fn endpoint(url: &str) -> Result<Endpoint> {
    Ok(Endpoint::from_shared(url.to_owned())?.connect_timeout(CALL))
}

impl Client {
    /// A client over this channel, with the caller's name on each call where no certificate says it.
    pub(crate) fn over(channel: Channel, name: Option<AsciiMetadataValue>) -> Self {
        let caller = Caller(name);
        Self {
            commands: CommandServiceClient::with_interceptor(channel.clone(), caller.clone()),
            registry: RegistryServiceClient::with_interceptor(channel.clone(), caller.clone()),
            audit: AuditServiceClient::with_interceptor(channel.clone(), caller.clone()),
            dead_letters: DeadLetterServiceClient::with_interceptor(
                channel.clone(),
                caller.clone(),
            ),
            receipts: ReceiptServiceClient::with_interceptor(channel, caller),
        }
    }

    /// Creates a participant whose servers are told directly.
    pub async fn create_participant(&mut self, id: &str) -> Result<()> {
        self.put_participant(v1::Participant {
            id: id.to_owned(),
            ..v1::Participant::default()
        })
        .await
    }

    /// Creates a participant.
    pub async fn put_participant(&mut self, participant: v1::Participant) -> Result<()> {
        let request = v1::CreateParticipantRequest {
            participant: Some(participant),
        };
        self.registry.create_participant(request).await?;
        Ok(())
    }

    /// Creates a server.
    pub async fn create_server(
        &mut self,
        id: &str,
        participant: &str,
        dialect: &str,
        address: SocketAddr,
    ) -> Result<()> {
        let server = v1::Server {
            id: id.to_owned(),
            participant_id: participant.to_owned(),
            dialect: dialect.to_owned(),
            address: address.to_string(),
            place: None,
        };
        self.registry
            .create_server(v1::CreateServerRequest {
                server: Some(server),
            })
            .await?;
        Ok(())
    }

    /// Creates a configuration of the owner with these host names.
    pub async fn create_configuration(
        &mut self,
        id: &str,
        owner: &str,
        hosts: &[&str],
    ) -> Result<()> {
        let configuration = v1::Configuration {
            id: id.to_owned(),
            customer_id: "customer".to_owned(),
            owner_id: owner.to_owned(),
            hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
            wide_purges_need_approval: None,
        };
        let request = v1::CreateConfigurationRequest {
            configuration: Some(configuration),
        };
        self.registry.create_configuration(request).await?;
        Ok(())
    }

    /// The usual scene: the participant has one server, of this dialect at this address, and on it its configuration `shop` with
    /// the host `www.shop.example`.
    pub async fn open_shop(
        &mut self,
        owner: &str,
        (dialect, address): (&str, SocketAddr),
    ) -> Result<()> {
        self.create_server(&format!("{owner}1"), owner, dialect, address)
            .await?;
        self.create_configuration("shop", owner, &["www.shop.example"])
            .await?;
        self.deploy("shop", owner).await
    }

    /// Deploys a configuration on all servers of a participant.
    pub async fn deploy(&mut self, configuration: &str, participant: &str) -> Result<()> {
        let deployment = v1::Deployment {
            id: format!("{configuration}-{participant}"),
            configuration_id: configuration.to_owned(),
            participant_id: participant.to_owned(),
            ..v1::Deployment::default()
        };
        self.registry
            .create_deployment(v1::CreateDeploymentRequest {
                deployment: Some(deployment),
            })
            .await?;
        Ok(())
    }

    /// Submits a draft.
    pub async fn submit(&mut self, draft: v1::CommandDraft) -> Result<v1::Command, Status> {
        let request = v1::SubmitCommandRequest {
            draft: Some(draft),
            ..v1::SubmitCommandRequest::default()
        };
        let answer = self.commands.submit_command(request).await?.into_inner();
        answer
            .command
            .ok_or_else(|| Status::internal("the answer holds no command"))
    }

    /// A command as it stands.
    pub async fn get(&mut self, id: &str) -> Result<v1::Command, Status> {
        let request = v1::GetCommandRequest {
            command_id: id.to_owned(),
        };
        let answer = self.commands.get_command(request).await?.into_inner();
        answer
            .command
            .ok_or_else(|| Status::internal("the answer holds no command"))
    }

    /// Waits until a command has settled.
    pub async fn settled(&mut self, id: &str, limit: Duration) -> Result<v1::Command> {
        let what = format!("command {id} settles");
        wait::until(limit, &what, async || {
            let command = self.clone().get(id).await.ok()?;
            command
                .standing
                .as_ref()
                .is_some_and(|standing| standing.settled)
                .then_some(command)
        })
        .await
    }
}

/// A purge (delete) or load of URLs.
pub fn draft(operation: v1::operation::Kind, urls: &[&str]) -> v1::CommandDraft {
    let selectors = urls
        .iter()
        .map(|url| selector(v1::selector::Kind::Url((*url).to_owned())));
    v1::CommandDraft {
        operation: Some(v1::Operation {
            kind: Some(operation),
        }),
        selectors: selectors.collect(),
        ..v1::CommandDraft::default()
    }
}

/// A purge of URLs.
pub fn purge(urls: &[&str]) -> v1::CommandDraft {
    draft(
        v1::operation::Kind::Purge(v1::Purge {
            mode: v1::PurgeMode::Delete.into(),
        }),
        urls,
    )
}

/// A load of URLs.
pub fn load(urls: &[&str]) -> v1::CommandDraft {
    draft(v1::operation::Kind::Load(v1::Load {}), urls)
}

/// A selector.
pub fn selector(kind: v1::selector::Kind) -> v1::Selector {
    v1::Selector { kind: Some(kind) }
}
