//! Executions on disk: one JSON file each.
//!
//! Invariant: an execution that was accepted is on disk, so that a restart goes on with it.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use dialects::canonical::{
    CALLBACK_HEADER, Progress, ProgressState, ServerProgress, ServerState, Submission,
};
use domain::{ExecutionId, Timestamp};
use serde::{Deserialize, Serialize};
use service::trace::{TRACEPARENT, TRACESTATE};

/// All that is known of one execution.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) submission: Submission<'static>,
    /// Who wants to hear of the end.
    pub(crate) callback: Option<String>,
    /// The trace that it came with: what the servers are told goes on with it.
    #[serde(default)]
    pub(crate) traceparent: Option<String>,
    #[serde(default)]
    pub(crate) tracestate: Option<String>,
    pub(crate) progress: Progress,
    pub(crate) submitted_at: Timestamp,
}

impl Record {
    /// `header` gives the submission's header of that name.
    pub(crate) fn new(
        submission: Submission<'static>,
        header: impl Fn(&str) -> Option<String>,
    ) -> Self {
        let servers = submission.servers.iter().cloned();
        let progress = Progress {
            execution: submission.execution.clone().into_owned(),
            state: ProgressState::Running,
            servers: servers.map(ServerProgress::waiting).collect(),
        };
        Self {
            submission,
            callback: header(CALLBACK_HEADER),
            traceparent: header(TRACEPARENT),
            tracestate: header(TRACESTATE),
            progress,
            submitted_at: now(),
        }
    }
}

/// All executions, in the order of their commands.
#[derive(Debug)]
pub(crate) struct Store {
    folder: PathBuf,
    keep_for: Duration,
    records: Mutex<BTreeMap<ExecutionId, Record>>,
}

impl Store {
    pub(crate) fn open(folder: &Path, keep_for: Duration) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let mut records = BTreeMap::new();
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path
                .extension()
                .is_some_and(|extension| extension == "json")
            {
                let record: Record = serde_json::from_slice(&fs::read(path)?)?;
                records.insert(record.progress.execution.clone(), record);
            }
        }
        Ok(Self {
            folder: folder.to_owned(),
            keep_for,
            records: Mutex::new(records),
        })
    }

    pub(crate) fn get(&self, execution: &ExecutionId) -> Option<Record> {
        self.lock().get(execution).cloned()
    }

    /// What the last process left, in the order of submission. A server that was being told is told again if that may
    /// be repeated, and nobody knows about it otherwise.
    pub(crate) fn resume(&self) -> io::Result<Vec<ExecutionId>> {
        let mut left: Vec<Record> = self.lock().values().cloned().collect();
        left.retain(|record| record.progress.state == ProgressState::Running);
        left.sort_by_key(|record| record.submitted_at);
        for record in &mut left {
            let again = if record.submission.operation.is_repeatable() {
                ServerState::Waiting
            } else {
                ServerState::Unknown
            };
            let servers = record.progress.servers.iter_mut();
            servers
                .filter(|server| server.state == ServerState::Running)
                .for_each(|server| server.state = again);
            self.put(record)?;
        }
        Ok(left
            .into_iter()
            .map(|record| record.progress.execution)
            .collect())
    }

    /// Returns when the record is on disk. Forgets one that has been settled for long enough.
    pub(crate) fn put(&self, record: &Record) -> io::Result<()> {
        let execution = &record.progress.execution;
        let beside = self.file(execution).with_extension("new");
        let mut file = File::create(&beside)?;
        file.write_all(&serde_json::to_vec_pretty(record)?)?;
        file.sync_all()?;
        fs::rename(beside, self.file(execution))?;
        File::open(&self.folder)?.sync_all()?;
        let mut records = self.lock();
        records.insert(execution.clone(), record.clone());
        let Some((oldest, first)) = records.first_key_value() else {
            return Ok(());
        };
        let is_settled = first.progress.state == ProgressState::Settled;
        if is_settled && now().since(first.submitted_at) > self.keep_for {
            fs::remove_file(self.file(oldest))?;
            records.pop_first();
        }
        Ok(())
    }

    fn file(&self, execution: &ExecutionId) -> PathBuf {
        self.folder.join(format!("{execution}.json"))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ExecutionId, Record>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn now() -> Timestamp {
    SystemTime::now().into()
}
