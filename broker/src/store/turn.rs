//! Turns at what one replica may change at a time: a participant's part of RabbitMQ, which no script can change together
//! with its record.
//!
//! Invariant: a turn ends with the value that holds it, and by itself when its replica dies.

use std::time::Duration;

use domain::ParticipantId;
use tokio::runtime::Handle;
use tracing::debug;

use super::{Store, StoreError, outbox::millis};

/// A turn of a replica that died ends after this. Longer than RabbitMQ may take for all that is done in one.
const LIFE: Duration = Duration::from_mins(3);

/// Nobody else has it meanwhile.
#[must_use = "it ends when it is dropped"]
pub struct Turn {
    store: Store,
    key: String,
    token: String,
}

impl Store {
    /// A turn at a participant's part of RabbitMQ; `None` while somebody has it.
    pub async fn turn(&self, participant: &ParticipantId) -> Result<Option<Turn>, StoreError> {
        let key = self.keys.registry(&format!("turn:{participant}"));
        let token = format!("{:032x}", rand::random::<u128>());
        let mut set = redis::cmd("SET");
        set.arg(&key)
            .arg(&token)
            .arg("NX")
            .arg("PX")
            .arg(millis(LIFE));
        let answer: Option<String> = self.redis.command(&set).await?;
        Ok(answer.map(|_| Turn {
            store: self.clone(),
            key,
            token,
        }))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        let (store, key, token) = (
            self.store.clone(),
            std::mem::take(&mut self.key),
            std::mem::take(&mut self.token),
        );
        runtime.spawn(async move {
            let mut call = store.scripts.release.prepare_invoke();
            call.key(key).arg(token);
            if let Err(error) = store.redis.script::<()>(&call).await {
                let error: &(dyn std::error::Error + 'static) = &error;
                debug!(error, "a turn was not given back, and ends by itself");
            }
        });
    }
}
