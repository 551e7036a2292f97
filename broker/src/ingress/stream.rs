//! Commands of a stream: those that have come together are taken in together.
//!
//! Invariant: each has its own answer, with its tag and in the order of the stream: what one is refused for, or fails by, stops no
//! other. A caller who gives up does not stop an acceptance half way, and what was refused is noted all the same. Planning for
//! one caller keeps no processor from all others.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, Instant},
};

use futures::{FutureExt as _, Stream, StreamExt as _, future::join_all, stream};
use proto::v1::{self, submit_commands_response::Result as Answer};
use service::trace::TraceContext;
use tokio::task::yield_now;
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};
use tonic_types::StatusExt as _;

use super::{
    commands::{Commands, of_draft},
    draft,
    identity::Identity,
    submit::Asked,
};
use crate::{
    error::{Error, Violation},
    pipeline::Taken,
    translate::Planned,
    verify::Draft,
};

/// Commands that go together where so many have come: they share a task.
const TOGETHER: usize = 16;
/// Selectors of commands that share a task; what has more by itself has its own, so that other processors plan the next ones.
const SELECTORS_TOGETHER: usize = 64;
/// How many times so many of one stream are accepted at a time: they share a flush to disk.
const CONCURRENCY: usize = 32;
/// How long a task plans before others have their turn.
const PLANNING: Duration = Duration::from_millis(1);

/// Takes in the commands of a stream; the answers in their order.
pub(super) fn answers(
    service: Commands,
    requests: Streaming<v1::SubmitCommandsRequest>,
    caller: Identity,
    trace: TraceContext,
) -> impl Stream<Item = Result<v1::SubmitCommandsResponse, Status>> + Send {
    let requests = until_stopped(requests, service.stop.clone());
    let answers = requests.ready_chunks(TOGETHER).map(move |messages| {
        let (service, caller, trace) = (service.clone(), caller.clone(), trace.clone());
        // In a box: each is moved on its way into the queue and through it.
        Box::pin(async move { service.submit_together(messages, &caller, &trace).await })
    });
    answers.buffered(CONCURRENCY).flatten()
}

/// A command of a stream, as far as it has come.
struct Message {
    tag: String,
    /// What it is about in the audit log.
    resource: String,
    draft: Result<Draft, Error>,
}

/// How far a draft has come.
enum Step {
    /// It is charged for, and is no repetition.
    Read(Box<Draft>),
    Planned(Box<Planned>),
    Taken(Taken),
}

impl Message {
    /// What planning it takes, beside others.
    fn selectors(&self) -> usize {
        self.draft.as_ref().map_or(0, |draft| draft.selectors.len())
    }
}

impl Commands {
    /// What has come together, and the end where something could not be read.
    async fn submit_together(
        &self,
        messages: Vec<Result<v1::SubmitCommandsRequest, Status>>,
        caller: &Identity,
        trace: &TraceContext,
    ) -> impl Stream<Item = Result<v1::SubmitCommandsResponse, Status>> + use<> {
        let (mut read, mut end) = (Vec::with_capacity(messages.len()), None);
        for message in messages {
            match message {
                Ok(request) => read.push(self.read_one(request, caller, trace)),
                Err(status) => end = Some(status),
            }
        }
        // In tasks of their own: other processors plan while this one reads what comes next. In a box: a task is moved whole when
        // it begins and twice when it ends.
        let tasks: Vec<_> = in_groups(read, Message::selectors)
            .into_iter()
            .map(|group| {
                let (service, caller, trace) =
                    (self.clone(), caller.clone(), trace.trace_id_text());
                tokio::spawn(Box::pin(async move {
                    service.take_in(group, &caller, &trace).await
                }))
            })
            .collect();
        let mut answers = Vec::new();
        for task in tasks {
            match task.await {
                Ok(taken) => answers.extend(taken.into_iter().map(Ok)),
                Err(_) => answers.push(Err(Error::Interrupted.into())),
            }
        }
        answers.extend(end.map(Err));
        stream::iter(answers)
    }

    fn read_one(
        &self,
        request: v1::SubmitCommandsRequest,
        caller: &Identity,
        trace: &TraceContext,
    ) -> Message {
        let resource = of_draft(request.draft.as_ref());
        let draft = self.gate.count_one(caller).and_then(|()| {
            let (directory, trace) = (&self.pipeline.directory, trace.child());
            draft::read(
                request.draft,
                &request.request_id,
                caller,
                &trace,
                directory,
            )
        });
        Message {
            tag: request.tag,
            resource,
            draft,
        }
    }

    /// Takes these in, and notes what is refused. All are planned before the first is written: so they share a call of the store,
    /// and none that is written waits for the planning of others.
    async fn take_in(
        self,
        messages: Vec<Message>,
        caller: &Identity,
        trace: &str,
    ) -> Vec<v1::SubmitCommandsResponse> {
        let (mut heads, mut drafts) = (Vec::new(), Vec::new());
        for message in messages {
            let asked = message.draft.as_ref().ok().map(Asked::by);
            heads.push((message.tag, message.resource, asked));
            drafts.push(message.draft);
        }
        let found = join_all(drafts.into_iter().map(|draft| self.find(draft))).await;
        let planned = self.plan_all(found).await;
        let taken = join_all(planned.into_iter().map(|planned| self.write(planned))).await;
        let answer = |((tag, resource, asked), taken): ((_, _, Option<Asked>), _)| {
            let result = match taken {
                Ok(taken) => {
                    let id = Taken::id(&taken);
                    asked.inspect(|asked| asked.log(id, trace));
                    Answer::CommandId(id.to_string())
                }
                Err(error) => {
                    self.gate.refused_one(caller, resource, &error);
                    Answer::Failure(failure(error))
                }
            };
            v1::SubmitCommandsResponse {
                tag,
                result: Some(result),
            }
        };
        heads.into_iter().zip(taken).map(answer).collect()
    }

    /// Looks for what the same request became before.
    async fn find(&self, draft: Result<Draft, Error>) -> Result<Step, Error> {
        let draft = draft?;
        if self.stop.is_cancelled() {
            return Err(Error::ShuttingDown);
        }
        let found = AssertUnwindSafe(self.pipeline.find(&draft)).catch_unwind();
        Ok(match found.await.unwrap_or(Err(Error::Interrupted))? {
            Some(id) => Step::Taken(Taken::Before(id)),
            None => Step::Read(Box::new(draft)),
        })
    }

    /// One after the other, with pauses in which others have their turn.
    async fn plan_all(&self, found: Vec<Result<Step, Error>>) -> Vec<Result<Step, Error>> {
        let (mut planned, mut began) = (Vec::with_capacity(found.len()), Instant::now());
        for step in found {
            planned.push(match step {
                Ok(Step::Read(draft)) => {
                    let planned = AssertUnwindSafe(|| self.pipeline.planned(*draft));
                    let planned = catch_unwind(planned).unwrap_or(Err(Error::Interrupted));
                    planned.map(|planned| Step::Planned(Box::new(planned)))
                }
                other => other,
            });
            if began.elapsed() >= PLANNING {
                yield_now().await;
                began = Instant::now();
            }
        }
        planned
    }

    async fn write(&self, step: Result<Step, Error>) -> Result<Taken, Error> {
        match step? {
            Step::Taken(taken) => Ok(taken),
            Step::Read(_) => Err(Error::Interrupted),
            Step::Planned(planned) => {
                let written = AssertUnwindSafe(self.pipeline.write(*planned)).catch_unwind();
                written.await.unwrap_or(Err(Error::Interrupted))
            }
        }
    }
}

/// Those that share a task, in their order: together no more than [`SELECTORS_TOGETHER`], the first whatever it has.
fn in_groups<T>(all: Vec<T>, selectors: impl Fn(&T) -> usize) -> Vec<Vec<T>> {
    let (mut groups, mut sum) = (Vec::<Vec<T>>::new(), 0);
    for one in all {
        let more = selectors(&one);
        match groups.last_mut() {
            Some(group) if sum + more <= SELECTORS_TOGETHER => {
                group.push(one);
                sum += more;
            }
            _ => {
                groups.push(vec![one]);
                sum = more;
            }
        }
    }
    groups
}

/// The commands of a stream. When the broker is asked to end, no more of them and the reason as the last word, for a stream
/// that just ended would say that all was taken. What cannot be read is the end, too: nobody knows where the next one begins.
fn until_stopped(
    requests: Streaming<v1::SubmitCommandsRequest>,
    stop: CancellationToken,
) -> impl Stream<Item = Result<v1::SubmitCommandsRequest, Status>> {
    futures::stream::unfold(Some((requests, stop)), |open| async move {
        let (mut requests, stop) = open?;
        tokio::select! {
            biased;
            () = stop.cancelled() => Some((Err(Error::ShuttingDown.into()), None)),
            request = requests.next() => {
                let request = request?;
                let open = request.is_ok().then_some((requests, stop));
                Some((request, open))
            }
        }
    })
}

fn failure(error: Error) -> v1::SubmitFailure {
    let violations = match &error {
        Error::Invalid(violations) => violations.clone(),
        _ => Vec::new(),
    };
    let status = Status::from(error);
    let violation = |violation: Violation| v1::FieldViolation {
        field: violation.field,
        description: violation.rule,
    };
    let retry = status.get_details_retry_info();
    let retry = retry.and_then(|retry| retry.retry_delay);
    v1::SubmitFailure {
        retry_delay: retry.and_then(|delay| delay.try_into().ok()),
        code: status.code().into(),
        message: status.message().to_owned(),
        violations: violations.into_iter().map(violation).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Few selectors go together, many do not, and no order is lost.
    #[test]
    fn who_names_much_has_a_task_alone() {
        let groups = |all: &[usize]| in_groups(all.to_vec(), |selectors| *selectors);
        assert_eq!(groups(&[1; 16]), [vec![1; 16]]);
        assert_eq!(groups(&[1, 1000, 1, 1]), [vec![1], vec![1000], vec![1, 1]]);
        assert_eq!(groups(&[60, 4, 1]), [vec![60, 4], vec![1]]);
        assert_eq!(groups(&[1000, 1000]), [vec![1000], vec![1000]]);
        assert!(groups(&[]).is_empty());
    }
}
