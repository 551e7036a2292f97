//! How far this adapter has come with what its participant was sent, shard by shard.
//!
//! Invariant: a sequence is noted only when its dispatch was read, and never falls.
//! Not here: when it is told (`report`).

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use amqp::envelope::Progress;

/// The highest sequence of each shard. Clones are the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct HowFar(Arc<Mutex<BTreeMap<u16, u64>>>);

impl HowFar {
    /// A dispatch with this sequence was read.
    pub(crate) fn read(&self, shard: u16, sequence: u64) {
        let mut highest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = highest.entry(shard).or_default();
        *known = sequence.max(*known);
    }

    /// One for each shard that something was read of.
    pub(crate) fn all(&self) -> Vec<Progress> {
        let highest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let each = highest.iter();
        each.map(|(&shard, &sequence)| Progress { shard, sequence })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A redelivery of something old does not lead back.
    #[test]
    fn the_highest_sequence_of_each_shard_counts() {
        let how_far = HowFar::default();
        assert_eq!(how_far.all(), []);
        for (shard, sequence) in [(0, 7), (3, 1), (0, 5), (0, 8)] {
            how_far.clone().read(shard, sequence);
        }
        let told = how_far.all().into_iter();
        let told: Vec<_> = told.map(|one| (one.shard, one.sequence)).collect();
        assert_eq!(told, [(0, 8), (3, 1)]);
    }
}
