//! The participant's own invocation system: submit, then ask until it has settled.
//!
//! Invariant: the execution's id is the key of the submission, so that a repeated one does nothing new; what runs there is
//! in the journal before it is reported, so that a restart asks on. What is reported is what the system answered when
//! it was asked, with our token as it was at that moment, at the address that the operator configured.
//! Not here: the format (`dialects::canonical`).

mod callback;
mod results;
mod token;

use std::{sync::Arc, time::Instant};

use amqp::envelope::{NativeOrder, Order};
use dialects::{
    Answer, Dialect, Verdict,
    canonical::{CALLBACK_HEADER, Canonical, EXECUTIONS_PATH, Progress, ProgressState},
};
use domain::{
    Fault, NativeCall, Outcome, ServerId, Try,
    fault::{Again, FaultCode},
};
use ipnet::IpNet;
use reqwest::header::{AUTHORIZATION, HeaderName, HeaderValue};
use service::trace::TraceContext;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::sleep,
};

pub(crate) use self::callback::Callbacks;
use self::{
    results::{ended, latest, settled},
    token::Token,
};
use crate::{
    address::lookup::GuardedLookup,
    app::StartError,
    attempt::{Attempt, AttemptLimits, End, Next, Reply},
    config,
    http::{CallError, CallLimits, Http, Target, trace_headers},
    jobs::{Asked, Submitted, all_ended, all_failed},
    journal::{Job, now},
    metrics,
};

/// The invocation system, as a caller sees it.
#[derive(Debug)]
pub(crate) struct System {
    http: Http,
    /// Without a slash at its end.
    base: String,
    token: Token,
    /// Without a slash at its end.
    callback: Option<String>,
    attempts: AttemptLimits,
    limits: CallLimits,
    /// Places of questions that are asked at a time.
    questions: Arc<Semaphore>,
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

impl System {
    /// `settings` were checked: URL and token are there.
    pub(crate) fn new(
        settings: &config::InvocationSystem,
        calls: &config::Calls,
        private: &[IpNet],
    ) -> Result<Self, StartError> {
        let (time, read) = (calls.timeout, calls.answer_limit);
        let kept = usize::try_from(read).unwrap_or(usize::MAX);
        let plain = |url: &url::Url| url.as_str().trim_end_matches('/').to_owned();
        let lookup = GuardedLookup::new(private, calls.name_timeout);
        let http = Http::new(calls.connect_timeout, calls.idle_connections, lookup);
        Ok(Self {
            http: http.map_err(StartError::of)?,
            base: settings.base_url.as_ref().map(plain).unwrap_or_default(),
            token: Token::new(settings.token.as_ref())?,
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
            questions: Arc::new(Semaphore::new(settings.polls_at_once)),
        })
    }

    pub(crate) async fn submit(
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
        let mut headers = trace_headers(&trace.child());
        headers.extend(self.callback_header(order, &token));
        let began = Instant::now();
        let tried = self.call(call, &headers).await;
        let mut results = match (tried.end, tried.answer.as_ref().and_then(settled)) {
            (End::Judged(Verdict::Running { job }), _) => {
                return Submitted::Running(
                    Box::new(job_of(order, job, servers, token, trace)),
                    place,
                );
            }
            (_, Some(progress)) => return Submitted::Settled(progress.results(&servers)),
            // The system may have taken it, and may be at work on what nobody may do again.
            (_, None) if tried.lost && !order.repeatable => all_ended(&servers, &Outcome::Unknown),
            (
                End::Judged(Verdict::Failed { fault, .. }) | End::Failed(fault) | End::Lost(fault),
                None,
            ) => all_failed(&servers, &fault),
            (
                End::Judged(
                    Verdict::Done { .. } | Verdict::Estimated { .. } | Verdict::Each { .. },
                )
                | End::Unknown,
                None,
            ) => {
                let fault =
                    unreadable("the invocation system's answer says nothing of the servers");
                all_failed(&servers, &fault)
            }
        };
        for result in &mut results {
            result.attempts = tried.attempts;
            result.took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
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

    /// A place for one more question, if there is any.
    pub(crate) fn slot(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.questions).try_acquire_owned().ok()
    }

    pub(crate) async fn ask(&self, job: &Job) -> Asked {
        let path = format!("{EXECUTIONS_PATH}/{}", job.execution);
        let call = NativeCall::new("GET", None, &path, Vec::new());
        let headers = trace_headers(&job.trace().child());
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

    /// With the token as it is now, at each try.
    async fn send(
        &self,
        call: &NativeCall,
        headers: &[(HeaderName, HeaderValue)],
    ) -> Result<Answer, CallError> {
        let shown = self.token.current();
        let mut headers = headers.to_vec();
        headers.push((AUTHORIZATION, shown.authorization.clone()));
        let to = Target {
            base: &self.base,
            host: None,
            headers: &headers,
        };
        let began = Instant::now();
        let answer = self.http.send(&to, call, self.limits).await;
        let status = answer.as_ref().ok().map(|answer| answer.status);
        metrics::native_call(Canonical.name(), status, began.elapsed());
        shown.hidden.out_of(answer)
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

pub(crate) fn job_of(
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
        told: None,
        api: None,
    }
}

fn unreadable(message: &str) -> Fault {
    Fault::participant(FaultCode::UnreadableAnswer, Again::Never, message)
}

fn unreadable_order(message: &str) -> Fault {
    Fault::participant(FaultCode::UnreadableOrder, Again::Never, message)
}

#[cfg(test)]
pub(crate) mod tests;
