//! `WatchCommand`: what changed since the caller last looked, until all has settled.
//!
//! Invariant: the token is the command's revision, and an execution is told when its own revision is newer: whichever
//! replica answers, from whichever token, nothing is left out, and nothing is told twice but to a caller who resumes in the
//! midst of news that took several answers, or of a command that somebody has to approve: it hears them again. Who watches a
//! command with many executions spends no more than half of its time on reading it.

use std::{collections::VecDeque, time::Duration};

use domain::CommandId;
use futures::Stream;
use prost::Message as _;
use proto::v1;
use tokio::time::Instant;
use tonic::Status;

use super::{commands::Commands, identity::Identity, view};
use crate::{authorise::Rpc, error::Error, store::StoredCommand, track::Subscription};

/// How often a watcher looks even when it heard nothing: hearing is only a hint.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How long a look that took its time is followed by none.
const REST_MOST: Duration = Duration::from_millis(100);

/// What one answer holds, but for an execution that has more by itself: what clients take unless told otherwise is 4 MiB.
const ANSWER_BYTES: usize = 2 * 1024 * 1024;

/// One open call.
pub(super) struct Watch {
    service: Commands,
    identity: Identity,
    id: String,
    seen: Option<u64>,
    /// As it was told last.
    approval: Option<v1::Approval>,
    subscription: Subscription,
    /// Before which it does not look again.
    rests_until: Instant,
    /// What is to be told next.
    waiting: VecDeque<v1::WatchCommandResponse>,
    done: bool,
}

impl Watch {
    /// Checks that the caller may watch, and subscribes before the first look, so that no change falls in between.
    pub(super) async fn start(
        service: Commands,
        identity: Identity,
        request: &v1::WatchCommandRequest,
    ) -> Result<Self, Error> {
        let seen =
            match request.resume_token.as_str() {
                "" => None,
                token => Some(token.parse().map_err(|_| {
                    Error::invalid("resume_token", "must be from an answer before")
                })?),
            };
        let id = &request.command_id;
        let id: CommandId = id.parse().map_err(Error::broken("command_id"))?;
        let mut watch = Self {
            subscription: service.watchers.subscribe(id),
            service,
            identity,
            id: id.to_string(),
            seen,
            approval: None,
            rests_until: Instant::now(),
            waiting: VecDeque::new(),
            done: false,
        };
        let stored = watch.read().await?;
        if seen.is_some_and(|seen| seen > stored.revision) {
            // What changes until then would never be told.
            let rule = "must be from an answer before; this command has not come so far";
            return Err(Error::invalid("resume_token", rule));
        }
        watch.news(&stored);
        Ok(watch)
    }

    /// The answers.
    pub(super) fn into_stream(
        self,
    ) -> impl Stream<Item = Result<v1::WatchCommandResponse, Status>> + Send {
        futures::stream::unfold(self, |mut watch| async move {
            let answer = watch.next().await?;
            watch.done |= answer.is_err();
            Some((answer.map_err(Status::from), watch))
        })
    }

    async fn next(&mut self) -> Option<Result<v1::WatchCommandResponse, Error>> {
        loop {
            if let Some(answer) = self.waiting.pop_front() {
                return Some(Ok(answer));
            }
            if self.done {
                return None;
            }
            if !self.wait().await {
                return Some(Err(Error::ShuttingDown));
            }
            match self.read().await {
                Err(error) => return Some(Err(error)),
                Ok(stored) => self.news(&stored),
            }
        }
    }

    async fn read(&mut self) -> Result<StoredCommand, Error> {
        let began = Instant::now();
        let (service, identity) = (&self.service, &self.identity);
        let reading = service.admitted(identity, Rpc::WatchCommand, &self.id);
        let stored = reading.await;
        self.rests_until = Instant::now() + began.elapsed().min(REST_MOST);
        stored
    }

    /// Waits for a change since the last look, for the next regular one, or for the end; `false` for the end.
    async fn wait(&mut self) -> bool {
        let rested = tokio::time::sleep_until(self.rests_until);
        let changed = async {
            self.subscription.changed().await;
            rested.await;
        };
        tokio::select! {
            () = self.service.stop.cancelled() => false,
            () = changed => true,
            () = tokio::time::sleep(LOOK_EVERY) => true,
        }
    }

    fn news(&mut self, stored: &StoredCommand) {
        self.done = stored.standing().open() == 0;
        let seen = self.seen.replace(stored.revision);
        // Whoever sees only a part of the command has the revision of that, and an approval is of the whole.
        let approval = view::approval(stored);
        let is_other = self.approval != approval;
        self.approval.clone_from(&approval);
        if seen == Some(stored.revision) && !is_other && !self.done {
            return;
        }
        let newer = stored
            .executions
            .iter()
            .filter(|execution| seen.is_none_or(|seen| execution.revision > seen));
        let parts = in_parts(newer.map(|execution| view::execution(stored, execution)));
        let last = parts.len() - 1;
        for (number, executions) in parts.into_iter().enumerate() {
            // Whoever resumes in the midst hears all of it again.
            let token = if number == last {
                Some(stored.revision)
            } else {
                seen
            };
            self.waiting.push_back(v1::WatchCommandResponse {
                standing: Some(view::standing(&stored.standing())),
                executions,
                approval: approval.clone(),
                resume_token: token.map(|token| token.to_string()).unwrap_or_default(),
            });
        }
    }
}

/// One part or more, each within what an answer holds.
fn in_parts(executions: impl Iterator<Item = v1::Execution>) -> Vec<Vec<v1::Execution>> {
    let (mut parts, mut bytes) = (vec![Vec::new()], 0);
    for execution in executions {
        let length = execution.encoded_len();
        if bytes > 0 && bytes + length > ANSWER_BYTES {
            parts.push(Vec::new());
            bytes = 0;
        }
        bytes += length;
        if let Some(part) = parts.last_mut() {
            part.push(execution);
        }
    }
    parts
}
