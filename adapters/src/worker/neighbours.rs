//! An order and those behind it in its lane that may be carried out side by side.
//!
//! Invariant: only repeatable purges, or only repeatable loads, that say the same dialects go together; everything else
//! keeps its turn.

use domain::DialectName;
use futures::{StreamExt, stream::FuturesUnordered};

use super::{Work, Worker};
use crate::{journal::JournalError, lanes::Turn};

/// Orders of one configuration that are taken in one turn.
const NEIGHBOURS: usize = 256;

/// What neighbours have in common that may be carried out side by side.
#[derive(Debug, PartialEq, Eq)]
struct Neighbourly {
    operation: String,
    dialects: Vec<DialectName>,
}

impl Neighbourly {
    fn of(work: &Work) -> Option<Self> {
        let order = &work.order;
        let fits = order.repeatable && matches!(order.operation.as_str(), "purge" | "load");
        let dialects = order.native.iter().map(|native| native.dialect.clone());
        fits.then(|| Self {
            operation: order.operation.clone(),
            dialects: dialects.collect(),
        })
    }

    fn fits(&self, work: &Work) -> bool {
        Self::of(work).as_ref() == Some(self)
    }
}

impl Worker {
    /// An order and those behind it that may be carried out beside it. Where a provider is told, they wait for its account
    /// together, so that one call can serve several. Purges leave the same in whatever order they are told, and so do loads.
    pub(crate) async fn carry_out_with_neighbours(
        &self,
        work: Work,
        turn: &Turn<'_, Work>,
    ) -> Result<(), JournalError> {
        let is_awaited = || turn.is_awaited();
        if self.carrier.shares_calls()
            && let Some(kind) = Neighbourly::of(&work)
        {
            return Box::pin(self.carry_out_side_by_side(work, &kind, turn)).await;
        }
        self.carry_out(work, &is_awaited).await
    }

    async fn carry_out_side_by_side(
        &self,
        work: Work,
        kind: &Neighbourly,
        turn: &Turn<'_, Work>,
    ) -> Result<(), JournalError> {
        let is_awaited = || turn.is_awaited();
        let mut taken = 1;
        let mut under_way = FuturesUnordered::new();
        under_way.push(self.carry_out(work, &is_awaited));
        loop {
            tokio::select! {
                ended = under_way.next() => match ended {
                    Some(ended) => ended?,
                    None => return Ok(()),
                },
                work = turn.neighbour(|work| kind.fits(work)), if taken < NEIGHBOURS => {
                    taken += 1;
                    under_way.push(self.carry_out(work, &is_awaited));
                }
            }
        }
    }
}
