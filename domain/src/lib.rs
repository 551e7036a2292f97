//! What is true in the federation, whoever asks: ids, commands, selectors, configurations, the states of an
//! execution, its results, and the standing that folds them.
//!
//! Invariant: nothing here does I/O, reads a clock or knows a protocol; a value that exists is well formed.
//! Not here: who may do what (`broker::verify`), how a native system is spoken to (`dialects`).

#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        reason = "a test that unwraps nothing fails there"
    )
)]

pub mod absorb;
pub mod call;
pub mod capability;
pub mod command;
pub mod configuration;
pub mod digest;
pub mod evidence;
pub mod execution;
pub mod fault;
pub mod fidelity;
pub mod host;
pub mod id;
pub mod limits;
pub mod native_limits;
pub mod operation;
pub mod participant;
pub mod place;
pub mod proof;
pub mod receipt;
pub mod result;
pub mod rule;
pub mod scope;
pub mod selector;
pub mod signing;
pub mod standing;
pub mod time;
pub mod verification;

pub use call::NativeCall;
pub use capability::{Capability, SelectorKind};
pub use command::Command;
pub use configuration::{Agreement, Configuration, Deployment};
pub use evidence::Evidence;
pub use execution::{Event, Execution, State};
pub use fault::Fault;
pub use fidelity::{Ceiling, Fidelity};
pub use host::HostName;
pub use id::{
    CommandId, ConfigurationId, CustomerId, DeploymentId, DialectName, ExecutionId, OperationName,
    ParticipantId, RequestId, ServerId,
};
pub use native_limits::NativeLimits;
pub use operation::{Operation, PurgeMode};
pub use participant::{Participant, Server};
pub use place::Place;
pub use proof::Proof;
pub use result::{Finding, Outcome, ServerResult, Try};
pub use rule::BrokenRule;
pub use scope::Scope;
pub use selector::Selector;
pub use standing::Standing;
pub use time::Timestamp;
pub use verification::{Probes, Verification};
