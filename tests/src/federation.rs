//! A federation of our own programs: brokers and adapters as processes, and clients that speak to them.
//!
//! Invariant: the real binaries with real configuration files, each in a private folder; one federation's names begin with
//! one prefix, so many run side by side on one RabbitMQ and one Redis.
//! Not here: RabbitMQ, Redis and the caches themselves.

mod client;
mod invocation_system;
mod signatures;

use std::{net::SocketAddr, path::Path, process::Command, time::Duration};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

pub(crate) use self::client::endpoint;
pub use self::client::{Caller, Client, client, draft, load, purge, selector};
pub use self::invocation_system::OwnServer;
use crate::{Shared, adapter::ScriptedAdapter, binaries, ports, process::Process};

/// How long one of our programs may take to be ready.
const START: Duration = Duration::from_secs(30);
/// How long one call of a test may take.
const CALL: Duration = Duration::from_secs(20);

/// A set of brokers and adapters with one prefix.
#[derive(Debug)]
pub struct Federation {
    shared: Shared,
    prefix: String,
    folder: TempDir,
    /// More lines for every broker's configuration.
    pub broker_settings: String,
    /// And those of a federation that signs.
    more_settings: String,
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

impl Federation {
    /// Provisions RabbitMQ for a new prefix.
    pub async fn start(shared: Shared) -> Result<Self> {
        Self::with_settings(shared, "").await
    }

    /// The same, with more lines for the brokers' configuration.
    pub async fn with_settings(shared: Shared, broker_settings: &str) -> Result<Self> {
        let federation = Self::bare(shared, broker_settings)?;
        federation.provision().await?;
        Ok(federation)
    }

    fn bare(shared: Shared, broker_settings: &str) -> Result<Self> {
        Ok(Self {
            shared,
            prefix: format!("{}.", crate::prefix()),
            folder: TempDir::with_prefix("federation-")?,
            broker_settings: broker_settings.to_owned(),
            more_settings: String::new(),
        })
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
        let signing = self.adapter_signing(participant)?;
        let text = format!(
            "participant = \"{participant}\"\nallowed_addresses = [\"127.0.0.0/8\"]\n{settings}\n\
             [amqp]\nurl = \"{}\"\nprefix = \"{}\"\n[journal]\nfolder = \"{}\"\n[signals]\nlisten = \"{signals}\"\n{signing}",
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

    /// Provisions RabbitMQ with the settings as they are now.
    pub async fn provision(&self) -> Result<()> {
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
        let signing =
            toml::from_str(&self.more_settings).context("the keys' settings are no TOML")?;
        let more: toml::Table =
            toml::from_str(&self.broker_settings).context("the broker's settings are no TOML")?;
        let file = self.folder().join(format!("{name}.toml"));
        std::fs::write(
            &file,
            toml::to_string(&merged(merged(base, signing), more))?,
        )?;
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
