//! The items that one call is to say.
//!
//! Invariant: all are of one kind, each is there once, and together they keep to the limits of one call, as narrow as each of
//! them was planned with.

use std::collections::HashSet;

use dialects::{Bulk, Draw};

use super::{CALLS, Wish};

/// The items that one call is to say.
pub(super) struct Gathering {
    bulk: Option<Bulk>,
    known: HashSet<String>,
    bytes: usize,
}

impl Gathering {
    pub(super) fn of(wish: &Wish) -> Self {
        let items = wish.bulk.iter().flat_map(|bulk| &bulk.items);
        Self {
            bulk: wish.bulk.clone(),
            known: items.clone().cloned().collect(),
            bytes: items.map(|item| item.len() + 1).sum(),
        }
    }

    /// What these items take besides, where they are of the same kind and fit.
    pub(super) fn room_for(&self, wish: &Wish) -> Option<Vec<Draw>> {
        let (all, own) = (self.bulk.as_ref()?, wish.bulk.as_ref()?);
        let new: Vec<_> = own
            .items
            .iter()
            .filter(|item| !self.known.contains(*item))
            .collect();
        let bytes: usize = new.iter().map(|item| item.len() + 1).sum();
        let fits = own.kind == all.kind
            && all.items.len() + new.len() <= all.most.min(own.most)
            && self.bytes + bytes <= all.bytes.min(own.bytes);
        let amount = u32::try_from(new.len()).unwrap_or(u32::MAX);
        let items = wish
            .draws
            .iter()
            .filter(|draw| draw.unit != CALLS && amount > 0);
        let draws = items.map(|draw| Draw {
            amount: draw.amount.min(amount),
            ..*draw
        });
        fits.then(|| draws.collect())
    }

    pub(super) fn add(&mut self, wish: &Wish) {
        let (Some(all), Some(own)) = (&mut self.bulk, &wish.bulk) else {
            return;
        };
        all.most = all.most.min(own.most);
        all.bytes = all.bytes.min(own.bytes);
        for item in &own.items {
            if self.known.insert(item.clone()) {
                self.bytes += item.len() + 1;
                all.items.push(item.clone());
            }
        }
    }

    pub(super) fn more_than(self, wish: &Wish) -> Option<Vec<String>> {
        let all = self.bulk?.items;
        let own = wish.bulk.as_ref().map_or(0, |bulk| bulk.items.len());
        (all.len() > own).then_some(all)
    }
}
