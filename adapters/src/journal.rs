//! The journal: what this adapter finished, and what it began and may not repeat.
//!
//! Invariant: what may not be repeated is begun only after that stands on disk, and a report leaves only after it stands on disk,
//! so what was reported is answered and not done again. One report leaves while it is written: that what may be repeated is done
//! ([`Journal::finish_meanwhile`]); its delivery is acknowledged when both are through. Records that come while a flush runs
//! share the next one.
//! Not here: what a report says.
//!
//! Forgotten after a time and a number, see `config::Journal`.

mod store;
mod writer;

use std::{
    collections::HashMap,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use domain::{ExecutionId, ParticipantId, ServerId, Timestamp, receipt::Told};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use service::trace::TraceContext;
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};

pub(crate) use self::writer::Writer;
use self::{store::Store, writer::Hurry};
use crate::{api::ApiJob, config, receipt::Receipt, report::Reportable};

/// Records that wait for the writer. More wait in the workers.
const WAITING_LIMIT: usize = 4_096;

/// What the journal knows of an execution.
#[derive(Debug, Clone)]
pub(crate) enum Entry {
    /// It was begun, and may not be repeated.
    Begun,
    /// The invocation system works on it.
    Running(Arc<Job>),
    /// It was finished with this report, as JSON.
    Finished(Arc<RawValue>),
}

/// An execution that the participant's invocation system works on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Job {
    /// Which execution.
    pub(crate) execution: ExecutionId,
    /// The invocation system's name for it.
    pub(crate) name: String,
    /// The servers that it was submitted for.
    pub(crate) servers: Vec<ServerId>,
    /// `purge`, `load`, or a custom operation's name.
    pub(crate) operation: String,
    /// Who calls back with this may wake us.
    pub(crate) token: String,
    /// When it was submitted.
    pub(crate) submitted_at: Timestamp,
    /// The trace context of the adapter's span in which it was submitted.
    pub(crate) traceparent: Option<String>,
    /// What vendors added to it.
    #[serde(default)]
    pub(crate) tracestate: Option<String>,
    /// Executions whose work it does too.
    #[serde(default)]
    pub(crate) absorbed: Vec<ExecutionId>,
    /// What a receipt of it says that we were told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) told: Option<Told>,
    /// What a provider works on, and all that is needed to ask after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) api: Option<ApiJob>,
}

impl Job {
    /// The adapter's span in which it was submitted.
    pub(crate) fn trace(&self) -> TraceContext {
        TraceContext::continued(self.traceparent.as_deref(), self.tracestate.as_deref())
    }
}

/// What keeps the journal from working.
#[derive(Debug, Error)]
pub(crate) enum JournalError {
    /// The folder cannot be made.
    #[error("cannot make the journal's folder {folder}")]
    Folder {
        /// Which.
        folder: String,
        /// Why.
        source: std::io::Error,
    },
    /// The disk or the file refuses.
    #[error("cannot {step} the journal")]
    Storage {
        /// What was tried.
        step: &'static str,
        /// Why.
        source: redb::Error,
    },
    /// A record is not what this version writes.
    #[error("a record of the journal cannot be read")]
    Record(#[source] serde_json::Error),
    /// The writer has ended.
    #[error("the journal is closed")]
    Closed,
}

/// Reads, and hands records to the writer. Clones are the same journal; the writer ends when all are gone.
#[derive(Debug, Clone)]
pub(crate) struct Journal {
    store: Arc<Store>,
    known: Known,
    records: mpsc::Sender<Record>,
    hurry: Hurry,
    reports: mpsc::Sender<Reportable>,
}

/// What need not be looked for on disk. Clones are the same.
#[derive(Debug, Clone, Default)]
struct Known(Arc<Mutex<Memory>>);

#[derive(Debug, Default)]
struct Memory {
    /// What is begun or running, and what is finished but not yet on disk.
    entries: HashMap<u128, Entry>,
    /// The highest that was ever finished, as far as the disk remembers. Commands are numbered by the time, so most that come are higher
    /// than that.
    highest: u128,
}

/// One thing to write down, and what to do once it is on disk.
#[derive(Debug)]
enum Record {
    Begin {
        key: u128,
        written: oneshot::Sender<()>,
    },
    Run {
        key: u128,
        job: Arc<Job>,
        then: Reportable,
    },
    /// All or none of them.
    Finish(Vec<(u128, Reportable)>),
    /// It is reported already, and its delivery waits for this too.
    Keep {
        key: u128,
        report: Arc<RawValue>,
        receipt: Option<Receipt>,
    },
    /// Nothing to write, but it must not overtake what is.
    Answer(Reportable),
}

impl Journal {
    /// Opens or makes the participant's journal. What is on disk goes on to `reports`.
    pub(crate) fn open(
        settings: &config::Journal,
        participant: &ParticipantId,
        reports: mpsc::Sender<Reportable>,
    ) -> Result<(Self, Writer), JournalError> {
        Self::open_for(settings, participant, reports, WAITING_LIMIT)
    }

    /// With places for so many records that wait.
    fn open_for(
        settings: &config::Journal,
        participant: &ParticipantId,
        reports: mpsc::Sender<Reportable>,
        waiting_limit: usize,
    ) -> Result<(Self, Writer), JournalError> {
        make(&settings.folder)?;
        let file = settings.folder.join(format!("{participant}.redb"));
        let store = Arc::new(Store::open(&file, settings.cache)?);
        let known = Known::default();
        *known.lock() = Memory {
            entries: store.unfinished(settings.keep_for)?.into_iter().collect(),
            highest: store.highest()?.unwrap_or_default(),
        };
        let hurry = Hurry::default();
        let (records, waiting) = mpsc::channel(waiting_limit);
        let writer = Writer::new(
            settings,
            Arc::clone(&store),
            (known.clone(), hurry.clone()),
            waiting,
            reports.clone(),
        );
        Ok((
            Self {
                store,
                known,
                records,
                hurry,
                reports,
            },
            writer,
        ))
    }

    /// What is known of an execution.
    pub(crate) fn find(&self, execution: &ExecutionId) -> Result<Option<Entry>, JournalError> {
        let key = key_of(execution);
        let known = self.known.lock();
        if let Some(entry) = known.entries.get(&key) {
            return Ok(Some(entry.clone()));
        }
        if key > known.highest {
            return Ok(None);
        }
        drop(known);
        Ok(self.store.report(key)?.map(Entry::Finished))
    }

    /// All executions that the invocation system works on, as far as we know.
    pub(crate) fn jobs(&self) -> Vec<Arc<Job>> {
        let known = self.known.lock();
        let jobs = known.entries.values().filter_map(|entry| match entry {
            Entry::Running(job) => Some(Arc::clone(job)),
            Entry::Begun | Entry::Finished(_) => None,
        });
        jobs.collect()
    }

    /// Returns once it is on disk that the execution is begun.
    pub(crate) async fn begin(&self, execution: &ExecutionId) -> Result<(), JournalError> {
        let key = key_of(execution);
        let (written, done) = oneshot::channel();
        self.known.lock().entries.insert(key, Entry::Begun);
        self.write(Record::Begin { key, written }).await?;
        done.await.map_err(|_| JournalError::Closed)
    }

    /// Remembers that the invocation system works on it, and reports so.
    pub(crate) async fn run(&self, job: Arc<Job>, then: Reportable) -> Result<(), JournalError> {
        let key = key_of(&job.execution);
        let entry = Entry::Running(Arc::clone(&job));
        self.known.lock().entries.insert(key, entry);
        self.write(Record::Run { key, job, then }).await
    }

    /// Remembers how it ended, and reports that.
    pub(crate) async fn finish(
        &self,
        execution: &ExecutionId,
        then: Reportable,
    ) -> Result<(), JournalError> {
        self.finish_together(vec![(execution.clone(), then)]).await
    }

    /// The same of several that end together: after a crash all of them are remembered, or none.
    pub(crate) async fn finish_together(
        &self,
        ends: Vec<(ExecutionId, Reportable)>,
    ) -> Result<(), JournalError> {
        let ends: Vec<_> = ends
            .into_iter()
            .map(|(execution, then)| (key_of(&execution), then))
            .collect();
        for (key, then) in &ends {
            self.known.finished(*key, &then.report);
        }
        self.write(Record::Finish(ends)).await
    }

    /// The same of one whose report leaves while it is written down. A crash between the two carries it out once more, and
    /// then its report says something else: only for what may be repeated and is done. Where reports pile up, it waits for its turn.
    pub(crate) async fn finish_meanwhile(
        &self,
        execution: &ExecutionId,
        then: Reportable,
    ) -> Result<(), JournalError> {
        // The record's place first: the writer takes no record while it waits for a place among the reports, so nobody may hold
        // one of those and wait for the writer.
        let place = self.records.reserve().await;
        let place = place.map_err(|_| JournalError::Closed)?;
        let (key, report) = (key_of(execution), Arc::clone(&then.report));
        self.known.finished(key, &report);
        let Ok(turn) = self.reports.try_reserve() else {
            place.send(Record::Finish(vec![(key, then)]));
            self.hurry.up();
            return Ok(());
        };
        let receipt = then.receipt.clone();
        if let Some(receipt) = &receipt {
            receipt.expect(1);
        }
        place.send(Record::Keep {
            key,
            report,
            receipt,
        });
        turn.send(then);
        Ok(())
    }

    /// Reports what needs no remembering, behind everything that was handed over before.
    pub(crate) async fn answer(&self, then: Reportable) -> Result<(), JournalError> {
        self.write(Record::Answer(then)).await
    }

    async fn write(&self, record: Record) -> Result<(), JournalError> {
        let is_awaited = !record.is_reported();
        let sent = self.records.send(record).await;
        sent.map_err(|_| JournalError::Closed)?;
        if is_awaited {
            self.hurry.up();
        }
        Ok(())
    }
}

impl Drop for Journal {
    /// Whoever ends waits for what is not written.
    fn drop(&mut self) {
        self.hurry.up();
    }
}

impl Record {
    /// Whether nobody hears of it when it is written.
    fn is_reported(&self) -> bool {
        matches!(self, Self::Keep { .. })
    }
}

impl Known {
    fn finished(&self, key: u128, report: &Arc<RawValue>) {
        let mut memory = self.lock();
        memory
            .entries
            .insert(key, Entry::Finished(Arc::clone(report)));
        memory.highest = memory.highest.max(key);
    }

    /// It can be read from the disk from now on.
    fn forget(&self, key: u128) {
        self.lock().entries.remove(&key);
    }

    fn lock(&self) -> MutexGuard<'_, Memory> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A journal belongs to one participant, so the command alone names the execution.
fn key_of(execution: &ExecutionId) -> u128 {
    execution.command.as_uuid().as_u128()
}

fn make(folder: &Path) -> Result<(), JournalError> {
    std::fs::create_dir_all(folder).map_err(|source| JournalError::Folder {
        folder: folder.display().to_string(),
        source,
    })
}

/// This moment, by this machine's clock.
pub(crate) fn now() -> Timestamp {
    std::time::SystemTime::now().into()
}

/// The moment before which nothing is kept, in milliseconds.
fn oldest_kept(keep_for: Duration) -> u64 {
    let span = u64::try_from(keep_for.as_millis()).unwrap_or(u64::MAX);
    now().as_millis().saturating_sub(span)
}

#[cfg(test)]
mod tests;
