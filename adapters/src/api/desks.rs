//! The desks of all accounts.
//!
//! Invariant: one for each account, for everything in this process that calls with it. An account is known by the name that the
//! operator gave it, or else by its file of credentials. Those of several files at one desk have what is left in common and
//! the waiting, and no call (`call`).

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use dialects::Limits;
use ring::digest::{SHA256, digest};

use super::{
    account::Account,
    budget::{Purse, rates},
    desk::Desk,
};
use crate::config::Api as Settings;

/// There are as many as the configuration names accounts.
#[derive(Debug)]
pub(super) struct Desks {
    settings: Settings,
    folder: PathBuf,
    opened: Mutex<HashMap<Known, Arc<Desk>>>,
}

/// What an account is known by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Known {
    Name(String),
    File(Option<PathBuf>),
}

impl Desks {
    /// What is left is kept in `folder`, where the settings name none that replicas share.
    pub(super) fn new(settings: &Settings, folder: &Path) -> Self {
        let own = || folder.join("budgets");
        Self {
            settings: settings.clone(),
            folder: settings.budgets_folder.clone().unwrap_or_else(own),
            opened: Mutex::default(),
        }
    }

    /// The desk of an account; `known` is what the dialect knows of its provider.
    pub(super) fn of(&self, account: &Account<'_>, known: Limits) -> Arc<Desk> {
        let file = || Known::File(account.file().map(PathBuf::from));
        let name = account.name().map(str::to_owned);
        let key = name.map_or_else(file, Known::Name);
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        let desk = opened.entry(key.clone()).or_insert_with(|| {
            let purse = Purse::open(rates(known.budgets, &self.settings), Some(self.file(&key)));
            Arc::new(Desk::open(purse, &self.settings, known.outstanding))
        });
        Arc::clone(desk)
    }

    /// How many calls wait at all of them, questions aside.
    #[cfg(test)]
    pub(super) fn calls_waiting(&self) -> usize {
        let opened = self.opened.lock().unwrap();
        opened.values().map(|desk| desk.calls_waiting()).sum()
    }

    /// The same file at every replica that has the same configuration.
    fn file(&self, account: &Known) -> PathBuf {
        let base = self.settings.base_url.as_ref();
        let base = base.map(ToString::to_string).unwrap_or_default();
        let name = match account {
            // No path begins so that is not relative.
            Known::Name(name) => format!("{base} account {name}"),
            Known::File(Some(path)) => format!("{base} {}", path.display()),
            Known::File(None) => format!("{base} "),
        };
        let name = digest(&SHA256, name.as_bytes());
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&name.as_ref()[..8]);
        let name = format!("{:016x}", u64::from_be_bytes(bytes));
        self.folder.join(name)
    }
}
