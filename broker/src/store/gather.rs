//! Accepts that share a call: what comes while one is under way goes with the next one, as one script, one answer and one
//! flush to disk.
//!
//! Invariant: each is decided for itself and in the order in which they came, as if it had been alone. A call that failed has
//! failed for all that were in it, and at once for all that waited: each may be repeated, and nobody waits for Redis longer
//! than one call may take.
//! Not here: what is asked (`asked`), and what is decided (`accept_script`).

use std::{
    collections::VecDeque,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures::{StreamExt as _, stream::FuturesOrdered};
use redis::{RedisError, Script};
use tokio::sync::{Notify, oneshot};

use super::{
    Bounds, Keys, Shard, StoreError, accept_script::ACCEPT, asked, asked::Answer, asked::Asked,
    connection::Redis, transitions::ON_ALL,
};
use crate::finished::Finished;

/// Acceptances that go together: together they keep Redis from everybody else.
pub(super) const TOGETHER: usize = 64;
/// Calls of a shard that are under way at a time: while Redis runs one, the next is on its way. One that is not full waits for
/// the one before, and gathers meanwhile.
const UNDER_WAY: usize = 2;
/// Bytes of what goes together; the first goes whatever it has.
const TOGETHER_BYTES: usize = 1024 * 1024;

/// What is done with what was accepted as soon as that is known, in the order of the calls.
pub(super) type Then = Box<dyn Fn(Shard, Asked, &Answer) + Send + Sync>;

/// Accepts for many who ask.
#[derive(Clone)]
pub(super) struct Gatherer(Arc<Inner>);

struct Inner {
    redis: Redis,
    keys: Arc<Keys>,
    script: Script,
    queues: Vec<Mutex<Queue>>,
    /// Told when what waits in a queue fills a call.
    filled: Vec<Notify>,
    then: Then,
    failed: Box<dyn Fn(Shard) + Send + Sync>,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Waiting>,
    is_under_way: bool,
}

struct Waiting {
    asked: Asked,
    answer: oneshot::Sender<Result<Answer, StoreError>>,
}

impl Gatherer {
    /// With one queue for each shard. `then` sees each answer before anything of a later call is answered; `failed` is told of each
    /// shard in which a call may have been carried out whose answers nobody knows.
    pub(super) fn new(
        redis: Redis,
        keys: Arc<Keys>,
        then: Then,
        failed: impl Fn(Shard) + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(Inner {
            redis,
            script: Script::new(&format!("{ON_ALL}{ACCEPT}")),
            queues: keys.shards().map(|_| Mutex::default()).collect(),
            filled: keys.shards().map(|_| Notify::new()).collect(),
            keys,
            then,
            failed: Box::new(failed),
        }))
    }

    /// Accepts it, with those that are asked for meanwhile. The bounds of a shard are the same whoever says them.
    pub(super) async fn run(
        &self,
        shard: Shard,
        bounds: Bounds,
        asked: Asked,
    ) -> Result<Answer, StoreError> {
        let (answer, answered) = oneshot::channel();
        let begins = {
            let mut queue = self.queue(shard);
            queue.waiting.push_back(Waiting { asked, answer });
            if queue.waiting.len() == TOGETHER {
                self.0.filled[self.place(shard)].notify_one();
            }
            !mem::replace(&mut queue.is_under_way, true)
        };
        let answered = async {
            let answered = answered.await;
            answered.map_err(|_| interrupted())?
        };
        if !begins {
            return answered.await;
        }
        // It ends when nobody waits. Whoever asked first has its answer before, or stops waiting, and must not stop the others.
        let emptied = Finished::new(self.clone().empty(shard, bounds));
        tokio::pin!(answered);
        tokio::select! {
            biased;
            answer = &mut answered => answer,
            () = emptied => answered.await,
        }
    }

    async fn empty(self, shard: Shard, bounds: Bounds) {
        let mut left = Left::behind(&self, shard);
        let (mut under_way, filled) = (FuturesOrdered::new(), &self.0.filled[self.place(shard)]);
        loop {
            while under_way.len() < UNDER_WAY
                && let Some(together) = self.next(shard, !under_way.is_empty())
            {
                under_way.push_back(self.call((shard, bounds), together));
            }
            let may_begin = under_way.len() < UNDER_WAY;
            tokio::select! {
                biased;
                answered = under_way.next() => match answered {
                    Some((together, answered)) => self.answer(shard, together, answered),
                    None => return left.nothing(),
                },
                () = filled.notified(), if may_begin => {}
            }
        }
    }

    /// Takes what goes together; `None` where another call is under way that what waits may go behind, and what waits would not
    /// fill a call of its own. `None` also when nobody waits, and where none is under way the next who comes begins anew.
    fn next(&self, shard: Shard, is_under_way: bool) -> Option<Vec<Waiting>> {
        let mut queue = self.queue(shard);
        if is_under_way && queue.waiting.len() < TOGETHER {
            return None;
        }
        let (mut together, mut bytes) = (Vec::new(), 0);
        while together.len() < TOGETHER
            && let Some(first) = queue.waiting.front()
        {
            bytes += first.asked.bytes();
            if bytes > TOGETHER_BYTES && !together.is_empty() {
                break;
            }
            together.extend(queue.waiting.pop_front());
        }
        queue.is_under_way = is_under_way || !together.is_empty();
        (!together.is_empty()).then_some(together)
    }

    async fn call(
        &self,
        (shard, bounds): (Shard, Bounds),
        together: Vec<Waiting>,
    ) -> (Vec<Waiting>, Result<String, RedisError>) {
        let mut invocation = self.0.script.prepare_invoke();
        let all: Vec<_> = together.iter().map(|waiting| &waiting.asked).collect();
        asked::write(&mut invocation, &self.0.keys, (shard, bounds), &all);
        let answered = self.0.redis.script_or_error(&invocation).await;
        (together, answered)
    }

    /// Tells those of a call what it came to; where that is nothing, all that wait behind it too.
    fn answer(&self, shard: Shard, together: Vec<Waiting>, answered: Result<String, RedisError>) {
        let answers = match answered {
            Ok(answers) => Answer::read_all(&answers),
            Err(error) => {
                answer_all(together, &error);
                (self.0.failed)(shard);
                let left = mem::take(&mut self.queue(shard).waiting);
                answer_all(left, &error);
                return;
            }
        };
        for (waiting, answer) in together.into_iter().zip(answers) {
            if let Ok(answer) = &answer {
                (self.0.then)(shard, waiting.asked, answer);
            }
            // Who waits no longer will ask again.
            let _ = waiting.answer.send(answer);
        }
    }

    fn place(&self, shard: Shard) -> usize {
        usize::from(shard.number()) % self.0.queues.len()
    }

    fn queue(&self, shard: Shard) -> MutexGuard<'_, Queue> {
        let queue = &self.0.queues[self.place(shard)];
        queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is left where emptying a queue ends by a panic, as if its calls had failed: nobody who waits there waits on, and whoever
/// comes next begins anew.
struct Left<'a>(Option<(&'a Gatherer, Shard)>);

impl<'a> Left<'a> {
    const fn behind(gatherer: &'a Gatherer, shard: Shard) -> Self {
        Self(Some((gatherer, shard)))
    }

    const fn nothing(&mut self) {
        self.0 = None;
    }
}

impl Drop for Left<'_> {
    fn drop(&mut self) {
        if let Some((gatherer, shard)) = self.0 {
            // Dropping those who wait tells them that there is no answer.
            let left = mem::take(&mut *gatherer.queue(shard));
            drop(left);
            (gatherer.0.failed)(shard);
        }
    }
}

/// Whoever asked for all did not come to the end.
fn interrupted() -> StoreError {
    let error = std::io::Error::from(std::io::ErrorKind::Interrupted);
    StoreError::Unavailable(error.into())
}

fn answer_all(waiting: impl IntoIterator<Item = Waiting>, error: &RedisError) {
    for one in waiting {
        let _ = one.answer.send(Err(error.clone().into()));
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicBool, Ordering},
        time::Duration,
    };

    use domain::Timestamp;
    use tokio::time::timeout;

    use super::*;

    fn asked(keys: &Keys, shard: Shard) -> Asked {
        Asked {
            id: Keys::new_command_id(shard),
            body: keys.sequences(shard),
            accepted_at: Timestamp::from_millis(0),
            originator: "acorn".parse().unwrap(),
            open: 1,
            audit: String::new(),
            executions: Vec::new(),
            special: asked::Special::default(),
        }
    }

    /// Whoever drives the calls and panics takes nobody along: who waits is answered, and the next one has a call again.
    #[tokio::test]
    async fn a_panic_leaves_nobody_waiting() {
        let keys = Arc::new(Keys::new("test:", 1));
        let shard = keys.shard(0).unwrap();
        let bounds = Bounds {
            outbox: 1,
            open: 1,
            window: 1,
            report: Duration::ZERO,
        };
        let has_panicked = Arc::new(AtomicBool::new(false));
        let panics = Arc::clone(&has_panicked);
        let gatherer = Gatherer::new(
            Redis::nowhere(),
            Arc::clone(&keys),
            Box::new(|_, _, _| {}),
            move |_| assert!(panics.swap(true, Ordering::SeqCst), "as it is asked to"),
        );
        let begin = || {
            let (gatherer, asked) = (gatherer.clone(), asked(&keys, shard));
            tokio::spawn(async move { gatherer.run(shard, bounds, asked).await })
        };
        let (first, second) = (begin(), begin());
        let soon = Duration::from_secs(20);
        let _ = timeout(soon, first).await.expect("it does not wait");
        let second = timeout(soon, second).await.expect("it is not forgotten");
        assert!(matches!(second.unwrap(), Err(StoreError::Unavailable(_))));
        assert!(has_panicked.load(Ordering::SeqCst));
        let third = timeout(soon, begin()).await.expect("it begins anew");
        assert!(matches!(third.unwrap(), Err(StoreError::Unavailable(_))));
    }
}
