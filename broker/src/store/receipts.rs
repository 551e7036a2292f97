//! The chains of receipts, one for each configuration.
//!
//! Invariant: a report's receipts are written by the script that applies the report, in that order, and chained from there by
//! whichever replica comes first: a chain is lengthened only from the end that its hashes were made for, so two replicas cannot
//! both do it. Hashes are made here and not in a script, which knows no SHA-256; the road of a report is no longer for them.

use std::collections::{BTreeMap, BTreeSet};

use domain::{
    ConfigurationId, Timestamp,
    receipt::{Digest, Receipt, Record},
};

use super::{Shard, Store, StoreError};

/// KEYS: receipts, heads, then a chain for each configuration. ARGV: how many receipts are chained, then for each configuration:
/// its id, the end that was seen, the new end, how many records, and for each its sequence and text.
/// Answers 0 where one of them has another end by now, and then changes nothing.
pub(super) const SCRIPT: &str = r"
local place = 2
for n = 3, #KEYS do
  if (redis.call('HGET', KEYS[2], ARGV[place]) or '') ~= ARGV[place + 1] then return 0 end
  place = place + 4 + 2 * ARGV[place + 3]
end
place = 2
for n = 3, #KEYS do
  redis.call('HSET', KEYS[2], ARGV[place], ARGV[place + 2])
  local count = tonumber(ARGV[place + 3])
  for record = 1, count do
    local at = place + 2 + 2 * record
    redis.call('XADD', KEYS[n], ARGV[at] .. '-1', 'r', ARGV[at + 1])
  end
  place = place + 4 + 2 * count
end
redis.call('LTRIM', KEYS[1], ARGV[1], -1)
return 1
";

/// Chains that are looked at in one step of forgetting, and records of a chain that go in one.
const CHAINS: usize = 100;
const OLD_RECORDS: usize = 1_000;

/// What is kept of a chain.
#[derive(Debug, Clone, Copy)]
pub struct Keep {
    /// Records that were written before go.
    pub oldest: Timestamp,
    /// So many records stay, the latest.
    pub most: u64,
}

/// The end of a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ChainEnd {
    /// The sequence of the last record; 0 where there never was one.
    pub sequence: u64,
    /// Its hash.
    pub hash: Digest,
}

/// What became of receipts that waited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Chained {
    /// How many were looked at.
    pub taken: usize,
    /// How many of them were told something else than the broker says.
    pub told_otherwise: usize,
    /// How many cannot be read, and are in no chain.
    pub unreadable: usize,
}

/// A page of a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainPage {
    /// Sequences and texts.
    pub records: Vec<(u64, String)>,
    /// The end of the chain now.
    pub end: ChainEnd,
}

/// What a stream answers: ids, and fields with their values.
type Entries = Vec<(String, Vec<(String, String)>)>;

/// New records of one chain.
struct Longer {
    seen: String,
    end: ChainEnd,
    records: Vec<(u64, String)>,
}

impl ChainEnd {
    fn read(text: &str) -> Result<Self, StoreError> {
        let lacking = || StoreError::lacking("the end of a chain of receipts");
        let (sequence, hash) = text.split_once(' ').ok_or_else(lacking)?;
        Ok(Self {
            sequence: sequence.parse().map_err(|_| lacking())?,
            hash: hash.parse().map_err(|_| lacking())?,
        })
    }

    fn text(&self) -> String {
        format!("{} {}", self.sequence, self.hash)
    }
}

impl Longer {
    fn add(&mut self, receipt: Receipt, as_told: bool, now: Timestamp) -> Result<(), StoreError> {
        let record = Record {
            sequence: self.end.sequence + 1,
            previous: self.end.hash,
            chained_at: now,
            as_told,
            receipt,
        };
        let text = serde_json::to_string(&record)
            .map_err(|error| StoreError::unreadable("a record of a chain", error))?;
        self.end = ChainEnd {
            sequence: record.sequence,
            hash: record.previous.chained(&text),
        };
        self.records.push((record.sequence, text));
        Ok(())
    }
}

/// A receipt that waits, with what its execution's order was.
struct WaitingReceipt {
    digest: Digest,
    configuration: ConfigurationId,
    receipt: Receipt,
}

impl WaitingReceipt {
    /// The digest of the order, its configuration, and the receipt.
    fn read(text: &str) -> Option<Self> {
        let (digest, rest) = text.split_once(' ')?;
        let (configuration, receipt) = rest.split_once(' ')?;
        Some(Self {
            digest: digest.parse().ok()?,
            configuration: configuration.parse().ok()?,
            receipt: serde_json::from_str(receipt).ok()?,
        })
    }

    /// Whether it is of what was told. What was absorbed had no order of its own: its participant names the absorber's.
    fn as_told(&self) -> bool {
        let said = &self.receipt.statement;
        let is_same = said.absorbed_by.is_some() || said.digest == self.digest;
        is_same && said.configuration == self.configuration
    }
}

impl Store {
    /// Chains what waits in a shard, at most `count`; none where another replica did so meanwhile.
    pub async fn chain_receipts(
        &self,
        shard: Shard,
        now: Timestamp,
        count: isize,
    ) -> Result<Option<Chained>, StoreError> {
        let waiting = redis::Cmd::lrange(self.keys.receipts(shard), 0, count - 1);
        let waiting: Vec<String> = self.redis.command(&waiting).await?;
        let mut chained = Chained {
            taken: waiting.len(),
            ..Chained::default()
        };
        if waiting.is_empty() {
            return Ok(Some(chained));
        }
        let read: Vec<_> = waiting
            .iter()
            .filter_map(|text| WaitingReceipt::read(text))
            .collect();
        chained.unreadable = waiting.len() - read.len();
        let mut chains = self.chains_to_lengthen(shard, &read).await?;
        for waiting in read {
            let as_told = waiting.as_told();
            chained.told_otherwise += usize::from(!as_told);
            if let Some(longer) = chains.get_mut(&waiting.configuration) {
                longer.add(waiting.receipt, as_told, now)?;
            }
        }
        let is_done = self.lengthen(shard, waiting.len(), &chains).await?;
        Ok(is_done.then_some(chained))
    }

    /// The ends of all chains that grow, in one call.
    async fn chains_to_lengthen(
        &self,
        shard: Shard,
        waiting: &[WaitingReceipt],
    ) -> Result<BTreeMap<ConfigurationId, Longer>, StoreError> {
        let configurations: BTreeSet<_> = waiting.iter().map(|one| &one.configuration).collect();
        if configurations.is_empty() {
            return Ok(BTreeMap::new());
        }
        let mut heads = redis::cmd("HMGET");
        heads.arg(self.keys.receipt_heads(shard));
        for configuration in &configurations {
            heads.arg(configuration.as_str());
        }
        let seen: Vec<Option<String>> = self.redis.command(&heads).await?;
        let chain = |(configuration, seen): (&ConfigurationId, Option<String>)| {
            let end = seen.as_deref().map(ChainEnd::read).transpose()?;
            let longer = Longer {
                seen: seen.unwrap_or_default(),
                end: end.unwrap_or_default(),
                records: Vec::new(),
            };
            Ok((configuration.clone(), longer))
        };
        configurations.into_iter().zip(seen).map(chain).collect()
    }

    async fn lengthen(
        &self,
        shard: Shard,
        taken: usize,
        chains: &BTreeMap<ConfigurationId, Longer>,
    ) -> Result<bool, StoreError> {
        let mut call = self.scripts.chain.prepare_invoke();
        call.key(self.keys.receipts(shard))
            .key(self.keys.receipt_heads(shard));
        call.arg(taken);
        for (configuration, longer) in chains {
            call.key(self.keys.receipt_chain(shard, configuration));
            call.arg(configuration.as_str())
                .arg(&longer.seen)
                .arg(longer.end.text())
                .arg(longer.records.len());
            for (sequence, text) in &longer.records {
                call.arg(*sequence).arg(text);
            }
        }
        let done: i64 = self.redis.script(&call).await?;
        Ok(done == 1)
    }

    /// The records of a chain from `first` on, at most `count`, and its end.
    pub async fn receipts(
        &self,
        configuration: &ConfigurationId,
        first: u64,
        count: usize,
    ) -> Result<ChainPage, StoreError> {
        let shard = self.keys.shard_of(configuration);
        let mut both = redis::pipe();
        both.atomic();
        both.cmd("HGET")
            .arg(self.keys.receipt_heads(shard))
            .arg(configuration.as_str());
        both.cmd("XRANGE")
            .arg(self.keys.receipt_chain(shard, configuration))
            .arg(first)
            .arg("+")
            .arg("COUNT")
            .arg(count);
        let (end, entries): (Option<String>, Entries) = self.redis.pipeline(&both).await?;
        let end = end.as_deref().map(ChainEnd::read).transpose()?;
        let read = |(id, fields): (String, Vec<(String, String)>)| {
            let lacking = || StoreError::lacking("a record of a chain");
            let (sequence, _) = id.split_once('-').ok_or_else(lacking)?;
            let (_, text) = fields.into_iter().next().ok_or_else(lacking)?;
            Ok::<_, StoreError>((sequence.parse().map_err(|_| lacking())?, text))
        };
        Ok(ChainPage {
            records: entries.into_iter().map(read).collect::<Result<_, _>>()?,
            end: end.unwrap_or_default(),
        })
    }

    /// Forgets records of some chains of a shard; where to go on, 0 at the end of a round. What is left begins with the hash of
    /// the last one that is gone.
    pub async fn forget_receipts(
        &self,
        shard: Shard,
        cursor: u64,
        keep: Keep,
    ) -> Result<u64, StoreError> {
        let mut scan = redis::cmd("HSCAN");
        scan.arg(self.keys.receipt_heads(shard))
            .arg(cursor)
            .arg("COUNT")
            .arg(CHAINS);
        let (next, pairs): (u64, Vec<String>) = self.redis.command(&scan).await?;
        for configuration in pairs.iter().step_by(2) {
            let Ok(configuration) = configuration.parse() else {
                continue;
            };
            let Some(first) = self.first_to_keep(&configuration, keep).await? else {
                continue;
            };
            let mut trim = redis::cmd("XTRIM");
            trim.arg(self.keys.receipt_chain(shard, &configuration))
                .arg("MINID")
                .arg(first);
            self.redis.command::<()>(&trim).await?;
        }
        Ok(next)
    }

    /// The first record that is kept, where one before it is there.
    async fn first_to_keep(
        &self,
        configuration: &ConfigurationId,
        keep: Keep,
    ) -> Result<Option<u64>, StoreError> {
        let is_old = |text: &str| {
            let record: Result<Record, _> = serde_json::from_str(text);
            record.is_ok_and(|record| record.chained_at < keep.oldest)
        };
        // Most chains have nothing to forget, and one record says so.
        let oldest = self.receipts(configuration, 0, 1).await?;
        let Some((sequence, text)) = oldest.records.first() else {
            return Ok(None);
        };
        let by_number = (oldest.end.sequence + 1).saturating_sub(keep.most);
        let surplus = (by_number > *sequence).then_some(by_number);
        if !is_old(text) {
            return Ok(surplus);
        }
        let page = self.receipts(configuration, *sequence, OLD_RECORDS).await?;
        let old = page.records.iter().take_while(|(_, text)| is_old(text));
        let by_age = old.last().map(|(last, _)| last + 1);
        Ok(by_age.max(surplus))
    }
}
