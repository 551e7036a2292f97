//! What comes from the participant's queue: dispatches, taken apart into orders, and acknowledged when all are reported.
//!
//! Invariant: it reads one queue and declares nothing. An order that cannot be read leaves its neighbours unharmed; a
//! message that is no dispatch at all, or whose signature is not the broker's, goes to the dead letters, is counted and logged
//! once. What is cancelled while it waits is taken out and reported; a dispatch is acknowledged only when its orders, those that
//! they absorbed, and those that it cancelled are all reported and written down.
//! Not here: carrying out (`worker`).
//!
//! How a delivery ends:
//! - acknowledged: everything in it is reported and written down, and RabbitMQ has confirmed the reports. A failed execution is
//!   reported, too.
//! - rejected without requeue: it is no dispatch for us, and would be none the next time. It goes to the dead letters.
//! - never answered with `nack`: what is not done at shutdown, what a broken journal could not write down, and what a lost
//!   connection left goes back all at once when the connection is cut, in order, ahead of what was not delivered yet.
//!   One by one, the next consumer could be given the later ones first (`amqp::Consumer`).
//!
//! At SIGTERM nothing more is taken; what waits is dropped, what is under way goes on and is reported and acknowledged
//! for at most `drain_time`; a second signal ends the process at once. What was cut off by that goes back.

mod read;

use std::{collections::HashMap, sync::Arc};

use amqp::{
    Consumer, Delivery, SettleError,
    envelope::{Absorbed, ExecutionReport, MappingDocument, Order, ReportedOutcome},
};
use domain::{ExecutionId, Fault, ParticipantId, signing::SealError};
use service::exit::Chain;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tracing::{info, warn};

use self::read::{Read, read_dispatch, read_order};
use crate::{
    ending,
    journal::{JournalError, now},
    lanes::Lanes,
    metrics::{self, Unreadable},
    progress::HowFar,
    receipt::Receipt,
    report::Reportable,
    signing::Signing,
    worker::{Work, Worker},
};

/// Reads until shutdown, and then acknowledges until everything that began is reported.
pub(crate) struct Intake {
    consumer: Consumer,
    participant: ParticipantId,
    lanes: Arc<Lanes<Work>>,
    worker: Arc<Worker>,
    how_far: HowFar,
    signing: Arc<Signing>,
    settle: UnboundedSender<Delivery>,
    settled: UnboundedReceiver<Delivery>,
}

/// Orders that are read before they go into their lanes together: less calls for workers, and the first need not wait for the last.
const TOGETHER: usize = 32;

/// Executions whose work another one of the same dispatch does too, by the sequence of that one.
type ByAbsorber = HashMap<u64, Vec<ExecutionId>>;

impl Intake {
    pub(crate) fn new(
        consumer: Consumer,
        participant: ParticipantId,
        lanes: Arc<Lanes<Work>>,
        worker: Arc<Worker>,
        (how_far, signing): (HowFar, Arc<Signing>),
    ) -> Self {
        let (settle, settled) = unbounded_channel();
        Self {
            consumer,
            participant,
            lanes,
            worker,
            how_far,
            signing,
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
            worker,
            settle,
            mut settled,
            ..
        } = self;
        lanes.close();
        drop((settle, worker));
        while let Some(delivery) = settled.recv().await {
            acknowledge(delivery).await;
        }
        consumer.close().await;
    }

    async fn take(&self, mut delivery: Delivery) -> Result<(), JournalError> {
        if delivery.redelivered {
            metrics::redelivered();
        }
        // Before anything of the body is believed.
        if let Err(why) = self.signing.check(&delivery.message) {
            not_believed(delivery, why).await;
            return Ok(());
        }
        let body = std::mem::take(&mut delivery.message.body);
        let dispatch = match read_dispatch(&delivery.message.kind, &body, &self.participant) {
            Ok(dispatch) => dispatch,
            Err(why) => {
                dead_letter(delivery, &why).await;
                return Ok(());
            }
        };
        let parts = dispatch.executions.len() + dispatch.absorbed.len();
        let receipt = Receipt::new(delivery, parts, self.settle.clone());
        // First of all, so that nothing of the same message is begun in spite of it.
        self.worker.ledger.cancel(&dispatch.cancels);
        let mut together = Vec::with_capacity(TOGETHER.min(dispatch.executions.len()));
        let mut look_for_cancelled = !dispatch.cancels.is_empty();
        let mut absorbed = self.by_absorber(dispatch.shard, &dispatch.absorbed, &receipt);
        let mappings: Vec<_> = dispatch.mappings.into_iter().map(Arc::new).collect();
        for raw in &dispatch.executions {
            let order = match read_order(raw, &self.participant) {
                Read::Order(order) => *order,
                Read::Faulty(execution, fault) => {
                    self.report_faulty(execution, fault, &receipt).await?;
                    continue;
                }
                Read::Unreadable(why) => {
                    unidentified(&why, &receipt);
                    continue;
                }
            };
            self.how_far.read(dispatch.shard, order.sequence);
            let work = Work {
                sent_before: dispatch.sent_before.contains(&order.sequence),
                absorbed: absorbed.remove(&order.sequence).unwrap_or_default(),
                mapping: mapping_of(&order, &mappings),
                told: self.signing.told(&order, raw),
                order,
                receipt: receipt.clone(),
                asked_by: None,
            };
            look_for_cancelled |= self.see(&work);
            together.push((work.order.configuration.clone(), work));
            if together.len() == TOGETHER {
                self.lanes.push(together.drain(..));
            }
        }
        self.lanes.push(together);
        for orphans in absorbed.into_values() {
            let why = "its order is not in the message, or cannot be read";
            ending::orphan(&self.worker.journal, &orphans, why, &receipt).await?;
        }
        if look_for_cancelled {
            self.end_cancelled(&receipt).await?;
        }
        Ok(())
    }

    fn by_absorber(&self, shard: u16, absorbed: &[Absorbed], receipt: &Receipt) -> ByAbsorber {
        let mut by_absorber = ByAbsorber::new();
        for one in absorbed {
            if one.execution.participant != self.participant {
                unidentified("an absorbed execution is another participant's", receipt);
                continue;
            }
            self.how_far.read(shard, one.sequence);
            let together = by_absorber.entry(one.by).or_default();
            together.push(one.execution.clone());
        }
        by_absorber
    }

    /// Says whether it was cancelled before it came.
    fn see(&self, work: &Work) -> bool {
        let execution = &work.order.execution;
        self.worker.ledger.see(execution, work.comes_again());
        work.can_be_cancelled() && self.worker.ledger.is_cancelled(execution)
    }

    /// Takes what is cancelled and has not begun out of the lanes, and ends it. The dispatch that cancelled it is held for it.
    async fn end_cancelled(&self, receipt: &Receipt) -> Result<(), JournalError> {
        let ledger = &self.worker.ledger;
        let cancelled = self
            .lanes
            .take_out(|work| work.can_be_cancelled() && ledger.is_cancelled(&work.order.execution));
        receipt.expect(cancelled.len());
        for work in cancelled {
            let asked_by = Some(receipt.clone());
            self.worker.cancel(Work { asked_by, ..work }).await?;
        }
        Ok(())
    }

    async fn report_faulty(
        &self,
        execution: ExecutionId,
        fault: Fault,
        receipt: &Receipt,
    ) -> Result<(), JournalError> {
        metrics::unreadable(Unreadable::Order);
        warn!(execution.id = %execution, fault.message = fault.message, "an order cannot be carried out");
        let report = ExecutionReport {
            execution,
            outcome: ReportedOutcome::Failed(fault),
            results: Vec::new(),
            reported_at: now(),
            traceparent: None,
            absorbed_by: None,
            told: None,
        };
        metrics::execution(&report.outcome);
        let reportable = Reportable::new(&report, Some(receipt.clone()));
        self.worker.journal.answer(reportable).await
    }
}

/// The document that an order's calls were made by. An order for an API has calls of one dialect only.
fn mapping_of(order: &Order, mappings: &[Arc<MappingDocument>]) -> Option<Arc<MappingDocument>> {
    let native = order.native.first()?;
    let is_it = |mapping: &&Arc<MappingDocument>| {
        mapping.name == native.dialect && Some(mapping.version) == native.mapping
    };
    mappings.iter().find(is_it).cloned()
}

/// Nobody can be told of it.
fn unidentified(why: &str, receipt: &Receipt) {
    metrics::unreadable(Unreadable::Unidentified);
    warn!(
        reason = why,
        "an order cannot be read, nor whose it is; it ends unanswered"
    );
    receipt.reported();
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

/// Somebody else wrote it, or it is played back.
async fn not_believed(delivery: Delivery, why: SealError) {
    metrics::not_believed(why);
    let message_id = delivery.message.message_id.clone();
    warn!(
        message.id = message_id,
        error = %Chain(&why),
        "nobody can vouch for a dispatch; it goes to the dead letters"
    );
    log_unsettled(&message_id, delivery.reject(false).await);
}

/// It comes again, and is answered from the journal, or carried out again where it may be repeated.
fn log_unsettled(message_id: &str, settled: Result<(), SettleError>) {
    if let Err(error) = settled {
        info!(message.id = message_id, error = %Chain(&error), "a delivery was not settled");
    }
}
