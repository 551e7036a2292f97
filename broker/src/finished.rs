//! Work that somebody waits for, and that is done also when nobody waits for it any more.
//!
//! Invariant: it runs where it is waited for, without the cost of a task of its own; where whoever waits gives it up half way,
//! the rest of it runs in one.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use tokio::runtime::Handle;

/// The work; `None` once it is done, or has panicked.
pub(crate) struct Finished<T: Send + 'static>(Option<Pin<Box<dyn Future<Output = T> + Send>>>);

impl<T: Send + 'static> Finished<T> {
    /// It begins when it is waited for.
    pub(crate) fn new(work: impl Future<Output = T> + Send + 'static) -> Self {
        Self(Some(Box::pin(work)))
    }
}

impl<T: Send + 'static> Future for Finished<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        // Taken out, so that nobody goes on with what panics here.
        let Some(mut work) = self.0.take() else {
            return Poll::Pending;
        };
        let polled = work.as_mut().poll(context);
        if polled.is_pending() {
            self.0 = Some(work);
        }
        polled
    }
}

impl<T: Send + 'static> Drop for Finished<T> {
    fn drop(&mut self) {
        // Without a runtime the process is ending.
        if let Some(work) = self.0.take()
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn(work);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::{sync::oneshot, time::timeout};

    use super::*;

    /// What is given up half way goes on, and what nobody began does too.
    #[tokio::test]
    async fn it_is_finished_though_nobody_waits() {
        for begun in [true, false] {
            let (go_on, told) = oneshot::channel::<()>();
            let (done, is_done) = oneshot::channel();
            let mut work = Finished::new(async move {
                told.await.unwrap();
                done.send(()).unwrap();
            });
            if begun {
                let waited = timeout(Duration::from_millis(1), &mut work).await;
                assert!(waited.is_err(), "it waits to be told");
            }
            drop(work);
            go_on.send(()).unwrap();
            timeout(Duration::from_secs(5), is_done)
                .await
                .expect("it is done in a task of its own")
                .unwrap();
        }
    }

    /// Whoever waits has its result, and nothing of it is left for a task.
    #[tokio::test]
    async fn it_runs_where_it_is_waited_for() {
        let here = tokio::task::try_id();
        assert_eq!(Finished::new(async { tokio::task::try_id() }).await, here);
        assert_eq!(Handle::current().metrics().num_alive_tasks(), 0);
    }
}
