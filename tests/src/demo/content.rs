//! The customer's content: four objects at the origin, each with a current edition and the one before.
//!
//! Invariant: editions only grow, so what a cache gives out is fresh, old, or something that was never there.

use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::Result;

use crate::origin::{Object, Origin};

/// The customer's host name.
pub(super) const HOST: &str = "www.shop.example";
/// A prefix that two of the objects have.
pub(super) const PREFIX: &str = "/img/";
/// A tag that two of the objects have, one inside the prefix and one outside.
pub(super) const TAG: &str = "sale";

/// One object.
#[derive(Debug)]
pub(super) struct Item {
    /// Where it is.
    pub(super) path: &'static str,
    /// How the origin tags it.
    pub(super) tags: &'static [&'static str],
}

/// All of them.
pub(super) const OBJECTS: [Item; 4] = [
    item("/index.html", &["page"]),
    item("/sale.html", &["page", TAG]),
    item("/img/a.jpg", &["image"]),
    item("/img/b.jpg", &["image", TAG]),
];

const fn item(path: &'static str, tags: &'static [&'static str]) -> Item {
    Item { path, tags }
}

/// What a body is, compared with the origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Age {
    /// What the origin has now.
    Fresh,
    /// What the origin had before.
    Old,
    /// Neither.
    Wrong,
}

/// The origin with the objects.
#[derive(Debug)]
pub(super) struct Shop {
    origin: Origin,
    editions: [AtomicU32; OBJECTS.len()],
}

impl Shop {
    /// Opens with the first edition of everything.
    pub(super) async fn open() -> Result<Self> {
        let shop = Self {
            origin: Origin::start().await?,
            editions: Default::default(),
        };
        shop.change(|_| true);
        Ok(shop)
    }

    /// Where it is.
    pub(super) fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Puts the next edition of these objects in the place of the one before.
    pub(super) fn change(&self, which: impl Fn(&Item) -> bool) {
        for (item, edition) in OBJECTS.iter().zip(&self.editions) {
            if which(item) {
                let next = edition.load(Ordering::Relaxed) + 1;
                edition.store(next, Ordering::Relaxed);
                let object = Object::new(body(item, next)).tagged(item.tags);
                self.origin.set(item.path, object);
            }
        }
    }

    /// How old this body of the object at `position` is.
    pub(super) fn age(&self, position: usize, text: &str) -> Age {
        let (item, current) = (
            &OBJECTS[position],
            self.editions[position].load(Ordering::Relaxed),
        );
        if text == body(item, current) {
            Age::Fresh
        } else if (1..current).any(|edition| text == body(item, edition)) {
            Age::Old
        } else {
            Age::Wrong
        }
    }
}

fn body(item: &Item, edition: u32) -> String {
    format!("{}, edition {edition}\n", item.path)
}

/// The URLs of all objects.
pub(super) fn urls() -> Vec<String> {
    OBJECTS
        .iter()
        .map(|item| format!("http://{HOST}{}", item.path))
        .collect()
}

/// Whether an object's path begins with the prefix.
pub(super) fn has_prefix(item: &Item) -> bool {
    item.path.starts_with(PREFIX)
}

/// Whether an object has the tag.
pub(super) fn has_tag(item: &Item) -> bool {
    item.tags.contains(&TAG)
}
