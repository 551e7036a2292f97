//! A private RabbitMQ with its management console, small enough to run beside everything else.
//!
//! Invariant: nothing of it outlives us. Erlang's port mapper usually stays behind as a daemon; here it is a child
//! on a port of its own, and the node ends before it.
//! The wrapper in `/usr/sbin` is refused: it changes to a user who cannot write to a private folder.
//! Not here: exchanges, queues and users (`amqp` declares them, [`Management`] adds users).

mod installation;
mod management;

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

pub use self::management::Management;
use crate::{ports, prefix, process::Process};

/// How long a node may take to start: six seconds on a quiet machine.
const START: Duration = Duration::from_mins(2);

/// How far the console is behind, because tests wait for what it shows.
const STATISTICS: Duration = Duration::from_secs(1);

/// Two schedulers that sleep when they have nothing to do, so that many nodes fit on a small machine.
const SMALL: &str = "+S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none";

/// A running RabbitMQ node in a folder of its own. Dropping it ends it and deletes the folder.
#[derive(Debug)]
pub struct RabbitMq {
    node: Process,
    _port_mapper: Process,
    place: Place,
}

/// What a node needs to start, and to start again as the same one.
#[derive(Debug)]
struct Place {
    name: String,
    folder: TempDir,
    scripts: PathBuf,
    amqp: u16,
    management: u16,
    distribution: u16,
    port_mapper: u16,
    statistics: Duration,
}

impl RabbitMq {
    /// Starts it and waits until AMQP and the management API answer.
    pub async fn start() -> Result<Self> {
        Self::run(STATISTICS, "").await
    }

    /// The same, with a console that is as far behind as this: many queues that are counted often take a good part of a
    /// small machine.
    pub async fn with_statistics_every(statistics: Duration) -> Result<Self> {
        Self::run(statistics, "").await
    }

    /// The same, with more lines for its configuration.
    pub async fn start_with(configuration: &str) -> Result<Self> {
        Self::run(STATISTICS, configuration).await
    }

    async fn run(statistics: Duration, configuration: &str) -> Result<Self> {
        let place = Place::prepare(statistics, configuration)?;
        let port_mapper = place.run_port_mapper().await?;
        let node = place.run_node().await?;
        Ok(Self {
            node,
            _port_mapper: port_mapper,
            place,
        })
    }

    /// `amqp://guest:guest@127.0.0.1:port/%2f`
    pub fn amqp_url(&self) -> String {
        format!("amqp://guest:guest@127.0.0.1:{}/%2f", self.place.amqp)
    }

    /// `http://guest:guest@127.0.0.1:port`, the console's address too.
    pub fn management_url(&self) -> String {
        self.place.management_url()
    }

    /// The management API: users, permissions, queues.
    pub fn management(&self) -> Result<Management> {
        Management::new(&self.management_url())
    }

    /// The node's process, which is the Erlang machine itself, to kill or to freeze it.
    pub fn process(&mut self) -> &mut Process {
        &mut self.node
    }

    /// Ends it gently, if it runs, and starts it again on the same folder and ports.
    pub async fn restart(&mut self) -> Result<()> {
        self.node.terminate();
        self.node = self.place.run_node().await?;
        Ok(())
    }

    /// Runs `rabbitmqctl` on this node and gives what it printed.
    pub async fn control(&self, arguments: &[&str]) -> Result<String> {
        let mut command = tokio::process::Command::new(self.place.scripts.join("rabbitmqctl"));
        command
            .args(["--quiet", "--node", &self.place.name])
            .args(arguments)
            .kill_on_drop(true);
        command.envs(self.place.environment());
        let output = tokio::time::timeout(START, command.output())
            .await
            .with_context(|| format!("rabbitmqctl {arguments:?} took longer than {START:?}"))??;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success(),
            "rabbitmqctl {arguments:?}: {errors}"
        );
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

impl Drop for RabbitMq {
    /// A gentle end takes six seconds, to save what is deleted with the folder.
    fn drop(&mut self) {
        self.node.kill9();
    }
}

impl Place {
    fn prepare(statistics: Duration, configuration: &str) -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("federation-rabbitmq-")
            .tempdir()?;
        let place = Self {
            name: format!("{}@localhost", prefix()),
            scripts: installation::link(&folder.path().join("rabbitmq"))?,
            folder,
            amqp: ports::free()?,
            management: ports::free()?,
            distribution: ports::free()?,
            port_mapper: ports::free()?,
            statistics,
        };
        let text = format!("{}{configuration}", place.configuration());
        fs::write(place.path("rabbitmq.conf"), text)?;
        fs::write(
            place.path("plugins"),
            "[rabbitmq_management,rabbitmq_management_agent].",
        )?;
        Ok(place)
    }

    /// Short intervals, because tests wait for what the console shows; small files, because nothing grows here.
    fn configuration(&self) -> String {
        format!(
            "listeners.tcp.1 = 127.0.0.1:{}\n\
             management.tcp.ip = 127.0.0.1\n\
             management.tcp.port = {}\n\
             collect_statistics_interval = {}\n\
             log.console = true\n\
             log.file = false\n\
             vm_memory_high_watermark.absolute = 1GB\n\
             disk_free_limit.absolute = 50MB\n\
             raft.wal_max_size_bytes = 16777216\n",
            self.amqp,
            self.management,
            self.statistics.as_millis()
        )
    }

    fn environment(&self) -> Vec<(&'static str, OsString)> {
        vec![
            ("HOME", self.path("")),
            ("RABBITMQ_NODENAME", self.name.clone().into()),
            ("RABBITMQ_MNESIA_BASE", self.path("data")),
            ("RABBITMQ_LOG_BASE", self.path("logs")),
            ("RABBITMQ_CONFIG_FILE", self.path("rabbitmq.conf")),
            ("RABBITMQ_ENABLED_PLUGINS_FILE", self.path("plugins")),
            ("RABBITMQ_CONF_ENV_FILE", self.path("no-such-file")),
            ("RABBITMQ_DIST_PORT", self.distribution.to_string().into()),
            ("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", SMALL.into()),
            ("ERL_EPMD_ADDRESS", "127.0.0.1".into()),
            ("ERL_EPMD_PORT", self.port_mapper.to_string().into()),
            // The script then becomes the Erlang machine instead of waiting for it.
            ("RUNNING_UNDER_SYSTEMD", "true".into()),
        ]
    }

    async fn run_port_mapper(&self) -> Result<Process> {
        let mut command = Command::new("epmd");
        command.args([
            "-address",
            "127.0.0.1",
            "-port",
            &self.port_mapper.to_string(),
        ]);
        let mut process = Process::start("epmd", self.folder(), command)?;
        let connect = async || TcpStream::connect(("127.0.0.1", self.port_mapper)).await;
        process.ready(START, connect).await?;
        Ok(process)
    }

    async fn run_node(&self) -> Result<Process> {
        let mut command = Command::new(self.scripts.join("rabbitmq-server"));
        command.envs(self.environment());
        let mut process = Process::start("rabbitmq", self.folder(), command)?;
        let management = Management::new(&self.management_url())?;
        let check = async || {
            greet(self.amqp).await?;
            management.get("overview").await
        };
        process.ready(START, check).await?;
        Ok(process)
    }

    fn management_url(&self) -> String {
        format!("http://guest:guest@127.0.0.1:{}", self.management)
    }

    fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn path(&self, name: &str) -> OsString {
        self.folder().join(name).into()
    }
}

/// Opens an AMQP connection as far as the server's first method frame.
async fn greet(port: u16) -> Result<()> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.write_all(b"AMQP\x00\x00\x09\x01").await?;
    let frame = stream.read_u8().await?;
    ensure!(
        frame == 1,
        "the first frame is of kind {frame}, not a method"
    );
    Ok(())
}
