//! What one server's calls of an execution have come to, call by call.
//!
//! Invariant: the first fault stands for the server; a selector has one finding, whatever the number of its calls: a
//! failure before a success, and what happened before "nothing held".

use std::time::Duration;

use dialects::Verdict;
use domain::{
    Evidence, Fault, Finding, Outcome, Proof, ServerId, ServerResult, Timestamp, Try,
    fault::{Again, FaultCode, Side},
};
use serde::{Deserialize, Serialize};

use crate::{attempt::End, journal::now, metrics};

/// Calls without a whole answer, one after the other, after which a server is left alone.
pub(crate) const UNANSWERED_LIMIT: u32 = 3;

/// It so far.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tally {
    result: ServerResult,
    evidence: Option<Evidence>,
    fault: Option<Fault>,
    unknown: bool,
    /// Calls without a whole answer since the last one that had one.
    unanswered: u32,
    /// What looking afterwards showed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    proof: Option<Proof>,
    /// Every selector below this one may have a finding, and none from here on has.
    #[serde(default = "any_selector")]
    next_selector: u64,
}

/// Of what was written before it was counted: any selector may have a finding.
const fn any_selector() -> u64 {
    u64::MAX
}

impl Tally {
    pub(crate) fn new(server: ServerId) -> Self {
        Self {
            result: ServerResult::unknown(server),
            evidence: None,
            fault: None,
            unknown: false,
            unanswered: 0,
            proof: None,
            next_selector: 0,
        }
    }

    /// Whether all that was told so far is done, as far as the native system says.
    pub(crate) fn is_done(&self) -> bool {
        self.evidence.is_some() && self.fault.is_none() && !self.unknown
    }

    /// When the native system believes to be done, where it said so.
    pub(crate) fn estimated_at(&self) -> Option<Timestamp> {
        self.result.estimated_at
    }

    /// Looking afterwards showed this.
    pub(crate) fn prove(&mut self, proof: Proof) {
        self.proof = Some(proof);
    }

    /// One call more was made.
    pub(crate) fn attempted(&mut self) {
        self.result.attempts = self.result.attempts.saturating_add(1);
    }

    /// A try was not the last, and is followed by this pause.
    pub(crate) fn tried(&mut self, fault: Fault, pause: Duration) {
        self.waited(now(), fault, pause);
    }

    /// The same, where the pause is over that began then. A wait that goes on is one try.
    pub(crate) fn waited(&mut self, at: Timestamp, fault: Fault, pause: Duration) {
        let pause_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
        match self.result.tries.last_mut() {
            Some(last) if fault.code == FaultCode::CircuitOpen && last.fault.code == fault.code => {
                last.pause_ms = last.pause_ms.saturating_add(pause_ms);
            }
            _ => self.result.tried(Try {
                at,
                fault,
                pause_ms,
            }),
        }
    }

    /// The execution's time is over before these calls were made.
    pub(crate) fn not_tried(&mut self, calls: usize, time: Duration) {
        let message =
            format!("not tried: {calls} calls were left when the execution's {time:?} were over");
        // The call that was cut off by that says less.
        self.fault = self
            .fault
            .take()
            .filter(|fault| fault.code != FaultCode::TimedOut);
        self.fail(Fault::participant(
            FaultCode::TimedOut,
            Again::Soon,
            &message,
        ));
    }

    /// Takes the end of one call, and says whether the next one makes sense.
    pub(crate) fn take(&mut self, selectors: &[u32], end: End) -> bool {
        match end {
            End::Judged(verdict) => {
                self.unanswered = 0;
                self.judged(selectors, verdict)
            }
            // Nobody is there, or we may not go there. Any other fault is this call's own.
            End::Failed(fault) => {
                let code = fault.code;
                self.fail(fault);
                !matches!(
                    code,
                    FaultCode::Unreachable | FaultCode::AddressNotAllowed | FaultCode::CircuitOpen
                )
            }
            End::Lost(fault) => {
                self.fail(fault);
                self.goes_on_unanswered()
            }
            End::Unknown => {
                self.unknown = true;
                self.goes_on_unanswered()
            }
        }
    }

    /// One call more without a whole answer: the next one may have one, but not every call is worth its time.
    fn goes_on_unanswered(&mut self) -> bool {
        self.unanswered += 1;
        self.unanswered < UNANSWERED_LIMIT
    }

    fn judged(&mut self, selectors: &[u32], verdict: Verdict) -> bool {
        match verdict {
            Verdict::Done { evidence, finding } => {
                self.found(selectors, &finding);
                self.done_as_surely_as(evidence);
                true
            }
            Verdict::Estimated { within, finding } => {
                self.found(selectors, &finding);
                self.done_as_surely_as(Evidence::Estimated);
                self.done_within(within);
                true
            }
            // The server lives and has spoken about this one; the others are told nevertheless.
            Verdict::Failed { fault, finding } => {
                if let Some(finding) = finding {
                    self.found(selectors, &finding);
                }
                let usable = fault.code != FaultCode::Unauthorized;
                self.fail(fault);
                usable
            }
            Verdict::Each {
                evidence,
                within,
                fault,
                findings,
            } => {
                for one in &findings {
                    self.found(&[one.selector], &one.finding);
                }
                self.done_as_surely_as(evidence);
                if let Some(within) = within {
                    self.done_within(within);
                }
                if let Some(fault) = fault {
                    self.fail(fault);
                }
                true
            }
            Verdict::Running { job } => {
                let message =
                    format!("a server named a job ({job}), and servers are not asked again");
                self.fail(Fault::participant(
                    FaultCode::UnreadableAnswer,
                    Again::Never,
                    &message,
                ));
                true
            }
        }
    }

    /// Done is what is done last.
    fn done_within(&mut self, within: Duration) {
        let moment = Timestamp::from(std::time::SystemTime::now()).plus(within);
        self.result.estimated_at = self.result.estimated_at.max(Some(moment));
    }

    /// The server is as sure as the least sure of its calls.
    fn done_as_surely_as(&mut self, evidence: Evidence) {
        let weakest = self.evidence.map_or(evidence, |known| known.min(evidence));
        self.evidence = Some(weakest);
    }

    /// Selectors come in order, as a rule, and calls for one of them in a row: so what is new is known at once, and what is
    /// there is looked for from the end.
    fn found(&mut self, selectors: &[u32], finding: &Finding) {
        for selector in selectors {
            let number = u64::from(*selector);
            let mut known = self.result.findings.iter_mut().rev();
            let known = (number < self.next_selector)
                .then(|| known.find(|known| known.selector == *selector))
                .flatten();
            match known {
                Some(known) => known.finding = merged(&known.finding, finding),
                None => self.result.found(std::slice::from_ref(selector), finding),
            }
            self.next_selector = self.next_selector.max(number + 1);
        }
    }

    /// The first fault stands for the server.
    pub(crate) fn fail(&mut self, fault: Fault) {
        metrics::fault(fault.code);
        self.fault.get_or_insert(fault);
    }

    pub(crate) fn end(mut self, took: Duration) -> ServerResult {
        self.result.took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        self.result.outcome = match (self.fault, self.unknown, self.evidence) {
            (_, true, _) => Outcome::Unknown,
            (Some(fault), false, _) => Outcome::Failed(fault),
            (None, false, Some(evidence)) => Outcome::Done(evidence),
            (None, false, None) => {
                let message = "the order has no call for this server";
                let side = Side::Federation;
                Outcome::Failed(Fault::new(
                    FaultCode::UnreadableOrder,
                    side,
                    Again::Never,
                    message,
                ))
            }
        };
        if let Some(proof) = self.proof {
            self.result.outcome = proof.outcome(self.result.outcome);
            self.result.proof = Some(proof);
        }
        // Where the weakest of its calls said nothing of a time, or it failed, the time of another means nothing.
        if self.result.outcome != Outcome::Done(Evidence::Estimated) {
            self.result.estimated_at = None;
        }
        self.result
    }
}

/// What two calls for one selector found together.
fn merged(one: &Finding, other: &Finding) -> Finding {
    match (one, other) {
        (Finding::Removed(one), Finding::Removed(other)) => Finding::Removed(sum(*one, *other)),
        (Finding::Invalidated(one), Finding::Invalidated(other)) => {
            Finding::Invalidated(sum(*one, *other))
        }
        _ if weight(other) > weight(one) => other.clone(),
        _ => one.clone(),
    }
}

/// Where one of them does not count, the sum is not known.
fn sum(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    Some(one?.saturating_add(other?))
}

/// Which of two findings is told: the heavier one.
fn weight(finding: &Finding) -> u8 {
    match finding {
        Finding::NothingHeld => 0,
        Finding::AlreadyThere => 1,
        Finding::Removed(_) | Finding::Invalidated(_) | Finding::Banned | Finding::Stored => 2,
        // It says less than any of those, so the whole says no more.
        Finding::Accepted => 3,
        Finding::TooLarge | Finding::RefusedByRules | Finding::OriginStatus(_) => 4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server() -> ServerId {
        "b-1".parse().unwrap()
    }

    fn findings(found: &[(u32, Finding)]) -> Vec<(u32, Finding)> {
        let mut tally = Tally::new(server());
        for (selector, finding) in found {
            tally.found(&[*selector], finding);
        }
        let findings = tally.result.findings.into_iter();
        findings.map(|one| (one.selector, one.finding)).collect()
    }

    /// A URL is purged in several spellings: what one of them removed was removed.
    #[test]
    fn a_selector_has_one_finding_whatever_the_number_of_its_calls() {
        let found = [
            (0, Finding::NothingHeld),
            (0, Finding::Removed(Some(1))),
            (0, Finding::NothingHeld),
            (0, Finding::Removed(Some(2))),
            (1, Finding::NothingHeld),
            (2, Finding::Removed(None)),
            (2, Finding::OriginStatus(404)),
            (2, Finding::Removed(Some(1))),
        ];
        assert_eq!(
            findings(&found),
            [
                (0, Finding::Removed(Some(3))),
                (1, Finding::NothingHeld),
                (2, Finding::OriginStatus(404)),
            ]
        );
    }

    /// Whatever the order that they come in, and also where it was not counted which selectors are new.
    #[test]
    fn a_selector_that_comes_again_later_is_found() {
        let found = [
            (5, Finding::NothingHeld),
            (3, Finding::NothingHeld),
            (5, Finding::Removed(Some(1))),
            (3, Finding::Removed(Some(2))),
        ];
        let both = [
            (5, Finding::Removed(Some(1))),
            (3, Finding::Removed(Some(2))),
        ];
        assert_eq!(findings(&found), both);
        let mut tally = Tally::new(server());
        tally.found(&[5, 3], &Finding::NothingHeld);
        let mut written = serde_json::to_value(&tally).unwrap();
        written.as_object_mut().unwrap().remove("next_selector");
        let mut read: Tally = serde_json::from_value(written).unwrap();
        read.found(&[3], &Finding::Removed(Some(2)));
        assert_eq!(read.result.findings.len(), 2);
    }

    /// What is done last says when all is done; where another call says less, the time says nothing of the whole.
    #[test]
    fn an_estimate_is_that_of_the_last_call_and_of_nothing_weaker() {
        let estimated = |seconds| {
            End::Judged(Verdict::Estimated {
                within: Duration::from_secs(seconds),
                finding: Finding::Accepted,
            })
        };
        let ended = |ends: Vec<End>| {
            let mut tally = Tally::new(server());
            for end in ends {
                tally.take(&[0], end);
            }
            tally.end(Duration::ZERO)
        };
        let before = Timestamp::from(std::time::SystemTime::now());
        let result = ended(vec![estimated(5), estimated(60), estimated(1)]);
        assert_eq!(result.outcome, Outcome::Done(Evidence::Estimated));
        let wait = result.estimated_at.unwrap().since(before);
        assert!((60..90).contains(&wait.as_secs()), "{wait:?}");
        let taken = End::Judged(Verdict::Done {
            evidence: Evidence::Acknowledged,
            finding: Finding::Accepted,
        });
        let result = ended(vec![estimated(5), taken]);
        assert_eq!(result.outcome, Outcome::Done(Evidence::Acknowledged));
        assert_eq!(result.estimated_at, None);
    }

    /// The limit is one on selectors: many calls for few selectors do not push the others out.
    #[test]
    fn the_limit_counts_selectors() {
        let limit = u32::try_from(domain::limits::FINDINGS_PER_RESULT).unwrap();
        let calls: Vec<_> = (0..=limit)
            .flat_map(|selector| {
                std::array::from_fn::<_, 3, _>(|_| (selector, Finding::NothingHeld))
            })
            .collect();
        let found = findings(&calls);
        assert_eq!(found.len(), domain::limits::FINDINGS_PER_RESULT);
        assert_eq!(found.last(), Some(&(limit - 1, Finding::NothingHeld)));
    }
}
