//! Continuous load: streams of commands to both replicas, whatever happens to them.
//!
//! Invariant: a command whose answer did not come is sent again with the same request id, to whichever replica answers,
//! until there is an answer. What waits for one is bounded; then nothing new is asked for.

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use futures::channel::mpsc;
use proto::v1::{self, submit_commands_response::Result as Answer};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::{Code, Streaming};
use uuid::Uuid;

use super::{
    ledger::Ledger,
    traffic::{ORIGINATORS, Traffic},
};
use crate::federation::client;

/// Commands of one stream that wait for an answer.
const WAITING_LIMIT: usize = 1_000;
/// Requests that are handed to the transport at a time.
const TRANSPORT_LIMIT: usize = 256;
/// How long a stream is used; a new one goes to its own replica if that one lives.
const STREAM_AGE: Duration = Duration::from_secs(5);
/// How long a replica may be silent while commands wait.
const SILENCE: Duration = Duration::from_secs(2);
/// How often new commands are asked for.
const TICK: Duration = Duration::from_millis(20);
/// How long a refused command rests before it is sent again.
const REST: Duration = Duration::from_millis(200);
/// How much of the rate may be caught up on after a pause.
const CATCH_UP: Duration = Duration::from_secs(3);

/// Load that runs until it is told to end.
#[derive(Debug)]
pub(super) struct Load {
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Load {
    /// Begins, with this many commands each second in all; a bit of everything, or purges at one participant alone.
    pub(super) fn start(
        brokers: [SocketAddr; 2],
        ledger: &Arc<Ledger>,
        per_second: u32,
        only: Option<&'static str>,
    ) -> Self {
        let load = Self {
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        };
        let homes = [brokers, [brokers[1], brokers[0]]];
        let sources = ORIGINATORS
            .into_iter()
            .flat_map(|name| homes.map(|home| (name, home)));
        for (source, (originator, replicas)) in sources.enumerate() {
            let source = Source {
                originator,
                replicas,
                traffic: Traffic::new(originator, source, only),
                ledger: Arc::clone(ledger),
                per_second,
                stop: load.stop.clone(),
                waiting: BTreeMap::new(),
                unsent: VecDeque::new(),
                resting: VecDeque::new(),
                earned: 0.0,
                counted: Instant::now(),
            };
            load.tasks.spawn(source.run());
        }
        load.tasks.close();
        load
    }

    /// Asks for nothing new, and waits until everything has its answer.
    pub(super) async fn end(&self, limit: Duration) -> Result<()> {
        self.stop.cancel();
        if timeout(limit, self.tasks.wait()).await.is_err() {
            bail!("commands had no answer within {limit:?}");
        }
        Ok(())
    }
}

/// One originator at its own replica.
struct Source {
    originator: &'static str,
    /// Its own first.
    replicas: [SocketAddr; 2],
    traffic: Traffic,
    ledger: Arc<Ledger>,
    per_second: u32,
    stop: CancellationToken,
    /// Sent or about to be, and not answered. Request ids of version 7 keep the order in which they were asked for.
    waiting: BTreeMap<Uuid, v1::CommandDraft>,
    unsent: VecDeque<Uuid>,
    /// Refused for now, and when.
    resting: VecDeque<(Instant, Uuid)>,
    earned: f64,
    counted: Instant,
}

/// Requests on their way to a replica.
type Requests = mpsc::Sender<v1::SubmitCommandsRequest>;

impl Source {
    async fn run(mut self) {
        while !(self.stop.is_cancelled() && self.waiting.is_empty()) {
            for replica in self.replicas {
                if self.stream(replica).await.is_ok() {
                    break;
                }
            }
            sleep(TICK).await;
        }
    }

    /// One stream, until its time is over. An error means that the replica does not work now.
    async fn stream(&mut self, replica: SocketAddr) -> Result<()> {
        let mut client = client(replica, &format!("participant/{}", self.originator))?.commands;
        let (mut requests, receiver) = mpsc::channel(TRANSPORT_LIMIT);
        let opening = client.submit_commands(receiver);
        let mut answers = timeout(SILENCE, opening).await??.into_inner();
        self.resting.clear();
        self.unsent = self.waiting.keys().copied().collect();
        let end = Instant::now() + STREAM_AGE;
        let mut heard = Instant::now();
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while Instant::now() < end {
            tokio::select! {
                answer = answers.message() => match answer? {
                    Some(answer) => {
                        heard = Instant::now();
                        self.take(answer);
                    }
                    None => bail!("the replica ended the stream"),
                },
                _ = tick.tick() => {
                    self.ask();
                    self.send(&mut requests);
                }
            }
            if self.waiting.is_empty() {
                heard = Instant::now();
                if self.stop.is_cancelled() {
                    break;
                }
            }
            if heard.elapsed() > SILENCE {
                bail!("the replica is silent");
            }
        }
        drop(requests);
        self.finish(&mut answers).await
    }

    /// Takes the answers that are still to come.
    async fn finish(&mut self, answers: &mut Streaming<v1::SubmitCommandsResponse>) -> Result<()> {
        while let Some(answer) = timeout(SILENCE, answers.message()).await?? {
            self.take(answer);
        }
        Ok(())
    }

    /// Asks for as many commands as the rate has earned.
    fn ask(&mut self) {
        let share = f64::from(self.per_second) / 4.0;
        let passed = self.counted.elapsed();
        self.counted = Instant::now();
        let most = (share * CATCH_UP.as_secs_f64()).max(1.0);
        self.earned = (self.earned + share * passed.as_secs_f64()).min(most);
        while self.earned >= 1.0 && self.waiting.len() < WAITING_LIMIT && !self.stop.is_cancelled()
        {
            self.earned -= 1.0;
            let (draft, repeatable) = self.traffic.next();
            let request = Uuid::now_v7();
            self.ledger.ask(request, repeatable);
            self.waiting.insert(request, draft);
            self.unsent.push_back(request);
        }
    }

    /// Sends what the transport takes.
    fn send(&mut self, requests: &mut Requests) {
        while self
            .resting
            .front()
            .is_some_and(|(since, _)| since.elapsed() > REST)
        {
            self.unsent
                .extend(self.resting.pop_front().map(|(_, request)| request));
        }
        while let Some(request) = self.unsent.pop_front() {
            let Some(draft) = self.waiting.get(&request) else {
                continue;
            };
            let message = v1::SubmitCommandsRequest {
                tag: request.to_string(),
                draft: Some(draft.clone()),
                request_id: request.to_string(),
            };
            if requests.try_send(message).is_err() {
                self.unsent.push_front(request);
                return;
            }
        }
    }

    fn take(&mut self, answer: v1::SubmitCommandsResponse) {
        let Ok(request) = answer.tag.parse::<Uuid>() else {
            return;
        };
        match answer.result {
            Some(Answer::CommandId(command)) => {
                self.ledger.acknowledge(request, &command);
                self.waiting.remove(&request);
            }
            Some(Answer::Failure(failure)) if is_passing(failure.code.into()) => {
                self.resting.push_back((Instant::now(), request));
            }
            Some(Answer::Failure(failure)) => {
                self.ledger.refuse(&failure.message);
                self.waiting.remove(&request);
            }
            None => {}
        }
    }
}

/// Whether another try makes sense.
pub(super) fn is_passing(code: Code) -> bool {
    matches!(
        code,
        Code::Unavailable
            | Code::ResourceExhausted
            | Code::Aborted
            | Code::DeadlineExceeded
            | Code::Cancelled
            | Code::Internal
            | Code::Unknown
    )
}
