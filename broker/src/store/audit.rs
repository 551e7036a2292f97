//! The audit log: a stream of records in each shard, and seals that chain them.
//!
//! A record is appended by the script that does what it records, or right after. It carries no hash, because Redis has no
//! SHA-256 in its scripts and a call that accepts must cost one append. Within about a second a sealer reads what is new and writes a
//! seal: the hash over the one before and every record since, record by record, and how many there have been.
//!
//! Invariant: a seal is written only behind the latest one, so of two sealers one wins and both mean the same. It covers whole
//! entries, and records go only up to a seal, which is kept as the anchor: what is left still verifies from there.
//! Not here: how records stand in the stream (`audit_entries`).

use std::time::Duration;

use domain::{Timestamp, digest::Digest};
use redis::streams::{StreamId, StreamRangeReply};
use serde::{Deserialize, Serialize};

use super::{Shard, Store, StoreError, audit_entries::RecordId, outbox::millis};

/// Records that are read in one step.
const STEP: usize = 2_000;

/// KEYS: seals, head. ARGV: record id of the latest seal, record id, sequence and hash of the new one.
pub(super) const SEAL: &str = r"
if (redis.call('HGET', KEYS[2], 'id') or '0-0') ~= ARGV[1] then return 0 end
redis.call('XADD', KEYS[1], ARGV[2], 's', ARGV[3], 'h', ARGV[4])
redis.call('HSET', KEYS[2], 'id', ARGV[2], 's', ARGV[3], 'h', ARGV[4])
return 1
";

/// KEYS: records, seals, anchor. ARGV: id, sequence and hash of the seal that becomes the anchor, the entry and the id behind it.
pub(super) const TRIM: &str = r"
if tonumber(redis.call('HGET', KEYS[3], 's') or 0) >= tonumber(ARGV[2]) then return 0 end
redis.call('XTRIM', KEYS[1], 'MINID', ARGV[4])
redis.call('XTRIM', KEYS[2], 'MINID', ARGV[5])
redis.call('HSET', KEYS[3], 'id', ARGV[1], 's', ARGV[2], 'h', ARGV[3])
return 1
";

/// Who did what to which resource with which result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditRecord {
    /// When, by the clock of the replica that was called.
    pub at: Timestamp,
    /// `participant/<id>`, `operator/<name>`, or `nobody`.
    pub caller: String,
    /// The call: `SubmitCommand`.
    pub call: String,
    /// What it was about: `configuration/shop`; the first of them where there are several.
    pub resource: String,
    /// `OK`, or the reason of the refusal.
    pub result: String,
    /// How many such calls within the second; refusals of one kind are counted together.
    pub count: u64,
}

impl AuditRecord {
    /// As it is kept, and hashed.
    pub(super) fn text(&self) -> Result<String, StoreError> {
        serde_json::to_string(self)
            .map_err(|error| StoreError::unreadable("an audit record", error))
    }
}

/// A record as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptRecord {
    /// Its place in the shard.
    pub id: String,
    /// As it was written, and as it is hashed.
    pub text: String,
}

/// The chain up to a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seal {
    /// The record.
    pub id: String,
    /// How many records there were up to it, ever.
    pub sequence: u64,
    /// Of the record, which follows on all before ([`Digest::chained`]).
    pub hash: Digest,
}

impl Seal {
    /// Before the first record.
    fn genesis() -> Self {
        Self {
            id: "0-0".to_owned(),
            sequence: 0,
            hash: Digest::default(),
        }
    }

    /// The chain with another record.
    fn with(self, record: &KeptRecord) -> Self {
        Self {
            id: record.id.clone(),
            sequence: self.sequence + 1,
            hash: self.hash.chained(&record.text),
        }
    }
}

impl Store {
    /// Appends records to a shard's log, each as an entry of its own.
    pub async fn append_audit(
        &self,
        shard: Shard,
        records: &[AuditRecord],
    ) -> Result<(), StoreError> {
        let mut pipeline = redis::pipe();
        for record in records {
            let fields = [("r", record.text()?)];
            pipeline.xadd(self.keys.audit(shard), "*", &fields).ignore();
        }
        self.redis.pipeline(&pipeline).await
    }

    /// Whether this replica seals the shard now: it is the first in this span.
    pub async fn may_seal(&self, shard: Shard, span: Duration) -> Result<bool, StoreError> {
        let mut set = redis::cmd("SET");
        set.arg(self.keys.audit_sealer(shard)).arg(1);
        set.arg("NX").arg("PX").arg(millis(span));
        let answer: Option<String> = self.redis.command(&set).await?;
        Ok(answer.is_some())
    }

    /// Seals what is new; answers how many records that were.
    pub async fn seal_audit(&self, shard: Shard) -> Result<usize, StoreError> {
        let mut sealed = 0;
        loop {
            let before = self.seal_at(&self.keys.audit_head(shard)).await?;
            let new = self.audit_entries_after(shard, &before.id, STEP).await?;
            if new.is_empty() {
                return Ok(sealed);
            }
            let after = new.iter().fold(before.clone(), Seal::with);
            let mut call = self.scripts.seal.prepare_invoke();
            call.key(self.keys.audit_seals(shard))
                .key(self.keys.audit_head(shard));
            call.arg(&before.id)
                .arg(&after.id)
                .arg(after.sequence)
                .arg(after.hash.to_string());
            if self.redis.script::<u8>(&call).await? == 0 {
                return Ok(sealed);
            }
            sealed += new.len();
            if new.len() < STEP {
                return Ok(sealed);
            }
        }
    }

    /// Lets records go that are older than `before` or beyond `most`, up to a seal.
    pub async fn trim_audit(
        &self,
        shard: Shard,
        before: Timestamp,
        most: u64,
    ) -> Result<(), StoreError> {
        let seals = self.keys.audit_seals(shard);
        let mut old = redis::cmd("XREVRANGE");
        old.arg(&seals).arg(before.as_millis()).arg("-");
        old.arg("COUNT").arg(1);
        let old: StreamRangeReply = self.redis.command(&old).await?;
        let mut anchor = old.ids.first().map(read_seal).transpose()?;
        let head = self.seal_at(&self.keys.audit_head(shard)).await?;
        let surplus = head.sequence.saturating_sub(most);
        let first = self.seals(shard, "0-0", "+", STEP).await?;
        let beyond = first.into_iter().rfind(|seal| seal.sequence <= surplus);
        if let Some(beyond) = beyond
            && anchor
                .as_ref()
                .is_none_or(|anchor| anchor.sequence < beyond.sequence)
        {
            anchor = Some(beyond);
        }
        let Some(anchor) = anchor else {
            return Ok(());
        };
        let behind = RecordId::read(&anchor.id)?.behind_entry();
        let mut call = self.scripts.trim_audit.prepare_invoke();
        call.key(self.keys.audit(shard))
            .key(&seals)
            .key(self.keys.audit_anchor(shard));
        call.arg(&anchor.id)
            .arg(anchor.sequence)
            .arg(anchor.hash.to_string())
            .arg(behind.entry())
            .arg(behind.to_string());
        self.redis.script::<u8>(&call).await?;
        Ok(())
    }

    /// From where a shard's chain is kept.
    pub async fn audit_anchor(&self, shard: Shard) -> Result<Seal, StoreError> {
        self.seal_at(&self.keys.audit_anchor(shard)).await
    }

    /// Seals of records behind one id and up to another (`+` for all), oldest first.
    pub async fn seals(
        &self,
        shard: Shard,
        behind: &str,
        until: &str,
        count: usize,
    ) -> Result<Vec<Seal>, StoreError> {
        let mut range = redis::cmd("XRANGE");
        range.arg(self.keys.audit_seals(shard));
        range.arg(format!("({behind}")).arg(until);
        range.arg("COUNT").arg(count);
        let reply: StreamRangeReply = self.redis.command(&range).await?;
        reply.ids.iter().map(read_seal).collect()
    }

    async fn seal_at(&self, key: &str) -> Result<Seal, StoreError> {
        let mut get = redis::cmd("HMGET");
        get.arg(key).arg("id").arg("s").arg("h");
        let (id, sequence, hash): (Option<String>, Option<u64>, Option<String>) =
            self.redis.command(&get).await?;
        match (id, sequence, hash) {
            (Some(id), Some(sequence), Some(hash)) => Ok(Seal {
                id,
                sequence,
                hash: read_hash(&hash)?,
            }),
            _ => Ok(Seal::genesis()),
        }
    }
}

fn read_seal(entry: &StreamId) -> Result<Seal, StoreError> {
    let lacking = || StoreError::lacking("a seal of the audit log");
    let hash: String = entry.get("h").ok_or_else(lacking)?;
    Ok(Seal {
        id: entry.id.clone(),
        sequence: entry.get("s").ok_or_else(lacking)?,
        hash: read_hash(&hash)?,
    })
}

fn read_hash(text: &str) -> Result<Digest, StoreError> {
    text.parse()
        .map_err(|_| StoreError::lacking("the hash of a seal"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A seal counts its records, and covers them in their order.
    #[test]
    fn a_seal_covers_all_before_it() {
        let record = |id: &str, text: &str| KeptRecord {
            id: id.to_owned(),
            text: text.to_owned(),
        };
        let two = Seal::genesis()
            .with(&record("1-0", "a"))
            .with(&record("2-0", "b"));
        assert_eq!((two.id.as_str(), two.sequence), ("2-0", 2));
        assert_eq!(two.hash, Digest::default().chained("a").chained("b"));
    }
}
