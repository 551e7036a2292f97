//! Asking for the jobs that run in the invocation system, until each has settled.
//!
//! Invariant: one question per job at a time, a named number in all; a job that was called back is asked for at once, and
//! again if the call came while it was being asked. A job has one entry in the queue that counts; a job leaves only
//! with a report.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use amqp::envelope::{ExecutionReport, ReportedOutcome};
use domain::{
    ExecutionId, Fault, ParticipantId, ServerResult, Timestamp,
    fault::{Again, FaultCode},
};
use futures::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc},
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

use super::{Asked, News, System, all_failed, is_overdue};
use crate::{
    config,
    journal::{Job, Journal, JournalError},
    metrics,
    report::Reportable,
    worker::fold,
};

/// How long the poller sleeps when nothing is due; news wakes it.
const IDLE: Duration = Duration::from_hours(1);

/// The jobs, and when each is asked for.
pub(crate) struct Poller {
    system: Arc<System>,
    journal: Journal,
    participant: ParticipantId,
    every: Duration,
    at_once: usize,
    give_up_after: Duration,
    news: mpsc::Receiver<News>,
    tracked: HashMap<ExecutionId, Tracked>,
    /// All wait equally long, so the first in is the first due.
    due: VecDeque<Due>,
    /// Grows with every entry of the queue.
    generation: u64,
    asking: FuturesUnordered<BoxFuture<'static, (Arc<Job>, Asked)>>,
}

/// An entry of the queue. It counts only as long as the job has the same generation.
struct Due {
    at: Instant,
    execution: ExecutionId,
    generation: u64,
}

struct Tracked {
    job: Arc<Job>,
    /// Held as long as the job runs.
    _place: Option<OwnedSemaphorePermit>,
    asking: bool,
    called: bool,
    /// Of the entry in the queue that counts.
    generation: u64,
}

impl Poller {
    pub(crate) fn new(
        system: Arc<System>,
        journal: Journal,
        configuration: &config::Configuration,
        news: mpsc::Receiver<News>,
    ) -> Self {
        let settings = &configuration.invocation_system;
        Self {
            system,
            journal,
            participant: configuration.participant.clone(),
            every: settings.poll_every,
            at_once: settings.polls_at_once,
            give_up_after: settings.give_up_after,
            news,
            tracked: HashMap::new(),
            due: VecDeque::new(),
            generation: 0,
            asking: FuturesUnordered::new(),
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
            let room = self.asking.len() < self.at_once;
            tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                news = self.news.recv() => match news {
                    Some(news) => self.hear(news),
                    None => return Ok(()),
                },
                Some((job, asked)) = self.asking.next(), if !self.asking.is_empty() => {
                    self.take(&job, asked).await?;
                }
                () = sleep_until(next), if room => {}
            }
            metrics::jobs(self.tracked.len());
        }
    }

    fn hear(&mut self, news: News) {
        match news {
            News::Job(job, place) => {
                let execution = job.execution.clone();
                let tracked = Tracked {
                    job,
                    _place: place,
                    asking: false,
                    called: false,
                    generation: 0,
                };
                self.tracked.insert(execution.clone(), tracked);
                self.queue(execution, false);
            }
            News::Called { execution, token } => self.called(execution, &token),
        }
    }

    /// Brings a job forward, once; its old place in the queue is passed over later.
    fn called(&mut self, execution: ExecutionId, token: &str) {
        let Some(tracked) = self.tracked.get_mut(&execution) else {
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
            self.due.push_front(due(Instant::now()));
        } else {
            self.due.push_back(due(Instant::now() + self.every));
        }
    }

    fn ask_what_is_due(&mut self) {
        while self.asking.len() < self.at_once
            && let Some(due) = self.due.front()
            && due.at <= Instant::now()
            && let Some(due) = self.due.pop_front()
        {
            let Some(tracked) = self.tracked.get_mut(&due.execution) else {
                continue;
            };
            if tracked.asking || tracked.generation != due.generation {
                continue;
            }
            (tracked.asking, tracked.called) = (true, false);
            let (system, job) = (Arc::clone(&self.system), Arc::clone(&tracked.job));
            let question = async move {
                let asked = system.ask(&job).await;
                (job, asked)
            };
            self.asking.push(question.boxed());
        }
    }

    async fn take(&mut self, job: &Arc<Job>, asked: Asked) -> Result<(), JournalError> {
        let results = match asked {
            Asked::Settled(results) => results,
            Asked::Running | Asked::Silent(_) if !is_overdue(job, self.give_up_after) => {
                if let Asked::Silent(fault) = asked {
                    debug!(execution.id = %job.execution, fault.message = fault.message, "no state of a job");
                }
                self.again(&job.execution);
                return Ok(());
            }
            Asked::Running | Asked::Silent(_) => {
                all_failed(&job.servers, &overdue(self.give_up_after), 1)
            }
        };
        self.finish(job, results).await
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
        let outcome = fold(&results);
        self.log(job, &outcome);
        metrics::execution(&outcome);
        let execution = job.execution.clone();
        let reported_at = Timestamp::from(std::time::SystemTime::now());
        let report = ExecutionReport {
            execution,
            outcome,
            results,
            reported_at,
        };
        let reportable = Reportable::new(&report, job.traceparent.clone(), None);
        self.journal.finish(&job.execution, reportable).await
    }

    fn log(&self, job: &Job, outcome: &ReportedOutcome) {
        let took = Timestamp::from(std::time::SystemTime::now()).since(job.submitted_at);
        info!(
            execution.id = %job.execution,
            participant.id = %self.participant,
            operation = job.operation,
            execution.servers = job.servers.len(),
            outcome = metrics::word(outcome),
            took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            trace.id = job.traceparent.as_deref().and_then(|trace| trace.split('-').nth(1)),
            "carried out by the invocation system"
        );
    }
}

fn overdue(give_up_after: Duration) -> Fault {
    let message = format!("the invocation system has not settled it within {give_up_after:?}");
    Fault::participant(FaultCode::TimedOut, Again::Never, &message)
}

#[cfg(test)]
mod tests;
