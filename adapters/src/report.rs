//! Reports on their way to the broker: gathered while the last message waits for its confirm, published, confirmed.
//!
//! Invariant: nothing is dropped. A message that RabbitMQ did not take is published again, with the same id, for as long as
//! it takes; meanwhile deliveries stay unsettled, and so nothing new comes in.
//! Not here: what is reported, and acknowledging (`receipt`).

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use amqp::{
    Message, PublishError, Publisher,
    envelope::{ExecutionReport, REPORT_TYPE},
    header,
};
use domain::{ParticipantId, Timestamp};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use service::{backoff::Backoff, exit::Chain};
use tokio::{sync::mpsc, time::sleep};
use tracing::warn;
use uuid::Uuid;

use crate::{config, metrics, receipt::Receipt};

/// What the messages say about who sent them.
const APP_ID: &str = concat!("adapter/", env!("CARGO_PKG_VERSION"));

/// One execution's report.
#[derive(Debug)]
pub(crate) struct Reportable {
    /// An [`ExecutionReport`] as JSON.
    pub(crate) report: Arc<RawValue>,
    /// The trace context of the command.
    pub(crate) traceparent: Option<String>,
    /// The dispatch that waits for it; none where it was released before.
    pub(crate) receipt: Option<Receipt>,
}

impl Reportable {
    /// Writes the report down.
    pub(crate) fn new(
        report: &ExecutionReport,
        traceparent: Option<String>,
        receipt: Option<Receipt>,
    ) -> Self {
        let report = to_raw_value(report).expect("a report's maps have text for their keys");
        Self {
            report: report.into(),
            traceparent,
            receipt,
        }
    }
}

/// A [`amqp::envelope::Report`] whose executions are JSON already.
#[derive(Serialize)]
struct Body<'a> {
    participant: &'a ParticipantId,
    executions: Vec<&'a RawValue>,
}

/// Publishes reports until all who can report are gone.
pub(crate) struct Reporter {
    publisher: Publisher,
    exchange: String,
    participant: ParticipantId,
    settings: config::Report,
    reports: mpsc::Receiver<Reportable>,
}

impl Reporter {
    /// Publishes to the participant's own entry exchange.
    pub(crate) fn new(
        configuration: &config::Configuration,
        publisher: Publisher,
        reports: mpsc::Receiver<Reportable>,
    ) -> Self {
        let participant = configuration.participant.clone();
        let exchange = configuration.topology().entry_exchange(&participant);
        let settings = configuration.report;
        Self {
            publisher,
            exchange,
            participant,
            settings,
            reports,
        }
    }

    /// Runs until nobody can report any more and everything is confirmed.
    pub(crate) async fn run(mut self) {
        let mut gathered = Vec::new();
        while self.gather(&mut gathered).await {
            let fitting = fitting(&gathered, self.settings.bytes_per_message);
            let rest = gathered.split_off(fitting);
            self.publish(&gathered).await;
            confirmed(gathered);
            gathered = rest;
        }
        self.publisher.close().await;
    }

    /// Takes what is there, and waits only if that is nothing. `false` at the end.
    async fn gather(&mut self, gathered: &mut Vec<Reportable>) -> bool {
        let most = self.settings.executions_per_message;
        if gathered.is_empty() {
            return self.reports.recv_many(gathered, most).await > 0;
        }
        while gathered.len() < most
            && let Ok(report) = self.reports.try_recv()
        {
            gathered.push(report);
        }
        true
    }

    async fn publish(&self, reports: &[Reportable]) {
        let message = self.message(reports);
        metrics::report_published(reports.len());
        let mut pauses = Backoff::new(self.settings.pause);
        while let Err(error) = self.publisher.publish(&self.exchange, "", &message).await {
            let pause = pause_after(&error, pauses.next_delay());
            log(&message, &error, pause);
            sleep(pause).await;
        }
    }

    fn message(&self, reports: &[Reportable]) -> Message {
        let body = Body {
            participant: &self.participant,
            executions: reports.iter().map(|one| &*one.report).collect(),
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
        Message {
            message_id: Uuid::now_v7().to_string(),
            kind: REPORT_TYPE.to_owned(),
            app_id: APP_ID.to_owned(),
            timestamp: Timestamp::from(std::time::SystemTime::now()),
            correlation_id: None,
            headers,
            body: serde_json::to_vec(&body).expect("ids and JSON can be written as JSON"),
        }
    }
}

/// Our own pause, or RabbitMQ's where that is longer.
fn pause_after(error: &PublishError, own: Duration) -> Duration {
    match error {
        PublishError::Unavailable { retry_after, .. } => own.max(*retry_after),
        _ => own,
    }
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
    for receipt in reports.into_iter().filter_map(|one| one.receipt) {
        receipt.reported();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_length(length: usize) -> Reportable {
        let text = format!("\"{}\"", "x".repeat(length - 2));
        let report = RawValue::from_string(text).unwrap().into();
        Reportable {
            report,
            traceparent: None,
            receipt: None,
        }
    }

    /// A message that RabbitMQ would refuse for its size would be refused for ever.
    #[test]
    fn a_message_holds_what_fits_and_at_least_one() {
        let reports = [of_length(400), of_length(400), of_length(400)];
        assert_eq!(fitting(&reports, 1_000), 2);
        assert_eq!(fitting(&reports, 10_000), 3);
        assert_eq!(fitting(&reports, 100), 1);
        assert_eq!(fitting(&[], 100), 0);
    }
}
