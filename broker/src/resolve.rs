//! Which servers of which participants are meant?
//!
//! Invariant: every server that carries the configuration and that the scope means is in exactly one target; a command
//! that would reach nobody is an error, never a silent success.

use std::{fmt::Display, sync::Arc};

use domain::{Configuration, ParticipantId, Scope, limits, participant::OwnServers};

use crate::{
    directory::{Carrier, Directory},
    error::{Error, Violation},
    verify::{Draft, Verified},
};

/// A verified draft with its targets.
#[derive(Debug, Clone)]
pub struct Resolved {
    /// The draft.
    pub draft: Draft,
    /// Its configuration.
    pub configuration: Arc<Configuration>,
    /// One for each participant, by its id; never empty, and each has a server.
    pub targets: Vec<Carrier>,
    /// Who carries it, would be meant, and has no server.
    pub without_servers: Vec<ParticipantId>,
}

/// Finds the targets.
pub fn resolve(verified: Verified, directory: &Directory) -> Result<Resolved, Error> {
    let Verified {
        draft,
        configuration,
    } = verified;
    let carriers = directory.carriers(&configuration.id);
    if carriers.is_empty() {
        return Err(Error::NotDeployed {
            configuration: configuration.id.clone(),
        });
    }
    check_scope(&draft.scope, &carriers)?;
    let without_servers = without_servers(&draft, &carriers);
    let meant = |carrier| narrow(carrier, &draft);
    let targets = carriers
        .into_iter()
        .map(meant)
        .filter(|carrier| !carrier.servers.is_empty())
        .collect::<Vec<_>>();
    if targets.is_empty() {
        return Err(Error::NobodyMeant {
            configuration: configuration.id.clone(),
        });
    }
    if targets.len() > limits::EXECUTIONS_PER_COMMAND {
        let rule = format!(
            "must mean at most {} participants",
            limits::EXECUTIONS_PER_COMMAND
        );
        return Err(Error::invalid("draft.scope", rule));
    }
    Ok(Resolved {
        draft,
        configuration,
        targets,
        without_servers,
    })
}

/// Where a deployment was granted and no server stands for it, so that nobody is told there. A scope that names participants or
/// servers has been refused by now where it names such a one.
fn without_servers(draft: &Draft, carriers: &[Carrier]) -> Vec<ParticipantId> {
    let of_others = match draft.scope {
        Scope::Everywhere => false,
        Scope::Foreign => true,
        Scope::Places(_) | Scope::Participants(_) | Scope::Servers(_) => return Vec::new(),
    };
    let empty = carriers.iter().filter(|carrier| carrier.servers.is_empty());
    let participants = empty.map(|carrier| &carrier.participant);
    participants
        .filter(|one| {
            let is_left_out = of_others || one.own_servers == OwnServers::Excluded;
            one.id != draft.originator || !is_left_out
        })
        .map(|one| one.id.clone())
        .collect()
}

/// The servers of a carrier that the command is for.
fn narrow(mut carrier: Carrier, draft: &Draft) -> Carrier {
    let own = carrier.participant.id == draft.originator;
    if own && carrier.participant.own_servers == OwnServers::Excluded {
        carrier.servers.clear();
    }
    carrier
        .servers
        .retain(|server| draft.scope.includes(&draft.originator, server));
    carrier
}

const CARRIES_NOT: &str = "does not carry this configuration";
const HAS_NO_SERVER: &str = "carries this configuration and has no server";

/// A scope that names somebody who does not carry the configuration is a mistake, not a smaller command. Each is named.
fn check_scope(scope: &Scope, carriers: &[Carrier]) -> Result<(), Error> {
    match scope {
        Scope::Everywhere | Scope::Foreign | Scope::Places(_) => Ok(()),
        Scope::Participants(named) => check_named("participants", named, |id| {
            let carrier = carriers.iter().find(|one| one.participant.id == *id);
            match carrier {
                Some(carrier) if carrier.servers.is_empty() => Some(HAS_NO_SERVER),
                Some(_) => None,
                None => Some(CARRIES_NOT),
            }
        }),
        Scope::Servers(named) => {
            let carried = carriers.iter().flat_map(|carrier| &carrier.servers);
            check_named("servers", named, |id| {
                let is_there = carried.clone().any(|server| server.id == *id);
                (!is_there).then_some(CARRIES_NOT)
            })
        }
    }
}

fn check_named<'a, I: Display + 'a>(
    field: &str,
    named: impl IntoIterator<Item = &'a I>,
    mistake: impl Fn(&I) -> Option<&'static str>,
) -> Result<(), Error> {
    let violations = named.into_iter().filter_map(|id| {
        let field = format!("draft.scope.{field}.ids");
        Some(Violation::new(field, format!("`{id}` {}", mistake(id)?)))
    });
    Error::unless_empty(violations.collect())
}
