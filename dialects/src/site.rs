//! What a dialect may know besides the command.

use domain::{Configuration, ExecutionId, NativeLimits, Server};

/// Where a command is carried out.
#[derive(Debug, Clone, Copy)]
pub struct Site<'a> {
    /// The execution, where a native system wants a key of ours (a caller reference).
    pub execution: &'a ExecutionId,
    /// The configuration with its host names: a tag and `everything` mean these and no other.
    pub configuration: &'a Configuration,
    /// The participant's servers that are meant, all of this dialect unless it speaks to an invocation system.
    pub servers: &'a [Server],
    /// How much one call holds, where the participant's record says so.
    pub limits: &'a NativeLimits,
}
