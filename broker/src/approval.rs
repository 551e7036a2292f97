//! Which commands wait for a second person.
//!
//! Invariant: pure, and decided once, before the command is written down. What counts is what would be done: a purge that names
//! little and that one participant can only carry out as one of a whole host name is wide, too.
//! Not here: who may approve (`ingress::approve`), and how it waits (`store::approval`).

use domain::{Configuration, Fidelity, Operation, fidelity::Breadth};

use crate::translate::Planned;

/// Whether this command of the configuration needs another person's word.
pub fn is_needed(configuration: &Configuration, planned: &Planned) -> bool {
    let is_purge = matches!(planned.command.operation, Operation::Purge(_));
    configuration.needs_approval() && is_purge && is_wide(planned)
}

fn is_wide(planned: &Planned) -> bool {
    let mut executions = planned.executions.iter();
    planned
        .command
        .selectors
        .iter()
        .any(domain::Selector::is_wide)
        || executions.any(|execution| {
            let widened = matches!(
                execution.fidelity,
                Fidelity::Widened {
                    to: Breadth::Host | Breadth::Configuration,
                    ..
                }
            );
            widened && !execution.native.is_empty()
        })
}
