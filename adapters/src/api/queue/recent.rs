//! What was said a moment ago, item by item.
//!
//! Invariant: it makes what is the same wait, and never answers it.

use std::{collections::HashMap, time::Duration};

use super::Wish;
use crate::api::budget::Moment;

/// What is remembered.
const MOST: usize = 65_536;

/// What was said a moment ago.
#[derive(Debug)]
pub(super) struct Recent {
    window: Duration,
    said: HashMap<String, Moment>,
}

impl Recent {
    pub(super) fn new(window: Duration) -> Self {
        Self {
            window,
            said: HashMap::new(),
        }
    }

    /// It came to nothing: saying it again is no repetition.
    pub(super) fn unsay(&mut self, wish: &Wish) {
        for key in keys(wish) {
            self.said.remove(&key);
        }
    }

    /// Until when this waits because all of it was just said.
    pub(super) fn until(&self, wish: &Wish, now: Moment) -> Option<Moment> {
        if !wish.shares || self.window.is_zero() {
            return None;
        }
        let until = keys(wish).map(|key| self.said.get(&key).map(|said| said.plus(self.window)));
        let until = until.collect::<Option<Vec<_>>>()?.into_iter().max()?;
        // What was said in a time to come was said before the clock was set back.
        (until > now && until <= now.plus(self.window)).then_some(until)
    }

    pub(super) fn say(&mut self, wish: &Wish, now: Moment) {
        if !wish.shares || self.window.is_zero() {
            return;
        }
        if self.said.len() >= MOST {
            let window = self.window;
            self.said.retain(|_, said| said.plus(window) > now);
        }
        if self.said.len() >= MOST {
            self.said.clear();
        }
        self.said.extend(keys(wish).map(|key| (key, now)));
    }
}

/// What two that do the same have in common, item by item.
fn keys(wish: &Wish) -> impl Iterator<Item = String> {
    let whole = wish.bulk.is_none().then(|| wish.same.clone());
    let each = wish.bulk.iter().flat_map(|bulk| {
        let items = bulk.items.iter();
        items.map(|item| [bulk.kind.as_str(), item.as_str()].join(" "))
    });
    whole.into_iter().chain(each)
}
