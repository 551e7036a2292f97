//! The registry in Redis: five hashes, a count of changes, and a log of the latest of them.
//!
//! Invariant: a change is written only by a replica that had seen every change before it, so a check that it made of its
//! memory (nothing refers to this server, this host name is free) still holds when the change is written.

use redis::streams::{StreamRangeReply, StreamReadReply};

use super::{Record, RecordKind, Store, StoreError, connection::BLOCK_LIMIT};

/// Changes that the log keeps; a replica that was away for more reads everything anew.
const LOG_LENGTH: usize = 100_000;
/// Records in one step of a full read.
const SCAN_COUNT: usize = 5_000;

/// KEYS: version, log, hash of the kind. ARGV: version that the writer has seen, kind, id, record (empty deletes), log length.
/// Answers the new version, or -1 when there was a change that the writer has not seen.
pub(super) const PUT: &str = r"
local version = tonumber(redis.call('GET', KEYS[1]) or '0')
if version ~= tonumber(ARGV[1]) then return -1 end
version = version + 1
redis.call('SET', KEYS[1], version)
if ARGV[4] == '' then redis.call('HDEL', KEYS[3], ARGV[3]) else redis.call('HSET', KEYS[3], ARGV[3], ARGV[4]) end
redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[5], version .. '-1', 'kind', ARGV[2], 'id', ARGV[3], 'record', ARGV[4])
return version
";

/// What became of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// Written; the registry's version now.
    Written(u64),
    /// There are changes that the writer has not seen; it looks, checks and tries again.
    Behind,
}

/// One change of the registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A record is now this.
    Put(Record),
    /// A record is no more.
    Delete(RecordKind, String),
}

/// Changes since a version.
#[derive(Debug)]
pub enum Changes {
    /// All of them, each with the version that it made.
    Since(Vec<(u64, Change)>),
    /// The log no longer goes back that far.
    TooLongAgo,
}

impl Store {
    /// Writes a record, if nothing changed since `seen`.
    pub async fn put(&self, record: &Record, seen: u64) -> Result<Put, StoreError> {
        self.change(record.kind(), &record.id(), &record.text()?, seen)
            .await
    }

    /// Deletes a record, if nothing changed since `seen`.
    pub async fn delete_record(
        &self,
        kind: RecordKind,
        id: &str,
        seen: u64,
    ) -> Result<Put, StoreError> {
        self.change(kind, id, "", seen).await
    }

    async fn change(
        &self,
        kind: RecordKind,
        id: &str,
        record: &str,
        seen: u64,
    ) -> Result<Put, StoreError> {
        let mut call = self.scripts.put.prepare_invoke();
        call.key(self.keys.registry("version"))
            .key(self.keys.registry("log"))
            .key(self.keys.registry(kind.plural()));
        call.arg(seen)
            .arg(kind.plural())
            .arg(id)
            .arg(record)
            .arg(LOG_LENGTH);
        let version: i64 = self.redis.script(&call).await?;
        Ok(u64::try_from(version).map_or(Put::Behind, Put::Written))
    }

    /// Whether there is such a record, whatever a replica remembers.
    pub async fn is_registered(&self, kind: RecordKind, id: &str) -> Result<bool, StoreError> {
        let get = redis::Cmd::hget(self.keys.registry(kind.plural()), id);
        let record: Option<String> = self.redis.command(&get).await?;
        Ok(record.is_some())
    }

    /// The registry's version.
    pub async fn registry_version(&self) -> Result<u64, StoreError> {
        let version: Option<u64> = self
            .redis
            .command(&redis::Cmd::get(self.keys.registry("version")))
            .await?;
        Ok(version.unwrap_or_default())
    }

    /// Reads all records of a kind, giving each to `take`.
    pub async fn records(
        &self,
        kind: RecordKind,
        mut take: impl FnMut(Record),
    ) -> Result<(), StoreError> {
        let mut cursor = 0_u64;
        loop {
            let mut scan = redis::cmd("HSCAN");
            scan.arg(self.keys.registry(kind.plural()))
                .arg(cursor)
                .arg("COUNT")
                .arg(SCAN_COUNT);
            let (next, fields): (u64, Vec<(String, String)>) = self.redis.command(&scan).await?;
            for (_, text) in &fields {
                take(kind.read(text)?);
            }
            if next == 0 {
                return Ok(());
            }
            cursor = next;
        }
    }

    /// What changed since `seen`, without waiting.
    pub async fn changes_since(&self, seen: u64) -> Result<Changes, StoreError> {
        let log = self.keys.registry("log");
        let mut pipeline = redis::pipe();
        pipeline
            .xrange_count(&log, "-", "+", 1)
            .xrange(&log, format!("{}-0", seen + 1), "+");
        let (first, range): (StreamRangeReply, StreamRangeReply) =
            self.redis.pipeline(&pipeline).await?;
        let oldest = first
            .ids
            .first()
            .map(|entry| version_of(&entry.id))
            .transpose()?;
        // Never written to, or the next change that we miss is still there.
        if oldest.is_some_and(|oldest| oldest > seen + 1) {
            return Ok(Changes::TooLongAgo);
        }
        Ok(Changes::Since(
            range
                .ids
                .iter()
                .map(read_change)
                .collect::<Result<_, _>>()?,
        ))
    }

    /// Waits until something changed since `seen`, or a named time has passed; answers whether it did.
    pub async fn wait_for_change(&self, seen: u64) -> Result<bool, StoreError> {
        let block = usize::try_from(BLOCK_LIMIT.as_millis()).unwrap_or(usize::MAX);
        let mut read = redis::cmd("XREAD");
        read.arg("COUNT").arg(1).arg("BLOCK").arg(block);
        read.arg("STREAMS")
            .arg(self.keys.registry("log"))
            .arg(format!("{seen}-1"));
        let reply: Option<StreamReadReply> = self.redis.block(&read).await?;
        Ok(reply.is_some_and(|reply| !reply.keys.is_empty()))
    }
}

fn version_of(id: &str) -> Result<u64, StoreError> {
    id.split('-')
        .next()
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| StoreError::lacking("a change's version"))
}

fn read_change(entry: &redis::streams::StreamId) -> Result<(u64, Change), StoreError> {
    let lacking = || StoreError::lacking("a change of the registry");
    let field = |name: &str| entry.get::<String>(name).ok_or_else(lacking);
    let kind = RecordKind::from_plural(&field("kind")?).ok_or_else(lacking)?;
    let record = field("record")?;
    let change = if record.is_empty() {
        Change::Delete(kind, field("id")?)
    } else {
        Change::Put(kind.read(&record)?)
    };
    Ok((version_of(&entry.id)?, change))
}
