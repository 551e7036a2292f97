//! The time that a caller gives to one run.
//!
//! Invariant: it runs once, from the first call to the broker on, through planning, submitting and waiting; what a person takes
//! to answer a question is not in it.

use std::time::{Duration, Instant};

use tokio::time::timeout;

use crate::failure::Failure;

/// How long, and since when.
#[derive(Debug, Clone)]
pub(crate) struct Clock {
    limit: Duration,
    began: Instant,
}

impl Clock {
    /// From now on.
    pub(crate) fn start(limit: Duration) -> Self {
        Self {
            limit,
            began: Instant::now(),
        }
    }

    /// The whole of it, as it was given.
    pub(crate) const fn limit(&self) -> Duration {
        self.limit
    }

    /// What of it is left.
    pub(crate) fn left(&self) -> Duration {
        self.limit.saturating_sub(self.began.elapsed())
    }

    /// What comes of a call to the broker; `late` makes the failure where the time passes first.
    pub(crate) async fn within<T>(
        &self,
        call: impl Future<Output = Result<T, Failure>>,
        late: impl FnOnce(Duration) -> Failure,
    ) -> Result<T, Failure> {
        let answer = timeout(self.left(), call).await;
        answer.unwrap_or_else(|_| Err(late(self.limit)))
    }

    /// What comes of asking a person, whose time is not counted.
    pub(crate) fn aside<T>(&mut self, ask: impl FnOnce() -> T) -> T {
        let stopped = Instant::now();
        let answer = ask();
        self.began += stopped.elapsed();
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_mins(10);

    fn running_for(spent: Duration) -> Clock {
        let mut clock = Clock::start(LIMIT);
        clock.began -= spent;
        clock
    }

    /// What was spent on one call is not there for the next.
    #[test]
    fn what_is_spent_is_not_given_again() {
        let spent = Duration::from_mins(4);
        assert!(running_for(spent).left() <= LIMIT.saturating_sub(spent));
        assert_eq!(running_for(LIMIT * 2).left(), Duration::ZERO);
        assert_eq!(running_for(spent).limit(), LIMIT);
    }

    /// A person may take all the time there is.
    #[test]
    fn a_persons_time_is_not_counted() {
        let mut clock = Clock::start(LIMIT);
        let before = clock.began;
        let asked = clock.aside(|| {
            let asked = Instant::now();
            while asked.elapsed() < Duration::from_millis(5) {}
            asked.elapsed()
        });
        assert!(clock.began >= before + asked);
    }
}
