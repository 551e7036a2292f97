//! Which servers of which participants are meant?
//!
//! Invariant: every server that carries the configuration and that the scope means is in exactly one target; a command
//! that would reach nobody is an error, never a silent success.

use std::{fmt::Display, sync::Arc};

use domain::{Configuration, Scope, limits, participant::OwnServers};

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
    })
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

/// A scope that names somebody who does not carry the configuration is a mistake, not a smaller command. Each is named.
fn check_scope(scope: &Scope, carriers: &[Carrier]) -> Result<(), Error> {
    match scope {
        Scope::Everywhere | Scope::Foreign | Scope::Places(_) => Ok(()),
        Scope::Participants(named) => {
            let carried = carriers.iter().map(|carrier| &carrier.participant.id);
            all_carry("participants", named, |id| {
                carried.clone().any(|one| one == id)
            })
        }
        Scope::Servers(named) => {
            let carried = carriers.iter().flat_map(|carrier| &carrier.servers);
            all_carry("servers", named, |id| {
                carried.clone().any(|server| server.id == *id)
            })
        }
    }
}

fn all_carry<'a, I: Display + 'a>(
    field: &str,
    named: impl IntoIterator<Item = &'a I>,
    carries: impl Fn(&I) -> bool,
) -> Result<(), Error> {
    let unknown = named.into_iter().filter(|id| !carries(id));
    let violations = unknown.map(|id| {
        Violation::new(
            format!("draft.scope.{field}.ids"),
            format!("`{id}` does not carry this configuration"),
        )
    });
    Error::unless_empty(violations.collect())
}
