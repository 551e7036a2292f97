//! How a process ends: asked by a signal, or because a part of it ended before its time.
//!
//! Invariant: the process lives only while all of its parts live (crash-only): a part that ends or
//! panics takes the process down in order, and whoever supervises the process starts a whole one.
//! Not here: what a part does to end; it watches [`Shutdown::asked`] or [`Shutdown::token`].

use std::any::Any;
use std::collections::BTreeMap;
use std::error::Error;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinError;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::exit::{Chain, Exit};

/// The shutdown of one process. Clones are the same one.
#[derive(Debug, Clone, Default)]
pub struct Shutdown(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    token: CancellationToken,
    parts: TaskTracker,
    /// Names of the parts that run, by the order in which they were started.
    running: Mutex<BTreeMap<u64, String>>,
    started: AtomicU64,
    failure: OnceLock<String>,
}

/// Parts that did not end within the limit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("still running after {limit:?}: {}", parts.join(", "))]
pub struct StillRunning {
    /// The limit that was given.
    pub limit: Duration,
    /// Their names, in the order in which they were started.
    pub parts: Vec<String>,
}

/// What a part ends with: nothing, or a result.
pub trait Outcome: Send + 'static {
    /// The error, if it ended with one.
    fn into_failure(self) -> Option<Box<dyn Error + Send + Sync>>;
}

impl Outcome for () {
    fn into_failure(self) -> Option<Box<dyn Error + Send + Sync>> {
        None
    }
}

impl<E: Into<Box<dyn Error + Send + Sync>> + Send + 'static> Outcome for Result<(), E> {
    fn into_failure(self) -> Option<Box<dyn Error + Send + Sync>> {
        self.err().map(Into::into)
    }
}

impl Shutdown {
    /// A shutdown that listens to no signal. For tests and for libraries.
    pub fn new() -> Self {
        Self::default()
    }

    /// A shutdown that SIGTERM or SIGINT begins. A second signal ends the process at once.
    ///
    /// # Errors
    /// Where the process may not listen to signals.
    pub fn listen() -> std::io::Result<Self> {
        let shutdown = Self::new();
        let mut signals = Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        };
        let listening = shutdown.clone();
        tokio::spawn(async move {
            let name = signals.next().await;
            tracing::info!(signal.name = name, "shutting down");
            listening.ask();
            let name = signals.next().await;
            tracing::warn!(signal.name = name, "ending at once");
            std::process::exit(i32::from(Exit::Internal.code()));
        });
        Ok(shutdown)
    }

    /// Asks everything to end.
    pub fn ask(&self) {
        self.0.token.cancel();
    }

    /// Whether it was asked.
    pub fn is_asked(&self) -> bool {
        self.0.token.is_cancelled()
    }

    /// Waits until it is asked.
    pub async fn asked(&self) {
        self.0.token.cancelled().await;
    }

    /// The token that is cancelled when it is asked, for code that takes one.
    pub fn token(&self) -> CancellationToken {
        self.0.token.clone()
    }

    /// Starts a part that runs as long as the process. When it ends before it was asked to, or panics, that is
    /// logged and the process shuts down. [`Self::drain`] waits for it. A part that loops for ever is written as an
    /// `async fn` without a result, as an `async` block of that kind has no type that can be named.
    pub fn spawn<F>(&self, name: impl Into<String>, part: F)
    where
        F: Future + Send + 'static,
        F::Output: Outcome,
    {
        let listed = RunningPart::listed(self.clone(), name.into());
        self.0.parts.spawn(watch(listed, part));
    }

    /// Starts a part that serves until the process is gone, such as health checks. It is watched like the others,
    /// but [`Self::drain`] does not wait for it.
    pub fn spawn_beside<F>(&self, name: impl Into<String>, part: F)
    where
        F: Future + Send + 'static,
        F::Output: Outcome,
    {
        let beside = RunningPart::unlisted(self.clone(), name.into());
        tokio::spawn(watch(beside, part));
    }

    /// Asks everything to end and waits for it.
    ///
    /// # Errors
    /// When the limit has passed, with the names of the parts that still run. They end with the runtime.
    pub async fn drain(&self, limit: Duration) -> Result<(), StillRunning> {
        self.ask();
        self.0.parts.close();
        tokio::time::timeout(limit, self.0.parts.wait())
            .await
            .map_err(|_| StillRunning {
                limit,
                parts: self.running().values().cloned().collect(),
            })
    }

    /// Why the first part failed that did.
    pub fn failure(&self) -> Option<&str> {
        self.0.failure.get().map(String::as_str)
    }

    fn fail(&self, name: &str, why: &str) {
        tracing::error!(part.name = name, error = why, "part failed, shutting down");
        let _ = self.0.failure.set(format!("{name}: {why}"));
        self.ask();
    }

    fn running(&self) -> MutexGuard<'_, BTreeMap<u64, String>> {
        self.0
            .running
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits for the end of a part and decides whether it was in order.
async fn watch<F>(part: RunningPart, work: F)
where
    F: Future + Send + 'static,
    F::Output: Outcome,
{
    let ended = tokio::spawn(work).await;
    let (name, shutdown) = (&part.name, &part.shutdown);
    match ended.map(Outcome::into_failure) {
        Err(error) => shutdown.fail(name, &describe(error)),
        Ok(Some(error)) => shutdown.fail(name, &Chain(error.as_ref()).to_string()),
        Ok(None) if shutdown.is_asked() => tracing::debug!(part.name = name, "part ended"),
        Ok(None) => shutdown.fail(name, "ended before it was asked to"),
    }
}

fn describe(error: JoinError) -> String {
    match error.try_into_panic() {
        Ok(payload) => format!("panicked: {}", text_of(payload.as_ref())),
        Err(error) => error.to_string(),
    }
}

/// The message of a panic, which is one of two types of text.
pub(crate) fn text_of(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without a message")
}

/// A part that runs. Where it is listed, its name stands in the list as long as this lives.
struct RunningPart {
    shutdown: Shutdown,
    name: String,
    number: Option<u64>,
}

impl RunningPart {
    fn listed(shutdown: Shutdown, name: String) -> Self {
        let number = shutdown.0.started.fetch_add(1, Ordering::Relaxed);
        shutdown.running().insert(number, name.clone());
        Self {
            shutdown,
            name,
            number: Some(number),
        }
    }

    fn unlisted(shutdown: Shutdown, name: String) -> Self {
        Self {
            shutdown,
            name,
            number: None,
        }
    }
}

impl Drop for RunningPart {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            self.shutdown.running().remove(&number);
        }
    }
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Longer than any test takes; reached only when something hangs.
    const LONG: Duration = Duration::from_secs(30);

    /// The usual end: parts see the token, end, and the drain returns.
    #[tokio::test]
    async fn parts_that_end_when_asked_are_no_failure() {
        let shutdown = Shutdown::new();
        let asked = shutdown.clone();
        shutdown.spawn("consumer", async move { asked.asked().await });
        assert_eq!(shutdown.drain(LONG).await, Ok(()));
        assert_eq!(shutdown.failure(), None);
    }

    /// An operator must learn which part hangs.
    #[tokio::test]
    async fn a_part_that_does_not_end_is_named() {
        let shutdown = Shutdown::new();
        shutdown.spawn("stubborn", std::future::pending::<()>());
        shutdown.spawn_beside("health", std::future::pending::<()>());
        let limit = Duration::from_millis(1);
        let still_running = shutdown.drain(limit).await.unwrap_err();
        assert_eq!(
            still_running.to_string(),
            "still running after 1ms: stubborn"
        );
    }

    /// Crash-only: a process without one of its parts is no process.
    #[tokio::test]
    async fn a_part_that_ends_early_or_fails_or_panics_shuts_the_process_down() {
        let early = Shutdown::new();
        early.spawn("part", async {});
        early.asked().await;
        assert_eq!(early.failure(), Some("part: ended before it was asked to"));

        let failed = Shutdown::new();
        failed.spawn("part", async { Err::<(), _>("no connection") });
        failed.asked().await;
        assert_eq!(failed.failure(), Some("part: no connection"));

        let panicked = Shutdown::new();
        panicked.spawn("part", async { assert_eq!(1, 2, "wrong") });
        panicked.asked().await;
        assert!(panicked.failure().unwrap().starts_with("part: panicked: "));
    }
}
