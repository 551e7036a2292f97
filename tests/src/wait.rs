//! Waiting for a state that is reached: the only place of the harness that lets time pass.
//!
//! Invariant: it ends. Within the limit the state is reached, or an error names what was waited for and what was
//! seen last.

use std::{
    fmt::Display,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};

/// The time between two looks.
const STEP: Duration = Duration::from_millis(20);

/// What a look at the world may give: yes or no, perhaps a value, or a value or the reason why not yet.
pub trait Answer {
    /// What is known once the state is reached; nothing more for yes or no.
    type Value;

    /// The value, or what is seen instead.
    fn reached(self) -> Result<Self::Value, String>;
}

impl Answer for bool {
    type Value = ();

    fn reached(self) -> Result<(), String> {
        if self {
            Ok(())
        } else {
            Err("not so".to_owned())
        }
    }
}

impl<T> Answer for Option<T> {
    type Value = T;

    fn reached(self) -> Result<T, String> {
        self.ok_or_else(|| "nothing".to_owned())
    }
}

impl<T, E: Display> Answer for Result<T, E> {
    type Value = T;

    fn reached(self) -> Result<T, String> {
        self.map_err(|reason| format!("{reason:#}"))
    }
}

/// Looks again and again until the answer is yes. `what` is a statement: "the queue is empty".
///
/// The error after `limit` says what was seen last. A look that itself hangs is cut off at the limit.
pub async fn until<A: Answer>(
    limit: Duration,
    what: &str,
    mut look: impl AsyncFnMut() -> A,
) -> Result<A::Value> {
    let end = Instant::now() + limit;
    let mut last = "no answer yet".to_owned();
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if let Ok(answer) = tokio::time::timeout(left, look()).await {
            match answer.reached() {
                Ok(value) => return Ok(value),
                Err(seen) => last = seen,
            }
        }
        if end <= Instant::now() {
            bail!("waited {limit:?} in vain until {what}; last seen: {last}");
        }
        tokio::time::sleep(STEP.min(left)).await;
    }
}
