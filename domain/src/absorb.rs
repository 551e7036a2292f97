//! Whether a later purge does all that an earlier one would have done, so that the earlier need not be carried out.
//!
//! Invariant: [`covers`] says yes only where that is certain, whatever the caches hold; what it does not know it does
//! not claim. It is transitive, so what was absorbed by an absorbed one is covered by whoever absorbs that.
//! Not here: what stands between the two (`broker::dispatch::compact`): a load or a custom operation must not change
//! places with a purge of its configuration.

use std::{
    collections::{BTreeSet, HashSet},
    sync::Arc,
};

use crate::{
    command::Command,
    fidelity::Fidelity,
    host::HostName,
    id::{ConfigurationId, ParticipantId, ServerId},
    operation::{Operation, PurgeMode},
    selector::{HostPath, HostRegex, Selector, Tag},
    time::Timestamp,
};

/// What matters of a command at one participant.
#[derive(Debug, Clone)]
pub struct Subject {
    /// Who submitted it.
    pub originator: ParticipantId,
    /// Of which configuration.
    pub configuration: ConfigurationId,
    /// How it purges; `None` where it does something else.
    pub mode: Option<PurgeMode>,
    /// Of what.
    pub selectors: Vec<Selector>,
    /// On which servers, in ascending order.
    pub servers: Arc<[ServerId]>,
    /// Whether all that was asked is done: it is said exactly or more widely, never less.
    pub whole: bool,
    /// What has not begun by then is never begun.
    pub expires_at: Option<Timestamp>,
    /// Whether somebody shall look afterwards: then it is carried out by itself, because a proof is of one command.
    pub is_verified: bool,
}

impl Subject {
    /// A command at a participant that says it with this fidelity on these servers, which are in ascending order.
    pub fn new(command: Command, fidelity: &Fidelity, servers: Arc<[ServerId]>) -> Self {
        debug_assert!(servers.is_sorted());
        Self {
            originator: command.originator,
            configuration: command.configuration,
            mode: match command.operation {
                Operation::Purge(mode) => Some(mode),
                Operation::Load | Operation::Custom(_) => None,
            },
            selectors: command.selectors,
            servers,
            whole: match fidelity {
                Fidelity::Exact | Fidelity::Widened { .. } => true,
                Fidelity::Narrowed { .. } | Fidelity::Impossible { .. } => false,
            },
            expires_at: command.expires_at,
            is_verified: command.verification.is_some(),
        }
    }

    /// What its selectors reach.
    pub fn reach(&self) -> Reach<'_> {
        Reach::of(&self.selectors)
    }
}

/// Whether `later` does all that `earlier` was asked to do, on all its servers, and does not expire before it.
///
/// `reach` is that of `later`, which whoever asks for many earlier ones makes once.
pub fn covers(later: &Subject, reach: &Reach<'_>, earlier: &Subject) -> bool {
    let strong = later
        .mode
        .zip(earlier.mode)
        .is_some_and(|(later, earlier)| at_least(later, earlier));
    strong
        && later.whole
        && !(later.is_verified || earlier.is_verified)
        && later.configuration == earlier.configuration
        && later.originator == earlier.originator
        && lasts(later.expires_at, earlier.expires_at)
        && contains(&later.servers, &earlier.servers)
        && earlier
            .selectors
            .iter()
            .all(|selector| reach.holds(selector))
}

/// Deleted is gone and is found by nobody, so it is also invalidated and hidden. Hidden is not deleted yet, and stale
/// may still be served.
const fn at_least(later: PurgeMode, earlier: PurgeMode) -> bool {
    match (later, earlier) {
        (PurgeMode::Delete, _)
        | (PurgeMode::Invalidate, PurgeMode::Invalidate)
        | (PurgeMode::Deferred, PurgeMode::Deferred) => true,
        (PurgeMode::Invalidate, PurgeMode::Delete | PurgeMode::Deferred)
        | (PurgeMode::Deferred, PurgeMode::Delete | PurgeMode::Invalidate) => false,
    }
}

/// What may expire cannot answer for what must be done, or must be done for longer.
fn lasts(later: Option<Timestamp>, earlier: Option<Timestamp>) -> bool {
    match (later, earlier) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(later), Some(earlier)) => later >= earlier,
    }
}

/// Whether the ascending `all` hold each of the ascending `some`.
fn contains(all: &Arc<[ServerId]>, some: &Arc<[ServerId]>) -> bool {
    // Executions of one deployment share their list.
    if Arc::ptr_eq(all, some) {
        return true;
    }
    let mut rest = all.iter();
    some.iter().all(|one| rest.any(|other| other == one))
}

/// What a list of selectors reaches, made so that one look finds whether a selector is in it.
#[derive(Debug, Default)]
pub struct Reach<'a> {
    everything: bool,
    hosts: HashSet<&'a HostName>,
    /// None of them begins with another, so the one that a path may begin with is the last that is not behind it.
    prefixes: BTreeSet<(&'a HostName, &'a str)>,
    same: HashSet<Same<'a>>,
}

/// What is covered by its like alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Same<'a> {
    /// A URL without its scheme.
    Url(&'a str),
    /// A pattern.
    Wildcard(&'a HostPath),
    /// An expression.
    Regex(&'a HostRegex),
    /// A tag.
    Tag(&'a Tag),
}

impl<'a> Same<'a> {
    /// Of a selector; `None` of one that covers more than its like.
    pub fn of(selector: &'a Selector) -> Option<Self> {
        match selector {
            Selector::Url(url) => Some(Self::Url(url.without_scheme())),
            Selector::Wildcard(pattern) => Some(Self::Wildcard(pattern)),
            Selector::Regex(regex) => Some(Self::Regex(regex)),
            Selector::Tag(tag) => Some(Self::Tag(tag)),
            Selector::Prefix(_) | Selector::Host(_) | Selector::Everything => None,
        }
    }
}

impl<'a> Reach<'a> {
    fn of(selectors: &'a [Selector]) -> Self {
        let mut reach = Self::default();
        let mut prefixes = BTreeSet::new();
        for selector in selectors {
            match selector {
                Selector::Everything => reach.everything = true,
                Selector::Host(host) => {
                    reach.hosts.insert(host);
                }
                Selector::Prefix(part) => {
                    prefixes.insert((&part.host, part.path()));
                }
                Selector::Url(_)
                | Selector::Wildcard(_)
                | Selector::Regex(_)
                | Selector::Tag(_) => {
                    reach.same.extend(Same::of(selector));
                }
            }
        }
        // In ascending order, so that a shorter one is there before those that begin with it.
        for (host, path) in prefixes {
            if !reach.begins(host, path) {
                reach.prefixes.insert((host, path));
            }
        }
        reach
    }

    /// Whether it covers more than the like of its own selectors.
    pub fn is_broad(&self) -> bool {
        self.everything || !self.hosts.is_empty() || !self.prefixes.is_empty()
    }

    /// What it covers by being the same.
    pub fn same(&self) -> impl Iterator<Item = Same<'a>> + '_ {
        self.same.iter().copied()
    }

    /// Whether all that `selector` means is in it.
    pub fn holds(&self, selector: &Selector) -> bool {
        self.everything
            || selector
                .host()
                .is_some_and(|host| self.hosts.contains(host))
            || Same::of(selector).is_some_and(|same| self.same.contains(&same))
            || match selector {
                Selector::Url(url) => self.begins(url.host(), url.path_and_query()),
                Selector::Prefix(part) => self.begins(&part.host, part.path()),
                // What a pattern, an expression or a tag finds is the cache's to say.
                Selector::Wildcard(_)
                | Selector::Regex(_)
                | Selector::Tag(_)
                | Selector::Host(_)
                | Selector::Everything => false,
            }
    }

    /// Whether a prefix is the beginning of this path. A prefix holds no `?`, so the query does not matter.
    fn begins(&self, host: &HostName, path: &str) -> bool {
        let before = self.prefixes.range(..=(host, path)).next_back();
        before.is_some_and(|(other, prefix)| *other == host && path.starts_with(prefix))
    }
}

#[cfg(test)]
mod tests;
