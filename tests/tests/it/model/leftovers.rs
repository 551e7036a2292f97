//! What may be left in the store when nothing moves any more.
//!
//! Invariant: every key is looked at, so what somebody adds to the store and forgets to empty is noticed. The names are those
//! of `broker::store::keys`.

use anyhow::{Result, bail, ensure};
use redis::aio::MultiplexedConnection;

/// What a command leaves, until it is deleted.
const OF_COMMANDS: [&str; 4] = ["command", "request", "commands", "retire"];
/// What counts, and never goes.
const COUNTERS: [&str; 4] = ["sequences", "fences", "owner", "audit"];

/// Outboxes are empty, nobody is waited for, asked or scheduled, and every command counts as settled.
pub(super) async fn none(database: &mut MultiplexedConnection, accepted: usize) -> Result<()> {
    let keys: Vec<String> = redis::cmd("KEYS").arg("*").query_async(database).await?;
    let mut settled = 0;
    for key in keys {
        let name = key.split_once(':').map_or("", |(_, rest)| rest);
        let kind = name.split(':').next().unwrap_or_default();
        match kind {
            "retire" => settled += noted(&key, database).await?,
            "outbox" => ensure!(
                card("XLEN", &key, database).await? == 0,
                "{key} is not empty"
            ),
            // Who has nothing open is not counted any more.
            "open" => bail!("{key} is left"),
            "scheduled-counts" => {
                let counts: Vec<u64> = redis::cmd("HVALS").arg(&key).query_async(database).await?;
                ensure!(
                    counts.iter().all(|count| *count == 0),
                    "{key} has {counts:?}"
                );
            }
            kind => ensure!(
                OF_COMMANDS.contains(&kind) || COUNTERS.contains(&kind),
                "{key} is left"
            ),
        }
    }
    ensure!(
        settled == accepted,
        "{settled} of {accepted} commands count as settled"
    );
    Ok(())
}

async fn card(question: &str, key: &str, database: &mut MultiplexedConnection) -> Result<usize> {
    Ok(redis::cmd(question).arg(key).query_async(database).await?)
}

/// Commands that are noted for deletion, several in one note.
async fn noted(key: &str, database: &mut MultiplexedConnection) -> Result<usize> {
    let mut range = redis::cmd("ZRANGE");
    let notes: Vec<String> = range.arg(key).arg(0).arg(-1).query_async(database).await?;
    Ok(notes.iter().map(|note| note.split(' ').count()).sum())
}
