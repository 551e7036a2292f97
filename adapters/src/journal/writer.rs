//! The journal's writer: one thread that gathers what came while the last flush ran, and flushes it once.
//!
//! Invariant: what it hands on stands on disk. What somebody waits for is written at once; where all that came is reported already,
//! more is gathered first (`config::Journal::written_within`), because a flush costs the same for one as for many. It ends when
//! nobody can write any more and everything is written, or with the first error: an adapter without its journal must not go on.

use std::{
    sync::{Arc, Condvar, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::{mpsc, oneshot};

use super::{
    JournalError, Known, Record,
    store::{Change, Keep, Store},
};
use crate::{config, metrics, receipt::Receipt, report::Reportable};

/// The most records in one transaction.
const BATCH_LIMIT: usize = 4_096;

/// Runs on a thread of its own.
#[derive(Debug)]
pub(crate) struct Writer {
    store: Arc<Store>,
    keep: Keep,
    written_within: Duration,
    known: Known,
    hurry: Hurry,
    records: mpsc::Receiver<Record>,
    reports: mpsc::Sender<Reportable>,
}

/// Whether somebody waits for what was handed over. Clones are the same.
#[derive(Debug, Clone, Default)]
pub(super) struct Hurry(Arc<(Mutex<bool>, Condvar)>);

impl Hurry {
    /// Somebody does.
    pub(super) fn up(&self) {
        let (hurried, changed) = &*self.0;
        *hurried.lock().unwrap_or_else(PoisonError::into_inner) = true;
        changed.notify_one();
    }

    /// Blocks until then, at most so long, and begins anew.
    fn wait(&self, limit: Duration) {
        let (hurried, changed) = &*self.0;
        let hurried = hurried.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = changed.wait_timeout_while(hurried, limit, |hurried| !*hurried);
        *waited.unwrap_or_else(PoisonError::into_inner).0 = false;
    }
}

/// What follows once a record is on disk.
enum Then {
    Tell(oneshot::Sender<()>),
    Report(Reportable),
    /// It can be read from the disk from now on.
    Forget(Vec<(u128, Reportable)>),
    /// The same of what is reported already.
    Count(u128, Option<Receipt>),
}

impl Writer {
    pub(super) fn new(
        settings: &config::Journal,
        store: Arc<Store>,
        (known, hurry): (Known, Hurry),
        records: mpsc::Receiver<Record>,
        reports: mpsc::Sender<Reportable>,
    ) -> Self {
        let keep = Keep {
            time: settings.keep_for,
            at_most: settings.keep_at_most,
        };
        Self {
            store,
            keep,
            written_within: settings.written_within,
            known,
            hurry,
            records,
            reports,
        }
    }

    /// Writes until the last journal is gone. Blocks its thread.
    pub(crate) fn run(mut self) -> Result<(), JournalError> {
        let mut gathered = Vec::with_capacity(BATCH_LIMIT);
        while self.records.blocking_recv_many(&mut gathered, BATCH_LIMIT) > 0 {
            self.gather(&mut gathered);
            let began = Instant::now();
            let mut changes = Vec::with_capacity(gathered.len());
            let thens: Vec<_> = gathered
                .drain(..)
                .map(|record| split(record, &mut changes))
                .collect();
            if !changes.is_empty() {
                self.store.apply(&changes, self.keep)?;
                metrics::journal_flushed(changes.len(), began.elapsed());
            }
            for then in thens {
                self.follow(then);
            }
        }
        Ok(())
    }

    /// Waits for more, as long as nobody waits for what is there.
    fn gather(&mut self, gathered: &mut Vec<Record>) {
        if !self.written_within.is_zero() && gathered.iter().all(Record::is_reported) {
            self.hurry.wait(self.written_within);
            while gathered.len() < BATCH_LIMIT
                && let Ok(record) = self.records.try_recv()
            {
                gathered.push(record);
            }
        }
    }

    /// Nobody listens any more only when the process ends; then it is delivered again and answered from the disk.
    fn follow(&self, then: Then) {
        match then {
            Then::Tell(written) => {
                let _ = written.send(());
            }
            Then::Report(report) => {
                let _ = self.reports.blocking_send(report);
            }
            Then::Forget(ends) => {
                for (key, report) in ends {
                    self.known.forget(key);
                    let _ = self.reports.blocking_send(report);
                }
            }
            Then::Count(key, receipt) => {
                self.known.forget(key);
                if let Some(receipt) = receipt {
                    receipt.reported();
                }
            }
        }
    }
}

fn split(record: Record, changes: &mut Vec<Change>) -> Then {
    match record {
        Record::Begin { key, written } => {
            changes.push(Change::Begin(key));
            Then::Tell(written)
        }
        Record::Run { key, job, then } => {
            changes.push(Change::Run(key, job));
            Then::Report(then)
        }
        Record::Finish(ends) => {
            let finished = ends.iter();
            changes
                .extend(finished.map(|(key, then)| Change::Finish(*key, Arc::clone(&then.report))));
            Then::Forget(ends)
        }
        Record::Keep {
            key,
            report,
            receipt,
        } => {
            changes.push(Change::Finish(key, report));
            Then::Count(key, receipt)
        }
        Record::Answer(then) => Then::Report(then),
    }
}
