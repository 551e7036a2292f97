//! The product: a draft becomes an accepted command.
//!
//! Invariant: each stage eats the one before, so nothing can be sent that was not verified, and nothing is told to its
//! originator as accepted that is not on disk.

use std::{sync::Arc, time::Duration};

use domain::{CommandId, Operation, State, Timestamp, limits};
use metrics::counter;

use crate::{
    approval,
    config::OutboxSettings,
    directory::Directory,
    error::Error,
    ingress::Identity,
    metrics as names,
    quotas::Quotas,
    resolve::resolve,
    store::{Accepted, Asking, Bounds, Keys, Placed, Requested, Store},
    translate::{Planned, translate},
    verify::{Draft, Registered, verify},
    weigh::weigh,
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
    /// Limits of the way out.
    pub outbox: OutboxSettings,
    /// By when an adapter must report.
    pub report_time: Duration,
    /// How long a command waits for a second person.
    pub approval_time: Duration,
    /// What one caller may ask.
    pub quotas: Arc<Quotas>,
}

impl Pipeline {
    /// Verifies, finds the targets, translates: what would be done.
    pub fn plan(&self, draft: Draft) -> Result<Planned, Error> {
        self.charge(&draft)?;
        self.planned(draft)
    }

    /// Before anything is looked at: a storm must not cost more than its refusal.
    pub(crate) fn charge(&self, draft: &Draft) -> Result<(), Error> {
        let caller = Identity::Participant(draft.originator.clone());
        self.quotas
            .work(&caller, &draft.operation, &draft.selectors)
    }

    fn planned(&self, draft: Draft) -> Result<Planned, Error> {
        let moment = now();
        let verified = verify(draft, &self.directory, &self.registered, moment)?;
        let resolved = resolve(verified, &self.directory)?;
        let configuration = Arc::clone(&resolved.configuration);
        let id = Keys::new_command_id(self.store.keys().shard_of(&resolved.configuration.id));
        let mut planned = translate(resolved, id, moment)?;
        weigh(&mut planned.executions)?;
        if approval::is_needed(&configuration, &planned) {
            planned.approve_until = Some(moment.plus(self.approval_time));
        }
        Ok(planned)
    }

    /// Accepts it.
    pub async fn accept(&self, draft: Draft) -> Result<Taken, Error> {
        self.charge(&draft)?;
        match self.find(&draft).await? {
            Some(id) => Ok(Taken::Before(id)),
            None => self.write(self.prepare(draft)?).await,
        }
    }

    /// The command that the same request became before. Asked before anything is planned: a request is answered the same when its
    /// deployment is gone.
    pub(crate) async fn find(&self, draft: &Draft) -> Result<Option<CommandId>, Error> {
        match self.store.requested(draft).await? {
            Some(Requested::Before(id)) => {
                count_command(&draft.operation, "repeated");
                Ok(Some(id))
            }
            Some(Requested::Conflict) => Err(Error::RequestIdUsed),
            None => Ok(None),
        }
    }

    /// Plans it, and all that it takes of the processor to write it down.
    pub(crate) fn prepare(&self, draft: Draft) -> Result<Prepared, Error> {
        let planned = self.planned(draft)?;
        planned.check_sayable()?;
        let caller = Identity::Participant(planned.command.originator.clone());
        let bounds = Bounds {
            outbox: self.outbox.limit,
            open: self.quotas.open_commands(&caller),
            window: self.outbox.window,
            report: self.report_time,
        };
        let asking = self.store.asking(&planned, bounds)?;
        Ok(Prepared {
            planned,
            open: bounds.open,
            asking,
        })
    }

    /// Written before it is sent: after a crash the outbox still holds these executions.
    pub(crate) async fn write(&self, prepared: Prepared) -> Result<Taken, Error> {
        let Prepared {
            planned,
            open,
            asking,
        } = prepared;
        match self.store.ask(&planned, asking).await? {
            Accepted::New(places) => {
                count_command(&planned.command.operation, "accepted");
                count_executions(&planned, &places);
                Ok(Taken::Now(Box::new(planned), places))
            }
            Accepted::Before(id) => {
                count_command(&planned.command.operation, "repeated");
                Ok(Taken::Before(id))
            }
            Accepted::Conflict => Err(Error::RequestIdUsed),
            Accepted::TooLarge(participant) => {
                let rule = format!(
                    "must not come to more than {} bytes for {participant} (ORDER_BYTES)",
                    limits::ORDER_BYTES
                );
                Err(Error::invalid("draft.selectors", rule))
            }
            Accepted::Busy => Err(Error::TooManyOpen {
                participant: planned.command.originator,
                limit: open,
            }),
            Accepted::Full(participant) => Err(Error::OutboxFull {
                participant,
                limit: self.outbox.limit,
            }),
        }
    }
}

/// A command that only needs to be written.
pub(crate) struct Prepared {
    planned: Planned,
    /// How many its originator may have open.
    open: u64,
    asking: Asking,
}

/// What became of a draft.
#[derive(Debug)]
pub enum Taken {
    /// It is a command now, with its executions at these places.
    Now(Box<Planned>, Vec<Placed>),
    /// The same request was this command before.
    Before(CommandId),
}

impl Taken {
    /// Of the command.
    pub fn id(&self) -> CommandId {
        match self {
            Self::Now(planned, _) => planned.command.id,
            Self::Before(id) => *id,
        }
    }
}

fn count_command(operation: &Operation, result: &'static str) {
    let operation = operation.name().to_owned();
    counter!(names::COMMANDS_TOTAL, "operation" => operation, "result" => result).increment(1);
}

fn count_executions(planned: &Planned, places: &[Placed]) {
    let mut places = places.iter();
    for execution in &planned.executions {
        let participant = &execution.participant;
        if execution.native.is_empty() {
            names::count_execution(participant, &State::Unsupported);
            continue;
        }
        names::count_execution(participant, &State::Accepted);
        if places.next().is_some_and(|place| place.is_dispatched) {
            names::count_execution(participant, &State::Dispatched);
        }
    }
}

/// The moment, by this replica's clock.
pub fn now() -> Timestamp {
    std::time::SystemTime::now().into()
}
