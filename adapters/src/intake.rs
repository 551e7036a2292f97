//! What comes from the participant's queue: dispatches, taken apart into orders, and acknowledged when all are reported.
//!
//! Invariant: it reads one queue and declares nothing. An order that cannot be read leaves its neighbours unharmed; a
//! message that is no dispatch at all goes to the dead letters, is counted and logged once.
//! Not here: carrying out (`worker`).

use std::sync::Arc;

use amqp::{
    Consumer, Delivery, SettleError,
    envelope::{DISPATCH_TYPE, Dispatch, ExecutionReport, Order, ReportedOutcome},
};
use domain::{
    ExecutionId, Fault, ParticipantId, Timestamp,
    fault::{Again, FaultCode, Side},
};
use serde::Deserialize;
use serde_json::value::RawValue;
use service::exit::Chain;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tracing::{info, warn};

use crate::{
    journal::{Journal, JournalError},
    lanes::Lanes,
    metrics::{self, Unreadable},
    receipt::Receipt,
    report::Reportable,
    worker::Work,
};

/// Reads until shutdown, and then acknowledges until everything that began is reported.
pub(crate) struct Intake {
    consumer: Consumer,
    participant: ParticipantId,
    lanes: Arc<Lanes<Work>>,
    journal: Journal,
    settle: UnboundedSender<Delivery>,
    settled: UnboundedReceiver<Delivery>,
}

/// What one order of a dispatch is.
#[derive(Debug)]
enum Read {
    Order(Box<Order>),
    /// It cannot be carried out, but it can be reported.
    Faulty(ExecutionId, Fault),
    /// Not even that: it is counted and logged, and nobody can be told. Its execution ends `unanswered` at the broker.
    Unreadable(String),
}

/// All that is needed to report an order that cannot be read.
#[derive(Deserialize)]
struct Identified {
    execution: ExecutionId,
}

impl Intake {
    pub(crate) fn new(
        consumer: Consumer,
        participant: ParticipantId,
        lanes: Arc<Lanes<Work>>,
        journal: Journal,
    ) -> Self {
        let (settle, settled) = unbounded_channel();
        Self {
            consumer,
            participant,
            lanes,
            journal,
            settle,
            settled,
        }
    }

    /// Runs until shutdown and the end of everything that had begun by then.
    pub(crate) async fn run(mut self) -> Result<(), JournalError> {
        loop {
            tokio::select! {
                delivery = self.consumer.next() => match delivery {
                    Some(delivery) => self.take(delivery).await?,
                    None => break,
                },
                Some(delivery) = self.settled.recv() => acknowledge(delivery).await,
            }
        }
        self.drain().await;
        Ok(())
    }

    /// What has not begun is dropped, and goes back when the channel closes: all at once, so in order.
    async fn drain(self) {
        let Self {
            consumer,
            lanes,
            journal,
            settle,
            mut settled,
            ..
        } = self;
        lanes.close();
        drop((settle, journal));
        while let Some(delivery) = settled.recv().await {
            acknowledge(delivery).await;
        }
        consumer.close().await;
    }

    async fn take(&self, mut delivery: Delivery) -> Result<(), JournalError> {
        if delivery.redelivered {
            metrics::redelivered();
        }
        let body = std::mem::take(&mut delivery.message.body);
        let dispatch = match read_dispatch(&delivery.message.kind, &body, &self.participant) {
            Ok(dispatch) => dispatch,
            Err(why) => {
                dead_letter(delivery, &why).await;
                return Ok(());
            }
        };
        let receipt = Receipt::new(delivery, dispatch.executions.len(), self.settle.clone());
        for order in &dispatch.executions {
            self.hand_on(
                read_order(order, &self.participant),
                &dispatch.sent_before,
                receipt.clone(),
            )
            .await?;
        }
        Ok(())
    }

    async fn hand_on(
        &self,
        read: Read,
        sent_before: &[u64],
        receipt: Receipt,
    ) -> Result<(), JournalError> {
        match read {
            Read::Order(order) => {
                let configuration = order.configuration.clone();
                self.lanes.push(
                    &configuration,
                    Work {
                        sent_before: sent_before.contains(&order.sequence),
                        order: *order,
                        receipt,
                    },
                );
                Ok(())
            }
            Read::Faulty(execution, fault) => {
                metrics::unreadable(Unreadable::Order);
                warn!(execution.id = %execution, fault.message = fault.message, "an order cannot be carried out");
                let outcome = ReportedOutcome::Failed(fault);
                let reported_at = Timestamp::from(std::time::SystemTime::now());
                let report = ExecutionReport {
                    execution,
                    outcome,
                    results: Vec::new(),
                    reported_at,
                };
                metrics::execution(&report.outcome);
                self.journal
                    .answer(Reportable::new(&report, None, Some(receipt)))
                    .await
            }
            Read::Unreadable(why) => {
                metrics::unreadable(Unreadable::Unidentified);
                warn!(
                    reason = why,
                    "an order cannot be read, nor whose it is; it ends unanswered"
                );
                receipt.reported();
                Ok(())
            }
        }
    }
}

/// The dispatch in a message, each order still to be read; or why it is none for us.
fn read_dispatch<'a>(
    kind: &str,
    body: &'a [u8],
    participant: &ParticipantId,
) -> Result<Dispatch<'a>, String> {
    // Somebody who publishes by hand may leave the type out.
    if !kind.is_empty() && kind != DISPATCH_TYPE {
        return Err(format!("its type is not {DISPATCH_TYPE}"));
    }
    let dispatch: Dispatch<'a> = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    if dispatch.participant != *participant {
        return Err(format!(
            "it is for the participant {}",
            dispatch.participant
        ));
    }
    Ok(dispatch)
}

fn read_order(order: &RawValue, participant: &ParticipantId) -> Read {
    let error = match serde_json::from_str::<Order>(order.get()) {
        Ok(order) if order.execution.participant == *participant => {
            return Read::Order(Box::new(order));
        }
        Ok(order) => format!("it is for the participant {}", order.execution.participant),
        Err(error) => error.to_string(),
    };
    match serde_json::from_str::<Identified>(order.get()) {
        Ok(Identified { execution }) if execution.participant == *participant => {
            let message = format!("the adapter cannot read the order: {error}");
            let side = Side::Federation;
            Read::Faulty(
                execution,
                Fault::new(FaultCode::UnreadableOrder, side, Again::Never, &message),
            )
        }
        _ => Read::Unreadable(error),
    }
}

async fn acknowledge(delivery: Delivery) {
    let message_id = delivery.message.message_id.clone();
    log_unsettled(&message_id, delivery.ack().await);
}

async fn dead_letter(delivery: Delivery, why: &str) {
    metrics::unreadable(Unreadable::Message);
    let message_id = delivery.message.message_id.clone();
    warn!(
        message.id = message_id,
        reason = why,
        "a message is no dispatch; it goes to the dead letters"
    );
    log_unsettled(&message_id, delivery.reject(false).await);
}

/// It comes again, and is answered from the journal.
fn log_unsettled(message_id: &str, settled: Result<(), SettleError>) {
    if let Err(error) = settled {
        info!(message.id = message_id, error = %Chain(&error), "a delivery was not settled");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORDER: &str = r#"{
        "execution": "01890a5d-ac96-774b-bcce-b302099a8057_cdn-b", "sequence": 1, "configuration": "shop",
        "operation": "purge", "repeatable": true, "accepted_at": 1, "native": [], "more": "from a newer broker"
    }"#;

    fn participant() -> ParticipantId {
        "cdn-b".parse().unwrap()
    }

    fn order(text: &str) -> Read {
        let text = RawValue::from_string(text.to_owned()).unwrap();
        read_order(&text, &participant())
    }

    /// A broker that is newer than the adapter may say more.
    #[test]
    fn a_member_that_is_not_known_is_passed_over() {
        assert!(matches!(order(ORDER), Read::Order(read) if read.configuration.as_str() == "shop"));
    }

    /// The originator hears of an order that cannot be read, as long as we know whose it is.
    #[test]
    fn an_order_that_cannot_be_read_is_reported_where_its_id_can() {
        let broken = ORDER.replace("\"shop\"", "7");
        assert!(
            matches!(order(&broken), Read::Faulty(_, fault) if fault.code == FaultCode::UnreadableOrder)
        );
        assert!(matches!(order("{}"), Read::Unreadable(_)));
        assert!(matches!(order("7"), Read::Unreadable(_)));
        assert!(matches!(
            order(&ORDER.replace("_cdn-b", "_cdn-c")),
            Read::Unreadable(_)
        ));
    }

    /// Only a dispatch for this participant is taken; one bad order in it is not its end.
    #[test]
    fn a_message_is_a_dispatch_for_this_participant_or_nothing() {
        let dispatch = format!(r#"{{"participant":"cdn-b","executions":[{ORDER},7,null]}}"#);
        let read = |kind: &str, body: &str| {
            read_dispatch(kind, body.as_bytes(), &participant())
                .map(|dispatch| dispatch.executions.len())
        };
        assert_eq!(read(DISPATCH_TYPE, &dispatch), Ok(3));
        assert_eq!(read("", &dispatch), Ok(3));
        assert!(read("federation.report.v1", &dispatch).is_err());
        assert!(read("", &dispatch.replace("\"cdn-b\",", "\"cdn-c\",")).is_err());
        assert!(read("", "hello").is_err());
    }
}
