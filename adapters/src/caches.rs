//! Telling caches: every server of an order, its calls one after the other, servers side by side.
//!
//! Invariant: a server is called only at an address that the adapter's own configuration allows; what each server made of
//! it is told apart; and what may not be repeated is not sent again once it may have been heard.
//! Not here: what a call says and what an answer means (`dialects`), when to try again (`attempt`).

use std::time::{Duration, Instant};

use amqp::envelope::{NativeOrder, Order, OrderedServer};
use dialects::{Counterpart, Dialect, Verdict};
use domain::{
    Evidence, Fault, NativeCall, Outcome, ServerResult,
    fault::{Again, FaultCode, Side},
};
use futures::{StreamExt, stream};
use service::trace::TraceContext;
use tokio::time::sleep;

use crate::{
    address::{Addresses, AllowedAddress},
    attempt::{Attempt, AttemptLimits, End, Next, Reply},
    config,
    http::{CallLimits, Http, KEPT_FOR_JUDGING, Target, trace_header},
    metrics,
};

/// The name of the operation whose answers are whole objects.
const LOAD: &str = "load";
/// Calls without a whole answer, one after the other, after which a server is left alone.
const UNANSWERED_LIMIT: u32 = 3;

/// Tells caches.
#[derive(Debug)]
pub struct Caches {
    http: Http,
    addresses: Addresses,
    servers_at_once: usize,
    attempts: AttemptLimits,
    call: CallLimits,
    load: CallLimits,
}

/// All that the calls of one order share.
struct Telling<'a> {
    limits: CallLimits,
    repeatable: bool,
    trace: &'a TraceContext,
    /// Whether the order is still ours; otherwise another adapter may have it by now.
    is_current: &'a (dyn Fn() -> bool + Sync),
}

/// One server's part so far.
struct Part {
    result: ServerResult,
    evidence: Option<Evidence>,
    fault: Option<Fault>,
    unknown: bool,
    /// Calls without a whole answer since the last one that had one.
    unanswered: u32,
}

impl Caches {
    /// With a client of its own.
    pub fn new(
        calls: &config::Calls,
        execution: config::Execution,
        allowed: Vec<AllowedAddress>,
    ) -> Result<Self, reqwest::Error> {
        let (time, read) = (calls.timeout, calls.answer_limit);
        let call = CallLimits {
            time,
            read,
            kept: KEPT_FOR_JUDGING,
            whole: false,
        };
        let (time, read) = (calls.load_timeout, calls.load_limit);
        Ok(Self {
            http: Http::new(calls.connect_timeout, calls.idle_connections)?,
            addresses: Addresses::new(allowed, calls.name_lifetime, calls.name_timeout),
            servers_at_once: execution.servers_at_once,
            attempts: AttemptLimits {
                attempts: calls.attempts,
                total_time: calls.total_time,
                pause: calls.pause,
            },
            call,
            load: CallLimits {
                time,
                read,
                whole: true,
                ..call
            },
        })
    }

    /// Tells every server of the order; one result each. Asks before every try whether the order is current, and leaves
    /// the rest once it is not: then there are no results.
    pub async fn carry_out(
        &self,
        order: &Order,
        trace: &TraceContext,
        is_current: &(dyn Fn() -> bool + Sync),
    ) -> Option<Vec<ServerResult>> {
        let limits = if order.operation == LOAD {
            self.load
        } else {
            self.call
        };
        let telling = Telling {
            limits,
            repeatable: order.repeatable,
            trace,
            is_current,
        };
        let each = order.native.iter().flat_map(|native| {
            let servers = native.servers.iter();
            servers.map(move |server| (native, server))
        });
        // Gathered first: a stream that makes borrowing futures as it goes is not `Send`.
        let parts: Vec<_> = each
            .map(|(native, server)| self.tell(&telling, native, server))
            .collect();
        stream::iter(parts)
            .buffered(self.servers_at_once)
            .collect::<Vec<_>>()
            .await
            .into_iter()
            .collect()
    }

    /// `None` where the order was left.
    async fn tell(
        &self,
        telling: &Telling<'_>,
        native: &NativeOrder,
        server: &OrderedServer,
    ) -> Option<ServerResult> {
        let began = Instant::now();
        let mut part = Part::new(server);
        match dialect_of(native) {
            Ok(dialect) => {
                for call in &native.calls {
                    let (end, attempts) = self.call(telling, dialect, call, server).await?;
                    part.result.attempts += attempts;
                    if !part.take(call, end) {
                        break;
                    }
                }
            }
            Err(fault) => part.fail(fault),
        }
        Some(part.end(began.elapsed()))
    }

    /// Makes one call, as often as it takes; also says how often that was. `None` where it was left.
    async fn call(
        &self,
        telling: &Telling<'_>,
        dialect: &dyn Dialect,
        call: &NativeCall,
        server: &OrderedServer,
    ) -> Option<(End, u32)> {
        let mut attempt = Attempt::new(self.attempts, telling.repeatable);
        while (telling.is_current)() {
            let reply = self.call_once(telling, dialect, call, server).await;
            match attempt.next(reply) {
                Next::Again(pause) => sleep(pause).await,
                Next::Ended(end) => return Some((end, attempt.made())),
            }
        }
        None
    }

    async fn call_once(
        &self,
        telling: &Telling<'_>,
        dialect: &dyn Dialect,
        call: &NativeCall,
        server: &OrderedServer,
    ) -> Reply {
        let address = match self.addresses.pin(&server.address).await {
            Ok(address) => address,
            Err(fault) => return Reply::Unsent(fault),
        };
        let base = format!("http://{address}");
        let trace = trace_header(&telling.trace.child().to_string());
        // We connect to the address that was checked, and call the server by the name that it is known by.
        let (host, headers) = (Some(server.address.as_str()), trace.as_slice());
        let to = Target {
            base: &base,
            host,
            headers,
        };
        let began = Instant::now();
        let answer = self.http.send(&to, call, telling.limits).await;
        let status = answer.as_ref().ok().map(|answer| answer.status);
        metrics::native_call(dialect.name(), status, began.elapsed());
        match answer {
            Ok(answer) => Reply::Judged(dialect.judge(call, &answer)),
            Err(error) if error.is_unsent() => Reply::Unsent(error.fault()),
            Err(error) => Reply::Lost(error.fault()),
        }
    }
}

/// The dialect of these calls, where it is one that servers speak.
fn dialect_of(native: &NativeOrder) -> Result<&'static dyn Dialect, Fault> {
    let dialect = dialects::by_name(&native.dialect)
        .filter(|dialect| dialect.counterpart() == Counterpart::Server);
    dialect.ok_or_else(|| {
        let message = format!(
            "this adapter tells no servers in the dialect {}",
            native.dialect
        );
        Fault::new(
            FaultCode::UnreadableOrder,
            Side::Participant,
            Again::Never,
            &message,
        )
    })
}

impl Part {
    fn new(server: &OrderedServer) -> Self {
        let result = ServerResult {
            server: server.id.clone(),
            outcome: Outcome::Unknown,
            findings: Vec::new(),
            attempts: 0,
            took_ms: 0,
        };
        Self {
            result,
            evidence: None,
            fault: None,
            unknown: false,
            unanswered: 0,
        }
    }

    /// Takes the end of one call, and says whether the next one makes sense.
    fn take(&mut self, call: &NativeCall, end: End) -> bool {
        match end {
            End::Judged(verdict) => {
                self.unanswered = 0;
                self.judged(call, verdict)
            }
            // Nobody is there, or we may not go there. Any other fault is this call's own.
            End::Failed(fault) => {
                let code = fault.code;
                self.fail(fault);
                !matches!(code, FaultCode::Unreachable | FaultCode::AddressNotAllowed)
            }
            End::Lost(fault) => {
                self.fail(fault);
                self.goes_on_unanswered()
            }
            End::Unknown => {
                self.unknown = true;
                self.goes_on_unanswered()
            }
        }
    }

    /// One call more without a whole answer: the next one may have one, but not every call is worth its time.
    fn goes_on_unanswered(&mut self) -> bool {
        self.unanswered += 1;
        self.unanswered < UNANSWERED_LIMIT
    }

    fn judged(&mut self, call: &NativeCall, verdict: Verdict) -> bool {
        match verdict {
            Verdict::Done { evidence, finding } => {
                self.result.found(&call.selectors, &finding);
                self.evidence = Some(
                    self.evidence
                        .map_or(evidence, |weakest| weakest.min(evidence)),
                );
                true
            }
            // The server lives and has spoken about this one; the others are told nevertheless.
            Verdict::Failed { fault, finding } => {
                if let Some(finding) = finding {
                    self.result.found(&call.selectors, &finding);
                }
                let usable = fault.code != FaultCode::Unauthorized;
                self.fail(fault);
                usable
            }
            Verdict::Running { job } => {
                let message =
                    format!("a server named a job ({job}), and servers are not asked again");
                self.fail(Fault::participant(
                    FaultCode::UnreadableAnswer,
                    Again::Never,
                    &message,
                ));
                true
            }
        }
    }

    /// The first fault stands for the server.
    fn fail(&mut self, fault: Fault) {
        metrics::fault(fault.code);
        self.fault.get_or_insert(fault);
    }

    fn end(mut self, took: Duration) -> ServerResult {
        self.result.took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        self.result.outcome = match (self.fault, self.unknown, self.evidence) {
            (_, true, _) => Outcome::Unknown,
            (Some(fault), false, _) => Outcome::Failed(fault),
            (None, false, Some(evidence)) => Outcome::Done(evidence),
            (None, false, None) => {
                let message = "the order has no call for this server";
                let side = Side::Federation;
                Outcome::Failed(Fault::new(
                    FaultCode::UnreadableOrder,
                    side,
                    Again::Never,
                    message,
                ))
            }
        };
        self.result
    }
}

#[cfg(test)]
mod tests;
