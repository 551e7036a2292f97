//! Changing the registry: who may, and what must hold.
//!
//! Invariant: nothing refers to a record that is not there, and a host name belongs to one configuration. What a caller may
//! not see does not exist for it. A participant's queues and its RabbitMQ user stand before the participant can be told anything,
//! and as long as it is registered: among all replicas one at a time makes or removes them.

mod access;
mod agreements;
mod capable;
mod check;
mod mappings;
mod spoken;
mod visible;

use std::{sync::Arc, time::Duration};

pub use access::{Access, Issued};
pub use check::Written;
pub use spoken::{broken_by_limit, broken_by_server};
pub use visible::Visible;

use amqp::Provisioner;
use domain::ParticipantId;
use tokio::{
    sync::Mutex,
    time::{Instant, sleep},
};
use tracing::info;

use crate::{
    directory::{Directory, Follower, Tables},
    error::Error,
    ingress::Identity,
    store::{Lane, Put, Record, RecordKind, Store, Turn},
    verify::Registered,
};

/// How often a change is checked anew because another replica changed something meanwhile.
const ATTEMPTS: u32 = 20;

/// How long a change waits while another replica makes or removes the same participant's queues, and between two looks.
const TURN_WAIT: (Duration, Duration) = (Duration::from_secs(15), Duration::from_millis(100));

/// What a write is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It must not be there yet.
    Create,
    /// It must be there. What may be left out and is left out stays: a participant's signing keys.
    Update,
    /// The same, and the participant's signing keys go.
    UpdateWithoutKeys,
}

impl Change {
    /// Whether it changes what must be there.
    pub const fn is_update(self) -> bool {
        match self {
            Self::Create => false,
            Self::Update | Self::UpdateWithoutKeys => true,
        }
    }
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

    /// Creates or updates a record; answers it as it was written.
    pub async fn write<R: Written>(
        &self,
        identity: &Identity,
        record: R,
        change: Change,
    ) -> Result<R, Error> {
        self.rewrite(|tables| {
            let checked = record.check(tables, identity, change)?;
            if let Record::Participant(participant) = &checked.clone().into() {
                capable::check(participant, &self.registered)?;
            }
            Ok(checked)
        })
        .await
    }

    /// Writes what `next` makes of the registry as it is.
    async fn rewrite<R: Written>(
        &self,
        next: impl Fn(&Tables) -> Result<R, Error>,
    ) -> Result<R, Error> {
        let _alone = self.changing.lock().await;
        let mut turn = None;
        for _ in 0..ATTEMPTS {
            self.follower.catch_up().await?;
            let (written, seen, known) = {
                let tables = self.directory.read();
                let written = next(&tables)?;
                let record: Record = written.clone().into();
                let known = match &record {
                    Record::Participant(participant) => {
                        tables.participants.contains_key(&participant.id)
                    }
                    _ => true,
                };
                (written, tables.edition.clone(), known)
            };
            let record: Record = written.clone().into();
            if let Record::Participant(participant) = &record {
                if !known {
                    // What an earlier one of that name was to be told is not for this one.
                    self.check_idle(participant.id.as_str()).await?;
                }
                if turn.is_none() {
                    turn = Some(self.turn(&participant.id).await?);
                }
                self.provisioner
                    .declare_participant(&participant.id)
                    .await?;
                self.access.prepare(&participant.id).await?;
            }
            if let Put::Written(_) = self.store.put(&record, &seen).await? {
                self.follower.catch_up().await?;
                info!(
                    resource = record.kind().singular(),
                    id = %record.id(),
                    "wrote a record of the registry"
                );
                return Ok(written);
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
        let mut turn = None;
        for _ in 0..ATTEMPTS {
            self.follower.catch_up().await?;
            let checked = {
                let tables = self.directory.read();
                check_delete::<R>(&tables, identity, &key, id).map(|()| tables.edition.clone())
            };
            let seen = match checked {
                Err(Error::NotFound { .. })
                    if R::KIND == RecordKind::Participant
                        && matches!(identity, Identity::Operator(_)) =>
                {
                    // Deleted before, perhaps without its queues: repeating the call removes them.
                    self.remove_leftovers(id).await?;
                    return checked.map(drop);
                }
                checked => checked?,
            };
            if R::KIND == RecordKind::Participant {
                self.check_idle(id).await?;
                if turn.is_none() {
                    turn = Some(self.turn(&participant_id(id)?).await?);
                }
            }
            if let Put::Written(_) = self.store.delete_record(R::KIND, id, &seen).await? {
                self.follower.catch_up().await?;
                info!(
                    resource = R::RESOURCE,
                    id, "deleted a record of the registry"
                );
                if R::KIND == RecordKind::Participant {
                    self.remove_queues(&participant_id(id)?).await?;
                }
                return Ok(());
            }
        }
        Err(Error::Contended)
    }

    /// A participant that still has executions on their way, or waiting for their time, does not go.
    async fn check_idle(&self, id: &str) -> Result<(), Error> {
        let participant = participant_id(id)?;
        for shard in self.store.keys().shards() {
            let lane = Lane {
                shard,
                participant: participant.clone(),
            };
            let state = self.store.outbox_state(&lane).await?;
            if state.waiting + state.unreported + state.scheduled > 0 {
                let by = "executions that have not ended".to_owned();
                return Err(Error::InUse {
                    resource: "participant",
                    id: id.to_owned(),
                    by,
                });
            }
        }
        Ok(())
    }

    /// What a deletion before left behind, unless there is a new participant of that name.
    async fn remove_leftovers(&self, id: &str) -> Result<(), Error> {
        let participant = participant_id(id)?;
        let _turn = self.turn(&participant).await?;
        let kind = RecordKind::Participant;
        if self.store.is_registered(kind, id).await? {
            return Ok(());
        }
        self.remove_queues(&participant).await
    }

    /// A participant that has gone leaves no queues. It went first: nothing is sent any more, so nothing is lost with them.
    async fn remove_queues(&self, participant: &ParticipantId) -> Result<(), Error> {
        // First nobody can log in any more.
        self.access.remove(participant).await?;
        Ok(self.provisioner.remove_participant(participant).await?)
    }

    /// The turn at a participant's queues and user, once nobody else has it.
    async fn turn(&self, participant: &ParticipantId) -> Result<Turn, Error> {
        let (wait, pause) = TURN_WAIT;
        let end = Instant::now() + wait;
        loop {
            if let Some(turn) = self.store.turn(participant).await? {
                return Ok(turn);
            }
            if Instant::now() >= end {
                return Err(Error::Contended);
            }
            sleep(pause).await;
        }
    }
}

fn participant_id(id: &str) -> Result<ParticipantId, Error> {
    id.parse().map_err(Error::broken("participant_id"))
}

fn check_delete<R: Visible>(
    tables: &Tables,
    identity: &Identity,
    key: &R::Id,
    id: &str,
) -> Result<(), Error> {
    let (record, _) = R::admitted(tables, identity, R::DELETE, key, id)?;
    let used = record.referred_by(tables);
    match used.or_else(|| record.kept_from(identity)) {
        None => Ok(()),
        Some(by) => Err(Error::InUse {
            resource: R::RESOURCE,
            id: id.to_owned(),
            by,
        }),
    }
}
