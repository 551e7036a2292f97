//! The documents that `--json` prints, and what tables are made from.
//!
//! Invariant: names are snake_case and stable; a document may gain fields and never loses one. What is not known is
//! `null`, an unknown word of a newer broker is `unrecognized_<number>`.

mod bundle;
mod cancel;
mod command;
mod draft;
mod key;
mod mapping;
mod pki;
mod plan;
mod proof;
mod registry;
mod word;

pub(crate) use bundle::{BundleView, incomplete_answer};
pub(crate) use cancel::CancelView;
pub(crate) use command::{
    ApprovalView, ChangeView, CommandListView, CommandView, ExecutionView, FailedTryView,
    FaultView, FindingView, ServerResultView, StandingView, is_under_way,
};
pub(crate) use draft::{DraftView, OperationView, ScopeView, SelectorView, text_of};
pub(crate) use key::KeyView;
pub(crate) use mapping::{CheckedView, MappingView};
pub(crate) use pki::{CertificateView, IssuedView};
pub(crate) use plan::{
    FidelityView, NativeCallView, NativeCostView, NativeOrderView, PlanView, PlannedExecutionView,
};
pub(crate) use proof::{ProbeView, ProofView, SightingView};
pub(crate) use registry::{
    ConfigurationView, DeploymentView, ParticipantView, ProgressView, ServerView,
};
