//! The participant's own invocation system: submit, then ask until it has settled.
//!
//! Invariant: the execution's id is the key of the submission, so that a repeated one does nothing new; what runs there is
//! in the journal before it is reported, so that a restart asks on. What is reported is what the system answered when
//! it was asked, with our credentials, at the address that the operator configured.
//! Not here: the format (`dialects::canonical`).

mod callback;
mod poller;
mod results;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use amqp::envelope::{NativeOrder, Order};
use dialects::{
    Answer, Dialect, Verdict,
    canonical::{CALLBACK_HEADER, Canonical, EXECUTIONS_PATH, Progress, ProgressState},
};
use domain::{
    ExecutionId, Fault, NativeCall, Outcome, ServerId, ServerResult, Try,
    fault::{Again, FaultCode},
};
use reqwest::header::{AUTHORIZATION, HeaderName, HeaderValue};
use service::trace::TraceContext;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    time::sleep,
};

use self::results::{all_ended, all_failed, ended, latest, settled};
pub(crate) use self::{callback::Callbacks, poller::Poller};
use crate::{
    attempt::{Attempt, AttemptLimits, End, Next, Reply},
    config,
    http::{CallError, CallLimits, Http, Target, trace_headers},
    journal::{Job, now},
    metrics,
};

/// Jobs and callbacks that wait for the poller.
const NEWS_LIMIT: usize = 1_024;

/// The invocation system, as a caller sees it.
#[derive(Debug)]
pub(crate) struct System {
    http: Http,
    /// Without a slash at its end.
    base: String,
    authorization: HeaderValue,
    /// Without a slash at its end.
    callback: Option<String>,
    attempts: AttemptLimits,
    limits: CallLimits,
}

/// What came of a submission.
#[derive(Debug)]
pub(crate) enum Submitted {
    /// It has ended already, one way or another.
    Settled(Vec<ServerResult>),
    /// It is under way, and takes one of the places for jobs.
    Running(Job, OwnedSemaphorePermit),
}

/// What came of all tries of a submission.
struct Tried {
    end: End,
    attempts: u32,
    /// The last one.
    answer: Option<Answer>,
    /// Whether any try was sent and had no whole answer, so that it may have been taken.
    lost: bool,
    /// Those before the last.
    tries: Vec<Try>,
}

/// What the system says of a job.
#[derive(Debug)]
enum Asked {
    /// It is under way; the servers that have ended.
    Running(Vec<ServerResult>),
    /// It has ended.
    Settled(Vec<ServerResult>),
    /// No answer that we understand; ask again.
    Silent(Fault),
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
    system: Arc<System>,
    places: Arc<Semaphore>,
    news: mpsc::Sender<News>,
}

impl Jobs {
    /// The other end of the channel is the poller's.
    pub(crate) fn new(system: Arc<System>, at_once: usize) -> (Self, mpsc::Receiver<News>) {
        let places = Arc::new(Semaphore::new(at_once));
        let (news, heard) = mpsc::channel(NEWS_LIMIT);
        (
            Self {
                system,
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

    /// Submits an order, once there is a place for it.
    pub(crate) async fn submit(&self, order: &Order, trace: &TraceContext) -> Submitted {
        let place = Arc::clone(&self.places).acquire_owned().await;
        let place = place.expect("the places are never closed");
        self.system.submit(order, trace, place).await
    }

    /// Asks for the job from now on.
    pub(crate) async fn follow(&self, job: Arc<Job>, place: OwnedSemaphorePermit) {
        // The poller is gone only at shutdown; the next process finds the job in the journal.
        let _ = self.news.send(News::Job(job, Some(place))).await;
    }

    /// Goes on with the jobs of the process before. They take places as far as there are any.
    pub(crate) async fn resume(&self, jobs: Vec<Arc<Job>>) {
        for job in jobs {
            let place = Arc::clone(&self.places).try_acquire_owned().ok();
            let _ = self.news.send(News::Job(job, place)).await;
        }
    }
}

impl System {
    /// `settings` were checked: URL and token are there.
    pub(crate) fn new(
        settings: &config::InvocationSystem,
        calls: &config::Calls,
    ) -> Result<Self, reqwest::Error> {
        let (time, read) = (calls.timeout, calls.answer_limit);
        let kept = usize::try_from(read).unwrap_or(usize::MAX);
        let token = settings.token.as_ref().map_or("", |token| token.expose());
        let mut authorization = HeaderValue::from_str(&format!("Bearer {token}"))
            .unwrap_or(HeaderValue::from_static("Bearer"));
        authorization.set_sensitive(true);
        let plain = |url: &url::Url| url.as_str().trim_end_matches('/').to_owned();
        Ok(Self {
            http: Http::new(calls.connect_timeout, calls.idle_connections)?,
            base: settings.base_url.as_ref().map(plain).unwrap_or_default(),
            authorization,
            callback: settings.callback_url.as_ref().map(plain),
            attempts: AttemptLimits {
                attempts: calls.attempts,
                total_time: calls.total_time,
                pause: calls.pause,
            },
            limits: CallLimits {
                time,
                read,
                kept,
                whole: true,
            },
        })
    }

    async fn submit(
        &self,
        order: &Order,
        trace: &TraceContext,
        place: OwnedSemaphorePermit,
    ) -> Submitted {
        let servers = order.native.iter().flat_map(|native| &native.servers);
        let servers: Vec<ServerId> = servers.map(|server| server.id.clone()).collect();
        let call = match submission(&order.native) {
            Ok(call) => call,
            Err(fault) => return Submitted::Settled(all_failed(&servers, &fault)),
        };
        let token = format!("{:032x}", rand::random::<u128>());
        let headers = self.headers(trace, self.callback_header(order, &token));
        let tried = self.call(call, &headers).await;
        let mut results = match (tried.end, tried.answer.as_ref().and_then(settled)) {
            (End::Judged(Verdict::Running { job }), _) => {
                return Submitted::Running(job_of(order, job, servers, token, trace), place);
            }
            (_, Some(progress)) => return Submitted::Settled(progress.results(&servers)),
            // The system may have taken it, and may be at work on what nobody may do again.
            (_, None) if tried.lost && !order.repeatable => all_ended(&servers, &Outcome::Unknown),
            (
                End::Judged(Verdict::Failed { fault, .. }) | End::Failed(fault) | End::Lost(fault),
                None,
            ) => all_failed(&servers, &fault),
            (End::Judged(Verdict::Done { .. } | Verdict::Each { .. }) | End::Unknown, None) => {
                let fault =
                    unreadable("the invocation system's answer says nothing of the servers");
                all_failed(&servers, &fault)
            }
        };
        for result in &mut results {
            result.attempts = tried.attempts;
            result.tries.clone_from(&tried.tries);
        }
        Submitted::Settled(results)
    }

    /// A submission may be repeated, whatever the operation: its id is the key.
    async fn call(&self, call: &NativeCall, headers: &[(HeaderName, HeaderValue)]) -> Tried {
        let mut lost = false;
        let mut tries = Vec::new();
        let mut attempt = Attempt::new(self.attempts, true, None);
        loop {
            let answer = self.send(call, headers).await;
            let (reply, answer) = match answer {
                Ok(answer) => (Reply::Judged(Canonical.judge(call, &answer)), Some(answer)),
                Err(error) if error.is_unsent() => (Reply::Unsent(error.fault()), None),
                Err(error) => {
                    lost = true;
                    (Reply::Lost(error.fault()), None)
                }
            };
            match attempt.next(reply) {
                Next::Again(pause, fault) => {
                    tries.push(Try {
                        at: now(),
                        fault,
                        pause_ms: u64::try_from(pause.as_millis()).unwrap_or(u64::MAX),
                    });
                    sleep(pause).await;
                }
                Next::Ended(end) => {
                    return Tried {
                        end,
                        attempts: attempt.made(),
                        answer,
                        lost,
                        tries: latest(tries),
                    };
                }
            }
        }
    }

    async fn ask(&self, job: &Job) -> Asked {
        let path = format!("{EXECUTIONS_PATH}/{}", job.execution);
        let call = NativeCall::new("GET", None, &path, Vec::new());
        let headers = self.headers(&job.trace(), None);
        let answer = match self.send(&call, &headers).await {
            Ok(answer) => answer,
            // It would be as long again.
            Err(error @ CallError::TooLong(_)) => {
                let fault = unreadable(&format!("{error}, which is `calls.answer_limit`"));
                return Asked::Settled(all_failed(&job.servers, &fault));
            }
            Err(error) => return Asked::Silent(error.fault()),
        };
        match (answer.status, Progress::read(&answer.body)) {
            (200, Ok(progress)) if progress.state == ProgressState::Settled => {
                Asked::Settled(progress.results(&job.servers))
            }
            (200, Ok(progress)) => Asked::Running(ended(&progress, &job.servers)),
            (200, Err(fault)) => Asked::Silent(fault),
            (404 | 410, _) => {
                let fault =
                    unreadable("the invocation system knows nothing of this execution any more");
                Asked::Settled(all_failed(&job.servers, &fault))
            }
            (status, _) => Asked::Silent(unreadable(&format!(
                "asked for the state, it answered {status}"
            ))),
        }
    }

    async fn send(
        &self,
        call: &NativeCall,
        headers: &[(HeaderName, HeaderValue)],
    ) -> Result<Answer, CallError> {
        let to = Target {
            base: &self.base,
            host: None,
            headers,
        };
        let began = Instant::now();
        let answer = self.http.send(&to, call, self.limits).await;
        let status = answer.as_ref().ok().map(|answer| answer.status);
        metrics::native_call(Canonical.name(), status, began.elapsed());
        answer
    }

    fn headers(
        &self,
        trace: &TraceContext,
        callback: Option<(HeaderName, HeaderValue)>,
    ) -> Vec<(HeaderName, HeaderValue)> {
        let mut headers = trace_headers(&trace.child());
        headers.push((AUTHORIZATION, self.authorization.clone()));
        headers.extend(callback);
        headers
    }

    /// The token in it is unguessable, and worth no more than an early question.
    fn callback_header(&self, order: &Order, token: &str) -> Option<(HeaderName, HeaderValue)> {
        let url = format!(
            "{}{}/{}/{token}",
            self.callback.as_ref()?,
            callback::PATH,
            order.execution
        );
        Some((
            HeaderName::from_static(CALLBACK_HEADER),
            HeaderValue::from_str(&url).ok()?,
        ))
    }
}

/// The one call of an order for an invocation system.
fn submission(native: &[NativeOrder]) -> Result<&NativeCall, Fault> {
    match native {
        [NativeOrder { dialect, calls, .. }] if dialect.as_str() == Canonical.name() => {
            match calls.as_slice() {
                // Another host name at our address may be somebody else, and the call carries our token.
                [call] if call.host.is_none() => Ok(call),
                _ => Err(unreadable_order(
                    "an order for an invocation system has one call, and no host name",
                )),
            }
        }
        _ => Err(unreadable_order(
            "this adapter hands orders to an invocation system, in the canonical dialect only",
        )),
    }
}

fn job_of(
    order: &Order,
    name: String,
    servers: Vec<ServerId>,
    token: String,
    trace: &TraceContext,
) -> Job {
    Job {
        execution: order.execution.clone(),
        name,
        servers,
        operation: order.operation.clone(),
        token,
        submitted_at: now(),
        traceparent: Some(trace.to_string()),
        tracestate: trace.tracestate().map(str::to_owned),
        absorbed: Vec::new(),
    }
}

fn unreadable(message: &str) -> Fault {
    Fault::participant(FaultCode::UnreadableAnswer, Again::Never, message)
}

fn unreadable_order(message: &str) -> Fault {
    Fault::participant(FaultCode::UnreadableOrder, Again::Never, message)
}

/// How long a job is asked for before we give it up.
fn is_overdue(job: &Job, give_up_after: Duration) -> bool {
    now().since(job.submitted_at) >= give_up_after
}

#[cfg(test)]
mod tests;
