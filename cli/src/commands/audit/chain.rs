//! Checking the chain over the audit log, with nothing but what the broker's answers say.
//!
//! Invariant: every record from the anchor on is hashed here; a seal that does not fit names the records between it and the one
//! before, for one of them was changed, added or taken away.

use std::collections::VecDeque;

use domain::digest::Digest;
use proto::v1::{AuditRecord, AuditSeal, ListAuditResponse};

/// One shard's chain, record by record.
#[derive(Debug)]
struct Shard {
    number: u32,
    /// Where the chain stands: at the anchor, or behind the last record.
    at: AuditSeal,
    /// The last seal that fitted.
    fits: AuditSeal,
    seals: VecDeque<AuditSeal>,
    unsealed: u64,
}

/// What a check came to.
#[derive(Debug, Default)]
pub(super) struct Checked {
    shards: Vec<Shard>,
    /// Records that were hashed.
    pub(super) records: u64,
    /// Seals that fitted.
    pub(super) seals: u64,
    /// What does not fit.
    pub(super) problems: Vec<String>,
}

impl Checked {
    /// Takes the next page of the whole log in, oldest first.
    pub(super) fn take(&mut self, page: ListAuditResponse) {
        for anchor in page.anchors {
            self.end_shard();
            self.shards.push(Shard {
                number: anchor.shard,
                at: anchor.clone(),
                fits: anchor,
                seals: VecDeque::new(),
                unsealed: 0,
            });
        }
        let Some(shard) = self.shards.last_mut() else {
            self.problems
                .push("the broker says not where the log begins".to_owned());
            return;
        };
        shard.seals.extend(page.seals);
        for record in &page.records {
            self.records += 1;
            shard.add(record);
            while let Some(seal) = shard.due(&record.id) {
                match shard.compare(seal) {
                    None => self.seals += 1,
                    Some(problem) => self.problems.push(problem),
                }
            }
        }
    }

    /// Nothing follows.
    pub(super) fn end(&mut self) {
        self.end_shard();
    }

    /// Where each shard's chain stands, to be kept elsewhere: who can write the store could make a new chain.
    pub(super) fn heads(&self) -> impl Iterator<Item = (u32, u64, &str)> {
        self.shards
            .iter()
            .map(|shard| (shard.number, shard.fits.sequence, shard.fits.hash.as_str()))
    }

    /// Records behind the last seals.
    pub(super) fn unsealed(&self) -> u64 {
        self.shards.iter().map(|shard| shard.unsealed).sum()
    }

    fn end_shard(&mut self) {
        let Some(shard) = self.shards.last_mut() else {
            return;
        };
        while let Some(seal) = shard.seals.pop_front() {
            let problem = shard.compare(seal);
            self.problems.extend(problem);
        }
    }
}

impl Shard {
    fn add(&mut self, record: &AuditRecord) {
        self.at.hash = chained(&self.at.hash, &record.text);
        self.at.sequence += 1;
        self.at.record_id.clone_from(&record.id);
        self.unsealed += 1;
    }

    /// A seal of this record, or of one before it that was not there.
    fn due(&mut self, id: &str) -> Option<AuditSeal> {
        let seal = self.seals.front()?;
        (place(&seal.record_id) <= place(id))
            .then(|| self.seals.pop_front())
            .flatten()
    }

    /// What does not fit; the chain goes on from the seal.
    fn compare(&mut self, seal: AuditSeal) -> Option<String> {
        self.unsealed = 0;
        let fits = self.at == seal;
        let problem = (!fits).then(|| {
            format!(
                "shard {}: between record {} and record {} something was changed, added or taken away ({} records are there, \
                 {} were sealed)",
                self.number,
                self.fits.record_id,
                seal.record_id,
                self.at.sequence.saturating_sub(self.fits.sequence),
                seal.sequence.saturating_sub(self.fits.sequence),
            )
        });
        self.at = seal.clone();
        self.fits = seal;
        problem
    }
}

/// An id as a place in the stream.
fn place(id: &str) -> (u64, u64) {
    let parts = id.split_once('-');
    let number = |part: &str| part.parse().unwrap_or_default();
    parts.map_or((0, 0), |(moment, count)| (number(moment), number(count)))
}

/// The hash of the record that follows; behind something that is no hash there is none.
fn chained(before: &str, text: &str) -> String {
    let before = before.parse::<Digest>();
    before.map_or_else(|_| String::new(), |before| before.chained(text).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(id: &str, text: &str) -> AuditRecord {
        AuditRecord {
            id: id.to_owned(),
            text: text.to_owned(),
            ..AuditRecord::default()
        }
    }

    fn seal(id: &str, sequence: u64, hash: String) -> AuditSeal {
        AuditSeal {
            shard: 0,
            record_id: id.to_owned(),
            sequence,
            hash,
        }
    }

    /// The log of three records with seals over the first, and over all; checked as it then stands.
    fn check(records: Vec<AuditRecord>) -> Checked {
        let before = Digest::default().to_string();
        let one = chained(&before, "a");
        let three = chained(&chained(&one, "b"), "c");
        let mut checked = Checked::default();
        checked.take(ListAuditResponse {
            records,
            anchors: vec![seal("0-0", 0, before)],
            seals: vec![seal("1-0", 1, one), seal("3-0", 3, three)],
            ..ListAuditResponse::default()
        });
        checked.end();
        checked
    }

    /// What is as it was fits; what is behind the last seal is no mistake.
    #[test]
    fn an_untouched_log_fits() {
        let mut records: Vec<_> = [("1-0", "a"), ("2-0", "b"), ("3-0", "c")]
            .map(|(id, text)| record(id, text))
            .into();
        assert!(check(records.clone()).problems.is_empty());
        records.push(record("4-0", "d"));
        let checked = check(records);
        assert_eq!((checked.seals, checked.unsealed()), (2, 1));
        assert!(checked.problems.is_empty());
    }

    /// A record that was changed, taken away or put in between shows, also the last one, and only once.
    #[test]
    fn any_change_shows() {
        for records in [
            vec![("1-0", "a"), ("2-0", "B"), ("3-0", "c")],
            vec![("1-0", "a"), ("3-0", "c")],
            vec![("1-0", "a"), ("2-0", "b")],
            vec![("1-0", "a"), ("2-0", "b"), ("2-1", "x"), ("3-0", "c")],
            vec![("2-0", "b"), ("3-0", "c")],
            vec![("1-0", "a"), ("2-0", "c"), ("3-0", "b")],
        ] {
            let text = format!("{records:?}");
            let records = records.into_iter().map(|(id, text)| record(id, text));
            assert!(!check(records.collect()).problems.is_empty(), "{text}");
        }
    }
}
