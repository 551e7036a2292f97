//! The originator: submits its commands, repeats what it has no answer to, and takes some back.
//!
//! Invariant: one request keeps its name for as long as it is repeated.

use anyhow::{Result, ensure};
use broker::{
    store::{Accepted, Bounds, Keys, Store, StoredCommand, Withdrawn},
    translate::Planned,
};
use domain::{CommandId, ExecutionId, RequestId, Timestamp};
use rand::Rng;
use uuid::Uuid;

use super::{
    cast::repeated,
    lane::{REPORT, WINDOW},
    mutation::Mutation,
    replica::{RETENTION, call},
    world::{World, short},
};

/// Executions that may wait for one participant.
const BOUNDS: Bounds = Bounds {
    outbox: 8,
    open: u64::MAX,
    window: WINDOW,
    report: REPORT,
};

/// One request and what came of it.
pub(super) struct Request {
    planned: Planned,
    tried: bool,
    accepted: Option<CommandId>,
    /// What a replica has read in order to take it back.
    cancel: Option<StoredCommand>,
}

impl Request {
    pub(super) fn draw(world: &mut World, keys: &Keys) -> Self {
        Self {
            planned: world.cast.draw_command(&mut world.rng, keys, world.clock),
            tried: false,
            accepted: None,
            cancel: None,
        }
    }

    pub(super) const fn accepted(&self) -> Option<CommandId> {
        self.accepted
    }

    /// Submits it, or submits it again. Whether it is accepted.
    pub(super) async fn submit(
        &mut self,
        world: &mut World,
        store: &Store,
        now: Timestamp,
    ) -> Result<bool> {
        if self.tried {
            self.planned = repeated(&self.planned, &mut world.rng, store.keys(), now);
            if world.broken(Mutation::RequestRenamed) {
                let name = Uuid::from_u128(world.rng.random());
                self.planned.command.request_id = Some(RequestId::from_uuid(name));
            }
        }
        self.tried = true;
        let id = self.planned.command.id;
        let accepting = store.accept(&self.planned, BOUNDS);
        let answer = call(world, accepting).await?;
        let configuration = &self.planned.command.configuration;
        world.note(format!(
            "{} for {configuration} is submitted: {answer:?}",
            short(id)
        ));
        let accepted = match answer {
            Some(Accepted::New(_)) => id,
            Some(Accepted::Before(before)) => before,
            Some(Accepted::Full(_)) | None => return Ok(self.accepted.is_some()),
            Some(other) => anyhow::bail!("a request was answered with {other:?}"),
        };
        ensure!(
            self.accepted.is_none_or(|before| before == accepted),
            "one request became two commands: {:?} and {accepted}",
            self.accepted
        );
        self.accepted = Some(accepted);
        world.news(store.keys().shard_of(configuration), None);
        Ok(true)
    }

    /// Reads it, and at the next call takes back what that showed as waiting. The command may have changed then.
    pub(super) async fn cancel(
        &mut self,
        world: &mut World,
        store: &Store,
        now: Timestamp,
    ) -> Result<Option<CommandId>> {
        let Some(id) = self.accepted else {
            return Ok(None);
        };
        let Some(stored) = self.cancel.take() else {
            self.cancel = call(world, store.command(id)).await?.flatten();
            return Ok(None);
        };
        world.cancelled.insert(id);
        let withdrawn = call(world, store.cancel(&stored, now, RETENTION)).await?;
        world.note(format!("{} is cancelled: {withdrawn:?}", short(id)));
        for (participant, what) in withdrawn.unwrap_or_default() {
            if what == Withdrawn::TakenBack {
                let command = id;
                world.taken_back.insert(ExecutionId {
                    command,
                    participant,
                });
            }
        }
        world.news(store.keys().shard_of(&stored.command.configuration), None);
        Ok(Some(id))
    }
}
