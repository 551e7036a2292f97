//! The gRPC server: services, health, reflection, TLS and the limits of a connection.
//!
//! Invariant: it ends within its limit when asked, whatever a client does; open watches end with `UNAVAILABLE`.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use proto::v1::{
    FILE_DESCRIPTOR_SET, command_service_server::CommandServiceServer,
    dead_letter_service_server::DeadLetterServiceServer,
    registry_service_server::RegistryServiceServer,
};
use thiserror::Error;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::transport::{
    Certificate, Identity as OwnIdentity, Server, ServerTlsConfig, server::TcpIncoming,
};
use tracing::{info, warn};

use super::{
    commands::Commands, dead_letters::Service as DeadLetterBoxes, identity::IdentitySource,
    registry::Registry,
};
use crate::{
    config::{Limits, Listen},
    dead_letters::DeadLetters,
    pipeline::Pipeline,
    registry::Registrar,
    track::Watchers,
};

/// How often an idle connection is asked whether it lives, and how long the answer may take.
const KEEPALIVE: (Duration, Duration) = (Duration::from_mins(1), Duration::from_secs(20));
/// Streams that one connection may have open.
const STREAMS_PER_CONNECTION: u32 = 1_024;
/// Resets of one connection that may wait; more is an attack (CVE-2023-44487).
const PENDING_RESETS: usize = 128;
/// How long a TLS handshake may take.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);

/// What is served.
pub struct Services {
    commands: Commands,
    registry: Registry,
    dead_letters: DeadLetterBoxes,
}

impl Services {
    /// The services of one replica.
    pub fn new(
        pipeline: Pipeline,
        registrar: Registrar,
        identities: Arc<IdentitySource>,
        watchers: Arc<Watchers>,
        dead_letters: DeadLetters,
        retention: Duration,
        stop: CancellationToken,
    ) -> Self {
        let dead_letters = DeadLetterBoxes {
            dead_letters,
            directory: Arc::clone(&pipeline.directory),
            identities: Arc::clone(&identities),
        };
        let registry = Registry {
            registrar,
            identities: Arc::clone(&identities),
        };
        Self {
            commands: Commands {
                pipeline,
                identities,
                watchers,
                retention,
                stop,
            },
            registry,
            dead_letters,
        }
    }
}

/// Why it cannot serve.
#[derive(Debug, Error)]
pub enum ServeError {
    /// The address is taken or not ours.
    #[error("cannot listen on {address}")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// A file of TLS cannot be read.
    #[error("cannot read {path}")]
    File {
        /// Which.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// gRPC itself.
    #[error("cannot serve gRPC")]
    Transport(#[from] tonic::transport::Error),
    /// Our own description of the contract.
    #[error("cannot describe the contract")]
    Reflection(#[from] tonic_reflection::server::Error),
}

/// Serves until asked to stop, then finishes open calls.
pub async fn serve(
    listen: Listen,
    limits: Limits,
    services: Services,
    stop: CancellationToken,
) -> Result<(), ServeError> {
    let address = listen.address;
    let listener = TcpListener::bind(address)
        .await
        .map_err(|source| ServeError::Listen { address, source })?;
    let mut server = builder(&limits);
    if let Some(tls) = tls(&listen).await? {
        server = server.tls_config(tls)?;
    }
    let most = limits.request_bytes.0;
    let commands = CommandServiceServer::new(services.commands).max_decoding_message_size(most);
    let registry = RegistryServiceServer::new(services.registry).max_decoding_message_size(most);
    let dead_letters =
        DeadLetterServiceServer::new(services.dead_letters).max_decoding_message_size(most);
    let (health, health_service) = tonic_health::server::health_reporter();
    health.set_serving::<CommandServiceServer<Commands>>().await;
    health
        .set_serving::<RegistryServiceServer<Registry>>()
        .await;
    health
        .set_serving::<DeadLetterServiceServer<DeadLetterBoxes>>()
        .await;
    let router = server
        .add_service(health_service)
        .add_service(reflection().build_v1()?)
        .add_service(reflection().build_v1alpha()?)
        .add_service(commands)
        .add_service(registry)
        .add_service(dead_letters);
    info!(address = %listener.local_addr().unwrap_or(address), insecure = listen.insecure, "serving gRPC");
    let stopping = async move {
        stop.cancelled().await;
        health
            .set_not_serving::<CommandServiceServer<Commands>>()
            .await;
    };
    // The builder's own setting does not hold for sockets that it did not make; without it every answer waits 40 ms.
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    Ok(router
        .serve_with_incoming_shutdown(incoming, stopping)
        .await?)
}

fn builder(limits: &Limits) -> Server {
    Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE.0))
        .http2_keepalive_timeout(Some(KEEPALIVE.1))
        .http2_max_pending_accept_reset_streams(Some(PENDING_RESETS))
        .max_concurrent_streams(Some(STREAMS_PER_CONNECTION))
        .concurrency_limit_per_connection(limits.concurrent_calls)
}

fn reflection() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
}

/// Our certificate, and the authority that callers' certificates must come from; `None` where the configuration allows
/// plain text.
async fn tls(listen: &Listen) -> Result<Option<ServerTlsConfig>, ServeError> {
    let (Some(certificate), Some(key), Some(authority)) =
        (&listen.certificate, &listen.key, &listen.client_authority)
    else {
        warn!(address = %listen.address, "INSECURE: callers are whoever they say they are (listen.insecure = true)");
        return Ok(None);
    };
    let own = OwnIdentity::from_pem(read(certificate).await?, read(key).await?);
    let authority = Certificate::from_pem(read(authority).await?);
    Ok(Some(
        ServerTlsConfig::new()
            .identity(own)
            .client_ca_root(authority)
            .timeout(HANDSHAKE_LIMIT),
    ))
}

async fn read(path: &std::path::Path) -> Result<Vec<u8>, ServeError> {
    let file = |source| ServeError::File {
        path: path.display().to_string(),
        source,
    };
    tokio::fs::read(path).await.map_err(file)
}
