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
/// What JSON writes more, at the most, for a byte that it escapes: `\u0000`.
const ESCAPED: usize = 5;

/// Takes out whoever would be told more than one message holds, and refuses what is too much for all together.
pub fn weigh(executions: &mut [PlannedExecution]) -> Result<(), Error> {
    if is_far_from_all_limits(executions) {
        return Ok(());
    }
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

/// Most commands are, and need not be written to know it.
fn is_far_from_all_limits(executions: &[PlannedExecution]) -> bool {
    let mut total = 0_usize;
    executions.iter().all(|execution| {
        let bytes = execution.native.iter().map(at_most).sum::<usize>();
        total = total.saturating_add(bytes);
        bytes <= limits::ORDER_BYTES - AROUND_CALLS && total <= limits::COMMAND_BYTES
    })
}

/// The bytes of these calls as JSON.
fn bytes_of(orders: &[NativeOrder]) -> Result<usize, Error> {
    let mut counter = Counter(0);
    serde_json::to_writer(&mut counter, orders).map_err(|_| Error::Interrupted)?;
    Ok(counter.0)
}

fn at_most(order: &NativeOrder) -> usize {
    let optional = |text: &Option<String>| text.as_deref().map_or(0, written);
    let texts = order.calls.iter().map(|call| {
        let headers = call
            .headers
            .iter()
            .map(|(name, value)| written(name) + written(value) + 6);
        // A selector is named by at most four digits and a comma.
        written(&call.path)
            + optional(&call.host)
            + optional(&call.body)
            + headers.sum::<usize>()
            + call.selectors.len() * 5
            + AROUND_TEXTS
    });
    let of_provider = order
        .limits
        .iter()
        .map(|(unit, _)| written(unit) + AROUND_TEXTS);
    texts.sum::<usize>()
        + of_provider.sum::<usize>()
        + order.servers.len() * (limits::ID_LENGTH + 2 * AROUND_TEXTS)
}

/// Bytes of a text in JSON, at the most.
fn written(text: &str) -> usize {
    let is_escaped = |byte: &u8| *byte < b' ' || matches!(*byte, b'"' | b'\\');
    text.len() + text.bytes().filter(is_escaped).count() * ESCAPED
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
                limits: domain::NativeLimits::NONE,
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
            let mut quoted = order.clone();
            quoted.limits = [("urls".to_owned(), u32::MAX)].into_iter().collect();
            quoted.calls[0].body = Some("{\"a\": \"\\\"\"}".repeat(bytes));
            for order in [order, control, quoted] {
                let truth = serde_json::to_string(&order).unwrap().len();
                assert!(truth <= at_most(&order), "{truth} > {}", at_most(&order));
            }
        }
    }
}
