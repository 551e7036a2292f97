//! A federation of our own programs: brokers and adapters as processes, and clients that speak to them.
//!
//! Invariant: the real binaries with real configuration files, each in a private folder; one federation's names begin with
//! one prefix, so many run side by side on one RabbitMQ and one Redis. In one that is restricted, brokers and adapters have users of
//! their own there, with no more rights than in production.
//! Not here: RabbitMQ, Redis and the caches themselves.

mod client;
mod invocation_system;
mod signatures;

use std::{
    fs::Permissions,
    io::Write as _,
    net::SocketAddr,
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use broker::store::Keys;
use proto::v1;
use tempfile::TempDir;

pub(crate) use self::client::endpoint;
pub use self::client::{Caller, Client, NOWHERE, client, draft, load, purge, selector};
pub use self::invocation_system::OwnServer;
use crate::{Shared, adapter::ScriptedAdapter, binaries, ports, process::Process, redis, wait};

/// How long one of our programs may take to be ready.
const START: Duration = Duration::from_secs(30);
/// How long one call of a test may take.
const CALL: Duration = Duration::from_secs(20);
/// Of the brokers' users at RabbitMQ and Redis.
const PASSWORD: &str = "a-password-of-the-harness";

/// A set of brokers and adapters with one prefix.
#[derive(Debug)]
pub struct Federation {
    shared: Shared,
    prefix: String,
    folder: TempDir,
    /// Whether brokers and adapters have users of their own.
    is_restricted: bool,
    /// Who is asked for the credentials of adapters.
    broker: Mutex<Option<SocketAddr>>,
    /// More lines for every broker's configuration.
    pub broker_settings: String,
    /// And those of a federation that signs.
    more_settings: String,
    /// More lines for every adapter's `[amqp]`.
    adapter_amqp: String,
    /// Where brokers reach Redis, if not where everybody does.
    rediss: Option<String>,
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

impl Program {
    /// Its metrics as they stand, in Prometheus' text format.
    pub async fn metrics(&self) -> Result<String> {
        let url = format!("http://{}/metrics", self.signals);
        Ok(crate::http().get(url).send().await?.text().await?)
    }

    /// Waits until its metrics have this line: a name, labels and value. What is counted is counted after it happened, and
    /// whoever sees that it happened may be early.
    pub async fn shows(&self, limit: Duration, line: &str) -> Result<()> {
        wait::until(limit, &format!("the metrics say {line}"), async || {
            let metrics = self.metrics().await?;
            ensure!(metrics.lines().any(|one| one == line), "{metrics}");
            Ok(())
        })
        .await
    }
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
        federation.set_up().await?;
        Ok(federation)
    }

    /// The same, where nobody may do more at RabbitMQ and Redis than in production.
    pub async fn restricted(shared: Shared, broker_settings: &str) -> Result<Self> {
        let federation = Self {
            is_restricted: true,
            ..Self::bare(shared, broker_settings)?
        };
        federation.set_up().await?;
        Ok(federation)
    }

    /// The same, where brokers reach Redis at `rediss`, and adapters have more lines in their `[amqp]`.
    pub async fn over_tls(
        shared: Shared,
        rediss: &str,
        broker_settings: &str,
        adapter_amqp: &str,
    ) -> Result<Self> {
        let federation = Self {
            is_restricted: true,
            rediss: Some(rediss.to_owned()),
            adapter_amqp: adapter_amqp.to_owned(),
            ..Self::bare(shared, broker_settings)?
        };
        federation.set_up().await?;
        Ok(federation)
    }

    /// The brokers' users, and what is declared.
    async fn set_up(&self) -> Result<()> {
        if self.is_restricted {
            self.make_redis_user().await?;
        }
        self.provision().await
    }

    fn bare(shared: Shared, broker_settings: &str) -> Result<Self> {
        Ok(Self {
            shared,
            prefix: format!("{}.", crate::prefix()),
            folder: closed_folder()?,
            is_restricted: false,
            broker: Mutex::default(),
            broker_settings: broker_settings.to_owned(),
            more_settings: String::new(),
            adapter_amqp: String::new(),
            rediss: None,
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
        let broker = self.run(name, command, address, signals).await?;
        *self.broker.lock().unwrap_or_else(PoisonError::into_inner) = Some(address);
        Ok(broker)
    }

    /// Starts an adapter of a participant for caches on this machine. Started again under its name it has its journal.
    pub async fn adapter(&self, name: &str, participant: &str, settings: &str) -> Result<Program> {
        let signals = loopback(ports::free()?);
        let journal = self.folder().join(format!("{name}-journal"));
        let signing = self.adapter_signing(participant)?;
        let login = match self.credentials(participant).await? {
            Some(file) => format!("credentials = \"{}\"", file.display()),
            None => format!("url = \"{}\"", self.shared.amqp),
        };
        let text = format!(
            "participant = \"{participant}\"\nallowed_addresses = [\"127.0.0.0/8\"]\n{settings}\n\
             [amqp]\n{login}\nprefix = \"{}\"\n{}\n[journal]\nfolder = \"{}\"\n[signals]\nlisten = \"{signals}\"\n{signing}",
            self.prefix,
            self.adapter_amqp,
            journal.display(),
        );
        let file = self.folder().join(format!("{name}.toml"));
        std::fs::write(&file, text)?;
        let mut command = Command::new(binaries::adapter()?);
        command.arg("--config").arg(file);
        self.run(name, command, signals, signals).await
    }

    /// The file with what the adapters of a participant log in with, asked of the last broker that was started, once. `None`
    /// where nobody is restricted.
    pub async fn credentials(&self, participant: &str) -> Result<Option<PathBuf>> {
        if !self.is_restricted {
            return Ok(None);
        }
        let file = self.credentials_file(participant);
        if file.exists() {
            return Ok(Some(file));
        }
        let broker = *self.broker.lock().unwrap_or_else(PoisonError::into_inner);
        let broker = broker.context("a broker was started before")?;
        let mut operator = client(broker, "operator/harness")?;
        self.issue(&mut operator, participant).await.map(Some)
    }

    /// Asks a broker for what the adapters of a participant log in with, and writes it into their file.
    pub async fn issue(&self, operator: &mut Client, participant: &str) -> Result<PathBuf> {
        let request = v1::IssueCredentialsRequest {
            participant_id: participant.to_owned(),
        };
        let issued = operator.registry.issue_credentials(request).await?;
        let issued = issued.into_inner().credentials;
        let issued = issued.context("the broker makes users")?;
        let text = serde_json::json!({
            "url": issued.url,
            "user": issued.user,
            "password": issued.password,
        });
        let file = self.credentials_file(participant);
        write_secret(&file, &text.to_string())?;
        Ok(file)
    }

    fn credentials_file(&self, participant: &str) -> PathBuf {
        self.folder()
            .join(format!("{participant}.credentials.json"))
    }

    async fn make_redis_user(&self) -> Result<()> {
        let rules = broker::store::rules(&Keys::new(&self.prefix, 1));
        let name = self.brokers_name();
        redis::put_user(&self.shared.redis, &name, PASSWORD, &rules).await
    }

    fn brokers_name(&self) -> String {
        format!("{}broker", self.prefix)
    }

    /// Where brokers reach Redis, and what of `[amqp]` says as whom they reach RabbitMQ.
    fn logins(&self) -> Result<(String, String)> {
        let Shared {
            amqp,
            management,
            redis,
        } = &self.shared;
        if !self.is_restricted {
            return Ok((redis.clone(), format!("url = \"{amqp}\"")));
        }
        let (name, redis) = (self.brokers_name(), self.rediss.as_ref().unwrap_or(redis));
        let own = with_user(amqp, &name)?;
        let lines = format!(
            "url = \"{own}\"\nprovision_url = \"{amqp}\"\nmanagement = {{ url = \"{management}\" }}"
        );
        Ok((with_user(redis, &name)?, lines))
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
        let (redis, amqp) = self.logins()?;
        let base: toml::Table = toml::from_str(&format!(
            "[listen]\naddress = \"{address}\"\ninsecure = true\n[signals]\nlisten = \"{signals}\"\n\
             [redis]\nurl = \"{redis}\"\n[store]\nprefix = \"{}\"\n[amqp]\nprefix = \"{}\"\n{amqp}\n",
            self.prefix, self.prefix,
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

fn with_user(url: &str, user: &str) -> Result<String> {
    let mut url: reqwest::Url = url.parse()?;
    let set = url.set_username(user);
    set.and_then(|()| url.set_password(Some(PASSWORD)))
        .map_err(|()| anyhow::anyhow!("the address takes no user"))?;
    Ok(url.into())
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

/// A folder for passwords and keys: nobody else may look into it.
fn closed_folder() -> Result<TempDir> {
    let mut builder = tempfile::Builder::new();
    builder
        .prefix("federation-")
        .permissions(Permissions::from_mode(0o700));
    Ok(builder.tempdir()?)
}

/// Writes a file that only its owner may read.
fn write_secret(file: &Path, text: &str) -> Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    options.open(file)?.write_all(text.as_bytes())?;
    Ok(())
}
