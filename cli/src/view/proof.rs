//! What looking afterwards showed.

use proto::v1::{Probe, Proof, ProofVerdict, Sighting};
use serde::Serialize;

use super::word::{text, word};
use crate::words;

/// What looking at one server showed.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ProofView {
    pub(crate) verdict: String,
    pub(crate) why: Option<String>,
    pub(crate) repeats: u32,
    pub(crate) probes: Vec<ProbeView>,
}

/// One URL at one place.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ProbeView {
    pub(crate) url: String,
    pub(crate) address: Option<String>,
    pub(crate) verdict: String,
    pub(crate) why: Option<String>,
    pub(crate) seen: Vec<SightingView>,
}

/// One answer.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct SightingView {
    pub(crate) time: Option<String>,
    pub(crate) before: bool,
    pub(crate) status: u32,
    pub(crate) etag: Option<String>,
    pub(crate) last_modified: Option<String>,
    pub(crate) age: Option<u64>,
    pub(crate) date: Option<String>,
    pub(crate) hit: Option<bool>,
    pub(crate) vary: Option<String>,
    pub(crate) hash: String,
}

impl From<Proof> for ProofView {
    fn from(proof: Proof) -> Self {
        Self {
            verdict: word::<ProofVerdict>(proof.verdict),
            why: text(proof.why),
            repeats: proof.repeats,
            probes: proof.probes.into_iter().map(ProbeView::from).collect(),
        }
    }
}

impl From<Probe> for ProbeView {
    fn from(probe: Probe) -> Self {
        Self {
            url: probe.url,
            address: text(probe.address),
            verdict: word::<ProofVerdict>(probe.verdict),
            why: text(probe.why),
            seen: probe.seen.into_iter().map(SightingView::from).collect(),
        }
    }
}

impl From<Sighting> for SightingView {
    fn from(seen: Sighting) -> Self {
        Self {
            time: seen.time.as_ref().and_then(words::rfc3339),
            before: seen.before,
            status: seen.status,
            etag: text(seen.etag),
            last_modified: text(seen.last_modified),
            age: seen.age,
            date: seen.date.as_ref().and_then(words::rfc3339),
            hit: seen.hit,
            vary: text(seen.vary),
            hash: seen.hash,
        }
    }
}
