//! A provider's HTTP API: the calls of an order once for all servers, one after the other, each judged by itself.
//!
//! Invariant: a call goes to the operator's own URL, with the account that the adapter's configuration has for the
//! federation's configuration, signed anew at each try, and no more often than the provider takes; what may not be
//! repeated is not sent again once it may have been heard. A provider's jobs are asked for until all of them have ended: while
//! calls of their order are to be made (`begun`), and then out of the journal (`ask`).
//! Not here: what a call says and what an answer means (`dialects`), when to try again (`attempt`), when jobs are asked
//! for (`jobs`).

mod account;
mod ask;
mod begun;
mod budget;
mod call;
mod clock;
mod credential;
mod desk;
mod desks;
mod edges;
mod fill;
mod headers;
mod job;
mod named;
mod probing;
mod queue;
mod rests;
mod sign;
mod sizes;
mod speaker;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use amqp::envelope::{NativeOrder, Order};
use domain::{
    ExecutionId, Fault, NativeCall, NativeLimits, ServerId, ServerResult,
    fault::{Again, FaultCode},
    participant::ServerAddress,
};
use service::trace::TraceContext;
use tokio::sync::Semaphore;

pub(crate) use self::job::ApiJob;
use self::{
    account::{Account, Accounts},
    call::{is_done, sleep_as_ours},
    desk::Desk,
    desks::Desks,
    edges::Edges,
    fill::Filling,
    job::{Running, job_of},
    probing::{AtEdges, Calls},
    sizes::Sizes,
    speaker::{Speaker, Speakers},
};
use crate::{
    address::lookup::GuardedLookup,
    attempt::AttemptLimits,
    caches::Surroundings,
    circuit::Circuits,
    config,
    http::{CallLimits, Http},
    jobs::{Submitted, all_failed, place_of},
    tally::Tally,
    verify::Looked,
    worker::Work,
};

/// The provider, as a caller sees it.
#[derive(Debug)]
pub(crate) struct Api {
    http: Http,
    /// Without a slash at its end.
    base: String,
    address: ServerAddress,
    accounts: Accounts,
    speakers: Speakers,
    desks: Desks,
    circuits: Circuits,
    attempts: AttemptLimits,
    limits: CallLimits,
    total_time: Duration,
    /// How often a job is asked after.
    poll_every: Duration,
    sizes: Sizes,
    /// Whether what a provider may undo by a race is called a second time.
    second_calls: bool,
    edges: Edges,
}

/// All that the calls of one order share.
struct Telling<'a> {
    execution: &'a ExecutionId,
    speaker: Speaker,
    /// What one call holds, as the order was planned with.
    limits: &'a NativeLimits,
    account: Account<'a>,
    desk: Arc<Desk>,
    /// For whom the account is asked: the originator, or where that is not known the configuration.
    flow: String,
    trace: &'a TraceContext,
    /// No call begins after this.
    until: Instant,
}

impl Api {
    /// The configuration was checked: the URL is there. What is left of budgets is kept in the journal's folder, unless it
    /// says where.
    pub(crate) fn new(
        configuration: &config::Configuration,
    ) -> Result<Self, crate::app::StartError> {
        let (settings, calls) = (&configuration.api, &configuration.calls);
        let lookup = GuardedLookup::new(&configuration.private_networks, calls.name_timeout);
        let http = Http::new(calls.connect_timeout, calls.idle_connections, lookup);
        let http = http.map_err(crate::app::StartError::of)?;
        let base = settings.base_url.as_ref().map(url::Url::as_str);
        let address = settings.address();
        Ok(Self {
            edges: Edges::new(configuration, http.clone())?,
            http,
            base: base.unwrap_or_default().trim_end_matches('/').to_owned(),
            address: address.expect("the URL was checked with the configuration"),
            accounts: Accounts::new(settings),
            speakers: Speakers::new(settings.token_header.clone()),
            desks: Desks::new(settings, &configuration.journal.folder),
            circuits: Circuits::new(calls.circuit),
            attempts: AttemptLimits {
                attempts: calls.attempts,
                total_time: settings.total_time,
                pause: calls.pause,
            },
            limits: CallLimits {
                time: calls.timeout,
                read: calls.answer_limit,
                kept: 0, // As much as the dialect wants to see.
                whole: false,
            },
            total_time: settings.total_time,
            poll_every: settings.poll_every,
            sizes: Sizes::new(settings),
            second_calls: settings.second_calls,
        })
    }

    /// Makes the calls of an order. `None` where it was left, because it is no longer ours.
    pub(crate) async fn submit(
        &self,
        work: &Work,
        trace: &TraceContext,
        around: &dyn Surroundings,
        places: &Arc<Semaphore>,
    ) -> Option<Submitted> {
        let (order, began) = (&work.order, Instant::now());
        let servers = order.native.iter().flat_map(|native| &native.servers);
        let servers: Vec<ServerId> = servers.map(|server| server.id.clone()).collect();
        let (native, telling) = match self.telling(work, trace, began) {
            Ok(telling) => telling,
            Err(fault) => return Some(Submitted::Settled(all_failed(&servers, &fault))),
        };
        let Some(first) = servers.first() else {
            return Some(Submitted::Settled(Vec::new()));
        };
        // Where jobs are the rule, there is a place before the first call; who begins none takes none from others.
        let mut place = None;
        if telling.speaker.has_jobs() {
            place = Some(place_of(places).await);
        }
        let mut tally = Tally::new(first.clone());
        let calls = Calls::of(order);
        let edges = AtEdges {
            api: self,
            telling: &telling,
            calls: &calls,
            around,
        };
        let probes = order.probes.as_ref();
        let mut case = edges.case(first, probes, &mut tally).await;
        let mut jobs = self.make_calls(&telling, order, around, &mut tally).await?;
        if let Some(told) = case.take_if(|_| jobs.is_empty() && tally.is_done()) {
            match told.prove(&edges, &mut tally).await? {
                Looked::Proof(proof) => tally.prove(proof),
                Looked::Runs(again, open) => (jobs, case) = (again, Some(open)),
            }
        }
        if jobs.is_empty() {
            let results = all_alike(tally, &servers, began.elapsed());
            return Some(Submitted::Settled(results));
        }
        let later = case.as_ref().zip(probes);
        let later = later.map(|(case, probes)| edges.later(case, first, probes));
        let job = ApiJob {
            configuration: order.configuration.clone(),
            dialect: native.dialect.clone(),
            mapping: work.mapping.clone(),
            limits: native.limits.clone(),
            flow: telling.flow.clone(),
            jobs,
            tally,
            later,
        };
        let place = match place {
            Some(place) => place,
            None => place_of(places).await,
        };
        Some(Submitted::Running(
            Box::new(job_of(order, job, servers, trace)),
            place,
        ))
    }

    /// Makes the calls in order, and those that shall be made twice once more. What still runs afterwards.
    async fn make_calls(
        &self,
        telling: &Telling<'_>,
        order: &Order,
        around: &dyn Surroundings,
        tally: &mut Tally,
    ) -> Option<Vec<Running>> {
        let (mut begun, mut again) = (self.begun(), Vec::new());
        let calls = order.native.iter().flat_map(|native| &native.calls);
        let calls: Vec<_> = calls.enumerate().collect();
        for (number, call) in &calls {
            if Instant::now() >= telling.until {
                tally.not_tried(calls.len() - number, self.total_time);
                return Some(begun.into_jobs());
            }
            let made = (*number, *call, order.repeatable);
            let ends = self.call_beside(telling, made, around, (&mut begun, &mut *tally));
            let ends = ends.await?;
            let all_done = ends.iter().all(|made| is_done(&made.end));
            if !begun.take(made, ends, tally) {
                return Some(begun.into_jobs());
            }
            let pause = telling.speaker.second_call(call);
            let pause = pause.filter(|_| self.second_calls && all_done && order.repeatable);
            again.extend(pause.map(|pause| (Instant::now() + pause, made)));
        }
        again.sort_by_key(|(due, _)| *due);
        for (due, made) in again {
            sleep_as_ours(due, around).await?;
            let ends = self.call_beside(telling, made, around, (&mut begun, &mut *tally));
            let ends = ends.await?;
            if !begun.take(made, ends, tally) {
                break;
            }
        }
        Some(begun.into_jobs())
    }

    fn telling<'a>(
        &'a self,
        work: &'a Work,
        trace: &'a TraceContext,
        began: Instant,
    ) -> Result<(&'a NativeOrder, Telling<'a>), Fault> {
        let order = &work.order;
        let [native] = order.native.as_slice() else {
            return Err(unreadable_order(
                "an order for a provider's API has calls of one dialect",
            ));
        };
        let mapping = work.mapping.as_deref();
        let speaker = (self.speakers).find(&native.dialect, native.mapping, mapping)?;
        // Another host name at the provider's address may be somebody else, and the call carries our credentials.
        if !speaker.names_hosts() && native.calls.iter().any(|call| call.host.is_some()) {
            return Err(unreadable_order(
                "a call of a provider's API names no host of its own",
            ));
        }
        let account = self.accounts.of(&order.configuration, speaker.fields());
        let flow = order.originator.as_ref().map(ToString::to_string);
        let telling = Telling {
            execution: &order.execution,
            desk: self.desks.of(&account, speaker.limits()),
            flow: flow.unwrap_or_else(|| format!(" {}", order.configuration)),
            speaker,
            limits: &native.limits,
            account,
            trace,
            until: began + self.total_time,
        };
        Ok((native, telling))
    }
}

impl Telling<'_> {
    fn fill(&self, number: usize, call: &NativeCall) -> Result<NativeCall, Fault> {
        self.fill_for(self.execution, number, call)
    }

    fn fill_for(
        &self,
        execution: &ExecutionId,
        number: usize,
        call: &NativeCall,
    ) -> Result<NativeCall, Fault> {
        let filling = Filling {
            account: &self.account,
            execution,
            number,
        };
        filling.fill(call)
    }

    fn time_left(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }
}

/// What one made of it holds for every server.
fn all_alike(tally: Tally, servers: &[ServerId], took: Duration) -> Vec<ServerResult> {
    let result = tally.end(took);
    let of = |server: &ServerId| ServerResult {
        server: server.clone(),
        ..result.clone()
    };
    servers.iter().map(of).collect()
}

fn unreadable_order(message: &str) -> Fault {
    Fault::participant(FaultCode::UnreadableOrder, Again::Never, message)
}

#[cfg(test)]
mod tests;
