//! The journal's file: its tables, and one transaction for everything that comes at a time.
//!
//! Invariant: what `apply` returned from is on disk. Rows leave oldest first, a few with each transaction.

use std::{path::Path, sync::Arc, time::Duration};

use redb::{
    Database, ReadableDatabase, ReadableTable, ReadableTableMetadata, Table, TableDefinition,
};
use serde_json::value::RawValue;

use super::{Entry, Job, JournalError, key_of, now, oldest_kept};

/// Execution → its report as JSON.
const FINISHED: TableDefinition<'_, u128, &[u8]> = TableDefinition::new("finished");
/// When it was finished, in milliseconds, and which: the order in which reports are forgotten.
const AGES: TableDefinition<'_, (u64, u128), ()> = TableDefinition::new("ages");
/// Execution → when it was begun, in milliseconds.
const BEGUN: TableDefinition<'_, u128, u64> = TableDefinition::new("begun");
/// Execution → the job as JSON.
const JOBS: TableDefinition<'_, u128, &[u8]> = TableDefinition::new("jobs");

/// The fewest rows that a transaction looks at to forget them.
const FORGET_AT_LEAST: usize = 64;

/// One change.
#[derive(Debug)]
pub(super) enum Change {
    /// It is begun.
    Begin(u128),
    /// The invocation system works on it.
    Run(u128, Arc<Job>),
    /// It is finished.
    Finish(u128, Arc<RawValue>),
}

/// How much is kept.
#[derive(Debug, Clone, Copy)]
pub(super) struct Keep {
    pub(super) time: Duration,
    pub(super) at_most: u64,
}

/// The open file.
#[derive(Debug)]
pub(super) struct Store(Database);

impl Store {
    pub(super) fn open(file: &Path, cache: usize) -> Result<Self, JournalError> {
        let database = Database::builder()
            .set_cache_size(cache)
            .create(file)
            .map_err(failed("open"))?;
        let store = Self(database);
        // An empty transaction makes the tables, so that reading finds them.
        store.apply(
            &[],
            Keep {
                time: Duration::MAX,
                at_most: u64::MAX,
            },
        )?;
        Ok(store)
    }

    /// The report of a finished execution.
    pub(super) fn report(&self, key: u128) -> Result<Option<Arc<RawValue>>, JournalError> {
        let transaction = self.0.begin_read().map_err(failed("read"))?;
        let finished = transaction.open_table(FINISHED).map_err(failed("read"))?;
        let Some(row) = finished.get(key).map_err(failed("read"))? else {
            return Ok(None);
        };
        let report: Box<RawValue> =
            serde_json::from_slice(row.value()).map_err(JournalError::Record)?;
        Ok(Some(report.into()))
    }

    /// The highest execution of which there is a report.
    pub(super) fn highest(&self) -> Result<Option<u128>, JournalError> {
        let transaction = self.0.begin_read().map_err(failed("read"))?;
        let finished = transaction.open_table(FINISHED).map_err(failed("read"))?;
        let last = finished.last().map_err(failed("read"))?;
        Ok(last.map(|(key, _)| key.value()))
    }

    /// What was begun or ran when the last process ended. What was begun before `keep_for` is left out.
    pub(super) fn unfinished(
        &self,
        keep_for: Duration,
    ) -> Result<Vec<(u128, Entry)>, JournalError> {
        let transaction = self.0.begin_read().map_err(failed("read"))?;
        let begun = transaction.open_table(BEGUN).map_err(failed("read"))?;
        let jobs = transaction.open_table(JOBS).map_err(failed("read"))?;
        let mut found = Vec::new();
        for row in begun.iter().map_err(failed("read"))? {
            let (key, since) = row.map_err(failed("read"))?;
            if since.value() >= oldest_kept(keep_for) {
                found.push((key.value(), Entry::Begun));
            }
        }
        for row in jobs.iter().map_err(failed("read"))? {
            let (_, job) = row.map_err(failed("read"))?;
            let job: Job = serde_json::from_slice(job.value()).map_err(JournalError::Record)?;
            found.push((key_of(&job.execution), Entry::Running(Arc::new(job))));
        }
        Ok(found)
    }

    /// Writes all changes and forgets what is too old or too much, in one transaction that is on disk at the end.
    pub(super) fn apply(&self, changes: &[Change], keep: Keep) -> Result<(), JournalError> {
        let transaction = self.0.begin_write().map_err(failed("write"))?;
        {
            let mut tables = Tables {
                finished: transaction.open_table(FINISHED).map_err(failed("write"))?,
                ages: transaction.open_table(AGES).map_err(failed("write"))?,
                begun: transaction.open_table(BEGUN).map_err(failed("write"))?,
                jobs: transaction.open_table(JOBS).map_err(failed("write"))?,
            };
            for change in changes {
                tables.apply(change)?;
            }
            tables.forget(keep, FORGET_AT_LEAST.max(2 * changes.len()))?;
        }
        transaction.commit().map_err(failed("flush"))
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> u64 {
        let transaction = self.0.begin_read().unwrap();
        transaction.open_table(FINISHED).unwrap().len().unwrap()
    }
}

struct Tables<'t> {
    finished: Table<'t, u128, &'static [u8]>,
    ages: Table<'t, (u64, u128), ()>,
    begun: Table<'t, u128, u64>,
    jobs: Table<'t, u128, &'static [u8]>,
}

impl Tables<'_> {
    fn apply(&mut self, change: &Change) -> Result<(), JournalError> {
        let write = failed("write");
        match change {
            Change::Begin(key) => {
                self.begun.insert(key, now().as_millis()).map_err(write)?;
            }
            Change::Run(key, job) => {
                let job = serde_json::to_vec(job).map_err(JournalError::Record)?;
                self.jobs.insert(key, job.as_slice()).map_err(write)?;
            }
            Change::Finish(key, report) => self.finish(*key, report).map_err(write)?,
        }
        Ok(())
    }

    fn finish(&mut self, key: u128, report: &RawValue) -> Result<(), redb::StorageError> {
        self.finished.insert(key, report.get().as_bytes())?;
        self.ages.insert((now().as_millis(), key), ())?;
        // Most executions leave nothing there, and looking into an empty table costs nothing.
        if !self.begun.is_empty()? {
            self.begun.remove(key)?;
        }
        if !self.jobs.is_empty()? {
            self.jobs.remove(key)?;
        }
        Ok(())
    }

    fn forget(&mut self, keep: Keep, rows: usize) -> Result<(), JournalError> {
        let oldest = oldest_kept(keep.time);
        for _ in 0..rows {
            let first = self.ages.first().map_err(failed("write"))?;
            let Some(age) = first.map(|(age, _)| age.value()) else {
                break;
            };
            let too_many = self.finished.len().map_err(failed("write"))? > keep.at_most;
            if age.0 >= oldest && !too_many {
                break;
            }
            self.ages.remove(age).map_err(failed("write"))?;
            self.finished.remove(age.1).map_err(failed("write"))?;
        }
        Ok(())
    }
}

/// Names the step that failed.
fn failed<E: Into<redb::Error>>(step: &'static str) -> impl Fn(E) -> JournalError {
    move |error| JournalError::Storage {
        step,
        source: error.into(),
    }
}
