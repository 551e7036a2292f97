//! One URL at one place, and what is known of it.
//!
//! Invariant: of what was seen the look before and the last two after the command are kept, and judged with each other.

use std::time::Duration;

use dialects::probe::{self, Judgement, Told};
use domain::{
    proof::{Probed, ProofVerdict, Sighting},
    verification::Expect,
};
use tokio::time::sleep;

use super::{Ground, Spot};

/// Between two looks where the first one makes the cache ask its origin: time for that, and for an age to tell.
const REFRESH_PAUSE: Duration = Duration::from_secs(1);

/// A spot and what is known of it.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) spot: Spot,
    /// In the order in which it was seen; the last two after the command are at the end.
    pub(super) seen: Vec<Sighting>,
    pub(super) judgement: Judgement,
}

impl Watched {
    pub(super) async fn look_twice(
        &self,
        ground: &impl Ground,
        expect: Expect,
        told: Told,
    ) -> (Judgement, Vec<Sighting>) {
        let first = match ground.look(&self.spot).await {
            Ok(first) => first,
            Err(fault) => return (Judgement::Unseen(fault.message), Vec::new()),
        };
        if expect == Expect::Refreshed {
            sleep(REFRESH_PAUSE).await;
        }
        let second = match ground.look(&self.spot).await {
            Ok(second) => second,
            Err(fault) => return (Judgement::Unseen(fault.message), vec![first]),
        };
        let after = [&first, &second];
        let judgement = match probe::judge(expect, told, &self.seen, after) {
            Judgement::Proven if !self.spot.exact => probe::nothing_there(&self.seen, after)
                .map_or(Judgement::Proven, Judgement::Nothing),
            judgement => judgement,
        };
        (judgement, vec![first, second])
    }

    pub(super) fn is_open(&self) -> bool {
        matches!(
            self.judgement,
            Judgement::Refuted(_) | Judgement::Undecided(_)
        )
    }

    /// What is kept of it: the look before, and the last ones after.
    pub(super) fn probed(self) -> Probed {
        let (verdict, why) = match self.judgement {
            Judgement::Proven => (ProofVerdict::Verified, None),
            Judgement::Refuted(why) => (ProofVerdict::NotVerified, Some(why)),
            Judgement::Undecided(why) | Judgement::Nothing(why) => {
                (ProofVerdict::Unproven, Some(why))
            }
            Judgement::Unseen(why) => (ProofVerdict::Unprobed, Some(why)),
        };
        let (before, after): (Vec<_>, Vec<_>) = self.seen.into_iter().partition(|seen| seen.before);
        let last = after.len().saturating_sub(2);
        Probed {
            url: self.spot.url,
            at: self.spot.at.map(|edge| edge.address),
            verdict,
            why,
            seen: before
                .into_iter()
                .chain(after.into_iter().skip(last))
                .collect(),
        }
    }
}
