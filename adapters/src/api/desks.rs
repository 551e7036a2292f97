//! The desks of all accounts.
//!
//! Invariant: one for each file of credentials, for everything in this process that calls with them.

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

/// There are as many as the configuration names files.
#[derive(Debug)]
pub(super) struct Desks {
    settings: Settings,
    folder: PathBuf,
    opened: Mutex<HashMap<Option<PathBuf>, Arc<Desk>>>,
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
        let key = account.file().map(PathBuf::from);
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        let desk = opened.entry(key.clone()).or_insert_with(|| {
            let purse = Purse::open(
                rates(known.budgets, &self.settings),
                Some(self.file(key.as_deref())),
            );
            Arc::new(Desk::open(purse, &self.settings, known.outstanding))
        });
        Arc::clone(desk)
    }

    /// The same file at every replica that has the same configuration.
    fn file(&self, credentials: Option<&Path>) -> PathBuf {
        let base = self.settings.base_url.as_ref();
        let base = base.map(ToString::to_string).unwrap_or_default();
        let credentials = credentials.map(|path| path.display().to_string());
        let name = format!("{base} {}", credentials.unwrap_or_default());
        let name = digest(&SHA256, name.as_bytes());
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&name.as_ref()[..8]);
        let name = format!("{:016x}", u64::from_be_bytes(bytes));
        self.folder.join(name)
    }
}
