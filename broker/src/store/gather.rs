//! Accepts that share a call: what comes while one is under way goes with the next one, as one script, one answer and one
//! flush to disk.
//!
//! Invariant: each is decided for itself and in the order in which they came, as if it had been alone. A call that failed has
//! failed for all that were in it, and at once for all that waited: each may be repeated, and nobody waits for Redis longer
//! than one call may take.
//! Not here: what is decided (`accept`).

use std::{
    collections::VecDeque,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use redis::{RedisError, Script, ToRedisArgs};
use tokio::sync::oneshot;

use super::{Shard, StoreError, connection::Redis, transitions::ON_ALL};

/// Calls that go together: together they keep Redis from everybody else.
const TOGETHER: usize = 64;
/// Bytes of what goes together; the first goes whatever it has.
const TOGETHER_BYTES: usize = 1024 * 1024;

/// What is asked of a script: its KEYS and ARGV.
#[derive(Debug, Default)]
pub(super) struct Call {
    keys: Vec<Vec<u8>>,
    arguments: Vec<Vec<u8>>,
}

impl Call {
    pub(super) fn key(&mut self, key: impl ToRedisArgs) -> &mut Self {
        key.write_redis_args(&mut self.keys);
        self
    }

    pub(super) fn arg(&mut self, argument: impl ToRedisArgs) -> &mut Self {
        argument.write_redis_args(&mut self.arguments);
        self
    }

    fn bytes(&self) -> usize {
        self.arguments.iter().map(Vec::len).sum()
    }
}

/// What a script answers: a word, and what belongs to it.
pub(super) type Answer = (String, String);
/// What is done with an answer as soon as it is there, in the order of the calls.
pub(super) type Then = Box<dyn FnOnce(&str, &str) + Send>;

/// Runs one script for many who ask.
#[derive(Clone)]
pub(super) struct Gatherer(Arc<Inner>);

struct Inner {
    redis: Redis,
    script: Script,
    queues: Vec<Mutex<Queue>>,
    failed: Box<dyn Fn(Shard) + Send + Sync>,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Waiting>,
    is_under_way: bool,
}

struct Waiting {
    call: Call,
    then: Option<Then>,
    answer: oneshot::Sender<Result<Answer, RedisError>>,
}

impl Gatherer {
    /// For a script that answers each of its `calls` with two texts, in order, and looks at nothing but these; one queue for each
    /// shard. `failed` is told of each shard in which a call may have been carried out whose answers nobody knows.
    pub(super) fn new(
        redis: Redis,
        script: &str,
        shards: usize,
        failed: impl Fn(Shard) + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(Inner {
            redis,
            script: Script::new(&together(script)),
            queues: (0..shards).map(|_| Mutex::default()).collect(),
            failed: Box::new(failed),
        }))
    }

    /// Runs the script for this call, with those that are asked for meanwhile. What is common to all calls of the shard is the same
    /// whoever says it; `then` sees the answer before anything of a later call is answered.
    pub(super) async fn run(
        &self,
        shard: Shard,
        common: impl FnOnce() -> Call,
        call: Call,
        then: Option<Then>,
    ) -> Result<Answer, StoreError> {
        let (answer, answered) = oneshot::channel();
        let begins = {
            let mut queue = self.queue(shard);
            queue.waiting.push_back(Waiting { call, then, answer });
            !mem::replace(&mut queue.is_under_way, true)
        };
        if begins {
            // It ends when nobody waits. Whoever asked first may stop waiting, and must not stop the others.
            tokio::spawn(self.clone().empty(shard, common()));
        }
        let answer = answered
            .await
            .map_err(|_| StoreError::lacking("the answer of a script"))?;
        Ok(answer?)
    }

    async fn empty(self, shard: Shard, common: Call) {
        while let Some(together) = self.next(shard) {
            if let Err(error) = self.call(&common, together).await {
                (self.0.failed)(shard);
                let left = mem::take(&mut self.queue(shard).waiting);
                answer_all(left, &error);
            }
        }
    }

    /// Takes what goes together; `None` when nobody waits, and then the next who comes begins anew.
    fn next(&self, shard: Shard) -> Option<Vec<Waiting>> {
        let mut queue = self.queue(shard);
        let (mut together, mut bytes) = (Vec::new(), 0);
        while together.len() < TOGETHER
            && let Some(first) = queue.waiting.front()
        {
            bytes += first.call.bytes();
            if bytes > TOGETHER_BYTES && !together.is_empty() {
                break;
            }
            together.extend(queue.waiting.pop_front());
        }
        queue.is_under_way = !together.is_empty();
        queue.is_under_way.then_some(together)
    }

    async fn call(&self, common: &Call, together: Vec<Waiting>) -> Result<(), RedisError> {
        let mut invocation = self.0.script.prepare_invoke();
        invocation
            .key(&common.keys)
            .arg(common.keys.len())
            .arg(common.arguments.len())
            .arg(&common.arguments);
        for Waiting { call, .. } in &together {
            invocation
                .key(&call.keys)
                .arg(call.keys.len())
                .arg(call.arguments.len())
                .arg(&call.arguments);
        }
        let answered = self.0.redis.script_or_error(&invocation).await;
        let answers: Vec<String> = match answered {
            Ok(answers) => answers,
            Err(error) => {
                answer_all(together, &error);
                return Err(error);
            }
        };
        let (answers, _) = answers.as_chunks();
        for (waiting, [word, detail]) in together.into_iter().zip(answers) {
            if let Some(then) = waiting.then {
                then(word, detail);
            }
            // Who waits no longer will ask again.
            let _ = waiting.answer.send(Ok((word.clone(), detail.clone())));
        }
        Ok(())
    }

    fn queue(&self, shard: Shard) -> MutexGuard<'_, Queue> {
        let queues = &self.0.queues;
        let queue = &queues[usize::from(shard.number()) % queues.len()];
        queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn answer_all(waiting: impl IntoIterator<Item = Waiting>, error: &RedisError) {
    for one in waiting {
        let _ = one.answer.send(Err(error.clone()));
    }
}

/// Puts in front of a script what makes its `calls`: for each, behind which of KEYS and of ARGV its own are, and its last argument.
/// ARGV begins with how many keys and arguments are common to all; before each call's own stands how many these are.
fn together(script: &str) -> String {
    format!(
        r"{ON_ALL}
local calls, key, at = {{}}, tonumber(ARGV[1]), 3 + ARGV[2]
while at < #ARGV do
  local arguments = at + 1
  calls[#calls + 1] = {{keys = key, arguments = arguments, last = arguments + ARGV[at + 1]}}
  key, at = key + ARGV[at], arguments + ARGV[at + 1] + 1
end
{script}"
    )
}
