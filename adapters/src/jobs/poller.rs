//! Asking for the jobs that run elsewhere, until each has settled.
//!
//! Invariant: one question per job at a time; a job that was called back is asked for at once, and again if the call came while it
//! was being asked. A job has one entry in the queue that counts; a job leaves only with a report.
//! Not here: how many are asked for at a time, which whoever is asked decides (`system`, `api`). What finds no place stays in the
//! queue, and so do jobs that were called back, in one of their own: neither keeps the other waiting.

use std::{
    collections::{HashMap, VecDeque},
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
    time::Duration,
};

use amqp::envelope::{ExecutionReport, ReportedOutcome};
use domain::{
    ExecutionId, Fault, ParticipantId, ServerResult,
    fault::{Again, FaultCode},
};
use futures::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc},
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::{Asked, Heard, News, Teller, all_failed, is_overdue};
use crate::{
    ending::{self, fold},
    journal::{Job, Journal, JournalError, now},
    metrics,
    report::Reportable,
};

/// Callbacks that are kept for jobs that the poller has not heard of yet.
const EARLY_LIMIT: usize = 256;

/// Characters of a job's name that are told of one that was given up.
const NAME_LENGTH: usize = 80;

/// How long the poller sleeps when nothing is due; news wakes it.
const IDLE: Duration = Duration::from_hours(1);

/// How often is asked and reported.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// One job is asked for.
    pub(crate) every: Duration,
    /// It is reported at most how far one job is.
    pub(crate) report_every: Duration,
    /// For how long one job is asked for.
    pub(crate) give_up_after: Duration,
}

/// The jobs, and when each is asked for.
pub(crate) struct Poller {
    teller: Teller,
    journal: Journal,
    participant: ParticipantId,
    pace: Pace,
    news: mpsc::Receiver<News>,
    tracked: HashMap<ExecutionId, Tracked>,
    /// All wait equally long, so the first in is the first due.
    due: VecDeque<Due>,
    /// Those that were called back and wait for a place only.
    called: VecDeque<Due>,
    /// Whether the last one asked for was of these.
    was_called: bool,
    /// Grows with every entry of the queue.
    generation: u64,
    /// Questions, and what is done because of their answers: one of them for each job at most.
    asking: FuturesUnordered<BoxFuture<'static, Answered>>,
    /// A quick system calls back before the answer to its submission has come through. The oldest are forgotten: such a
    /// job waits for its next poll.
    early: VecDeque<(ExecutionId, String)>,
}

/// An entry of the queue. It counts only as long as the job has the same generation.
struct Due {
    at: Instant,
    execution: ExecutionId,
    generation: u64,
}

/// What came of asking for a job.
struct Answered {
    job: Arc<Job>,
    heard: Heard,
    asked: Asked,
}

struct Tracked {
    job: Arc<Job>,
    /// Not remembered over a restart: the parts are asked for again.
    heard: Heard,
    /// Held as long as the job runs.
    _place: Option<OwnedSemaphorePermit>,
    asking: bool,
    called: bool,
    /// Of the entry in the queue that counts.
    generation: u64,
    /// Whether the last question had no answer that we understood.
    silent: bool,
    /// What was reported last of how far it is, as a hash, and when.
    told: Option<(u64, Instant)>,
}

impl Poller {
    pub(crate) fn new(
        teller: Teller,
        journal: Journal,
        participant: ParticipantId,
        pace: Pace,
        news: mpsc::Receiver<News>,
    ) -> Self {
        Self {
            teller,
            journal,
            participant,
            pace,
            news,
            tracked: HashMap::new(),
            due: VecDeque::new(),
            called: VecDeque::new(),
            was_called: false,
            generation: 0,
            asking: FuturesUnordered::new(),
            early: VecDeque::new(),
        }
    }

    /// Runs until shutdown. The jobs that are left stand in the journal.
    pub(crate) async fn run(mut self, shutdown: CancellationToken) -> Result<(), JournalError> {
        loop {
            self.ask_what_is_due();
            let next = self
                .due
                .front()
                .map_or_else(|| Instant::now() + IDLE, |due| due.at);
            tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                news = self.news.recv() => match news {
                    Some(news) => self.hear(news),
                    None => return Ok(()),
                },
                Some(answered) = self.asking.next(), if !self.asking.is_empty() => {
                    self.take(answered).await?;
                }
                // Where there is no place, the end of a question wakes.
                () = sleep_until(next), if self.teller.slot().is_some() => {}
            }
            metrics::jobs(self.tracked.len());
        }
    }

    fn hear(&mut self, news: News) {
        match news {
            News::Job(job, place) => {
                let execution = job.execution.clone();
                let called = (execution.clone(), job.token.clone());
                let was_called = self.early.contains(&called);
                self.early.retain(|(early, _)| *early != execution);
                let tracked = Tracked {
                    job,
                    heard: Heard::new(),
                    _place: place,
                    asking: false,
                    called: false,
                    generation: 0,
                    silent: false,
                    told: None,
                };
                if let Some(before) = self.tracked.insert(execution.clone(), tracked) {
                    // Carried out twice at a time, as after a lost connection: nobody asks after the first any more.
                    self.teller.forget(&before.job);
                }
                self.queue(execution, was_called);
            }
            News::Called { execution, token } => self.called(execution, &token),
        }
    }

    /// Brings a job forward, once; its old place in the queue is passed over later.
    fn called(&mut self, execution: ExecutionId, token: &str) {
        let Some(tracked) = self.tracked.get_mut(&execution) else {
            if self.early.len() >= EARLY_LIMIT {
                self.early.pop_front();
            }
            self.early.push_back((execution, token.to_owned()));
            return;
        };
        if tracked.job.token != token || tracked.called {
            return;
        }
        tracked.called = true;
        if !tracked.asking {
            self.queue(execution, true);
        }
    }

    /// Makes the job due, now or after a while. Its entry from before counts no more.
    fn queue(&mut self, execution: ExecutionId, at_once: bool) {
        let Some(tracked) = self.tracked.get_mut(&execution) else {
            return;
        };
        self.generation += 1;
        tracked.generation = self.generation;
        let generation = self.generation;
        let due = |at| Due {
            at,
            execution,
            generation,
        };
        if at_once {
            self.called.push_back(due(Instant::now()));
        } else {
            self.due.push_back(due(Instant::now() + self.pace.every));
        }
    }

    fn ask_what_is_due(&mut self) {
        while let Some(slot) = self.teller.slot()
            && let Some((due, was_called)) = self.next_due()
        {
            let Some(tracked) = self.tracked.get_mut(&due.execution) else {
                continue;
            };
            if tracked.asking || tracked.generation != due.generation {
                continue;
            }
            (tracked.asking, tracked.called) = (true, false);
            self.was_called = was_called;
            let (teller, job) = (self.teller.clone(), Arc::clone(&tracked.job));
            let mut heard = std::mem::take(&mut tracked.heard);
            let question = async move {
                let asked = teller.ask(&job, &mut heard).await;
                drop(slot);
                Answered { job, heard, asked }
            };
            self.asking.push(question.boxed());
        }
    }

    /// Whoever was called back and whoever is due by time, in turns; whether it is one of the former. Who counts no more takes no turn.
    fn next_due(&mut self) -> Option<(Due, bool)> {
        let now = Instant::now();
        let is_due = self.due.front().is_some_and(|due| due.at <= now);
        let was_called = !is_due || (!self.was_called && !self.called.is_empty());
        let queue = if was_called {
            &mut self.called
        } else {
            &mut self.due
        };
        Some((queue.pop_front()?, was_called))
    }

    async fn take(&mut self, answered: Answered) -> Result<(), JournalError> {
        let Answered { job, heard, asked } = answered;
        let tracked = self.tracked.get_mut(&job.execution);
        let Some(tracked) = tracked.filter(|tracked| Arc::ptr_eq(&tracked.job, &job)) else {
            // Another job of the execution was begun meanwhile: that one is asked after, and nothing else.
            if let Asked::ToldAgain(next) = asked {
                self.teller.forget(&next);
            }
            return Ok(());
        };
        tracked.heard = heard;
        let job = &job;
        match asked {
            Asked::Settled(results) => return self.finish(job, results).await,
            Asked::Running(_) if is_overdue(job, self.pace.give_up_after) => {
                let fault = overdue(job, self.pace.give_up_after, None);
                return self.finish(job, all_failed(&job.servers, &fault)).await;
            }
            Asked::Silent(last) if is_overdue(job, self.pace.give_up_after) => {
                let fault = overdue(job, self.pace.give_up_after, Some(&last));
                return self.finish(job, all_failed(&job.servers, &fault)).await;
            }
            Asked::ToldAgain(next) => self.replace(Arc::new(*next)).await?,
            Asked::Running(results) => self.tell(job, results).await?,
            Asked::Silent(fault) => self.miss(job, &fault),
        }
        self.again(&job.execution);
        Ok(())
    }

    /// The execution runs on as this job. It stands in the journal before it is reported.
    async fn replace(&mut self, next: Arc<Job>) -> Result<(), JournalError> {
        let Some(tracked) = self.tracked.get_mut(&next.execution) else {
            return Ok(());
        };
        tracked.job = Arc::clone(&next);
        let outcome = ReportedOutcome::Running {
            job: next.name.clone(),
        };
        let report = report(&next, outcome, Vec::new());
        self.journal.run(next, Reportable::new(&report, None)).await
    }

    /// Reports which servers have ended while others have not, where that is news, and not too often.
    async fn tell(
        &mut self,
        job: &Arc<Job>,
        results: Vec<ServerResult>,
    ) -> Result<(), JournalError> {
        let Some(tracked) = self.tracked.get_mut(&job.execution) else {
            return Ok(());
        };
        tracked.silent = false;
        let hash = hash_of(&results);
        let is_news = match tracked.told {
            Some((told, at)) => told != hash && at.elapsed() >= self.pace.report_every,
            None => !results.is_empty(),
        };
        if !is_news {
            return Ok(());
        }
        tracked.told = Some((hash, Instant::now()));
        let outcome = ReportedOutcome::Running {
            job: job.name.clone(),
        };
        let report = report(job, outcome, results);
        self.journal.answer(Reportable::new(&report, None)).await
    }

    /// An operator hears once of a system that says nothing that we understand.
    fn miss(&mut self, job: &Job, fault: &Fault) {
        let Some(tracked) = self.tracked.get_mut(&job.execution) else {
            return;
        };
        if std::mem::replace(&mut tracked.silent, true) {
            debug!(execution.id = %job.execution, fault.message = fault.message, "still no state of a job");
        } else {
            warn!(execution.id = %job.execution, fault.message = fault.message, "no state of a job");
        }
    }

    fn again(&mut self, execution: &ExecutionId) {
        let Some(tracked) = self.tracked.get_mut(execution) else {
            return;
        };
        tracked.asking = false;
        let at_once = tracked.called;
        self.queue(execution.clone(), at_once);
    }

    async fn finish(
        &mut self,
        job: &Arc<Job>,
        results: Vec<ServerResult>,
    ) -> Result<(), JournalError> {
        self.tracked.remove(&job.execution);
        self.teller.forget(job);
        let outcome = fold(&results);
        self.log(job, &outcome);
        metrics::execution(&outcome);
        let report = report(job, outcome, results);
        ending::finish(&self.journal, &report, &job.absorbed, (None, None)).await
    }

    fn log(&self, job: &Job, outcome: &ReportedOutcome) {
        let took = now().since(job.submitted_at);
        info!(
            execution.id = %job.execution,
            participant.id = %self.participant,
            operation = job.operation,
            execution.servers = job.servers.len(),
            outcome = metrics::word(outcome),
            took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            trace.id = job.traceparent.as_deref().and_then(|trace| trace.split('-').nth(1)),
            "a job has ended"
        );
    }
}

fn report(job: &Job, outcome: ReportedOutcome, results: Vec<ServerResult>) -> ExecutionReport {
    ExecutionReport {
        execution: job.execution.clone(),
        outcome,
        results,
        reported_at: now(),
        traceparent: job.traceparent.clone(),
        absorbed_by: None,
        told: job.told.clone(),
    }
}

/// Two lists with the same hash are taken for the same: nothing but an early report is lost by that.
fn hash_of(results: &[ServerResult]) -> u64 {
    let mut hasher = DefaultHasher::new();
    let text = serde_json::to_vec(results).expect("a result's maps have text for their keys");
    text.hash(&mut hasher);
    hasher.finish()
}

/// By the name that whoever works on it knows, and with the last words that said nothing of it.
fn overdue(job: &Job, give_up_after: Duration, last: Option<&Fault>) -> Fault {
    let name: String = job.name.chars().take(NAME_LENGTH).collect();
    let mut message = format!("its job {name} had not ended after {give_up_after:?}");
    if let Some(last) = last {
        message.push_str("; the last answer said nothing of it: ");
        message.push_str(&last.message);
    }
    Fault::participant(FaultCode::TimedOut, Again::Never, &message)
}

#[cfg(test)]
mod tests;
