//! What a participant may declare of its own invocation system.

use domain::Participant;

use crate::{
    error::{Error, Violation},
    verify::Registered,
};

/// The federation's own operations.
const OWN: [&str; 2] = ["purge", "load"];

/// Whether every operation that the participant declares is one of ours or registered, and is declared once.
pub(super) fn check(participant: &Participant, registered: &Registered) -> Result<(), Error> {
    let mut problems = Vec::new();
    let declared = &participant.capabilities;
    for (index, capability) in declared.iter().enumerate() {
        let name = &capability.operation;
        let before = declared.iter().take(index);
        let rule = if !OWN.contains(&name.as_str()) && !registered.0.contains_key(name) {
            "must be purge, load or an operation that is registered with this broker"
        } else if before.clone().any(|other| other.operation == *name) {
            "must not be an operation that stands before"
        } else {
            continue;
        };
        let field = format!("participant.capabilities[{index}].operation");
        problems.push(Violation::new(field, rule));
    }
    if problems.is_empty() {
        Ok(())
    } else {
        Err(Error::Invalid(problems))
    }
}
