//! Changing the registry: who may, and what must hold.
//!
//! Invariant: nothing refers to a record that is not there, and a host name belongs to one configuration. What a caller may
//! not see does not exist for it. A participant's queues and its RabbitMQ user stand before the participant can be told anything.

mod access;
mod capable;
mod mappings;
mod spoken;
mod visible;

use std::sync::Arc;

pub use access::{Access, Issued};
pub use visible::Visible;

use amqp::Provisioner;
use domain::{Configuration, Deployment, HostName, Participant, ParticipantId, Server};
use tokio::sync::Mutex;
use tracing::info;

use crate::{
    directory::{Directory, Follower, Tables},
    error::Error,
    ingress::Identity,
    store::{Lane, Put, Record, RecordKind, Store},
    verify::Registered,
};

/// How often a change is checked anew because another replica changed something meanwhile.
const ATTEMPTS: u32 = 20;

/// What a write is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It must not be there yet.
    Create,
    /// It must be there.
    Update,
}

/// Changes the registry on one replica.
#[derive(Clone)]
pub struct Registrar {
    store: Store,
    follower: Follower,
    directory: Arc<Directory>,
    provisioner: Arc<Provisioner>,
    access: Arc<Access>,
    registered: Arc<Registered>,
    /// One change of this replica at a time, so that they do not make each other start anew.
    changing: Arc<Mutex<()>>,
}

impl Registrar {
    /// A registrar.
    pub fn new(
        store: Store,
        follower: Follower,
        directory: Arc<Directory>,
        (provisioner, access): (Arc<Provisioner>, Arc<Access>),
        registered: Arc<Registered>,
    ) -> Self {
        Self {
            store,
            follower,
            directory,
            provisioner,
            access,
            registered,
            changing: Arc::default(),
        }
    }

    /// Where what it changes stands.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// What it knows.
    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    /// Creates or updates a record.
    pub async fn write(
        &self,
        identity: &Identity,
        record: Record,
        change: Change,
    ) -> Result<(), Error> {
        let _alone = self.changing.lock().await;
        for _ in 0..ATTEMPTS {
            self.follower.catch_up().await?;
            let seen = {
                let tables = self.directory.read();
                check(&tables, identity, &record, change)?;
                if let Record::Participant(participant) = &record {
                    capable::check(participant, &self.registered)?;
                }
                tables.version
            };
            if let Record::Participant(participant) = &record {
                self.provisioner
                    .declare_participant(&participant.id)
                    .await?;
                self.access.prepare(&participant.id).await?;
            }
            if let Put::Written(_) = self.store.put(&record, seen).await? {
                self.follower.catch_up().await?;
                info!(
                    resource = record.kind().singular(),
                    id = %record.id(),
                    "wrote a record of the registry"
                );
                return Ok(());
            }
        }
        Err(Error::Contended)
    }

    /// Deletes a record that nothing refers to.
    pub async fn delete<R: Visible>(&self, identity: &Identity, id: &str) -> Result<(), Error> {
        let key = id
            .parse::<R::Id>()
            .map_err(Error::broken(format!("{}_id", R::RESOURCE)))?;
        let _alone = self.changing.lock().await;
        for _ in 0..ATTEMPTS {
            self.follower.catch_up().await?;
            let seen = {
                let tables = self.directory.read();
                check_delete::<R>(&tables, identity, &key, id)?;
                tables.version
            };
            if R::KIND == RecordKind::Participant {
                self.remove_queues(id).await?;
            }
            if let Put::Written(_) = self.store.delete_record(R::KIND, id, seen).await? {
                self.follower.catch_up().await?;
                info!(
                    resource = R::RESOURCE,
                    id, "deleted a record of the registry"
                );
                return Ok(());
            }
        }
        Err(Error::Contended)
    }

    /// A participant that goes leaves no queues; one that still has executions on their way does not go.
    async fn remove_queues(&self, id: &str) -> Result<(), Error> {
        let participant: ParticipantId = id.parse().map_err(Error::broken("participant_id"))?;
        for shard in self.store.keys().shards() {
            let lane = Lane {
                shard,
                participant: participant.clone(),
            };
            let state = self.store.outbox_state(&lane).await?;
            if state.waiting + state.unreported > 0 {
                let by = "executions that have not ended".to_owned();
                return Err(Error::InUse {
                    resource: "participant",
                    id: id.to_owned(),
                    by,
                });
            }
        }
        // First nobody can log in any more.
        self.access.remove(&participant).await?;
        Ok(self.provisioner.remove_participant(&participant).await?)
    }
}

fn check_delete<R: Visible>(
    tables: &Tables,
    identity: &Identity,
    key: &R::Id,
    id: &str,
) -> Result<(), Error> {
    let record = R::table(tables)
        .get(key)
        .filter(|record| record.is_visible(identity, tables));
    let record = record.ok_or_else(|| Error::not_found(R::RESOURCE, id))?;
    if R::KIND == RecordKind::Participant {
        identity.require_operator()?;
    }
    match record.referred_by(tables) {
        None => Ok(()),
        Some(by) => Err(Error::InUse {
            resource: R::RESOURCE,
            id: id.to_owned(),
            by,
        }),
    }
}

/// Whether `record` may be written.
fn check(
    tables: &Tables,
    identity: &Identity,
    record: &Record,
    change: Change,
) -> Result<(), Error> {
    match record {
        Record::Participant(participant) => {
            check_participant(tables, identity, participant, change)
        }
        Record::Server(server) => check_server(tables, identity, server, change),
        Record::Configuration(configuration) => {
            check_configuration(tables, identity, configuration, change)
        }
        Record::Deployment(deployment) => check_deployment(tables, identity, deployment, change),
        // Put by its document alone (`mappings`).
        Record::Mapping(_) => identity.require_operator(),
    }
}

/// Whether the record is there as the change needs it; the one that is there must be the caller's to see.
fn check_presence<'a, R: Visible>(
    tables: &'a Tables,
    identity: &Identity,
    id: &R::Id,
    id_text: &str,
    change: Change,
) -> Result<Option<&'a R>, Error> {
    match (R::table(tables).get(id), change) {
        (None, Change::Create) => Ok(None),
        (Some(_), Change::Create) => Err(Error::Exists {
            resource: R::RESOURCE,
            id: id_text.to_owned(),
        }),
        (Some(record), Change::Update) if record.is_visible(identity, tables) => Ok(Some(record)),
        (_, Change::Update) => Err(Error::not_found(R::RESOURCE, id_text)),
    }
}

fn check_participant(
    tables: &Tables,
    identity: &Identity,
    participant: &Participant,
    change: Change,
) -> Result<(), Error> {
    identity.require_operator()?;
    check_presence::<Participant>(
        tables,
        identity,
        &participant.id,
        participant.id.as_str(),
        change,
    )?;
    amqp::Topology::check_participant(&participant.id).map_err(|_| {
        Error::invalid(
            "participant.id",
            "must not be `replies`, which RabbitMQ's names use",
        )
    })?;
    let system = participant.invocation_system.as_ref();
    system.map_or(Ok(()), |name| spoken::check_system(tables, name))
}

fn check_server(
    tables: &Tables,
    identity: &Identity,
    server: &Server,
    change: Change,
) -> Result<(), Error> {
    let before =
        check_presence::<Server>(tables, identity, &server.id, server.id.as_str(), change)?;
    require_participant(
        tables,
        identity,
        "server.participant_id",
        &server.participant,
    )?;
    if before.is_some_and(|before| before.participant != server.participant) {
        return Err(Error::invalid(
            "server.participant_id",
            "must stay what it is; delete the server and create it anew",
        ));
    }
    spoken::check_server(&server.dialect)
}

fn check_configuration(
    tables: &Tables,
    identity: &Identity,
    configuration: &Configuration,
    change: Change,
) -> Result<(), Error> {
    let id = &configuration.id;
    check_presence::<Configuration>(tables, identity, id, id.as_str(), change)?;
    require_participant(
        tables,
        identity,
        "configuration.owner_id",
        &configuration.owner,
    )?;
    let taken = |host: &HostName| tables.hosts.get(host).is_some_and(|other| other != id);
    match configuration.hosts.iter().position(taken) {
        None => Ok(()),
        Some(index) => Err(Error::invalid(
            format!("configuration.hosts[{index}]"),
            "must not belong to another configuration",
        )),
    }
}

fn check_deployment(
    tables: &Tables,
    identity: &Identity,
    deployment: &Deployment,
    change: Change,
) -> Result<(), Error> {
    let id = deployment.id.as_str();
    if let Some(before) =
        check_presence::<Deployment>(tables, identity, &deployment.id, id, change)?
    {
        check_same_deployment(before, deployment)?;
    }
    let configuration = tables.configurations.get(&deployment.configuration);
    configuration
        .filter(|configuration| identity.may_act_for(&configuration.owner))
        .ok_or_else(|| Error::not_found("configuration", deployment.configuration.as_str()))?;
    // Whose servers are used must have agreed; until participants can say so themselves, an operator says it for them.
    if !identity.may_act_for(&deployment.participant) {
        return Err(Error::NotAllowed(
            "a deployment at another participant is made by an operator",
        ));
    }
    if !tables.participants.contains_key(&deployment.participant) {
        return Err(Error::not_found(
            "participant",
            deployment.participant.as_str(),
        ));
    }
    let wrong = deployment.servers.iter().position(|id| {
        tables
            .servers
            .get(id)
            .is_none_or(|server| server.participant != deployment.participant)
    });
    match wrong {
        None => Ok(()),
        Some(index) => {
            let rule = format!("must be a server of participant {}", deployment.participant);
            Err(Error::invalid(
                format!("deployment.server_ids[{index}]"),
                rule,
            ))
        }
    }
}

/// What a deployment is about stays; who wants another makes another.
fn check_same_deployment(before: &Deployment, after: &Deployment) -> Result<(), Error> {
    let stays = "must stay what it is; delete the deployment and create another";
    if before.configuration != after.configuration {
        return Err(Error::invalid("deployment.configuration_id", stays));
    }
    if before.participant != after.participant {
        return Err(Error::invalid("deployment.participant_id", stays));
    }
    Ok(())
}

fn require_participant(
    tables: &Tables,
    identity: &Identity,
    field: &str,
    id: &ParticipantId,
) -> Result<(), Error> {
    if !identity.may_act_for(id) {
        return Err(Error::invalid(field, "must be the caller"));
    }
    if tables.participants.contains_key(id) {
        return Ok(());
    }
    Err(Error::not_found("participant", id.as_str()))
}
