//! Looking at what the store holds, page by page, as an originator may.
//!
//! Invariant: what is found is told to the ledger, and nothing else is concluded here.

use std::{
    collections::HashSet,
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use futures::{StreamExt, stream};
use proto::v1;
use tokio::time::sleep;
use uuid::Uuid;

use super::{ledger::Ledger, stage::Stage, traffic::ORIGINATORS};
use crate::federation::{Client, client};

/// Commands on one page.
const PAGE: i32 = 500;
/// So many commands are asked for one by one instead.
const FEW: usize = 200;
/// Questions at a time.
const AT_A_TIME: usize = 16;
/// Tries of one page, at one replica and the other in turn.
const TRIES: usize = 40;
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(500);
/// How long queues and outboxes may take to become empty; RabbitMQ's counts are some seconds old.
const EMPTIES: Duration = Duration::from_mins(1);

/// Asks both replicas for every originator.
#[derive(Debug)]
pub(super) struct Auditor {
    clients: Vec<[Client; 2]>,
}

impl Auditor {
    /// For the originators of a run.
    pub(super) fn new(brokers: [SocketAddr; 2]) -> Result<Self> {
        let both = |name: &str| {
            let identity = format!("participant/{name}");
            anyhow::Ok([
                client(brokers[0], &identity)?,
                client(brokers[1], &identity)?,
            ])
        };
        Ok(Self {
            clients: ORIGINATORS.into_iter().map(both).collect::<Result<_>>()?,
        })
    }

    /// Waits until everything that is acknowledged now has been seen settled.
    pub(super) async fn settle(&self, ledger: &Ledger, limit: Duration) -> Result<()> {
        let began = Instant::now();
        let mut open = ledger.open();
        while !open.is_empty() {
            if open.len() > FEW {
                for clients in &self.clients {
                    look(clients, ledger, Some(&open)).await?;
                }
            } else {
                self.look_at(&open, ledger).await;
            }
            let still = ledger.open();
            open.retain(|command| still.contains(command));
            ensure!(
                began.elapsed() < limit,
                "{} commands have not settled",
                open.len()
            );
            if !open.is_empty() {
                sleep(PAUSE).await;
            }
        }
        Ok(())
    }

    /// Asks for each of these, as whoever submitted it.
    async fn look_at(&self, commands: &HashSet<Uuid>, ledger: &Ledger) {
        let asked = commands.iter().flat_map(|command| {
            let clients = self.clients.iter().flatten();
            clients.map(move |client| (client.clone(), command.to_string()))
        });
        let asking = asked.map(async |(mut client, command)| {
            // Another originator's is not found, and a replica that is away is asked again.
            if let Ok(command) = client.get(&command).await {
                ledger.see(&command);
            }
        });
        stream::iter(asking)
            .buffer_unordered(AT_A_TIME)
            .collect::<()>()
            .await;
    }

    /// Looks at every command that the store has.
    pub(super) async fn look_at_all(&self, ledger: &Ledger) -> Result<()> {
        for clients in &self.clients {
            look(clients, ledger, None).await?;
        }
        Ok(())
    }

    /// What is left in queues and outboxes after a while.
    pub(super) async fn left_over(&self, stage: &Stage) -> Result<Vec<(String, u64)>> {
        let began = Instant::now();
        loop {
            let left = stage.left_over().await?;
            if left.is_empty() || began.elapsed() > EMPTIES {
                return Ok(left);
            }
            sleep(PAUSE).await;
        }
    }
}

/// Goes from the newest command to the oldest, or until all of `wanted` have been seen.
async fn look(
    clients: &[Client; 2],
    ledger: &Ledger,
    wanted: Option<&HashSet<Uuid>>,
) -> Result<()> {
    let mut missing = wanted.cloned();
    let mut token = String::new();
    loop {
        let page = page(clients, &token).await?;
        for command in &page.commands {
            ledger.see(command);
            if let (Some(missing), Ok(id)) = (&mut missing, command.id.parse()) {
                missing.remove(&id);
            }
        }
        token = page.next_page_token;
        if token.is_empty() || missing.as_ref().is_some_and(HashSet::is_empty) {
            return Ok(());
        }
    }
}

async fn page(clients: &[Client; 2], token: &str) -> Result<v1::ListCommandsResponse> {
    let asked = v1::ListCommandsRequest {
        page_size: PAGE,
        page_token: token.to_owned(),
        ..v1::ListCommandsRequest::default()
    };
    for turn in 0..TRIES {
        let mut commands = clients[turn % 2]
            .commands
            .clone()
            .max_decoding_message_size(64 << 20);
        match commands.list_commands(asked.clone()).await {
            Ok(page) => return Ok(page.into_inner()),
            Err(_) => sleep(PAUSE).await,
        }
    }
    anyhow::bail!("no replica lists its commands")
}
