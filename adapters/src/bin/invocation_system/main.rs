//! An example of a participant's invocation system: takes executions in the federation's own format, tells its own
//! servers, and says how far each one is. `docs/invocation-system.openapi.yaml` describes what it serves.
//!
//! It is small, so that a participant can copy it. It tells caches as an adapter of the kind `caches` does. What it
//! leaves out and a real one needs: more than one execution at a time, more than one machine, and metrics.

mod api;
mod drive;
mod store;

use std::{net::SocketAddr, path::PathBuf, process::ExitCode, sync::Arc, time::Duration};

use adapters::{
    address::{AllowedAddress, Ports, Reach},
    config::{Calls, Probes},
};
use clap::Parser;
use domain::{DialectName, ServerId, participant::ServerAddress};
use ipnet::IpNet;
use serde::Deserialize;
use service::{
    Shutdown,
    configuration::{Check, Checked, Secret, load},
    exit::Settings,
    telemetry::LogSettings,
};
use tokio::{net::TcpListener, sync::mpsc};

use crate::{api::Api, drive::Driver, store::Store};

/// How long the execution under way may take after SIGTERM. Otherwise it is carried out again after the start.
const DRAIN_TIME: Duration = Duration::from_secs(10);

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[derive(Debug, Parser)]
#[command(version, about = "An example of a participant's invocation system.")]
struct Arguments {
    /// The operator's configuration file (TOML), laid over the compiled-in default.
    #[arg(long, env = "INVOCATION_SYSTEM_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
}

/// What `default.toml` documents.
#[derive(Debug, Clone, Deserialize)]
struct Configuration {
    listen: SocketAddr,
    token: Secret,
    data_folder: PathBuf,
    #[serde(with = "humantime_serde")]
    keep_for: Duration,
    waiting_limit: usize,
    servers: Vec<OwnServer>,
    allowed_addresses: Vec<AllowedAddress>,
    private_networks: Vec<IpNet>,
    allowed_ports: Vec<Ports>,
    /// Hosts and ports at which an adapter may want to be called back.
    callbacks: Vec<ServerAddress>,
    servers_at_once: usize,
    #[serde(with = "humantime_serde")]
    total_time: Duration,
    #[serde(with = "humantime_serde")]
    load_total_time: Duration,
    calls: Calls,
    probes: Probes,
    logs: LogSettings,
}

/// One of the participant's own servers.
#[derive(Debug, Clone, Deserialize)]
struct OwnServer {
    id: ServerId,
    address: ServerAddress,
    dialect: DialectName,
}

impl Checked for Configuration {
    fn check(&self, check: &mut Check<'_>) {
        check.require(
            "servers",
            !self.servers.is_empty(),
            "must name at least one server",
        );
        for (position, server) in self.servers.iter().enumerate() {
            let known = dialects::by_name(&server.dialect).is_some();
            check.require(
                &format!("servers[{position}].dialect"),
                known,
                "is not a known dialect",
            );
        }
        check.require(
            "servers_at_once",
            self.servers_at_once > 0,
            "must be more than 0",
        );
        for (key, time) in [
            ("total_time", self.total_time),
            ("load_total_time", self.load_total_time),
        ] {
            check.require(key, !time.is_zero(), "must be more than 0");
        }
        check.require(
            "waiting_limit",
            self.waiting_limit > 0,
            "must be more than 0",
        );
        check.within("calls", &self.calls);
        check.within("probes", &self.probes);
        check.within("logs", &self.logs);
    }
}

impl Configuration {
    /// Where servers may be.
    fn reach(&self) -> Reach {
        Reach {
            allowed: self.allowed_addresses.clone(),
            private: self.private_networks.clone(),
            ports: self.allowed_ports.clone(),
        }
    }
}

impl Settings for Configuration {
    fn logs(&self) -> &LogSettings {
        &self.logs
    }
}

fn main() -> ExitCode {
    let arguments: Arguments = match service::arguments() {
        Ok(arguments) => arguments,
        Err(exit) => return exit,
    };
    let default = include_str!("default.toml");
    let load = || load(default, arguments.config.as_deref(), "INVOCATION_SYSTEM");
    service::main("invocation-system", load, run)
}

async fn run(configuration: Configuration, shutdown: Shutdown) -> Result<(), Failure> {
    let store = Arc::new(Store::open(
        &configuration.data_folder,
        configuration.keep_for,
    )?);
    let (waiting, queue) = mpsc::channel(configuration.waiting_limit);
    let driver = Driver::new(&configuration, Arc::clone(&store))?;
    shutdown.spawn("driver", driver.run(queue, shutdown.token()));

    let listener = TcpListener::bind(configuration.listen).await?;
    tracing::info!(listen = %listener.local_addr()?, "serving");
    let api = Api::new(&configuration, store, waiting).router();
    let stopped = shutdown.token().cancelled_owned();
    let serving = axum::serve(listener, api).with_graceful_shutdown(stopped);
    shutdown.spawn("api", async move { serving.await });

    shutdown.asked().await;
    shutdown.drain(DRAIN_TIME).await?;
    Ok(())
}
