//! The entries of the audit log's stream: the records of one call stand in one entry, each on a line.
//!
//! A record's id is its entry's moment and a count, as an id of a stream is: [`ENTRY_RECORDS`] for each entry of that moment before, and
//! one for each record of its own entry before it. So ids grow from record to record, and say the entry.
//!
//! Invariant: one reply holds a bounded number of records, however many are asked for and however many an entry holds.
//! Not here: what a record says, and the chain over them (`audit`).

use std::fmt;

use redis::streams::{StreamId, StreamRangeReply};

use super::{KeptRecord, Shard, Store, StoreError, gather::TOGETHER};

/// Records that an entry can hold, as their ids are counted.
const ENTRY_RECORDS: u64 = 1_024;
const _: () = assert!(
    TOGETHER as u64 <= ENTRY_RECORDS,
    "what is accepted by one call is one entry"
);
/// Entries of one reply, each of which holds up to [`TOGETHER`] records.
const ENTRIES: usize = 64;

/// Where a record stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct RecordId {
    moment: u64,
    /// The count of its entry.
    entry: u64,
    within: u64,
}

impl RecordId {
    /// Of the first record in the entry with this id.
    fn first_of(entry: &str) -> Result<Self, StoreError> {
        let (moment, entry) = parts(entry)?;
        Ok(Self {
            moment,
            entry,
            within: 0,
        })
    }

    pub(super) fn read(id: &str) -> Result<Self, StoreError> {
        let (moment, count) = parts(id)?;
        Ok(Self {
            moment,
            entry: count / ENTRY_RECORDS,
            within: count % ENTRY_RECORDS,
        })
    }

    /// The first that the next entry of its moment would have.
    pub(super) fn behind_entry(self) -> Self {
        Self {
            entry: self.entry.saturating_add(1),
            within: 0,
            ..self
        }
    }

    /// As the stream knows the entry.
    pub(super) fn entry(self) -> String {
        format!("{}-{}", self.moment, self.entry)
    }
}

impl fmt::Display for RecordId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.entry.saturating_mul(ENTRY_RECORDS);
        write!(formatter, "{}-{}", self.moment, count + self.within)
    }
}

fn parts(id: &str) -> Result<(u64, u64), StoreError> {
    let parts = id.split_once('-');
    let parts = parts.and_then(|(moment, count)| Some((moment.parse().ok()?, count.parse().ok()?)));
    parts.ok_or_else(|| StoreError::lacking("the id of an audit record"))
}

/// Which way the log is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    OldestFirst,
    NewestFirst,
}

impl Store {
    /// The records of whole entries behind an id, oldest first: at least `count`, where there are so many.
    pub(super) async fn audit_entries_after(
        &self,
        shard: Shard,
        id: &str,
        count: usize,
    ) -> Result<Vec<KeptRecord>, StoreError> {
        let behind = RecordId::read(id)?;
        let is_behind = |id| id > behind;
        self.audit_entries((shard, Way::OldestFirst), behind.entry(), count, is_behind)
            .await
    }

    /// Records behind an id, oldest first.
    pub async fn audit_after(
        &self,
        shard: Shard,
        id: &str,
        count: usize,
    ) -> Result<Vec<KeptRecord>, StoreError> {
        let mut records = self.audit_entries_after(shard, id, count).await?;
        records.truncate(count);
        Ok(records)
    }

    /// Records before an id (`+` for all), newest first.
    pub async fn audit_before(
        &self,
        shard: Shard,
        id: &str,
        count: usize,
    ) -> Result<Vec<KeptRecord>, StoreError> {
        let before = (id != "+").then(|| RecordId::read(id)).transpose()?;
        let from = before.map_or_else(|| "+".to_owned(), RecordId::entry);
        let is_before = |id| before.is_none_or(|before| id < before);
        let found = self.audit_entries((shard, Way::NewestFirst), from, count, is_before);
        let mut records = found.await?;
        records.truncate(count);
        Ok(records)
    }

    /// The records of entries from one on that are asked for: at least `count`, where there are so many.
    async fn audit_entries(
        &self,
        (shard, way): (Shard, Way),
        mut from: String,
        count: usize,
        is_asked_for: impl Fn(RecordId) -> bool,
    ) -> Result<Vec<KeptRecord>, StoreError> {
        // As many as hold it all when they are full, and more from one to the next while they are not.
        let (mut records, mut most) = (Vec::new(), count.div_ceil(TOGETHER).min(ENTRIES));
        loop {
            let (command, to) = match way {
                Way::OldestFirst => ("XRANGE", "+"),
                Way::NewestFirst => ("XREVRANGE", "-"),
            };
            let mut range = redis::cmd(command);
            range.arg(self.keys.audit(shard)).arg(&from).arg(to);
            let reply: StreamRangeReply = self.redis.command(range.arg("COUNT").arg(most)).await?;
            for entry in &reply.ids {
                let mut of_entry = records_of(entry)?;
                of_entry.retain(|(id, _)| is_asked_for(*id));
                if way == Way::NewestFirst {
                    of_entry.reverse();
                }
                records.extend(of_entry.into_iter().map(|(id, text)| KeptRecord {
                    id: id.to_string(),
                    text,
                }));
                from = format!("({}", entry.id);
            }
            if records.len() >= count || reply.ids.len() < most {
                return Ok(records);
            }
            most = (2 * most).min(ENTRIES).min(count - records.len());
        }
    }
}

/// The records of an entry, in their order.
fn records_of(entry: &StreamId) -> Result<Vec<(RecordId, String)>, StoreError> {
    let first = RecordId::first_of(&entry.id)?;
    let lines: String = entry
        .get("r")
        .ok_or_else(|| StoreError::lacking("an audit record"))?;
    let records = (0..).zip(lines.split('\n'));
    let records = records.map(|(within, line)| (RecordId { within, ..first }, line.to_owned()));
    Ok(records.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The ids of records grow, and each says its entry.
    #[test]
    fn an_id_says_the_entry() {
        let first = RecordId::first_of("17-2").unwrap();
        let second = RecordId { within: 1, ..first };
        assert_eq!(
            [first, second, second.behind_entry()].map(|id| id.to_string()),
            ["17-2048", "17-2049", "17-3072"]
        );
        assert!(first < second && second < second.behind_entry());
        let read = RecordId::read("17-2049").unwrap();
        assert_eq!((read, read.entry()), (second, "17-2".to_owned()));
        for id in ["17", "17-", "x-1"] {
            assert!(RecordId::read(id).is_err(), "{id}");
        }
    }
}
