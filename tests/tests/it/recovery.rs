//! What happens while RabbitMQ, Redis or a disk is away or full, and that nothing of it is left afterwards.
//!
//! The servers that all tests share stand behind relays of this test's own; whoever stops or starves one has a private one.

mod journal;
mod rabbitmq;
mod redis;

use std::time::Duration;

use anyhow::{Context, Result};
use proto::v1;
use tests::{
    Shared,
    federation::{Client, Federation, NOWHERE, Program, purge},
    relay::Relay,
    shared,
};
use tonic::Status;
use tonic_types::StatusExt as _;

/// How long anything may take here, on a machine that does other things too.
const LIMIT: Duration = Duration::from_mins(1);

/// Participant `a` with its content, on which nobody works yet; its broker reaches everything through relays.
struct Scene {
    federation: Federation,
    _broker: Program,
    owner: Client,
    rabbitmq: Relay,
    redis: Relay,
}

impl Scene {
    /// On the shared servers.
    async fn shared(settings: &str) -> Result<Self> {
        Self::on(shared()?, settings).await
    }

    /// On these servers.
    async fn on(servers: Shared, settings: &str) -> Result<Self> {
        let rabbitmq = Relay::start(address_in(&servers.amqp)?).await?;
        let redis = Relay::start(address_in(&servers.redis)?).await?;
        let behind = Shared {
            amqp: through(&servers.amqp, &rabbitmq)?,
            redis: through(&servers.redis, &redis)?,
            management: servers.management,
        };
        let federation = Federation::with_settings(behind, settings).await?;
        let broker = federation.broker("broker").await?;
        let mut operator = federation.client(&broker, "operator/ops")?;
        operator.create_participant("a").await?;
        operator.open_shop("a", ("varnish", NOWHERE)).await?;
        let owner = federation.client(&broker, "participant/a")?;
        Ok(Self {
            federation,
            _broker: broker,
            owner,
            rabbitmq,
            redis,
        })
    }

    /// Submits a purge that no other one covers.
    async fn submit(&mut self, number: usize) -> Result<v1::Command, Status> {
        self.owner.submit(purge_of(number)).await
    }

    /// The adapter of `a` reports everything as done, until all of these have settled.
    async fn carry_out(&mut self, commands: &[v1::Command]) -> Result<()> {
        let mut adapter = self.federation.scripted("a")?;
        let mut done = 0;
        while done < commands.len() {
            done += adapter.carry_out().await?.len();
        }
        for command in commands {
            let settled = self.owner.settled(&command.id, LIMIT).await?;
            let state = settled.executions.first().map(v1::Execution::state);
            assert_eq!(state, Some(v1::ExecutionState::Done));
        }
        Ok(())
    }
}

fn purge_of(number: usize) -> v1::CommandDraft {
    let mut draft = purge(&[&format!("http://www.shop.example/{number}")]);
    "shop".clone_into(&mut draft.configuration_id);
    draft
}

/// When the broker says to try again.
fn retry_after(status: &Status) -> Option<Duration> {
    status.get_details_retry_info()?.retry_delay
}

/// The address in a URL.
fn address_in(url: &str) -> Result<std::net::SocketAddr> {
    let place = url.split("://").nth(1).context("a scheme")?;
    let place = place.split('/').next().context("a place")?;
    Ok(place.rsplit('@').next().context("an address")?.parse()?)
}

/// The same URL, by way of a relay.
fn through(url: &str, relay: &Relay) -> Result<String> {
    let address = address_in(url)?.to_string();
    Ok(url.replacen(&address, &relay.address().to_string(), 1))
}
