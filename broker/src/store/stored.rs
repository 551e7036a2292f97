//! A command as it stands: with its executions, as its originator or one of its hosts may see it.
//!
//! Not here: how it is read (`read`).

use domain::{
    Command, Execution, ExecutionId, ParticipantId, Scope, Standing, State, execution::Change,
};

use super::{ApprovalAsked, Placed, accept::is_scheduled};
use crate::translate::{Planned, PlannedExecution};

/// A command's revision when it is accepted, as the script writes it.
const FIRST_REVISION: u64 = 1;

/// A command as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredCommand {
    /// As accepted.
    pub command: Command,
    /// Grows with every change.
    pub revision: u64,
    /// One for each participant, by its id.
    pub executions: Vec<Execution>,
    /// Where a second person is asked for.
    pub approval: Option<ApprovalAsked>,
}

impl StoredCommand {
    /// A command that was accepted just now, as [`Store::command`] and [`Self::as_accepted`] would give it.
    pub fn accepted(planned: Planned, places: &[Placed]) -> Self {
        let approval = ApprovalAsked::of(&planned);
        let Planned {
            command,
            executions,
            ..
        } = planned;
        let mut places = places.iter();
        let one = |planned: PlannedExecution| {
            let is_sent = !planned.native.is_empty();
            let place = is_sent.then(|| places.next()).flatten();
            accepted_execution(&command, planned, place)
        };
        let mut executions: Vec<_> = executions.into_iter().map(one).collect();
        executions.sort_unstable_by(|one, other| one.id.participant.cmp(&other.id.participant));
        Self {
            command,
            revision: FIRST_REVISION,
            executions,
            approval,
        }
    }

    /// The command as it was when it was accepted, the same at any time and from any replica.
    #[must_use]
    pub fn as_accepted(mut self) -> Self {
        let scheduled = is_scheduled(&self.command) || self.approval.is_some();
        if let Some(approval) = &mut self.approval {
            approval.given = None;
        }
        self.revision = FIRST_REVISION;
        for execution in &mut self.executions {
            if execution.state != State::Unsupported {
                execution.state = State::Accepted;
            }
            if scheduled {
                execution.sequence = 0;
            }
            execution.history.truncate(1);
            execution.results.clear();
            execution.changed_at = self.command.accepted_at;
            execution.revision = FIRST_REVISION;
            (
                execution.deadline,
                execution.cancel_asked_at,
                execution.absorbed_by,
            ) = (None, None, None);
        }
        self
    }

    /// What a participant that carries it out may see: its own execution, and nothing of the others.
    #[must_use]
    pub fn part_of(mut self, host: &ParticipantId) -> Self {
        self.executions
            .retain(|execution| execution.id.participant == *host);
        let revisions = self.executions.iter().map(|execution| execution.revision);
        self.revision = revisions.max().unwrap_or(FIRST_REVISION);
        self.command.request_id = None;
        if let Some(approval) = &mut self.approval {
            approval.submitted_by.clear();
            if let Some(given) = &mut approval.given {
                given.by.clear();
                given.reason.clear();
            }
        }
        // It may name others.
        self.command.scope = Scope::Participants([host.clone()].into());
        self
    }

    /// Whether nobody has approved it, where somebody has to.
    pub fn lacks_approval(&self) -> bool {
        let asked = self.approval.as_ref();
        asked.is_some_and(|asked| asked.given.is_none())
    }

    /// All executions in one answer.
    pub fn standing(&self) -> Standing {
        Standing::fold(self.executions.iter().map(|execution| &execution.state))
    }
}

fn accepted_execution(
    command: &Command,
    planned: PlannedExecution,
    place: Option<&Placed>,
) -> Execution {
    let state = if planned.native.is_empty() {
        State::Unsupported
    } else {
        State::Accepted
    };
    let began = Change {
        state: state.as_str().to_owned(),
        at: command.accepted_at,
    };
    Execution {
        id: ExecutionId {
            command: command.id,
            participant: planned.participant,
        },
        sequence: place.map_or(0, |place| place.sequence),
        fidelity: planned.fidelity,
        servers: planned
            .servers
            .iter()
            .map(|server| server.id.clone())
            .collect(),
        results: Vec::new(),
        changed_at: command.accepted_at,
        revision: FIRST_REVISION,
        history: vec![began],
        deadline: None,
        cancel_asked_at: None,
        absorbed_by: None,
        state,
    }
}
