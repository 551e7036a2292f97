//! What was said a moment ago, item by item.
//!
//! Invariant: it makes what is the same wait, and never answers it. Of an item there is a digest, whatever its length; what is
//! older than the window is dropped with the next that is said, and there are never more than a named number.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use ring::digest::{SHA256, digest};

use super::Wish;
use crate::api::budget::Moment;

/// What is remembered.
const MOST: usize = 65_536;
/// Bytes of a digest: nobody finds two texts with the same.
const KEY_BYTES: usize = 16;

/// Two texts with the same are the same.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(in crate::api) struct Key([u8; KEY_BYTES]);

impl Key {
    pub(in crate::api) fn of(text: &str) -> Self {
        let digest = digest(&SHA256, text.as_bytes());
        let first = digest.as_ref().first_chunk().copied();
        Self(first.expect("a SHA-256 is longer"))
    }
}

/// What was said a moment ago.
#[derive(Debug)]
pub(super) struct Recent {
    window: Duration,
    said: HashMap<Key, Moment>,
    /// The same as it was said, what has been said again since included.
    order: VecDeque<(Key, Moment)>,
}

impl Recent {
    pub(super) fn new(window: Duration) -> Self {
        Self {
            window,
            said: HashMap::new(),
            order: VecDeque::new(),
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
        if !wish.shares || self.window.is_zero() || self.said.is_empty() {
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
        while self
            .order
            .front()
            .is_some_and(|(_, said)| self.is_over(*said, now))
        {
            self.drop_oldest();
        }
        for key in keys(wish) {
            if self.order.len() >= MOST {
                self.drop_oldest();
            }
            self.said.insert(key, now);
            self.order.push_back((key, now));
        }
    }

    fn is_over(&self, said: Moment, now: Moment) -> bool {
        said > now || said.plus(self.window) <= now
    }

    fn drop_oldest(&mut self) {
        if let Some((key, said)) = self.order.pop_front()
            && self.said.get(&key) == Some(&said)
        {
            self.said.remove(&key);
        }
    }
}

/// What two that do the same have in common, item by item.
fn keys(wish: &Wish) -> impl Iterator<Item = Key> {
    let whole = wish.bulk.is_none().then_some(wish.same);
    let each = wish.bulk.iter().flat_map(|bulk| {
        let items = bulk.items.iter();
        items.map(|item| Key::of(&[bulk.kind.as_str(), item.as_str()].join(" ")))
    });
    whole.into_iter().chain(each)
}

#[cfg(test)]
mod tests {
    use dialects::Bulk;

    use super::*;

    const WINDOW: Duration = Duration::from_secs(1);

    fn wish(same: &str) -> Wish {
        Wish {
            flow: String::new(),
            draws: Vec::new(),
            same: Key::of(same),
            bulk: None,
            scope: String::new(),
            shares: true,
            asks: false,
            until: Moment::now(),
        }
    }

    /// Whatever is said for however long, no more is kept than what was said within the window; what was said again is kept as long
    /// as its last time.
    #[test]
    fn only_what_was_said_within_the_window_is_kept() {
        let mut recent = Recent::new(WINDOW);
        let mut now = Moment::now();
        for number in 0..10_000 {
            now = now.plus(WINDOW / 10);
            recent.say(&wish(&number.to_string()), now);
            recent.say(&wish("again"), now);
            assert!(recent.order.len() <= 20 && recent.said.len() <= 11);
        }
        assert!(recent.until(&wish("again"), now.plus(WINDOW / 2)).is_some());
        assert!(recent.until(&wish("9998"), now.plus(WINDOW)).is_none());
    }

    /// A burst within the window pushes out what was said first, and nothing else.
    #[test]
    fn there_are_never_more_than_the_limit() {
        let mut recent = Recent::new(WINDOW);
        let now = Moment::now();
        let items: Vec<_> = (0..MOST + 10).map(|number| number.to_string()).collect();
        let list = |items: &[String]| Wish {
            bulk: Some(Bulk {
                kind: String::new(),
                items: items.to_vec(),
                most: usize::MAX,
                bytes: usize::MAX,
            }),
            ..wish("")
        };
        recent.say(&list(&items), now);
        assert_eq!((recent.said.len(), recent.order.len()), (MOST, MOST));
        assert!(recent.until(&list(&items[..1]), now).is_none());
        assert!(recent.until(&list(&items[MOST..]), now).is_some());
    }
}
