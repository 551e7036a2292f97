//! What one call comes to at this account: said for each variant that the account keeps apart, and in as many calls as that
//! takes.
//!
//! Invariant: nothing is left out, and what one call says no other says; no call holds more than the provider takes of this
//! participant, as the order was planned with, nor more than the operator's own sizes. A call whose job is asked after, or that is
//! no list, stays one.

use dialects::Bulk;
use domain::{Fault, NativeCall};

use super::Telling;
use crate::config::Api as Settings;

/// How much one call says at most, where the operator wants less than the provider takes.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sizes {
    items: Option<usize>,
    bytes: Option<usize>,
}

impl Sizes {
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            items: settings.items_per_call,
            bytes: settings.bytes_per_call,
        }
    }

    /// The list with these sizes.
    pub(super) fn of(self, bulk: Bulk) -> Bulk {
        Bulk {
            most: self.items.map_or(bulk.most, |own| own.min(bulk.most)),
            bytes: self.bytes.map_or(bulk.bytes, |own| own.min(bulk.bytes)),
            ..bulk
        }
    }
}

impl Telling<'_> {
    /// The calls for one that has the account's values in it.
    pub(super) fn at_account(
        &self,
        filled: &NativeCall,
        sizes: Sizes,
    ) -> Result<Vec<NativeCall>, Fault> {
        let value = |name: &str| self.account.value(name).ok().map(str::to_owned);
        let calls = self.speaker.at_account(filled, &value);
        let calls = calls.map_err(|unfit| self.account.does_not_do(&unfit))?;
        let bulk = |call: &NativeCall| self.speaker.bulk(call, self.limits);
        let split = |call: NativeCall| match bulk(&call).map(|bulk| sizes.of(bulk)) {
            Some(bulk) if !self.speaker.has_jobs() => {
                let batches = batches(&bulk).into_iter();
                let calls: Vec<_> = batches
                    .map(|items| self.speaker.together(&call, items))
                    .collect();
                if calls.len() > 1 { calls } else { vec![call] }
            }
            Some(_) | None => vec![call],
        };
        Ok(calls.into_iter().flat_map(split).collect())
    }
}

/// As many items as fit, one after the other; one that is too long by itself goes alone.
fn batches(bulk: &Bulk) -> Vec<&[String]> {
    let mut batches = Vec::new();
    let (mut begin, mut bytes) = (0, 0_usize);
    for (at, item) in bulk.items.iter().enumerate() {
        let size = item.len() + 1;
        if at > begin && (at - begin >= bulk.most || bytes + size > bulk.bytes) {
            batches.push(&bulk.items[begin..at]);
            (begin, bytes) = (at, 0);
        }
        bytes += size;
    }
    batches.push(&bulk.items[begin..]);
    batches
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The operator's sizes only lower what the provider takes.
    #[test]
    fn an_operators_sizes_only_lower() {
        let of = |items, bytes| {
            let bulk = Bulk {
                kind: String::new(),
                items: Vec::new(),
                most: 100,
                bytes: 1_000,
            };
            let bulk = Sizes { items, bytes }.of(bulk);
            (bulk.most, bulk.bytes)
        };
        assert_eq!(of(None, None), (100, 1_000));
        assert_eq!(of(Some(30), Some(2_000)), (30, 1_000));
        assert_eq!(of(Some(500), Some(500)), (100, 500));
    }

    /// Every item is in one batch, in order, and a batch keeps to both sizes.
    #[test]
    fn a_list_is_cut_where_it_is_full() {
        let list = |most, bytes| Bulk {
            kind: String::new(),
            items: ["aa", "bb", "cccccccc", "d", "e"].map(str::to_owned).into(),
            most,
            bytes,
        };
        let cut = |bulk: &Bulk| {
            let batches = batches(bulk).into_iter();
            batches.map(|items| items.join(" ")).collect::<Vec<_>>()
        };
        assert_eq!(cut(&list(9, 99)), ["aa bb cccccccc d e"]);
        assert_eq!(cut(&list(2, 99)), ["aa bb", "cccccccc d", "e"]);
        assert_eq!(cut(&list(9, 6)), ["aa bb", "cccccccc", "d e"]);
    }
}
