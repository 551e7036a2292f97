//! The registry in Redis: five hashes, a count of changes, and a log of the latest of them.
//!
//! Invariant: a change is written only by a replica that had seen every change before it, so a check that it made of its
//! memory (nothing refers to this server, this host name is free) still holds when the change is written. A change
//! is known by its number and a random stamp: what a Redis that failed over has lost is never taken for what stands in its place.

use redis::streams::{StreamId, StreamRangeReply, StreamReadReply};

use super::{Record, RecordKind, Store, StoreError, connection::BLOCK_LIMIT};

/// Changes that the log keeps; a replica that was away for more reads everything anew.
const LOG_LENGTH: usize = 100_000;
/// Records in one step of a full read.
const SCAN_COUNT: usize = 5_000;

/// KEYS: version, log, hash of the kind. ARGV: version and stamp that the writer has seen, kind, id, record (empty deletes), log
/// length, the change's stamp.
/// Answers the new version, or -1 when there was a change that the writer has not seen.
pub(super) const PUT: &str = r"
local version = tonumber(redis.call('GET', KEYS[1]) or '0')
if version ~= tonumber(ARGV[1]) then return -1 end
local stamp = ''
local latest = redis.call('XRANGE', KEYS[2], version .. '-1', version .. '-1')[1]
if latest then
  for i = 1, #latest[2], 2 do
    if latest[2][i] == 'stamp' then stamp = latest[2][i + 1] end
  end
end
if stamp ~= ARGV[2] then return -1 end
version = version + 1
-- First what may be refused.
redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[6], version .. '-1',
  'kind', ARGV[3], 'id', ARGV[4], 'record', ARGV[5], 'stamp', ARGV[7])
redis.call('SET', KEYS[1], version)
if ARGV[5] == '' then redis.call('HDEL', KEYS[3], ARGV[4]) else redis.call('HSET', KEYS[3], ARGV[4], ARGV[5]) end
return version
";

/// A state of the registry.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Edition {
    /// How many changes have been made.
    pub version: u64,
    /// A random word of the latest change; empty where there was none, or it was made by a broker that gave none.
    pub stamp: String,
}

/// What became of a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Put {
    /// Written; the registry's edition now.
    Written(Edition),
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
    /// All of them, each with the edition that it made.
    Since(Vec<(Edition, Change)>),
    /// What was seen is not in the log: it was too long ago, or Redis has lost it.
    Unknown,
}

impl Store {
    /// Writes a record, if nothing changed since `seen`.
    pub async fn put(&self, record: &Record, seen: &Edition) -> Result<Put, StoreError> {
        self.change(record.kind(), &record.id(), &record.text()?, seen)
            .await
    }

    /// Deletes a record, if nothing changed since `seen`.
    pub async fn delete_record(
        &self,
        kind: RecordKind,
        id: &str,
        seen: &Edition,
    ) -> Result<Put, StoreError> {
        self.change(kind, id, "", seen).await
    }

    async fn change(
        &self,
        kind: RecordKind,
        id: &str,
        record: &str,
        seen: &Edition,
    ) -> Result<Put, StoreError> {
        let stamp = format!("{:032x}", rand::random::<u128>());
        let mut call = self.scripts.put.prepare_invoke();
        call.key(self.keys.registry("version"))
            .key(self.keys.registry("log"))
            .key(self.keys.registry(kind.plural()));
        call.arg(seen.version)
            .arg(&seen.stamp)
            .arg(kind.plural())
            .arg(id)
            .arg(record)
            .arg(LOG_LENGTH)
            .arg(&stamp);
        let version: i64 = self.redis.script(&call).await?;
        Ok(match u64::try_from(version) {
            Ok(version) => Put::Written(Edition { version, stamp }),
            Err(_) => Put::Behind,
        })
    }

    /// Whether there is such a record, whatever a replica remembers.
    pub async fn is_registered(&self, kind: RecordKind, id: &str) -> Result<bool, StoreError> {
        let get = redis::Cmd::hget(self.keys.registry(kind.plural()), id);
        let record: Option<String> = self.redis.command(&get).await?;
        Ok(record.is_some())
    }

    /// The registry's edition.
    pub async fn edition(&self) -> Result<Edition, StoreError> {
        let (version, latest): (Option<u64>, StreamRangeReply) = {
            let mut pipeline = redis::pipe();
            pipeline
                .atomic()
                .get(self.keys.registry("version"))
                .cmd("XREVRANGE")
                .arg(self.keys.registry("log"))
                .arg("+")
                .arg("-")
                .arg("COUNT")
                .arg(1);
            self.redis.pipeline(&pipeline).await?
        };
        edition_of(version.unwrap_or_default(), &latest.ids)
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
    pub async fn changes_since(&self, seen: &Edition) -> Result<Changes, StoreError> {
        let mut pipeline = redis::pipe();
        // Read together: a version and a log of different moments would look like a loss.
        pipeline.atomic().get(self.keys.registry("version")).xrange(
            self.keys.registry("log"),
            format!("{}-0", seen.version),
            "+",
        );
        let (version, range): (Option<u64>, StreamRangeReply) =
            self.redis.pipeline(&pipeline).await?;
        let version = version.unwrap_or_default();
        let known = edition_of(seen.version, &range.ids)?;
        let changes: Vec<_> = range
            .ids
            .iter()
            .map(read_change)
            .skip_while(
                |change| matches!(change, Ok((edition, _)) if edition.version <= seen.version),
            )
            .collect::<Result<_, _>>()?;
        let misses_none = match changes.first() {
            Some((first, _)) => first.version == seen.version + 1,
            None => version == seen.version,
        };
        Ok(if known == *seen && misses_none {
            Changes::Since(changes)
        } else {
            Changes::Unknown
        })
    }

    /// Waits until something changed since `seen`, or a named time has passed.
    pub async fn wait_for_change(&self, seen: u64) -> Result<(), StoreError> {
        let block = usize::try_from(BLOCK_LIMIT.as_millis()).unwrap_or(usize::MAX);
        let mut read = redis::cmd("XREAD");
        read.arg("COUNT").arg(1).arg("BLOCK").arg(block);
        read.arg("STREAMS")
            .arg(self.keys.registry("log"))
            .arg(format!("{seen}-1"));
        // What it was is read from the log.
        self.redis.block::<Option<StreamReadReply>>(&read).await?;
        Ok(())
    }
}

fn version_of(id: &str) -> Result<u64, StoreError> {
    id.split('-')
        .next()
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| StoreError::lacking("a change's version"))
}

/// A version with the stamp of its change, where that is among these.
fn edition_of(version: u64, entries: &[StreamId]) -> Result<Edition, StoreError> {
    for entry in entries {
        if version_of(&entry.id)? == version {
            return Ok(Edition {
                version,
                stamp: entry.get("stamp").unwrap_or_default(),
            });
        }
    }
    Ok(Edition {
        version,
        stamp: String::new(),
    })
}

fn read_change(entry: &StreamId) -> Result<(Edition, Change), StoreError> {
    let lacking = || StoreError::lacking("a change of the registry");
    let field = |name: &str| entry.get::<String>(name).ok_or_else(lacking);
    let kind = RecordKind::from_plural(&field("kind")?).ok_or_else(lacking)?;
    let record = field("record")?;
    let change = if record.is_empty() {
        Change::Delete(kind, field("id")?)
    } else {
        Change::Put(kind.read(&record)?)
    };
    let edition = Edition {
        version: version_of(&entry.id)?,
        stamp: entry.get("stamp").unwrap_or_default(),
    };
    Ok((edition, change))
}
