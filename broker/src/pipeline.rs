//! The product: a draft becomes an accepted command.
//!
//! Invariant: each stage eats the one before, so nothing can be sent that was not verified, and nothing is told to its
//! originator as accepted that is not on disk.

use std::sync::Arc;

use domain::{CommandId, State, Timestamp, limits};
use metrics::counter;

use crate::{
    directory::Directory,
    error::Error,
    metrics as names,
    resolve::resolve,
    store::{Accepted, Keys, Store},
    translate::{Planned, translate},
    verify::{Draft, Registered, verify},
};

/// Accepts commands on one replica.
#[derive(Clone)]
pub struct Pipeline {
    /// Where they are written.
    pub store: Store,
    /// Where their targets are found.
    pub directory: Arc<Directory>,
    /// The custom operations of this federation.
    pub registered: Arc<Registered>,
    /// What may wait for one participant.
    pub outbox_limit: u64,
}

impl Pipeline {
    /// Verifies, finds the targets, translates: what would be done.
    pub fn plan(&self, draft: Draft) -> Result<Planned, Error> {
        let verified = verify(draft, &self.directory, &self.registered)?;
        let resolved = resolve(verified, &self.directory)?;
        let id = Keys::new_command_id(self.store.keys().shard_of(&resolved.configuration.id));
        translate(resolved, id, now())
    }

    /// Plans and writes it down; the id of the command, which is an earlier one for a repeated request.
    pub async fn accept(&self, draft: Draft) -> Result<CommandId, Error> {
        let planned = self.plan(draft)?;
        planned.check_sayable()?;
        // Written before it is sent: after a crash the outbox still holds these executions.
        let operation = planned.command.operation.name().to_owned();
        match self.store.accept(&planned, self.outbox_limit).await? {
            Accepted::New => {
                for execution in &planned.executions {
                    let state = if execution.native.is_empty() {
                        State::Unsupported
                    } else {
                        State::Accepted
                    };
                    names::count_execution(&execution.participant, &state);
                }
                counter!(names::COMMANDS_TOTAL, "operation" => operation, "result" => "accepted")
                    .increment(1);
                Ok(planned.command.id)
            }
            Accepted::Before(id) => {
                counter!(names::COMMANDS_TOTAL, "operation" => operation, "result" => "repeated")
                    .increment(1);
                Ok(id)
            }
            Accepted::Conflict => Err(Error::RequestIdUsed),
            Accepted::TooLarge(participant) => {
                let rule = format!(
                    "must not come to more than {} bytes for {participant} (ORDER_BYTES)",
                    limits::ORDER_BYTES
                );
                Err(Error::invalid("draft.selectors", rule))
            }
            Accepted::Full(participant) => Err(Error::OutboxFull {
                participant,
                limit: self.outbox_limit,
            }),
        }
    }
}

/// The moment, by this replica's clock.
pub fn now() -> Timestamp {
    std::time::SystemTime::now().into()
}
