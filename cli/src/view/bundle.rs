//! A bundle of receipts that has no flaw.

use domain::receipt::Summary;
use serde::Serialize;
use tonic::Status;

use crate::failure::Failure;

/// What a bundle holds.
#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct BundleView {
    pub(crate) configuration_id: String,
    pub(crate) records: u64,
    pub(crate) first_sequence: Option<u64>,
    pub(crate) last_sequence: Option<u64>,
    /// The hash that the bundle before must end with; zeros where there is none before.
    pub(crate) anchor: String,
    pub(crate) told_otherwise: u64,
    pub(crate) keys: Vec<SignerView>,
    pub(crate) broker_key: Option<String>,
}

/// Who signed with which key.
#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct SignerView {
    pub(crate) participant_id: String,
    pub(crate) public_key: String,
}

impl From<&Summary> for BundleView {
    fn from(summary: &Summary) -> Self {
        let keys = summary.keys.iter().map(|(participant, key)| SignerView {
            participant_id: participant.to_string(),
            public_key: key.to_string(),
        });
        Self {
            configuration_id: summary.configuration.to_string(),
            records: summary.records,
            first_sequence: summary.range.map(|(first, _)| first),
            last_sequence: summary.range.map(|(_, last)| last),
            anchor: summary.anchor.to_string(),
            told_otherwise: summary.told_otherwise,
            keys: keys.collect(),
            broker_key: summary.broker.map(|key| key.to_string()),
        }
    }
}

/// An answer without what it must have.
pub(crate) fn incomplete_answer() -> Failure {
    Status::internal("the broker's answer is incomplete").into()
}
