//! What comes back: reports, silence, and who wants to know.
//!
//! Invariant: any replica may take any report; the state machine in the store decides, so it does not matter which
//! replica, in which order, or how often.

mod chain;
mod due;
mod heard;
mod hearing;
mod leftovers;
mod reports;
mod statements;
mod sweep;
mod watchers;

use std::{collections::BTreeMap, time::Duration};

use domain::{ExecutionId, ParticipantId, State, Timestamp};
use metrics::{counter, histogram};

pub use chain::Chainer;
pub use hearing::hear;
pub use reports::Reports;
pub use sweep::Sweeper;
pub use watchers::{Subscription, Watchers};

use crate::{
    config::Deadlines,
    metrics as names,
    pipeline::now,
    store::{Applied, Outcome, Shard, Store, StoreError, Terms, accepted_at},
};

/// Applies events of one participant.
#[derive(Clone)]
pub struct Tracker {
    /// Where executions are.
    pub store: Store,
    /// When silence ends.
    pub deadlines: Deadlines,
    /// How long a settled command is kept.
    pub retention: Duration,
}

impl Tracker {
    /// Applies events to commands of one shard, and counts what came of it.
    pub async fn apply(
        &self,
        shard: Shard,
        participant: &ParticipantId,
        outcomes: &[Outcome],
    ) -> Result<Vec<Applied>, StoreError> {
        let moment = now();
        let terms = Terms {
            retention: self.retention,
            running_until: moment.plus(self.deadlines.running),
        };
        let applied = self
            .store
            .apply(shard, participant, outcomes, moment, terms)
            .await?;
        count(participant, outcomes, &applied, moment);
        Ok(applied)
    }

    /// Which shard an execution lives in; `None` for one that no broker of this store named.
    pub fn shard_of(&self, execution: &ExecutionId) -> Option<Shard> {
        self.store.keys().shard_of_command(execution.command)
    }
}

/// Counts what came of a batch: each name is looked up once.
fn count(
    participant: &ParticipantId,
    outcomes: &[Outcome],
    applied: &[Applied],
    moment: Timestamp,
) {
    let (mut reached, mut stayed) = (BTreeMap::<_, u64>::new(), 0);
    let mut ages = None;
    for (outcome, applied) in outcomes.iter().zip(applied) {
        match applied {
            Applied::Settled | Applied::Moved => {
                let state = State::Accepted.next(outcome.event.clone());
                *reached.entry(state.as_str()).or_default() += 1;
            }
            Applied::Stayed => stayed += 1,
            Applied::Unknown => {}
        }
        if *applied == Applied::Settled {
            let ages = ages.get_or_insert_with(
                || histogram!(names::SETTLE_SECONDS, "participant" => participant.to_string()),
            );
            ages.record(moment.since(accepted_at(outcome.command)));
        }
    }
    for (state, count) in reached {
        names::count_executions(participant, state, count);
    }
    if stayed > 0 {
        counter!(names::REPEATED_TOTAL, "participant" => participant.to_string()).increment(stayed);
    }
}
