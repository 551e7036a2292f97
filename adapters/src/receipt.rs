//! What ties the executions of one dispatch to its delivery.
//!
//! Invariant: the delivery is handed back for acknowledgement when every one of its executions is reported and written down, and
//! not before. Executions that are dropped unreported leave it unsettled, so that RabbitMQ delivers it again.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use amqp::Delivery;
use tokio::sync::mpsc::UnboundedSender;

/// Held by each execution of a dispatch until it is reported.
#[derive(Debug, Clone)]
pub(crate) struct Receipt(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// Always there, but in tests.
    delivery: Option<Delivery>,
    redelivered: bool,
    unreported: AtomicUsize,
    /// Bounded by the prefetch: a delivery goes this way at most once.
    settled: UnboundedSender<Delivery>,
}

impl Receipt {
    /// For a delivery with so many executions.
    pub(crate) fn new(
        delivery: Delivery,
        executions: usize,
        settled: UnboundedSender<Delivery>,
    ) -> Self {
        // An operator who sends a dead letter again cannot know how far somebody came with it.
        let retried = delivery.message.number(amqp::header::RETRIES).is_some();
        let redelivered = delivery.redelivered || retried;
        let unreported = AtomicUsize::new(executions);
        Self(Arc::new(Shared {
            delivery: Some(delivery),
            redelivered,
            unreported,
            settled,
        }))
    }

    /// There are so many more to be reported, or written down. Only by somebody who holds a receipt that is not reported yet.
    pub(crate) fn expect(&self, more: usize) {
        self.0.unreported.fetch_add(more, Ordering::AcqRel);
    }

    /// One more is.
    pub(crate) fn reported(&self) {
        self.0.unreported.fetch_sub(1, Ordering::AcqRel);
    }

    /// Whether the dispatch may have been here or elsewhere before.
    pub(crate) fn is_redelivered(&self) -> bool {
        self.0.redelivered
    }

    /// Whether the delivery can still be settled. Otherwise it comes again, perhaps to another adapter.
    pub(crate) fn is_current(&self) -> bool {
        self.0.delivery.as_ref().is_none_or(Delivery::is_current)
    }

    /// How many are still to come.
    #[cfg(test)]
    pub(crate) fn unreported(&self) -> usize {
        self.0.unreported.load(Ordering::Acquire)
    }

    #[cfg(test)]
    pub(crate) fn of_test(redelivered: bool) -> Self {
        let (settled, _) = tokio::sync::mpsc::unbounded_channel();
        let unreported = AtomicUsize::new(1);
        Self(Arc::new(Shared {
            delivery: None,
            redelivered,
            unreported,
            settled,
        }))
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if let Some(delivery) = self.delivery.take()
            && *self.unreported.get_mut() == 0
        {
            // Nobody listens any more only when the process ends, and then the delivery comes again.
            let _ = self.settled.send(delivery);
        }
    }
}
