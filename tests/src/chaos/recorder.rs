//! The servers of a run: they do what they are told at once, and remember how often.
//!
//! Invariant: every telling counts from the moment at which it was read, also when it is never answered.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::Result;
use axum::{
    Router,
    body::Bytes,
    extract::{Path, State},
    http::StatusCode,
    routing::post,
};
use tokio::{net::TcpListener, sync::watch};
use uuid::Uuid;

/// One server for each participant.
#[derive(Debug)]
pub(super) struct Recorder {
    servers: Vec<(String, Arc<Server>)>,
}

#[derive(Debug)]
struct Server {
    address: SocketAddr,
    /// It reads, and answers when it is well again.
    dead: watch::Sender<bool>,
    told: Mutex<HashMap<Uuid, u32>>,
}

impl Recorder {
    /// Starts a server for each of these participants.
    pub(super) async fn start(participants: &[&str]) -> Result<Self> {
        let mut servers = Vec::new();
        for participant in participants {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            let server = Arc::new(Server {
                address: listener.local_addr()?,
                dead: watch::Sender::new(false),
                told: Mutex::default(),
            });
            let router = Router::new()
                .route("/federation/v1/executions/{execution}", post(hear))
                .with_state(Arc::clone(&server));
            tokio::spawn(async move { axum::serve(listener, router).await });
            servers.push(((*participant).to_owned(), server));
        }
        Ok(Self { servers })
    }

    /// Whose servers they are, in order.
    pub(super) fn participants(&self) -> Vec<&str> {
        self.servers.iter().map(|(name, _)| name.as_str()).collect()
    }

    /// Where the server of a participant listens.
    pub(super) fn address(&self, server: usize) -> SocketAddr {
        self.servers[server].1.address
    }

    /// From now on a server hears and says nothing, or is well again.
    pub(super) fn let_die(&self, server: usize, dead: bool) {
        self.servers[server].1.dead.send_replace(dead);
    }

    /// How often a server was told a command.
    pub(super) fn told(&self, server: usize, command: Uuid) -> u32 {
        let told = self.servers[server].1.told.lock();
        let told = told.unwrap_or_else(PoisonError::into_inner);
        told.get(&command).copied().unwrap_or_default()
    }

    /// The same, by the participant's name.
    pub(super) fn told_by(&self, participant: &str, command: Uuid) -> u32 {
        let server = self
            .servers
            .iter()
            .position(|(name, _)| name == participant);
        server.map_or(0, |server| self.told(server, command))
    }
}

async fn hear(
    State(server): State<Arc<Server>>,
    Path(execution): Path<String>,
    _body: Bytes,
) -> StatusCode {
    let command = execution.split('_').next().unwrap_or_default();
    if let Ok(command) = command.parse::<Uuid>() {
        let mut told = server.told.lock().unwrap_or_else(PoisonError::into_inner);
        *told.entry(command).or_default() += 1;
    }
    // The sender is the server's own, so it is there.
    let _ = server.dead.subscribe().wait_for(|dead| !dead).await;
    StatusCode::OK
}
