//! A federation of our own programs: brokers and adapters as processes, and clients that speak to them.
//!
//! Invariant: the real binaries with real configuration files, each in a private folder; one federation's names begin with
//! one prefix, so many run side by side on one RabbitMQ and one Redis.
//! Not here: RabbitMQ, Redis and the caches themselves.

mod invocation_system;

use std::{net::SocketAddr, path::Path, process::Command, time::Duration};

use anyhow::{Context, Result, ensure};
use proto::v1::{
    self, command_service_client::CommandServiceClient,
    registry_service_client::RegistryServiceClient,
};
use tempfile::TempDir;
use tonic::{
    Request, Status,
    metadata::AsciiMetadataValue,
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Channel, Endpoint},
};

pub use self::invocation_system::OwnServer;
use crate::{Shared, adapter::ScriptedAdapter, binaries, ports, process::Process, wait};

/// How long one of our programs may take to be ready.
const START: Duration = Duration::from_secs(30);
/// How long one call of a test may take.
const CALL: Duration = Duration::from_secs(20);
/// The metadata field that says who calls a broker without TLS.
const IDENTITY: &str = "x-federation-identity";

/// A set of brokers and adapters with one prefix.
#[derive(Debug)]
pub struct Federation {
    shared: Shared,
    prefix: String,
    folder: TempDir,
    /// More lines for every broker's configuration.
    pub broker_settings: String,
}

/// One of our programs, running.
#[derive(Debug)]
pub struct Program {
    /// Its process.
    pub process: Process,
    /// Where it serves: gRPC for a broker, its API for an invocation system.
    pub address: SocketAddr,
    /// Where it serves metrics and health.
    pub signals: SocketAddr,
}

impl Drop for Program {
    /// Our programs are crash-only, and a test that ends has no more time for their clients' goodbyes.
    fn drop(&mut self) {
        self.process.kill9();
    }
}

/// Clients that call as somebody.
#[derive(Debug, Clone)]
pub struct Client {
    /// Commands.
    pub commands: CommandServiceClient<InterceptedService<Channel, Caller>>,
    /// The registry.
    pub registry: RegistryServiceClient<InterceptedService<Channel, Caller>>,
}

/// Puts the caller's name on each call.
#[derive(Debug, Clone)]
pub struct Caller(AsciiMetadataValue);

impl Interceptor for Caller {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert(IDENTITY, self.0.clone());
        request.set_timeout(CALL);
        Ok(request)
    }
}

impl Federation {
    /// Provisions RabbitMQ for a new prefix.
    pub async fn start(shared: Shared) -> Result<Self> {
        Self::with_settings(shared, "").await
    }

    /// The same, with more lines for the brokers' configuration.
    pub async fn with_settings(shared: Shared, broker_settings: &str) -> Result<Self> {
        let federation = Self {
            shared,
            prefix: format!("{}.", crate::prefix()),
            folder: TempDir::with_prefix("federation-")?,
            broker_settings: broker_settings.to_owned(),
        };
        federation.provision().await?;
        Ok(federation)
    }

    /// What every name in RabbitMQ and every key in Redis begins with.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Where configurations, journals and logs lie.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A scripted adapter of a participant.
    pub fn scripted(&self, participant: &str) -> Result<ScriptedAdapter> {
        ScriptedAdapter::start(&self.shared.amqp, &self.prefix, participant)
    }

    /// The servers that this federation shares with others.
    pub fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Starts a broker and waits until it is ready.
    pub async fn broker(&self, name: &str) -> Result<Program> {
        let (address, signals) = (loopback(ports::free()?), loopback(ports::free()?));
        let file = self.write_broker_configuration(name, address, signals)?;
        let mut command = Command::new(binaries::broker()?);
        command.arg("--config").arg(file);
        self.run(name, command, address, signals).await
    }

    /// Starts an adapter of a participant for caches on this machine. Started again under its name it has its journal.
    pub async fn adapter(&self, name: &str, participant: &str, settings: &str) -> Result<Program> {
        let signals = loopback(ports::free()?);
        let journal = self.folder().join(format!("{name}-journal"));
        let text = format!(
            "participant = \"{participant}\"\nallowed_addresses = [\"127.0.0.0/8\"]\n{settings}\n\
             [amqp]\nurl = \"{}\"\nprefix = \"{}\"\n[journal]\nfolder = \"{}\"\n[signals]\nlisten = \"{signals}\"\n",
            self.shared.amqp,
            self.prefix,
            journal.display(),
        );
        let file = self.folder().join(format!("{name}.toml"));
        std::fs::write(&file, text)?;
        let mut command = Command::new(binaries::adapter()?);
        command.arg("--config").arg(file);
        self.run(name, command, signals, signals).await
    }

    /// A client that calls a broker as `participant/<id>` or `operator/<name>`.
    pub fn client(&self, broker: &Program, identity: &str) -> Result<Client> {
        client(broker.address, identity)
    }

    /// Runs `fedctl` against a broker as `identity`; its exit code and output.
    pub async fn fedctl(
        &self,
        broker: &Program,
        arguments: &[&str],
    ) -> Result<std::process::Output> {
        let mut command = tokio::process::Command::new(binaries::fedctl()?);
        command
            .arg("--broker")
            .arg(format!("http://{}", broker.address))
            .args(arguments);
        command
            .stdin(std::process::Stdio::null())
            .kill_on_drop(true);
        tokio::time::timeout(6 * CALL, command.output())
            .await
            .context("fedctl did not end")?
            .context("cannot run fedctl")
    }

    async fn provision(&self) -> Result<()> {
        let unused = loopback(ports::free()?);
        let file = self.write_broker_configuration("provision", unused, unused)?;
        let mut command = tokio::process::Command::new(binaries::broker()?);
        command
            .arg("--config")
            .arg(file)
            .arg("provision")
            .stdin(std::process::Stdio::null());
        let output = tokio::time::timeout(START, command.output())
            .await
            .context("provisioning did not end")??;
        ensure!(
            output.status.success(),
            "provisioning failed: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(())
    }

    fn write_broker_configuration(
        &self,
        name: &str,
        address: SocketAddr,
        signals: SocketAddr,
    ) -> Result<std::path::PathBuf> {
        let base: toml::Table = toml::from_str(&format!(
            "[listen]\naddress = \"{address}\"\ninsecure = true\n[signals]\nlisten = \"{signals}\"\n\
             [redis]\nurl = \"{}\"\n[store]\nprefix = \"{}\"\n[amqp]\nurl = \"{}\"\nprefix = \"{}\"\n",
            self.shared.redis, self.prefix, self.shared.amqp, self.prefix,
        ))?;
        let more: toml::Table =
            toml::from_str(&self.broker_settings).context("the broker's settings are no TOML")?;
        let file = self.folder().join(format!("{name}.toml"));
        std::fs::write(&file, toml::to_string(&merged(base, more))?)?;
        Ok(file)
    }

    async fn run(
        &self,
        name: &str,
        command: Command,
        address: SocketAddr,
        signals: SocketAddr,
    ) -> Result<Program> {
        let mut process = Process::start(name, self.folder(), command)?;
        let http = crate::http();
        let ready = format!("http://{signals}/readyz");
        process
            .ready(START, async || {
                http.get(&ready)
                    .send()
                    .await
                    .is_ok_and(|answer| answer.status() == 200)
            })
            .await?;
        Ok(Program {
            process,
            address,
            signals,
        })
    }
}

/// A client that calls a broker without TLS.
pub fn client(address: SocketAddr, identity: &str) -> Result<Client> {
    let channel = Endpoint::from_shared(format!("http://{address}"))?
        .connect_timeout(CALL)
        .connect_lazy();
    let caller = Caller(identity.parse()?);
    Ok(Client {
        commands: CommandServiceClient::with_interceptor(channel.clone(), caller.clone()),
        registry: RegistryServiceClient::with_interceptor(channel, caller),
    })
}

impl Client {
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
        };
        let request = v1::CreateConfigurationRequest {
            configuration: Some(configuration),
        };
        self.registry.create_configuration(request).await?;
        Ok(())
    }

    /// Deploys a configuration on all servers of a participant.
    pub async fn deploy(&mut self, configuration: &str, participant: &str) -> Result<()> {
        let deployment = v1::Deployment {
            id: format!("{configuration}-{participant}"),
            configuration_id: configuration.to_owned(),
            participant_id: participant.to_owned(),
            server_ids: Vec::new(),
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

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// The tables of `more` laid over those of `base`.
fn merged(mut base: toml::Table, more: toml::Table) -> toml::Table {
    for (key, value) in more {
        match (base.remove(&key), value) {
            (Some(toml::Value::Table(before)), toml::Value::Table(after)) => {
                base.insert(key, merged(before, after).into());
            }
            (_, value) => {
                base.insert(key, value);
            }
        }
    }
    base
}
