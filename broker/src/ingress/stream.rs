//! Commands of a stream: those that have come together are taken in together.
//!
//! Invariant: each has its own answer, with its tag and in the order of the stream: what one is refused for, or fails by, stops no
//! other. A caller who gives up does not stop an acceptance half way, and what was refused is noted all the same. Planning for
//! one caller keeps no processor from all others.

use std::time::{Duration, Instant};

use domain::CommandId;
use futures::{Stream, StreamExt as _, future::join_all, stream};
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
    error::{Error, Violation, caught},
    pipeline::{Prepared, Taken},
    verify::Draft,
};

/// Commands that go together where so many have come.
const TOGETHER: usize = 16;
/// Selectors of commands that share a task; what has more by itself has its own, so that other processors plan the next ones.
const SELECTORS_TOGETHER: usize = 64;
/// How many times so many of one stream are under way at a time: they share a flush to disk.
const CONCURRENCY: usize = 32;
/// A task that has planned for so long lets others have their turn before the next command.
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

/// A command of a stream as it came.
struct Message {
    head: Head,
    draft: Result<Draft, Error>,
}

impl Message {
    /// What planning it takes, beside others.
    fn selectors(&self) -> usize {
        self.draft.as_ref().map_or(0, |draft| draft.selectors.len())
    }
}

/// What its answer is made of, whatever becomes of it.
struct Head {
    tag: String,
    /// What it is about in the audit log.
    resource: String,
    /// Where it could be read.
    asked: Option<Asked>,
}

/// How far it has come.
enum Step<T> {
    /// The same request was this command before.
    Before(CommandId),
    Next(Box<T>),
}

impl Commands {
    /// What has come together, and its end where the stream ends by an error.
    async fn submit_together(
        &self,
        messages: Vec<Result<v1::SubmitCommandsRequest, Status>>,
        caller: &Identity,
        trace: &TraceContext,
    ) -> impl Stream<Item = Result<v1::SubmitCommandsResponse, Status>> + use<> {
        let (mut read, mut end) = (Vec::with_capacity(messages.len()), None);
        for message in messages {
            match message {
                Ok(request) => read.push(self.read(request, caller, trace).await),
                Err(status) => end = Some(status),
            }
        }
        // In tasks of their own: other processors plan while this one reads what comes next. In a box: a task is moved whole when
        // it begins and twice when it ends.
        let take_in = |group| {
            let (service, caller, trace) = (self.clone(), caller.clone(), trace.trace_id_text());
            let taking = async move { service.take_in(group, &caller, &trace).await };
            tokio::spawn(Box::pin(taking))
        };
        let tasks = in_groups(read, Message::selectors).into_iter().map(take_in);
        let (tasks, mut answers) = (tasks.collect::<Vec<_>>(), Vec::new());
        for task in tasks {
            match task.await {
                Ok(taken) => answers.extend(taken.into_iter().map(Ok)),
                Err(_) => answers.push(Err(Error::Interrupted.into())),
            }
        }
        answers.extend(end.map(Err));
        stream::iter(answers)
    }

    async fn read(
        &self,
        request: v1::SubmitCommandsRequest,
        caller: &Identity,
        trace: &TraceContext,
    ) -> Message {
        let resource = of_draft(request.draft.as_ref());
        let draft = caught(async {
            self.gate.count_one(caller)?;
            let (directory, trace) = (&self.pipeline.directory, trace.child());
            draft::read(
                request.draft,
                &request.request_id,
                caller,
                &trace,
                directory,
            )
        });
        let draft = draft.await;
        let head = Head {
            tag: request.tag,
            resource,
            asked: draft.as_ref().ok().map(Asked::by),
        };
        Message { head, draft }
    }

    /// Takes these in, in their order, and notes what is refused. All are prepared before the first is asked of the store: none that is
    /// asked for waits while others are planned.
    async fn take_in(
        self,
        messages: Vec<Message>,
        caller: &Identity,
        trace: &str,
    ) -> Vec<v1::SubmitCommandsResponse> {
        let messages = messages.into_iter().map(|one| (one.head, one.draft));
        let (heads, drafts): (Vec<_>, Vec<_>) = messages.unzip();
        let found = drafts.into_iter().map(|draft| caught(self.find(draft)));
        let prepared = self.prepare_all(join_all(found).await).await;
        let taken = prepared.into_iter().map(|one| caught(self.write(one)));
        let taken = join_all(taken).await;
        let each = heads.into_iter().zip(taken);
        each.map(|(head, taken)| self.answer(head, taken, caller, trace))
            .collect()
    }

    async fn find(&self, draft: Result<Draft, Error>) -> Result<Step<Draft>, Error> {
        let draft = draft?;
        if self.stop.is_cancelled() {
            return Err(Error::ShuttingDown);
        }
        self.pipeline.charge(&draft)?;
        let found = self.pipeline.find(&draft).await?;
        Ok(found.map_or_else(|| Step::Next(Box::new(draft)), Step::Before))
    }

    /// One after the other, with pauses in which others have their turn.
    async fn prepare_all(
        &self,
        found: Vec<Result<Step<Draft>, Error>>,
    ) -> Vec<Result<Step<Prepared>, Error>> {
        let (mut all, mut began) = (Vec::with_capacity(found.len()), Instant::now());
        for step in found {
            if began.elapsed() >= PLANNING {
                yield_now().await;
                began = Instant::now();
            }
            let prepared = caught(async {
                Ok(match step? {
                    Step::Before(id) => Step::Before(id),
                    Step::Next(draft) => Step::Next(Box::new(self.pipeline.prepare(*draft)?)),
                })
            });
            all.push(prepared.await);
        }
        all
    }

    async fn write(&self, step: Result<Step<Prepared>, Error>) -> Result<Taken, Error> {
        match step? {
            Step::Before(id) => Ok(Taken::Before(id)),
            Step::Next(prepared) => self.pipeline.write(*prepared).await,
        }
    }

    fn answer(
        &self,
        head: Head,
        taken: Result<Taken, Error>,
        caller: &Identity,
        trace: &str,
    ) -> v1::SubmitCommandsResponse {
        let result = match taken {
            Ok(taken) => {
                if let Some(asked) = head.asked {
                    asked.log(taken.id(), trace);
                }
                Answer::CommandId(taken.id().to_string())
            }
            Err(error) => {
                self.gate.refused_one(caller, head.resource, &error);
                Answer::Failure(failure(error))
            }
        };
        v1::SubmitCommandsResponse {
            tag: head.tag,
            result: Some(result),
        }
    }
}

/// Those that share a task, in their order: together of no more than [`SELECTORS_TOGETHER`], the first whatever it has.
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
    stream::unfold(Some((requests, stop)), |open| async move {
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
