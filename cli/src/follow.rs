//! Follows one command until it has settled, over any number of connections.
//!
//! Invariant: nothing is missed. Whatever breaks, the next stream begins at the token of the last change that was seen.
//! A limit for all of it is the caller's: a stream may rightly be silent for minutes, and a dead peer is noticed by
//! the connection's own keep-alive.

use proto::v1::{WatchCommandRequest, WatchCommandResponse};
use tokio::time::{sleep, timeout};
use tonic::{Code, Status, Streaming};

use crate::{
    broker::{Broker, CALL_LIMIT, is_unavailable, pause, too_slow},
    failure::Failure,
};

/// How often in a row a stream may break without bringing a change.
const FAILURES_MAXIMUM: u32 = 10;

/// One command that is followed.
pub(crate) struct Follow<'a> {
    broker: &'a Broker,
    command_id: String,
    resume_token: String,
    stream: Option<Streaming<WatchCommandResponse>>,
    broken: Option<Status>,
    failures: u32,
    settled: bool,
}

/// What happened next.
#[derive(Debug)]
pub(crate) enum Event {
    /// The command changed.
    Change(Box<WatchCommandResponse>),
    /// The stream broke for this reason; it is resumed by the next call.
    Lost(String),
    /// The command has settled.
    End,
}

impl<'a> Follow<'a> {
    /// From where the token stands; from the beginning with an empty one.
    pub(crate) fn new(broker: &'a Broker, command_id: &str, resume_token: &str) -> Self {
        Self {
            broker,
            command_id: command_id.to_owned(),
            resume_token: resume_token.to_owned(),
            stream: None,
            broken: None,
            failures: 0,
            settled: false,
        }
    }

    /// Waits for what happens next.
    pub(crate) async fn next(&mut self) -> Result<Event, Failure> {
        if let Some(status) = self.broken.take() {
            sleep(pause(self.failures, &status)).await;
        }
        match self.message().await {
            Ok(Some(change)) => {
                self.failures = 0;
                self.resume_token.clone_from(&change.resume_token);
                self.settled = change.standing.as_ref().is_some_and(|now| now.settled);
                Ok(Event::Change(Box::new(change)))
            }
            Ok(None) if self.settled => Ok(Event::End),
            Ok(None) => self.lost(Status::unavailable("the broker ended the stream early")),
            Err(status) if may_resume(&status) => self.lost(status),
            Err(status) => Err(status.into()),
        }
    }

    async fn message(&mut self) -> Result<Option<WatchCommandResponse>, Status> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => self.open().await?,
        };
        let message = stream.message().await?;
        // A broken or ended stream is dropped; the next call opens another.
        self.stream = message.is_some().then_some(stream);
        Ok(message)
    }

    async fn open(&self) -> Result<Streaming<WatchCommandResponse>, Status> {
        let request = WatchCommandRequest {
            command_id: self.command_id.clone(),
            resume_token: self.resume_token.clone(),
        };
        let mut client = self.broker.command_client();
        let answer = timeout(CALL_LIMIT, client.watch_command(request)).await;
        Ok(answer.unwrap_or_else(|_| Err(too_slow()))?.into_inner())
    }

    fn lost(&mut self, status: Status) -> Result<Event, Failure> {
        self.failures += 1;
        if self.failures > FAILURES_MAXIMUM {
            return Err(Failure::LostSight {
                command_id: self.command_id.clone(),
                status: Box::new(status),
            });
        }
        let reason = gone(&self.broker.url(), &status);
        self.broker.turn();
        self.broken = Some(status);
        Ok(Event::Lost(reason))
    }
}

/// What happened to the broker at this address, for people.
fn gone(url: &str, status: &Status) -> String {
    use std::error::Error as _;
    if status.source().is_some() {
        return format!("the broker at {url} is gone");
    }
    format!("the broker at {url}: {}", status.message())
}

/// Watching changes nothing, so it is resumed after everything that may pass.
fn may_resume(status: &Status) -> bool {
    let may_pass = matches!(
        status.code(),
        Code::Aborted
            | Code::Cancelled
            | Code::DeadlineExceeded
            | Code::Internal
            | Code::ResourceExhausted
            | Code::Unknown
    );
    may_pass || is_unavailable(status)
}
