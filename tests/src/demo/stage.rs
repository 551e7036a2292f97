//! Everything that runs in the demo, started side by side.
//!
//! Invariant: dropping it ends all of it, those who use others first; nothing waits longer than it must.

use std::{
    future::Future, os::unix::process::ExitStatusExt as _, process::ExitStatus, thread,
    time::Instant,
};

use anyhow::{Context, Result};

use super::{
    cast::{OWNER, PARTICIPANTS, SERVERS, Server, register},
    content::Shop,
    passes::{OPERATOR, Passes},
    screen,
};
use crate::{
    Shared,
    caches::Cache,
    federation::{Client, Federation, OwnServer, Program},
    rabbitmq::RabbitMq,
    redis::Redis,
};

/// The latest dispatches can be read in the console.
const CONSOLE: &str = "[amqp]\nconsole_copies = 100";

/// A running federation with its caches and its origin.
#[derive(Debug)]
pub struct Stage {
    /// By the participant's name; an invocation system stands after its adapter.
    pub(super) adapters: Vec<(&'static str, Program)>,
    pub(super) broker: Program,
    pub(super) passes: Passes,
    pub(super) servers: Vec<Server>,
    pub(super) shop: Shop,
    pub(super) rabbitmq: RabbitMq,
    pub(super) federation: Federation,
    _redis: Redis,
}

impl Stage {
    /// Starts everything, and says of each when it was ready.
    pub(super) async fn start() -> Result<Self> {
        let began = Instant::now();
        let shop = Shop::open().await?;
        ready(
            began,
            "origin",
            &format!("http://{}", shop.origin().address()),
        );
        let (rabbitmq, redis, servers) = tokio::try_join!(
            told(began, RabbitMq::start(), |it| ("RabbitMQ", console_of(it))),
            told(began, Redis::start(), |it| ("Redis", it.url())),
            start_servers(began, &shop),
        )?;
        let shared = Shared {
            amqp: rabbitmq.amqp_url(),
            management: rabbitmq.management_url(),
            redis: redis.url(),
        };
        let mut federation = Federation::signed_and_restricted(shared, CONSOLE).await?;
        let passes = Passes::make(federation.folder()).await?;
        let folder = passes.folder().display().to_string();
        ready(began, "fedctl pki", &format!("certificates in {folder}"));
        let signed = std::mem::take(&mut federation.broker_settings);
        federation.broker_settings = format!("{}{signed}", passes.settings());
        let broker = told(began, federation.broker("broker"), address_of).await?;
        let operator = passes.client(broker.address, OPERATOR)?;
        register(&federation, operator, &servers).await?;
        let mut operator = passes.client(broker.address, OPERATOR)?;
        for (participant, ..) in PARTICIPANTS {
            federation.issue(&mut operator, participant).await?;
        }
        let adapters = start_adapters(began, &federation, &servers).await?;
        Ok(Self {
            adapters,
            broker,
            passes,
            servers,
            shop,
            rabbitmq,
            federation,
            _redis: redis,
        })
    }

    /// The participants, by their servers.
    pub(super) fn participants(&self) -> Vec<&'static str> {
        let mut participants: Vec<_> = self
            .servers
            .iter()
            .map(|server| server.participant)
            .collect();
        participants.dedup();
        participants
    }

    /// A client that calls as the owner of the configuration.
    pub(super) fn owner(&self) -> Result<Client> {
        let owner = format!("participant/{OWNER}");
        self.passes.client(self.broker.address, &owner)
    }

    /// Says of each of our own programs that has ended since the last call how it ended, once, and leaves no zombie.
    pub fn tell_ended(&mut self) {
        let adapters = self.adapters.iter_mut().map(|(_, program)| program);
        for program in adapters.chain([&mut self.broker]) {
            let process = &mut program.process;
            let before = process.was_reaped();
            if let (false, Some(status)) = (before, process.exit_status()) {
                let (log, how) = (process.log().display().to_string(), ending(status));
                screen::line(&format!("{} {how} (log: {log})", process.name()));
            }
        }
    }

    /// The ends of the logs that tell why a participant did not do it.
    pub(super) fn logs_of(&self, participant: &str) -> String {
        let own = self.adapters.iter().filter(|(of, _)| *of == participant);
        own.map(|(_, program)| program.process.log_tail()).collect()
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        at_once(self.adapters.drain(..));
        self.broker.process.terminate();
        at_once(self.servers.drain(..));
    }
}

/// `ended by signal 9`, `ended with code 70`.
fn ending(status: ExitStatus) -> String {
    match (status.signal(), status.code()) {
        (Some(signal), _) => format!("ended by signal {signal}"),
        (None, Some(code)) => format!("ended with code {code}"),
        (None, None) => "ended".to_owned(),
    }
}

/// Ends things side by side: each of them takes a moment.
fn at_once<T: Send>(things: impl Iterator<Item = T>) {
    thread::scope(|scope| {
        for thing in things {
            scope.spawn(move || drop(thing));
        }
    });
}

async fn start_servers(began: Instant, shop: &Shop) -> Result<Vec<Server>> {
    let origin = shop.origin().address();
    let starting = SERVERS.map(async |(id, participant, kind, place)| -> Result<Server> {
        let cache = Cache::start(kind, origin).await.context(id)?;
        ready(began, id, &format!("http://{}", cache.address()));
        Ok(Server {
            id,
            participant,
            cache,
            place,
        })
    });
    futures::future::try_join_all(starting).await
}

async fn start_adapters(
    began: Instant,
    federation: &Federation,
    servers: &[Server],
) -> Result<Vec<(&'static str, Program)>> {
    let starting = PARTICIPANTS.map(async |(participant, _, has_system)| {
        let name = format!("{participant}-adapter");
        if !has_system {
            let adapter = federation.adapter(&name, participant, "").await?;
            ready(began, &name, "tells its caches itself");
            return Ok(vec![(participant, adapter)]);
        }
        let own: Vec<_> = servers
            .iter()
            .filter(|server| server.participant == participant)
            .map(own_server)
            .collect();
        let system_name = format!("{participant}-system");
        let system = federation.invocation_system(&system_name, &own).await?;
        ready(began, &system_name, &format!("http://{}", system.address));
        let adapter = federation.adapter_of(&name, participant, &system).await?;
        ready(began, &name, &format!("hands over to {system_name}"));
        anyhow::Ok(vec![(participant, adapter), (participant, system)])
    });
    let started = futures::future::try_join_all(starting).await?;
    Ok(started.into_iter().flatten().collect())
}

fn own_server(server: &Server) -> OwnServer<'_> {
    OwnServer {
        id: server.id,
        dialect: server.cache.kind().dialect(),
        address: server.cache.address(),
    }
}

fn address_of(broker: &Program) -> (&'static str, String) {
    let address = broker.address;
    (
        "broker",
        format!("https://{address}, for callers with a certificate"),
    )
}

/// Its user and password are guest's, so the address goes without them.
pub(super) fn console_of(rabbitmq: &RabbitMq) -> String {
    let url = rabbitmq.management_url().replace("guest:guest@", "");
    format!("console {url}, user and password guest")
}

/// Waits for something to start, and says so.
async fn told<T>(
    began: Instant,
    starting: impl Future<Output = Result<T>>,
    words: impl Fn(&T) -> (&'static str, String),
) -> Result<T> {
    let started = starting.await?;
    let (name, about) = words(&started);
    ready(began, name, &about);
    Ok(started)
}

fn ready(began: Instant, name: &str, about: &str) {
    let seconds = began.elapsed().as_secs_f64();
    screen::aside(&format!("{seconds:>5.1} s  {name:<20} {about}"));
}
