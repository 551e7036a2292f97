//! Who waits for changes of which command, on this replica.
//!
//! Invariant: whoever subscribed before a change is told of it, or of a later one; a subscription that is dropped leaves
//! nothing behind.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use domain::CommandId;
use metrics::gauge;
use tokio::sync::watch;

use crate::metrics as names;

/// All subscriptions of one replica.
#[derive(Default)]
pub struct Watchers(Mutex<HashMap<CommandId, watch::Sender<()>>>);

/// One watcher's ear.
pub struct Subscription {
    watchers: Arc<Watchers>,
    command: CommandId,
    ear: watch::Receiver<()>,
}

impl Watchers {
    /// Waits for changes of a command.
    pub fn subscribe(self: &Arc<Self>, command: CommandId) -> Subscription {
        let ear = self
            .lock()
            .entry(command)
            .or_insert_with(|| watch::Sender::new(()))
            .subscribe();
        gauge!(names::WATCHERS).increment(1.0);
        Subscription {
            watchers: Arc::clone(self),
            command,
            ear,
        }
    }

    /// These commands changed.
    pub fn tell(&self, commands: &[CommandId]) {
        let watchers = self.lock();
        for sender in commands.iter().filter_map(|command| watchers.get(command)) {
            sender.send_replace(());
        }
    }

    /// Something may have been missed: everybody looks.
    pub fn tell_all(&self) {
        for sender in self.lock().values() {
            sender.send_replace(());
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<CommandId, watch::Sender<()>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Subscription {
    /// Waits until the command changed since the last call.
    pub async fn changed(&mut self) {
        // The sender stands in the map as long as this subscription does.
        let _ = self.ear.changed().await;
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        gauge!(names::WATCHERS).decrement(1.0);
        let mut watchers = self.watchers.lock();
        // This ear is still counted.
        if watchers
            .get(&self.command)
            .is_some_and(|sender| sender.receiver_count() <= 1)
        {
            watchers.remove(&self.command);
        }
    }
}
