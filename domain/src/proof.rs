//! What was seen by looking afterwards, server by server.
//!
//! Invariant: `verified` is said only of what was seen; a proof says what it does not cover.
//! Not here: how what was seen is judged (`dialects::probe`).

use serde::{Deserialize, Serialize};

use crate::{
    evidence::Evidence,
    fault::{Again, Fault, FaultCode},
    participant::ServerAddress,
    result::Outcome,
    selector::ContentUrl,
    time::Timestamp,
};

/// What looking at one server showed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// In one word: the worst of its probes.
    pub verdict: ProofVerdict,
    /// Why it is not `verified`, as a sentence for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// How often the command was told again because of what was seen.
    #[serde(default)]
    pub repeats: u32,
    /// Probe by probe.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub probes: Vec<Probed>,
}

/// What looking showed, from the best to the worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProofVerdict {
    /// Every probe proves that it was done, and every selector has one.
    Verified,
    /// Nobody could look, or not everywhere: what is known is what the native system said.
    Unprobed,
    /// Somebody looked, and what was seen proves nothing.
    Unproven,
    /// Somebody looked, and saw that it was not done.
    NotVerified,
}

/// One URL at one place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probed {
    /// Which.
    pub url: ContentUrl,
    /// Where, if not at the server itself: the edge of a provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<ServerAddress>,
    /// What it showed.
    pub verdict: ProofVerdict,
    /// Why it is not `verified`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// What was seen before, and the last two times after; fewer where nothing was seen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub seen: Vec<Sighting>,
}

/// One answer to one request for a URL, as a visitor would get it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sighting {
    /// When its head had come, by the adapter's clock.
    pub at: Timestamp,
    /// Whether that was before the command was told.
    #[serde(default)]
    pub before: bool,
    /// The HTTP status.
    pub status: u16,
    /// The validator `ETag`, shortened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    /// The validator `Last-Modified`, shortened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_modified: Option<String>,
    /// `Age` in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age: Option<u64>,
    /// `Date`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub date: Option<Timestamp>,
    /// Whether it came from the cache, by its own word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hit: Option<bool>,
    /// `Vary`, shortened: only one variant was looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vary: Option<String>,
    /// The first 16 hexadecimal digits of the SHA-256 of what was read of the body.
    pub hash: String,
}

impl ProofVerdict {
    /// Every value, best first.
    pub const ALL: [Self; 4] = [
        Self::Verified,
        Self::Unprobed,
        Self::Unproven,
        Self::NotVerified,
    ];

    /// The word for people, messages and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Verified => "verified",
            Self::Unprobed => "unprobed",
            Self::Unproven => "unproven",
            Self::NotVerified => "not_verified",
        }
    }
}

impl Proof {
    /// Nothing was looked at, because of `why`.
    pub fn unprobed(why: impl Into<String>) -> Self {
        Self {
            verdict: ProofVerdict::Unprobed,
            why: Some(why.into()),
            repeats: 0,
            probes: Vec::new(),
        }
    }

    /// All probes in one: as good as the worst of them, and never `verified` where a selector has none.
    pub fn of(probes: Vec<Probed>, repeats: u32, uncovered: &[u32]) -> Self {
        let worst = probes.iter().max_by_key(|probed| probed.verdict);
        let (mut verdict, mut why) = worst.map_or_else(
            || (ProofVerdict::Unprobed, None),
            |worst| (worst.verdict, worst.why.clone()),
        );
        if verdict == ProofVerdict::Verified && !uncovered.is_empty() {
            verdict = ProofVerdict::Unprobed;
        }
        if verdict == ProofVerdict::Unprobed && why.is_none() {
            let count = uncovered.len();
            why = Some(format!(
                "no URL to look at stands for {count} of the selectors; probe URLs can be named"
            ));
        }
        Self {
            verdict,
            why,
            repeats,
            probes,
        }
    }

    /// A proof that somebody else wrote, as far as what was seen bears it: no better than the worst of its probes, and of a
    /// probe without an answer after the command nothing is verified.
    #[must_use]
    pub fn as_seen(self) -> Self {
        let worst = self.probes.iter().max_by_key(|probed| probed.as_seen());
        let seen = worst.map_or(ProofVerdict::Unprobed, Probed::as_seen);
        if seen <= self.verdict {
            return self;
        }
        let why = worst.and_then(|probed| probed.why.clone());
        let why =
            why.unwrap_or_else(|| "no answer that was seen after the command proves it".to_owned());
        Self {
            verdict: seen,
            why: Some(why),
            ..self
        }
    }

    /// How a server's part ends with this proof, where it would have ended `as_said` by the native system's answers.
    ///
    /// What was seen not to be done has failed, whatever was said. What was looked at and could not be proven is known no
    /// better than `acknowledged`, so that a command to be verified is never `complete` by a word alone.
    pub fn outcome(&self, as_said: Outcome) -> Outcome {
        match (as_said, self.verdict) {
            (Outcome::Done(_), ProofVerdict::Verified) => Outcome::Done(Evidence::Verified),
            (Outcome::Done(said), ProofVerdict::Unproven) => {
                Outcome::Done(said.min(Evidence::Acknowledged))
            }
            (done @ Outcome::Done(_), ProofVerdict::Unprobed) => done,
            (Outcome::Done(_), ProofVerdict::NotVerified) => {
                let why = self.why.as_deref().unwrap_or("it was seen not to be done");
                Outcome::Failed(Fault::participant(FaultCode::NotVerified, Again::Soon, why))
            }
            (ended @ (Outcome::Failed(_) | Outcome::Unknown), _) => ended,
        }
    }

    /// The same without what was seen, for a report that must be short.
    pub fn forget_sightings(&mut self) {
        for probed in &mut self.probes {
            probed.seen.clear();
        }
    }
}

impl Probed {
    fn as_seen(&self) -> ProofVerdict {
        let is_seen = self.seen.iter().any(|sighting| !sighting.before);
        if is_seen {
            self.verdict
        } else {
            self.verdict.max(ProofVerdict::Unprobed)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probed(verdict: ProofVerdict) -> Probed {
        Probed {
            url: "http://a.example/".parse().unwrap(),
            at: None,
            verdict,
            why: (verdict != ProofVerdict::Verified).then(|| verdict.as_str().to_owned()),
            seen: Vec::new(),
        }
    }

    /// One stale answer among many good ones is what counts, and a selector without a probe is not proven.
    #[test]
    fn a_proof_is_as_good_as_its_worst_probe() {
        use ProofVerdict::{NotVerified, Unprobed, Unproven, Verified};
        let of = |verdicts: &[ProofVerdict], uncovered: &[u32]| {
            let probes = verdicts.iter().map(|verdict| probed(*verdict)).collect();
            Proof::of(probes, 0, uncovered)
        };
        assert_eq!(of(&[Verified, Verified], &[]).verdict, Verified);
        let stale = of(&[Verified, NotVerified, Unproven, Unprobed], &[]);
        assert_eq!(
            (stale.verdict, stale.why.as_deref()),
            (NotVerified, Some("not_verified"))
        );
        assert_eq!(of(&[Verified, Unproven, Unprobed], &[]).verdict, Unproven);
        let partly = of(&[Verified], &[3, 4]);
        assert_eq!(partly.verdict, Unprobed);
        assert!(partly.why.unwrap().contains("2 of the selectors"));
        assert_eq!(of(&[], &[0]).verdict, Unprobed);
    }

    /// Whatever somebody writes above his probes, it is no better than they are, and worse where he says so himself.
    #[test]
    fn a_proof_of_somebody_elses_is_what_its_probes_show() {
        use ProofVerdict::{NotVerified, Unprobed, Unproven, Verified};
        let sighting = |before| Sighting {
            at: Timestamp::from_millis(1),
            before,
            status: 200,
            etag: None,
            last_modified: None,
            age: None,
            date: None,
            hit: None,
            vary: None,
            hash: "0123456789abcdef".to_owned(),
        };
        let with = |verdict, seen: &[bool]| Probed {
            seen: seen.iter().copied().map(sighting).collect(),
            ..probed(verdict)
        };
        for (said, probes, is) in [
            (Verified, vec![], Unprobed),
            (Verified, vec![with(Verified, &[])], Unprobed),
            (Verified, vec![with(Verified, &[true])], Unprobed),
            (Verified, vec![with(Verified, &[true, false])], Verified),
            (
                Verified,
                vec![with(Verified, &[false]), with(NotVerified, &[false])],
                NotVerified,
            ),
            (Unprobed, vec![with(Verified, &[false])], Unprobed),
            (Unproven, vec![], Unproven),
            (NotVerified, vec![with(Verified, &[false])], NotVerified),
        ] {
            let proof = Proof {
                verdict: said,
                ..Proof::of(probes, 0, &[])
            };
            let seen = proof.as_seen();
            assert_eq!(seen.verdict, is, "{said:?} {:?}", seen.probes);
            assert!(is == said || seen.why.is_some(), "{said:?}");
        }
    }

    /// Only what was seen is verified; what was seen not to be done has failed, and what was not proven is never reported.
    #[test]
    fn a_word_is_never_better_than_what_was_seen() {
        for verdict in ProofVerdict::ALL {
            let proof = Proof::of(vec![probed(verdict)], 0, &[]);
            for said in Evidence::ALL {
                let outcome = proof.outcome(Outcome::Done(said));
                match verdict {
                    ProofVerdict::Verified => {
                        assert_eq!(outcome, Outcome::Done(Evidence::Verified));
                    }
                    ProofVerdict::Unprobed => assert_eq!(outcome, Outcome::Done(said)),
                    ProofVerdict::Unproven => {
                        assert_eq!(outcome, Outcome::Done(Evidence::Acknowledged));
                    }
                    ProofVerdict::NotVerified => assert!(
                        matches!(&outcome, Outcome::Failed(fault) if fault.code == FaultCode::NotVerified)
                    ),
                }
            }
            let refused =
                Outcome::Failed(Fault::participant(FaultCode::Refused, Again::Never, "no"));
            assert_eq!(proof.outcome(refused.clone()), refused);
            assert_eq!(proof.outcome(Outcome::Unknown), Outcome::Unknown);
        }
    }
}
