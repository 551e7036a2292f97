//! The documents that `--json` prints, and what tables are made from.
//!
//! Invariant: names are snake_case and stable; a document may gain fields and never loses one. What is not known is
//! `null`, an unknown word of a newer broker is `unrecognized_<number>`.

mod command;
mod draft;
mod plan;
mod registry;
mod word;

pub(crate) use command::{
    CancelView, ChangeView, CommandListView, CommandView, ExecutionView, FaultView, FindingView,
    ServerResultView, StandingView,
};
pub(crate) use draft::{DraftView, OperationView, ScopeView, SelectorView, text_of};
pub(crate) use plan::{
    FidelityView, NativeCallView, NativeOrderView, PlanView, PlannedExecutionView,
};
pub(crate) use registry::{ConfigurationView, DeploymentView, ParticipantView, ServerView};
