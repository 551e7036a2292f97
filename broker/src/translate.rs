//! What is each participant told, in its own language, and how faithful is that?
//!
//! Invariant: what the originator's ceiling forbids is never translated; each server gets the calls of its own dialect.

use std::{collections::BTreeMap, sync::Arc};

use amqp::envelope::{NativeOrder, OrderedServer};
use dialects::{Counterpart, Site, fidelity_of, mapped::CannotMap};
use domain::{
    Command, CommandId, Configuration, DialectName, ExecutionId, Fidelity, NativeCall, Participant,
    ParticipantId, Server, Timestamp, command::WhenImpossible,
};

use crate::{
    directory::{Carrier, Mapping},
    error::Error,
    resolve::Resolved,
    verify::Draft,
};

/// A command with all that is to be told to whom.
#[derive(Debug, Clone)]
pub struct Planned {
    /// The command.
    pub command: Command,
    /// Who gave it, as in `participant/acme/person/ann`.
    pub submitted_by: String,
    /// By when another person must have approved it, where that is asked for.
    pub approve_until: Option<Timestamp>,
    /// One for each participant.
    pub executions: Vec<PlannedExecution>,
    /// Who carries the configuration and has no server: nobody is told there.
    pub without_servers: Vec<ParticipantId>,
}

/// What one participant is told.
#[derive(Debug, Clone)]
pub struct PlannedExecution {
    /// Who.
    pub participant: ParticipantId,
    /// How well it can say the command.
    pub fidelity: Fidelity,
    /// The servers that are meant.
    pub servers: Vec<Arc<Server>>,
    /// What is said; empty when it is impossible.
    pub native: Vec<NativeOrder>,
}

impl Planned {
    /// Refuses a command that nobody can say, or that one cannot say where the originator wants all or nothing.
    pub fn check_sayable(&self) -> Result<(), Error> {
        let impossible = self
            .executions
            .iter()
            .filter(|execution| execution.native.is_empty());
        let refusals = impossible
            .map(|execution| {
                (
                    execution.participant.clone(),
                    execution.fidelity.why().unwrap_or_default().to_owned(),
                )
            })
            .collect::<Vec<_>>();
        let nobody = refusals.len() == self.executions.len();
        if nobody
            || (!refusals.is_empty() && self.command.when_impossible == WhenImpossible::Refuse)
        {
            return Err(Error::Impossible { refusals });
        }
        Ok(())
    }
}

/// Plans a resolved command.
pub fn translate(
    resolved: Resolved,
    id: CommandId,
    accepted_at: Timestamp,
) -> Result<Planned, Error> {
    let Resolved {
        draft,
        configuration,
        targets,
        without_servers,
    } = resolved;
    let submitted_by = draft.submitted_by.to_string();
    let command = command(draft, &configuration, id, accepted_at);
    let plan = |target| plan_execution(&command, &configuration, target);
    let executions = targets.into_iter().map(plan).collect::<Result<_, _>>()?;
    Ok(Planned {
        command,
        submitted_by,
        approve_until: None,
        executions,
        without_servers,
    })
}

fn command(
    draft: Draft,
    configuration: &Configuration,
    id: CommandId,
    accepted_at: Timestamp,
) -> Command {
    Command {
        id,
        originator: draft.originator,
        configuration: configuration.id.clone(),
        operation: draft.operation,
        selectors: draft.selectors,
        scope: draft.scope,
        ceiling: draft.ceiling,
        when_impossible: draft.when_impossible,
        verification: draft.verification,
        request_id: draft.request_id,
        accepted_at,
        not_before: draft.not_before,
        expires_at: draft.expires_at,
        traceparent: draft.traceparent,
        tracestate: draft.tracestate,
    }
}

fn plan_execution(
    command: &Command,
    configuration: &Configuration,
    target: Carrier,
) -> Result<PlannedExecution, Error> {
    let participant = target.participant.id.clone();
    let execution = ExecutionId {
        command: command.id,
        participant: participant.clone(),
    };
    let mut fidelity = Fidelity::Exact;
    let mut native = Vec::new();
    for (name, servers) in by_dialect(&target) {
        let site = Site {
            execution: &execution,
            configuration,
            servers: &servers,
            limits: &target.participant.native_limits,
        };
        let (whole, calls) = match &target.mapping {
            Some(mapping) => say_mapped(mapping, &target.participant, command, &site)?,
            None => say(&name, &target.participant, command, &site)?,
        };
        native.push(NativeOrder {
            dialect: name,
            mapping: target.mapping.as_ref().map(|mapping| mapping.version()),
            limits: target.participant.native_limits.clone(),
            servers: servers.iter().map(ordered).collect(),
            calls,
        });
        fidelity = fidelity.and(whole);
    }
    // A participant that cannot say it on one kind of its servers does not do half of it.
    if matches!(fidelity, Fidelity::Impossible { .. }) {
        native.clear();
    }
    Ok(PlannedExecution {
        participant,
        fidelity,
        servers: target.servers,
        native,
    })
}

/// What is said in a dialect that the broker brings along, and how faithful that is.
fn say(
    name: &DialectName,
    participant: &Participant,
    command: &Command,
    site: &Site<'_>,
) -> Result<(Fidelity, Vec<NativeCall>), Error> {
    let dialect = dialects::by_name(name).ok_or_else(|| unknown(name))?;
    let mut fidelity = fidelity_of(dialect, command);
    if dialect.counterpart() != Counterpart::Server {
        fidelity = fidelity.and(declared(participant, command));
    }
    if matches!(fidelity, Fidelity::Impossible { .. }) {
        return Ok((fidelity, Vec::new()));
    }
    let calls = dialect.translate(command, site).map_err(Error::CannotSay)?;
    Ok((fidelity, calls))
}

/// The same by a mapping. What its document does not foresee, such as a parameter that is not given, is impossible.
fn say_mapped(
    mapping: &Mapping,
    participant: &Participant,
    command: &Command,
    site: &Site<'_>,
) -> Result<(Fidelity, Vec<NativeCall>), Error> {
    let spoken = mapping.read().ok_or_else(|| unknown(mapping.name()))?;
    let fidelity = spoken
        .fidelity_of(command)
        .and(declared(participant, command));
    if matches!(fidelity, Fidelity::Impossible { .. }) {
        return Ok((fidelity, Vec::new()));
    }
    match spoken.translate(command, site) {
        Ok(calls) => Ok((fidelity, calls)),
        Err(CannotMap { why, .. }) => Ok((Fidelity::Impossible { why }, Vec::new())),
    }
}

fn unknown(name: &DialectName) -> Error {
    Error::UnknownDialect {
        dialect: name.clone(),
    }
}

/// What a participant declares of its own invocation system: the dialect can say everything to it, but it cannot do
/// everything that is said.
fn declared(participant: &Participant, command: &Command) -> Fidelity {
    let operation = &command.operation;
    let each = command.selectors.iter().map(|selector| {
        if participant.declares(operation, selector) {
            return Fidelity::Exact;
        }
        let (id, name, kind) = (&participant.id, operation.name(), selector.kind());
        let why = format!("{id} declares no {name} by {kind}");
        Fidelity::Impossible { why }
    });
    each.fold(Fidelity::Exact, Fidelity::and)
}

/// The servers of a target by the dialect that speaks to them, or all under that of the invocation system.
fn by_dialect(target: &Carrier) -> BTreeMap<DialectName, Vec<Server>> {
    let mut groups: BTreeMap<DialectName, Vec<Server>> = BTreeMap::new();
    for server in &target.servers {
        let name = target
            .participant
            .invocation_system
            .as_ref()
            .unwrap_or(&server.dialect);
        groups
            .entry(name.clone())
            .or_default()
            .push(Server::clone(server));
    }
    groups
}

fn ordered(server: &Server) -> OrderedServer {
    OrderedServer {
        id: server.id.clone(),
        address: server.address.clone(),
    }
}
