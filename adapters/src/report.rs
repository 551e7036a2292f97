//! Reports on their way to the broker: gathered while the last message waits for its confirm, published, confirmed.
//!
//! Invariant: nothing is dropped. A message that RabbitMQ did not take is published again, with the same id, for as long as
//! it takes; meanwhile deliveries stay unsettled, and so nothing new comes in. A report that RabbitMQ will not have is set
//! aside and tried between the others, so that it keeps nobody else from being heard. Each message says how far the
//! adapter has come; without reports, a message says that alone from time to time, as long as it changes.
//! Not here: what is reported, and acknowledging (`receipt`).

mod short;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use amqp::{
    Message, PublishError, Publisher,
    envelope::{ExecutionReport, Progress, REPORT_TYPE, SignedStatements},
    gathering, header,
};
use domain::{ParticipantId, Timestamp, receipt::Digest};
use serde::Serialize;
use serde_json::value::RawValue;
use service::{backoff::Backoff, exit::Chain};
use tokio::{
    sync::mpsc,
    task::yield_now,
    time::{Instant, sleep, sleep_until, timeout_at},
};
use tracing::{error, warn};
use uuid::Uuid;

use crate::{config, metrics, progress::HowFar, receipt::Receipt, signing::Signing};

/// What the messages say about who sent them.
const APP_ID: &str = concat!("adapter/", env!("CARGO_PKG_VERSION"));

/// Reports that are set aside at most. When there are more, RabbitMQ takes nothing at all, and we wait for it.
const ASIDE_LIMIT: usize = 16;

/// Takes messages; RabbitMQ, but in tests.
pub(crate) trait Outlet: Send + Sync {
    /// Returns once it is confirmed.
    fn publish(
        &self,
        exchange: &str,
        message: &Message,
    ) -> impl Future<Output = Result<(), PublishError>> + Send;

    /// Nothing more comes.
    fn close(self) -> impl Future<Output = ()> + Send;
}

impl Outlet for Publisher {
    async fn publish(&self, exchange: &str, message: &Message) -> Result<(), PublishError> {
        Self::publish(self, exchange, "", message).await
    }

    async fn close(self) {
        Self::close(&self).await;
    }
}

/// One execution's report.
#[derive(Debug)]
pub(crate) struct Reportable {
    /// An [`ExecutionReport`] as JSON.
    pub(crate) report: Arc<RawValue>,
    /// The leaf of its statement, where it has one.
    pub(crate) leaf: Option<Digest>,
    /// The trace context of the span that it is about.
    pub(crate) traceparent: Option<String>,
    /// The dispatch that waits for it; none where it was released before.
    pub(crate) receipt: Option<Receipt>,
    /// The dispatch that cancelled it.
    pub(crate) asked_by: Option<Receipt>,
}

impl Reportable {
    /// Writes the report down, as much of it as fits.
    pub(crate) fn new(report: &ExecutionReport, receipt: Option<Receipt>) -> Self {
        Self {
            report: short::written(report, short::EXECUTION_BYTES).into(),
            leaf: report.statement().map(|statement| statement.leaf()),
            traceparent: report.traceparent.clone(),
            receipt,
            asked_by: None,
        }
    }
}

/// The leaf of a report that was written down earlier.
pub(crate) fn leaf_of(report: &RawValue) -> Option<Digest> {
    let report: ExecutionReport = serde_json::from_str(report.get()).ok()?;
    Some(report.statement()?.leaf())
}

/// A [`amqp::envelope::Report`] whose executions are JSON already.
#[derive(Serialize)]
struct Body<'a> {
    participant: &'a ParticipantId,
    executions: Vec<&'a RawValue>,
    #[serde(skip_serializing_if = "<[Progress]>::is_empty")]
    progress: &'a [Progress],
    #[serde(skip_serializing_if = "Option::is_none")]
    receipts: Option<SignedStatements>,
}

/// Publishes reports until all who can report are gone.
pub(crate) struct Reporter<P = Publisher> {
    publisher: P,
    signing: Arc<Signing>,
    exchange: String,
    participant: ParticipantId,
    settings: config::Report,
    reports: mpsc::Receiver<Reportable>,
    /// What RabbitMQ would not have; the next to be tried is the first.
    aside: VecDeque<Reportable>,
    /// When.
    aside_due: Instant,
    how_far: HowFar,
    /// What the last message that was taken said of it.
    said: Vec<Progress>,
    /// When it is to be said again, if it has changed.
    progress_due: Instant,
}

impl<P: Outlet> Reporter<P> {
    /// Publishes to the participant's own entry exchange.
    pub(crate) fn new(
        configuration: &config::Configuration,
        (publisher, signing): (P, Arc<Signing>),
        reports: mpsc::Receiver<Reportable>,
        how_far: HowFar,
    ) -> Self {
        let participant = configuration.participant.clone();
        let exchange = configuration.topology().entry_exchange(&participant);
        let settings = configuration.report;
        Self {
            publisher,
            signing,
            exchange,
            participant,
            settings,
            reports,
            aside: VecDeque::new(),
            aside_due: Instant::now(),
            how_far,
            said: Vec::new(),
            progress_due: Instant::now() + settings.progress_every,
        }
    }

    /// Runs until nobody can report any more and everything is confirmed.
    pub(crate) async fn run(mut self) {
        let mut gathered = Vec::new();
        while self.gather(&mut gathered).await {
            let fitting = fitting(&gathered, self.settings.bytes_per_message);
            let rest = gathered.split_off(fitting);
            let most = self.settings.executions_per_message;
            let next = Instant::now() + gathering::time_after(fitting, most);
            self.deliver(gathered).await;
            gathered = rest;
            self.retry_aside().await;
            self.say_how_far().await;
            sleep_until(next).await;
        }
        self.give_up_aside().await;
        self.publisher.close().await;
    }

    /// All together, or one by one where RabbitMQ will not have them together.
    async fn deliver(&mut self, reports: Vec<Reportable>) {
        if reports.len() > 1 && self.publish(&reports).await {
            return confirmed(reports);
        }
        for one in reports {
            self.deliver_one(one).await;
        }
    }

    /// Says how far the adapter has come where no report said it for too long. Tried once: the next one says it too.
    async fn say_how_far(&mut self) {
        let progress = self.how_far.all();
        if self.progress_due > Instant::now() {
            return;
        }
        self.progress_due = Instant::now() + self.settings.progress_every;
        if progress == self.said {
            return;
        }
        let message = self.message(&[], &progress);
        match self.publisher.publish(&self.exchange, &message).await {
            Ok(()) => self.said = progress,
            Err(error) => log(&message, &error, self.settings.progress_every),
        }
    }

    async fn deliver_one(&mut self, report: Reportable) {
        let report = vec![report];
        if self.publish(&report).await {
            return confirmed(report);
        }
        self.aside_due = Instant::now() + self.settings.pause.max;
        self.aside.extend(report);
    }

    /// Tries one of those that were set aside, now and then.
    async fn retry_aside(&mut self) {
        if self.aside_due <= Instant::now()
            && let Some(one) = self.aside.pop_front()
        {
            self.deliver_one(one).await;
        }
    }

    /// A last try. What still waits for its receipt is delivered and answered again later; a job's end is lost.
    async fn give_up_aside(&mut self) {
        for one in std::mem::take(&mut self.aside) {
            let message = self.message(std::slice::from_ref(&one), &self.how_far.all());
            match self.publisher.publish(&self.exchange, &message).await {
                Ok(()) => confirmed(vec![one]),
                Err(error) => error!(
                    message.id = message.message_id,
                    error = %Chain(&error),
                    "a report was never taken; its execution may end unanswered"
                ),
            }
        }
    }

    /// Takes what is there, and waits only if that is nothing. `false` at the end.
    async fn gather(&mut self, gathered: &mut Vec<Reportable>) -> bool {
        let most = self.settings.executions_per_message;
        if gathered.is_empty() {
            let due = if self.aside.is_empty() {
                self.progress_due
            } else {
                self.progress_due.min(self.aside_due)
            };
            let receiving = self.reports.recv_many(gathered, most);
            let Ok(count) = timeout_at(due, receiving).await else {
                // There is still what was set aside, and how far we are.
                return true;
            };
            if count == 0 {
                return false;
            }
            // What ends at the same moment goes together.
            yield_now().await;
        }
        while gathered.len() < most
            && let Ok(report) = self.reports.try_recv()
        {
            gathered.push(report);
        }
        true
    }

    /// Tries for as long as it takes. `false` where RabbitMQ will not have it, and there is room to set it aside.
    async fn publish(&mut self, reports: &[Reportable]) -> bool {
        let progress = self.how_far.all();
        let mut message = self.message(reports, &progress);
        metrics::report_published(reports.len());
        let mut pauses = Backoff::new(self.settings.pause);
        while let Err(error) = self.publisher.publish(&self.exchange, &message).await {
            let pause = pause_after(&error, pauses.next_delay());
            log(&message, &error, pause);
            if is_final(&error) && self.aside.len() < ASIDE_LIMIT {
                return false;
            }
            sleep(pause).await;
            self.signing.sign(&mut message);
        }
        self.said = progress;
        self.progress_due = Instant::now() + self.settings.progress_every;
        true
    }

    /// One signature for all that has ended.
    fn receipts(&self, reports: &[Reportable]) -> Option<SignedStatements> {
        let leaves: Vec<_> = reports.iter().filter_map(|one| one.leaf).collect();
        self.signing.statements(&leaves)
    }

    fn message(&self, reports: &[Reportable], progress: &[Progress]) -> Message {
        let body = Body {
            participant: &self.participant,
            executions: reports.iter().map(|one| &*one.report).collect(),
            progress,
            receipts: self.receipts(reports),
        };
        let count = i64::try_from(reports.len()).unwrap_or(i64::MAX);
        let mut headers = BTreeMap::from([(header::COUNT.to_owned(), count.into())]);
        // A batch holds many traces; only a message with one report belongs to one.
        if let [
            Reportable {
                traceparent: Some(traceparent),
                ..
            },
        ] = reports
        {
            headers.insert(header::TRACEPARENT.to_owned(), traceparent.as_str().into());
        }
        let mut message = Message {
            message_id: Uuid::now_v7().to_string(),
            kind: REPORT_TYPE.to_owned(),
            app_id: APP_ID.to_owned(),
            timestamp: Timestamp::from(std::time::SystemTime::now()),
            correlation_id: None,
            headers,
            body: serde_json::to_vec(&body).expect("ids and JSON can be written as JSON"),
        };
        self.signing.sign(&mut message);
        message
    }
}

/// Our own pause, or RabbitMQ's where that is longer.
fn pause_after(error: &PublishError, own: Duration) -> Duration {
    match error {
        PublishError::Unavailable { retry_after, .. } => own.max(*retry_after),
        _ => own,
    }
}

/// Whether this message, as it is, will not be taken: too large, or for an exchange that is closed to us.
fn is_final(error: &PublishError) -> bool {
    matches!(
        error,
        PublishError::TooLong { .. } | PublishError::Denied { .. }
    )
}

fn log(message: &Message, error: &PublishError, pause: Duration) {
    metrics::report_refused();
    warn!(
        message.id = message.message_id,
        error = %Chain(error),
        retry_in_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX),
        "a report was not taken"
    );
}

/// How many of the first reports fit into a message; one always does.
fn fitting(reports: &[Reportable], bytes: usize) -> usize {
    let mut room = bytes;
    let mut count = 0;
    for one in reports {
        let length = one.report.get().len();
        if count > 0 && length > room {
            break;
        }
        room = room.saturating_sub(length);
        count += 1;
    }
    count
}

fn confirmed(reports: Vec<Reportable>) {
    for one in reports {
        for receipt in [one.receipt, one.asked_by].into_iter().flatten() {
            receipt.reported();
        }
    }
}

#[cfg(test)]
mod tests;
