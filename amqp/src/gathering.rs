//! How long a sender gathers before its next message.
//!
//! Invariant: who has little to say says it at once. Who has much says it in few messages: a message costs RabbitMQ and whoever
//! reads it more than what is in it.

use std::time::Duration;

/// How long each execution of a message keeps the next message back: less than a confirm takes, where they go one by one.
const EACH: Duration = Duration::from_micros(500);
/// No message waits longer than this.
const MOST: Duration = Duration::from_millis(25);

/// From the beginning of a message with so many executions, of the most that one may have, to that of the next one. Where it
/// has the most, more waits already, and the next one follows at once.
pub fn time_after(executions: usize, most: usize) -> Duration {
    if executions >= most {
        return Duration::ZERO;
    }
    let executions = u32::try_from(executions).unwrap_or(u32::MAX);
    EACH.saturating_mul(executions).min(MOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_are_followed_at_once_and_many_never_wait_long() {
        assert_eq!(time_after(0, 500), Duration::ZERO);
        assert_eq!(time_after(1, 500), EACH);
        assert_eq!(time_after(20, 500), Duration::from_millis(10));
        assert_eq!(time_after(499, 500), MOST);
        assert_eq!(time_after(500, 500), Duration::ZERO);
        assert_eq!(time_after(1, 1), Duration::ZERO);
    }
}
