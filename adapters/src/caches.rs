//! Telling caches: every server of an order, its calls one after the other, servers side by side.
//!
//! Invariant: a server is called only at an address that the adapter's own configuration allows; what each server made of
//! it is told apart; what may not be repeated is not sent again once it may have been heard; and no call begins when the
//! execution's time is over.
//! Not here: what a call says and what an answer means (`dialects`), looking afterwards (`verify`), when to try again
//! (`attempt`), which servers are left alone (`circuit`).
//!
//! A call to a server that is left alone waits until it may be tried again, as long as there is time and nobody else waits
//! for this execution to end; otherwise it fails at once. So a quiet adapter sits out a short restart of a server, and
//! a busy one is not held up by a dead one.

mod server;

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use amqp::envelope::{NativeOrder, Order, OrderedServer};
use dialects::{Answer, Counterpart, Dialect};
use domain::{
    Fault, NativeCall, Probes, ServerResult,
    fault::{Again, FaultCode, Side},
};
use futures::{StreamExt, stream};
use service::trace::TraceContext;
use tokio::time::sleep;

use self::server::AtServer;
use crate::{
    address::{Addresses, Reach, lookup::GuardedLookup},
    attempt::{Attempt, AttemptLimits, End, Next, Reply},
    circuit::{Circuits, Pass, Refused},
    config,
    http::{CallError, CallLimits, Http, Target, trace_headers},
    journal::now,
    metrics::NativeCalls,
    tally::Tally,
};

/// The name of the operation whose answers are whole objects.
const LOAD: &str = "load";
/// How often somebody who waits looks whether to go on waiting.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What else is going on while an order is carried out.
pub trait Surroundings: Sync {
    /// Whether the order is still ours; otherwise another adapter may have it by now.
    fn is_current(&self) -> bool;

    /// Whether somebody waits for this order to end.
    fn is_awaited(&self) -> bool;
}

impl<F: Fn() -> bool + Sync> Surroundings for F {
    fn is_current(&self) -> bool {
        self()
    }

    fn is_awaited(&self) -> bool {
        false
    }
}

/// What a call is answered with where no server is called.
pub type StandIn = fn(&NativeCall) -> Answer;

/// Tells caches.
#[derive(Debug)]
pub struct Caches {
    http: Http,
    stand_in: Option<StandIn>,
    addresses: Addresses,
    circuits: Circuits,
    servers_at_once: usize,
    attempts: AttemptLimits,
    call: Limits,
    load: Limits,
    probes: config::Probes,
    counted: HashMap<&'static str, NativeCalls>,
}

/// The limits of one kind of operation.
#[derive(Debug, Clone, Copy)]
struct Limits {
    call: CallLimits,
    /// For all calls of an execution.
    total_time: Duration,
}

/// All that the calls of one order share.
struct Telling<'a> {
    limits: Limits,
    /// No call begins after this.
    until: Instant,
    repeatable: bool,
    /// What is to be looked at afterwards.
    probes: Option<&'a Probes>,
    trace: &'a TraceContext,
    around: &'a dyn Surroundings,
}

/// One call of one server, and how it is said.
#[derive(Clone, Copy)]
struct Call<'a> {
    dialect: &'a dyn Dialect,
    native: &'a NativeCall,
    server: &'a OrderedServer,
}

impl Caches {
    /// With a client of its own.
    pub fn new(
        calls: &config::Calls,
        execution: config::Execution,
        probes: config::Probes,
        reach: impl Into<Reach>,
    ) -> Result<Self, reqwest::Error> {
        let (time, read) = (calls.timeout, calls.answer_limit);
        let call = CallLimits {
            time,
            read,
            kept: 0, // As much as the dialect wants to see.
            whole: false,
        };
        let (time, read) = (calls.load_timeout, calls.load_limit);
        let load = CallLimits {
            time,
            read,
            whole: true,
            ..call
        };
        Ok(Self {
            http: Http::new(
                calls.connect_timeout,
                calls.idle_connections,
                GuardedLookup::new(&[], calls.name_timeout),
            )?,
            stand_in: None,
            addresses: Addresses::new(reach, calls.name_lifetime, calls.name_timeout),
            circuits: Circuits::new(calls.circuit),
            servers_at_once: execution.servers_at_once,
            attempts: AttemptLimits {
                attempts: calls.attempts,
                total_time: calls.total_time,
                pause: calls.pause,
            },
            call: Limits {
                call,
                total_time: execution.total_time,
            },
            load: Limits {
                call: load,
                total_time: execution.load_total_time,
            },
            probes,
            counted: dialects::all()
                .iter()
                .map(|dialect| (dialect.name(), NativeCalls::of(dialect.name())))
                .collect(),
        })
    }

    /// Calls nobody, and takes this for the answer: for measuring everything but the servers. No configuration can ask for
    /// it.
    #[must_use]
    pub fn answered_by(self, stand_in: StandIn) -> Self {
        Self {
            stand_in: Some(stand_in),
            ..self
        }
    }

    /// Tells every server of the order; one result each. Asks before every try whether the order is current, and leaves
    /// the rest once it is not: then there are no results.
    pub async fn carry_out(
        &self,
        order: &Order,
        trace: &TraceContext,
        around: &dyn Surroundings,
    ) -> Option<Vec<ServerResult>> {
        let limits = if order.operation == LOAD {
            self.load
        } else {
            self.call
        };
        let telling = Telling {
            limits,
            until: Instant::now() + limits.total_time,
            repeatable: order.repeatable,
            probes: order.probes.as_ref(),
            trace,
            around,
        };
        let each = order.native.iter().flat_map(|native| {
            let servers = native.servers.iter();
            servers.map(move |server| (native, server))
        });
        // Gathered first: a stream that makes borrowing futures as it goes is not `Send`.
        let mut parts: Vec<_> = each
            .map(|(native, server)| self.tell(&telling, native, server))
            .collect();
        if parts.len() == 1
            && let Some(only) = parts.pop()
        {
            return Some(vec![only.await?]);
        }
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
        order: &NativeOrder,
        server: &OrderedServer,
    ) -> Option<ServerResult> {
        let began = Instant::now();
        let mut tally = Tally::new(server.id.clone());
        match dialect_of(order) {
            Ok(dialect) => {
                let at = AtServer {
                    caches: self,
                    telling,
                    order,
                    dialect,
                    server,
                };
                at.carry_out(&mut tally).await?;
            }
            Err(fault) => tally.fail(fault),
        }
        Some(tally.end(began.elapsed()))
    }

    /// Makes one call, as often as it takes. `None` where it was left.
    async fn call(&self, telling: &Telling<'_>, call: Call<'_>, tally: &mut Tally) -> Option<End> {
        let mut attempt = Attempt::new(self.attempts, telling.repeatable, Some(telling.until));
        while telling.around.is_current() {
            let pass = match self.circuits.enter(&call.server.address) {
                Ok(pass) => pass,
                Err(refused) => match wait(telling, &attempt, refused, tally).await {
                    Some(fault) => return Some(End::Failed(fault)),
                    None => continue,
                },
            };
            tally.attempted();
            let reply = self.call_once(telling, call).await;
            settle(pass, &reply, telling);
            match attempt.next(reply) {
                Next::Again(pause, fault) => {
                    tally.tried(fault, pause);
                    sleep(pause).await;
                }
                Next::Ended(end) => return Some(end),
            }
        }
        None
    }

    /// One try, at each address of the server until one takes the connection.
    async fn call_once(&self, telling: &Telling<'_>, call: Call<'_>) -> Reply {
        let name = &call.server.address;
        let addresses = match self.addresses.pin(name).await {
            Ok(addresses) => addresses,
            Err(fault) => return Reply::Unsent(fault),
        };
        // The span is this try's own, at whichever address.
        let headers = trace_headers(&telling.trace.child());
        let limits = CallLimits {
            time: telling.limits.call.time.min(telling.time_left()),
            kept: call.dialect.answer_bytes(),
            ..telling.limits.call
        };
        let began = Instant::now();
        let mut answer = Err(CallError::TimedOut(limits.time));
        for address in addresses {
            // We connect to an address that was checked, and call the server by the name that it is known by.
            let base = format!("http://{address}");
            let to = Target {
                base: &base,
                host: Some(name.as_str()),
                headers: &headers,
            };
            answer = match self.stand_in {
                None => Box::pin(self.http.send(&to, call.native, limits)).await,
                Some(answer) => Ok(answer(call.native)),
            };
            match &answer {
                Err(CallError::NotConnected(_)) => self.addresses.put_last(name, address),
                Ok(_) | Err(_) => break,
            }
        }
        let status = answer.as_ref().ok().map(|answer| answer.status);
        self.counted[call.dialect.name()].count(status, began.elapsed());
        match answer {
            Ok(answer) => Reply::Judged(call.dialect.judge(call.native, &answer)),
            Err(error) if error.is_unsent() => Reply::Unsent(error.fault()),
            Err(error) => Reply::Lost(error.fault()),
        }
    }
}

impl Telling<'_> {
    fn time_left(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }
}

/// Waits until the server may be tried again, and gives the fault of the call where that takes too long or somebody is
/// held up by it.
async fn wait(
    telling: &Telling<'_>,
    attempt: &Attempt,
    refused: Refused,
    tally: &mut Tally,
) -> Option<Fault> {
    if !attempt.has_time_until(refused.due) {
        return Some(refused.fault);
    }
    let (at, began) = (now(), Instant::now());
    while telling.around.is_current() {
        let rest = refused.due.saturating_duration_since(Instant::now());
        if rest.is_zero() {
            break;
        }
        if telling.around.is_awaited() {
            return Some(refused.fault);
        }
        sleep(rest.min(LOOK_EVERY)).await;
    }
    tally.waited(at, refused.fault, began.elapsed());
    None
}

/// What the reply says of the server: any answer, that it is there. An object that takes too long, or a time that we cut
/// short ourselves, says nothing.
fn settle(pass: Pass<'_>, reply: &Reply, telling: &Telling<'_>) {
    match reply {
        Reply::Judged(_) => pass.answered(),
        Reply::Unsent(fault) | Reply::Lost(fault) => match fault.code {
            FaultCode::UnreadableAnswer => pass.answered(),
            FaultCode::Unreachable => pass.failed(fault),
            FaultCode::TimedOut if !telling.limits.call.whole && !telling.time_left().is_zero() => {
                pass.failed(fault);
            }
            _ => drop(pass),
        },
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

#[cfg(test)]
mod tests;
