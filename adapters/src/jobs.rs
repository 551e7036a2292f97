//! Who is told once for all servers of an execution, and the jobs that run there: a participant's invocation system, or its
//! provider's API.
//!
//! Invariant: what runs there is in the journal before it is reported, so that a restart asks on; as long as it runs it
//! takes one of a named number of places, and no delivery.
//! Not here: what is said to whom (`system`, `api`).

mod poller;

use std::{sync::Arc, time::Duration};

use dialects::Verdict;
use domain::{ExecutionId, Fault, Outcome, ServerId, ServerResult};
use service::trace::TraceContext;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

pub(crate) use self::poller::{Pace, Poller};
use crate::{
    api::Api,
    caches::Surroundings,
    journal::{Job, now},
    metrics,
    system::System,
    worker::Work,
};

/// Jobs and callbacks that wait for the poller.
const NEWS_LIMIT: usize = 1_024;

/// Who is told.
#[derive(Debug, Clone)]
pub(crate) enum Teller {
    /// The participant's own system.
    System(Arc<System>),
    /// Its provider's API.
    Api(Arc<Api>),
}

/// What came of a submission.
#[derive(Debug)]
pub(crate) enum Submitted {
    /// It has ended already, one way or another.
    Settled(Vec<ServerResult>),
    /// It is under way, and takes one of the places for jobs.
    Running(Box<Job>, OwnedSemaphorePermit),
}

/// What is said of a job.
#[derive(Debug)]
pub(crate) enum Asked {
    /// It is under way; the servers that have ended.
    Running(Vec<ServerResult>),
    /// It has ended.
    Settled(Vec<ServerResult>),
    /// It had ended, and was told again: this job takes its place.
    ToldAgain(Box<Job>),
    /// No answer that we understand; ask again.
    Silent(Fault),
}

/// How those parts of a job have ended that are asked for by themselves, where they have.
pub(crate) type Heard = Vec<Option<Verdict>>;

/// A place for one question, until it is dropped.
#[derive(Debug)]
struct Slot {
    _held: Option<OwnedSemaphorePermit>,
}

/// What the poller hears of.
#[derive(Debug)]
pub(crate) enum News {
    /// Ask for this one from now on.
    Job(Arc<Job>, Option<OwnedSemaphorePermit>),
    /// Somebody says that this one has ended.
    Called {
        execution: ExecutionId,
        token: String,
    },
}

/// Submits orders, and hands what runs to the poller.
#[derive(Debug)]
pub(crate) struct Jobs {
    teller: Teller,
    places: Arc<Semaphore>,
    news: mpsc::Sender<News>,
}

impl Teller {
    /// A place for one more question, if there is any. Of an API each account has its own (`api::desk`).
    fn slot(&self) -> Option<Slot> {
        match self {
            Self::System(system) => Some(Slot {
                _held: Some(system.slot()?),
            }),
            Self::Api(_) => Some(Slot { _held: None }),
        }
    }

    async fn ask(&self, job: &Job, heard: &mut Heard) -> Asked {
        match self {
            Self::System(system) => system.ask(job).await,
            Self::Api(api) => api.ask(job, heard).await,
        }
    }

    /// A job of the process before.
    fn resume(&self, job: &Job) {
        match self {
            Self::System(_) => {}
            Self::Api(api) => api.resume(job),
        }
    }

    /// Nobody asks for it any more.
    fn forget(&self, job: &Job) {
        match self {
            Self::System(_) => {}
            Self::Api(api) => api.forget(job),
        }
    }
}

impl Jobs {
    /// The other end of the channel is the poller's.
    pub(crate) fn new(teller: Teller, at_once: usize) -> (Self, mpsc::Receiver<News>) {
        let places = Arc::new(Semaphore::new(at_once));
        let (news, heard) = mpsc::channel(NEWS_LIMIT);
        (
            Self {
                teller,
                places,
                news,
            },
            heard,
        )
    }

    /// A way to tell the poller of a callback.
    pub(crate) fn news(&self) -> mpsc::Sender<News> {
        self.news.clone()
    }

    /// Submits an order, once there is a place for it. `None` where it was left, because it is no longer ours.
    pub(crate) async fn submit(
        &self,
        work: &Work,
        trace: &TraceContext,
        around: &dyn Surroundings,
    ) -> Option<Submitted> {
        match &self.teller {
            Teller::System(system) => {
                let place = place_of(&self.places).await;
                Some(system.submit(&work.order, trace, place).await)
            }
            Teller::Api(api) => api.submit(work, trace, around, &self.places).await,
        }
    }

    /// Asks for the job from now on.
    pub(crate) async fn follow(&self, job: Arc<Job>, place: OwnedSemaphorePermit) {
        // The poller is gone only at shutdown; the next process finds the job in the journal.
        let _ = self.news.send(News::Job(job, Some(place))).await;
    }

    /// Goes on with the jobs of the process before. They take places as far as there are any.
    pub(crate) async fn resume(&self, jobs: Vec<Arc<Job>>) {
        for job in jobs {
            self.teller.resume(&job);
            let place = Arc::clone(&self.places).try_acquire_owned().ok();
            let _ = self.news.send(News::Job(job, place)).await;
        }
    }
}

/// Waits for a place for one more job.
pub(crate) async fn place_of(places: &Arc<Semaphore>) -> OwnedSemaphorePermit {
    let place = Arc::clone(places).acquire_owned().await;
    place.expect("the places are never closed")
}

/// How long a job is asked for before we give it up.
fn is_overdue(job: &Job, give_up_after: Duration) -> bool {
    now().since(job.submitted_at) >= give_up_after
}

/// The same failure for every server.
pub(crate) fn all_failed(servers: &[ServerId], fault: &Fault) -> Vec<ServerResult> {
    metrics::fault(fault.code);
    all_ended(servers, &Outcome::Failed(fault.clone()))
}

/// The same end for every server.
pub(crate) fn all_ended(servers: &[ServerId], outcome: &Outcome) -> Vec<ServerResult> {
    let result = |server: &ServerId| ServerResult {
        outcome: outcome.clone(),
        attempts: 1,
        ..ServerResult::unknown(server.clone())
    };
    servers.iter().map(result).collect()
}
