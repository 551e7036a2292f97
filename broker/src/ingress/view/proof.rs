//! Looking afterwards: what is asked for, what will be looked at, and what was seen.

use domain::{
    Command, Probes, Proof,
    proof::{Probed, ProofVerdict, Sighting},
};
use proto::v1;

use super::timestamp;

/// What will be looked at afterwards.
pub(super) fn looked_at(command: &Command) -> v1::Plan {
    let Some(probes) = Probes::of(command) else {
        return v1::Plan::default();
    };
    let planned = probes.probes.iter().map(|probe| v1::PlannedProbe {
        url: probe.url.to_string(),
        selectors: probe.selectors.clone(),
    });
    v1::Plan {
        probes: planned.collect(),
        unprobed_selectors: probes.uncovered,
        ..v1::Plan::default()
    }
}

/// The URLs that the originator named.
pub(super) fn probe_urls(command: &Command) -> Vec<String> {
    let named = command.verification.iter();
    let urls = named.flat_map(|verification| &verification.urls);
    urls.map(ToString::to_string).collect()
}

/// What looking at one server showed.
pub(super) fn proof(proof: &Proof) -> v1::Proof {
    v1::Proof {
        verdict: verdict(proof.verdict).into(),
        why: proof.why.clone().unwrap_or_default(),
        repeats: proof.repeats,
        probes: proof.probes.iter().map(probed).collect(),
    }
}

fn probed(probed: &Probed) -> v1::Probe {
    let address = probed.at.as_ref().map(ToString::to_string);
    v1::Probe {
        url: probed.url.to_string(),
        address: address.unwrap_or_default(),
        verdict: verdict(probed.verdict).into(),
        why: probed.why.clone().unwrap_or_default(),
        seen: probed.seen.iter().map(sighting).collect(),
    }
}

fn sighting(seen: &Sighting) -> v1::Sighting {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    v1::Sighting {
        time: Some(timestamp(seen.at)),
        before: seen.before,
        status: seen.status.into(),
        etag: text(&seen.etag),
        last_modified: text(&seen.last_modified),
        age: seen.age,
        date: seen.date.map(timestamp),
        hit: seen.hit,
        vary: text(&seen.vary),
        hash: seen.hash.clone(),
    }
}

const fn verdict(verdict: ProofVerdict) -> v1::ProofVerdict {
    match verdict {
        ProofVerdict::Verified => v1::ProofVerdict::Verified,
        ProofVerdict::Unprobed => v1::ProofVerdict::Unprobed,
        ProofVerdict::Unproven => v1::ProofVerdict::Unproven,
        ProofVerdict::NotVerified => v1::ProofVerdict::NotVerified,
    }
}
