//! How much is everybody told? Looked at while planning, so that a plan promises nothing that its command is refused for.
//!
//! Invariant: a participant is told no more than one message holds, and all together no more than one call to the store may
//! bring: that call keeps everybody else in the shard waiting while it lasts.

use amqp::envelope::NativeOrder;
use domain::{Fidelity, limits};

use crate::{error::Error, translate::PlannedExecution};

/// What an order holds besides its calls: ids, trace context, what is looked at afterwards.
const AROUND_CALLS: usize = 192 * 1024;
/// What a call holds in JSON besides its texts, and a server besides its id.
const AROUND_TEXTS: usize = 256;
/// The longest that JSON writes for one byte: `\u0000`.
const ESCAPED: usize = 6;

/// Takes out whoever would be told more than one message holds, and refuses what is too much for all together.
pub fn weigh(executions: &mut [PlannedExecution]) -> Result<(), Error> {
    let mut total = 0_usize;
    for execution in executions {
        let bytes = bytes_of(&execution.native)?;
        if bytes > limits::ORDER_BYTES - AROUND_CALLS {
            refuse(execution);
        } else {
            total = total.saturating_add(bytes);
        }
    }
    if total <= limits::COMMAND_BYTES {
        return Ok(());
    }
    let rule = format!(
        "must not come to more than {} bytes for all participants together, and comes to {total} (COMMAND_BYTES): ask in several commands",
        limits::COMMAND_BYTES
    );
    Err(Error::invalid("draft.selectors", rule))
}

fn refuse(execution: &mut PlannedExecution) {
    let why = format!(
        "what it would be told has more than {} bytes (ORDER_BYTES): ask in several commands",
        limits::ORDER_BYTES
    );
    execution.fidelity = Fidelity::Impossible { why };
    execution.native.clear();
}

/// The bytes of these calls as JSON; at most so many where that is little, for most commands are far from any limit.
fn bytes_of(orders: &[NativeOrder]) -> Result<usize, Error> {
    let at_most = orders.iter().map(at_most).sum();
    if at_most <= limits::ORDER_BYTES / 64 {
        return Ok(at_most);
    }
    let mut counter = Counter(0);
    serde_json::to_writer(&mut counter, orders).map_err(|_| Error::Interrupted)?;
    Ok(counter.0)
}

fn at_most(order: &NativeOrder) -> usize {
    let texts = order.calls.iter().map(|call| {
        let headers = call
            .headers
            .iter()
            .map(|(name, value)| name.len() + value.len());
        let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        let texts = call.path.len() + text(&call.host) + text(&call.body) + headers.sum::<usize>();
        // A selector is named by at most four digits and a comma.
        texts * ESCAPED + call.selectors.len() * 5 + call.headers.len() * 6 + AROUND_TEXTS
    });
    texts.sum::<usize>() + order.servers.len() * (limits::ID_LENGTH + 2 * AROUND_TEXTS)
}

/// Counts what is written.
struct Counter(usize);

impl std::io::Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use amqp::envelope::OrderedServer;
    use domain::NativeCall;

    use super::*;

    /// Somebody who is told so many calls of this many bytes.
    fn told(participant: &str, calls: usize, bytes: usize) -> PlannedExecution {
        let path = format!("/{}", "a".repeat(bytes));
        let call = NativeCall::new("PURGE", Some("www.shop.example"), &path, vec![0]);
        PlannedExecution {
            participant: participant.parse().unwrap(),
            fidelity: Fidelity::Exact,
            servers: Vec::new(),
            native: vec![NativeOrder {
                dialect: "varnish".parse().unwrap(),
                mapping: None,
                servers: vec![OrderedServer {
                    id: "s".parse().unwrap(),
                    address: "127.0.0.1:80".parse().unwrap(),
                }],
                calls: vec![call; calls],
            }],
        }
    }

    /// What stays within every limit is left as it is; who would be told too much is told nothing, and knows why.
    #[test]
    fn whoever_would_be_told_too_much_is_told_nothing() {
        let mut executions = [told("a", 1_000, 100), told("b", 1_000, 4_096)];
        weigh(&mut executions).unwrap();
        assert_eq!(executions[0].fidelity, Fidelity::Exact);
        let why = executions[1].fidelity.why().unwrap();
        assert!(why.contains("ORDER_BYTES"), "{why}");
        assert!(executions[1].native.is_empty());
    }

    /// Each by itself would do, and all together are refused with the rule.
    #[test]
    fn what_is_too_much_for_all_together_is_refused() {
        let mut executions = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"]
            .map(|participant| told(participant, 1_000, 3_600));
        let error = weigh(&mut executions).unwrap_err();
        assert!(format!("{error:?}").contains("COMMAND_BYTES"), "{error:?}");
        weigh(&mut executions[..5]).unwrap();
    }

    /// The quick bound is a bound: nothing weighs more than it says.
    #[test]
    fn the_quick_bound_is_never_less_than_the_truth() {
        for (calls, bytes) in [(1, 1), (3, 200), (40, 7)] {
            let order = told("a", calls, bytes).native.remove(0);
            let mut control = order.clone();
            control.calls[0].path = "\u{1}".repeat(bytes);
            for order in [order, control] {
                let truth = serde_json::to_string(&order).unwrap().len();
                assert!(truth <= at_most(&order), "{truth} > {}", at_most(&order));
            }
        }
    }
}
