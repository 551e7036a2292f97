//! The gRPC server: services, health, reflection, and the limits of what a connection may ask.
//!
//! Invariant: it ends within its limit when asked, whatever a client does; open watches end with `UNAVAILABLE`.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use futures::StreamExt as _;
use proto::v1::{
    FILE_DESCRIPTOR_SET, audit_service_server::AuditServiceServer,
    command_service_server::CommandServiceServer,
    dead_letter_service_server::DeadLetterServiceServer,
    receipt_service_server::ReceiptServiceServer, registry_service_server::RegistryServiceServer,
};
use thiserror::Error;
use tokio::net::TcpListener;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{server::NamedService as _, transport::Server};
use tonic_health::{ServingStatus, server::HealthReporter};
use tower_layer::{Identity as NoLayer, Stack};
use tracing::{info, warn};

use super::{
    accept::Door, admission::Admission, audit::Service as AuditLog, commands::Commands,
    dead_letters::Service as DeadLetterBoxes, gate::Gate, receipts::Service as ReceiptChains,
    registry::Registry, trust::Trust,
};
use crate::{
    config::{Connections, Limits, Listen},
    dead_letters::DeadLetters,
    pipeline::Pipeline,
    receipts::Receipts,
    registry::Registrar,
    track::Watchers,
};

/// What is served.
pub struct Services {
    commands: Commands,
    registry: Registry,
    dead_letters: DeadLetterBoxes,
    audit: AuditLog,
    receipts: ReceiptChains,
}

impl Services {
    /// The services of one replica.
    pub fn new(
        pipeline: Pipeline,
        registrar: Registrar,
        gate: Arc<Gate>,
        watchers: Arc<Watchers>,
        (dead_letters, receipts): (DeadLetters, Receipts),
        (retention, answer_bytes): (Duration, usize),
        stop: CancellationToken,
    ) -> Self {
        let dead_letters = DeadLetterBoxes {
            dead_letters,
            directory: Arc::clone(&pipeline.directory),
            gate: Arc::clone(&gate),
        };
        let audit = AuditLog {
            store: pipeline.store.clone(),
            gate: Arc::clone(&gate),
        };
        let receipts = ReceiptChains {
            receipts,
            page_bytes: answer_bytes / 2,
            gate: Arc::clone(&gate),
        };
        let registry = Registry {
            registrar,
            gate: Arc::clone(&gate),
        };
        Self {
            commands: Commands {
                pipeline: Arc::new(pipeline),
                gate,
                watchers,
                retention,
                answer_bytes,
                stop,
            },
            registry,
            dead_letters,
            audit,
            receipts,
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
    connections: Connections,
    limits: Limits,
    trust: Trust,
    services: Services,
    stop: CancellationToken,
) -> Result<(), ServeError> {
    let address = listen.address;
    let listener = TcpListener::bind(address)
        .await
        .map_err(|source| ServeError::Listen { address, source })?;
    let address = listener.local_addr().unwrap_or(address);
    let (request, answer) = (limits.request_bytes.0, limits.answer_bytes.0);
    let commands = CommandServiceServer::new(services.commands)
        .max_decoding_message_size(request)
        .max_encoding_message_size(answer);
    let registry = RegistryServiceServer::new(services.registry)
        .max_decoding_message_size(request)
        .max_encoding_message_size(answer);
    let dead_letters = DeadLetterServiceServer::new(services.dead_letters)
        .max_decoding_message_size(request)
        .max_encoding_message_size(answer);
    let audit = AuditServiceServer::new(services.audit)
        .max_decoding_message_size(request)
        .max_encoding_message_size(answer);
    let receipts = ReceiptServiceServer::new(services.receipts)
        .max_decoding_message_size(request)
        .max_encoding_message_size(answer);
    let (health, health_service) = tonic_health::server::health_reporter();
    show_health(&health, ServingStatus::Serving).await;
    let router = builder(&connections, &limits)
        .add_service(health_service)
        .add_service(reflection().build_v1()?)
        .add_service(reflection().build_v1alpha()?)
        .add_service(commands)
        .add_service(registry)
        .add_service(dead_letters)
        .add_service(audit)
        .add_service(receipts);
    let stopping = async move {
        stop.cancelled().await;
        show_health(&health, ServingStatus::NotServing).await;
    };
    if listen.insecure {
        warn!(%address, "INSECURE: callers are whoever they say they are (listen.insecure = true)");
    }
    info!(%address, insecure = listen.insecure, "serving gRPC");
    let door = Door::new(
        trust.tls(),
        trust.revoked(),
        &listen.federation,
        &connections,
    );
    let incoming = ReceiverStream::new(door.open(listener)).map(Ok::<_, Infallible>);
    tokio::select! {
        served = router.serve_with_incoming_shutdown(incoming, stopping) => Ok(served?),
        never = trust.follow() => match never {},
    }
}

/// Says of each service, and of all together under the empty name, whether it is served.
async fn show_health(health: &HealthReporter, status: ServingStatus) {
    for name in [
        "",
        CommandServiceServer::<Commands>::NAME,
        RegistryServiceServer::<Registry>::NAME,
        DeadLetterServiceServer::<DeadLetterBoxes>::NAME,
        AuditServiceServer::<AuditLog>::NAME,
    ] {
        health.set_service_status(name, status).await;
    }
}

fn builder(connections: &Connections, limits: &Limits) -> Server<Stack<Admission, NoLayer>> {
    let header_bytes = u32::try_from(connections.header_bytes.0).unwrap_or(u32::MAX);
    Server::builder()
        .http2_keepalive_interval(Some(connections.keepalive_every))
        .http2_keepalive_timeout(Some(connections.keepalive_answer))
        .http2_max_pending_accept_reset_streams(Some(connections.pending_resets))
        .http2_max_local_error_reset_streams(Some(connections.pending_resets))
        .http2_max_header_list_size(header_bytes)
        .max_concurrent_streams(Some(connections.streams))
        // With a grace of tonic's own (0.14) the caller is not asked to go before it is cut off; `peer` has the grace.
        .max_connection_age(connections.age)
        .concurrency_limit_per_connection(limits.concurrent_calls)
        .layer(Admission::new(limits))
}

fn reflection() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
}
