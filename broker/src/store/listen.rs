//! Hearing at once what other replicas did: outboxes that were filled, commands that changed.
//!
//! Invariant: this is only a hint that saves time. Whoever misses one finds out at the next regular look.

use domain::{CommandId, ParticipantId};
use futures::{Stream, StreamExt as _};

use super::{Keys, Shard, Store, StoreError};

/// What was heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// The outboxes of these participants in this shard were filled.
    Filled(Shard, Vec<ParticipantId>),
    /// These commands changed.
    Changed(Vec<CommandId>),
}

impl Store {
    /// Listens to all shards; the stream ends when the connection does.
    pub async fn listen(&self) -> Result<impl Stream<Item = Heard> + use<>, StoreError> {
        let mut listener = self.redis.listen().await?;
        for shard in self.keys.shards() {
            listener
                .subscribe(&[self.keys.wake(shard), self.keys.changes(shard)])
                .await?;
        }
        let keys = std::sync::Arc::clone(&self.keys);
        Ok(listener
            .into_on_message()
            .filter_map(move |message| std::future::ready(read(&keys, &message))))
    }
}

fn read(keys: &Keys, message: &redis::Msg) -> Option<Heard> {
    let text: String = message.get_payload().ok()?;
    let words = text.split(' ');
    let filled = keys
        .shards()
        .find(|shard| keys.wake(*shard) == message.get_channel_name());
    Some(match filled {
        Some(shard) => Heard::Filled(shard, words.filter_map(|word| word.parse().ok()).collect()),
        None => Heard::Changed(words.filter_map(|word| word.parse().ok()).collect()),
    })
}
