//! What could not be handled, for people to work on: looked at, sent again, thrown away, counted.
//!
//! Invariant: a letter leaves RabbitMQ only when its new message is confirmed or somebody threw it away, and who did is
//! in the log. A crash in between leaves two of it, never none; the adapter's journal and the state machine take both.
//! What is sent again is signed again, and only where the signature that it died with is ours. It goes where the broker sends
//! dispatches, never where a letter says that it came from: RabbitMQ 3.10 believes what a publisher writes into `x-death`.
//! Not here: who may work on which box (`ingress::dead_letters`).

mod look;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use amqp::{DeadLetter, DeathReason, LinkError, LinkSettings, LookError, Publisher, Topology};
use domain::{ExecutionId, ParticipantId, State};
use futures::{StreamExt as _, TryStreamExt as _};
use metrics::counter;
use serde::Deserialize;
use serde_json::value::RawValue;
use service::exit::Chain;
use tokio::{sync::Semaphore, time::timeout};
use tracing::{info, warn};

pub use look::Depths;
use look::Look;

use crate::{
    directory::Directory,
    error::Error,
    metrics as names,
    pipeline::now,
    signing::Signing,
    store::{Store, StoreError},
};

/// Looks at a time on one replica; each has a connection to RabbitMQ.
const LOOKS_AT_A_TIME: usize = 8;
/// How long a look may wait for its turn.
const TURN_LIMIT: Duration = Duration::from_secs(5);
/// Executions of one letter whose states are shown.
pub const EXECUTIONS_SHOWN: usize = 1_000;
/// States that are read at a time.
const READS_AT_A_TIME: usize = 16;

/// Whose dead letters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LetterBox {
    /// The dispatches of a participant.
    Participant(ParticipantId),
    /// The reports that no broker could read.
    Replies,
}

impl LetterBox {
    /// Every participant's, and that of the reports.
    pub fn all(directory: &Directory) -> Vec<Self> {
        let tables = directory.read();
        let participants = tables.participants.keys().cloned();
        let mut all: Vec<_> = participants.map(Self::Participant).collect();
        all.push(Self::Replies);
        all
    }

    /// As callers write it.
    pub fn name(&self) -> &str {
        match self {
            Self::Participant(participant) => participant.as_str(),
            Self::Replies => amqp::REPLIES,
        }
    }

    fn queue(&self, topology: &Topology) -> String {
        match self {
            Self::Participant(participant) => topology.dead_letters_queue(participant),
            Self::Replies => topology.replies_dead_letters_queue(),
        }
    }
}

/// Which letters of a box.
#[derive(Debug, Clone)]
pub enum Selection {
    /// Those with one of these message ids.
    Ids(BTreeSet<String>),
    /// Those that died for this reason.
    Reason(DeathReason),
    /// Every one.
    All,
}

impl Selection {
    fn takes(&self, letter: &DeadLetter) -> bool {
        match self {
            Self::Ids(ids) => ids.contains(&letter.message.message_id),
            Self::Reason(reason) => letter.death.reason == Some(*reason),
            Self::All => true,
        }
    }
}

/// What is done with a letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// It is sent again.
    Retry,
    /// It is thrown away.
    Discard,
}

impl Work {
    const fn done(self) -> &'static str {
        match self {
            Self::Retry => "retried",
            Self::Discard => "discarded",
        }
    }
}

/// A letter as a list shows it.
#[derive(Debug)]
pub struct Listed {
    /// Whose.
    pub letter_box: LetterBox,
    /// The letter; of a list without its body.
    pub letter: DeadLetter,
    /// How large the body is.
    pub body_bytes: usize,
}

/// Some letters of a list.
#[derive(Debug, Default)]
pub struct Page {
    /// The oldest of each box.
    pub letters: Vec<Listed>,
    /// Whether there may be more.
    pub more: bool,
}

/// What came of working on letters.
#[derive(Debug, Default)]
pub struct Worked {
    /// The ids of those that are done.
    pub message_ids: Vec<String>,
    /// Whether there may be more than were looked at.
    pub more: bool,
    /// Why it ended early.
    pub ended_by: Option<Error>,
}

/// Works on dead letters, for one replica.
#[derive(Clone)]
pub struct DeadLetters {
    link: LinkSettings,
    topology: Topology,
    publisher: Publisher,
    store: Store,
    signing: Arc<Signing>,
    turns: Arc<Semaphore>,
}

impl DeadLetters {
    /// The user in `link` reads the queues of dead letters; `publisher` writes to the exchange of dispatches.
    pub fn new(
        link: LinkSettings,
        topology: Topology,
        publisher: Publisher,
        store: Store,
        signing: Arc<Signing>,
    ) -> Self {
        Self {
            link,
            topology,
            publisher,
            store,
            signing,
            turns: Arc::new(Semaphore::new(LOOKS_AT_A_TIME)),
        }
    }

    /// The oldest letters of these boxes that are selected, at most `limit`.
    pub async fn list(
        &self,
        boxes: Vec<LetterBox>,
        selection: &Selection,
        limit: usize,
    ) -> Result<Page, Error> {
        let _turn = self.turn().await?;
        let mut look = Look::begin(&self.link, &self.topology, boxes).await?;
        let mut page = Page::default();
        while let Some((letter_box, mut letter)) = look.next().await? {
            if !selection.takes(&letter) {
                continue;
            }
            if page.letters.len() == limit {
                page.more = true;
                break;
            }
            let body = std::mem::take(&mut letter.message.body);
            page.letters.push(Listed {
                letter_box,
                letter,
                body_bytes: body.len(),
            });
        }
        page.more |= look.is_cut_short();
        look.end().await?;
        Ok(page)
    }

    /// The oldest letter with this message id.
    pub async fn find(&self, boxes: Vec<LetterBox>, message_id: &str) -> Result<Listed, Error> {
        let _turn = self.turn().await?;
        let mut look = Look::begin(&self.link, &self.topology, boxes).await?;
        let mut found = None;
        while found.is_none()
            && let Some((letter_box, letter)) = look.next().await?
        {
            if letter.message.message_id == message_id {
                let body_bytes = letter.message.body.len();
                found = Some(Listed {
                    letter_box,
                    letter,
                    body_bytes,
                });
            }
        }
        look.end().await?;
        found.ok_or_else(|| Error::not_found("dead letter", message_id))
    }

    /// How the executions in a letter stand now: `None` for one whose command is not there.
    pub async fn states(
        &self,
        listed: &Listed,
    ) -> Result<Vec<(ExecutionId, Option<State>)>, StoreError> {
        let mut executions = executions_in(&listed.letter.message.body);
        // Whose dispatch it is may read only of its own.
        if let LetterBox::Participant(own) = &listed.letter_box {
            executions.retain(|execution| execution.participant == *own);
        }
        executions.truncate(EXECUTIONS_SHOWN);
        futures::stream::iter(executions)
            .map(async |execution| {
                let stored = self.store.command(execution.command).await?;
                let state = stored.and_then(|stored| {
                    let mut executions = stored.executions.into_iter();
                    executions.find_map(|one| (one.id == execution).then_some(one.state))
                });
                Ok((execution, state))
            })
            .buffered(READS_AT_A_TIME)
            .try_collect()
            .await
    }

    /// Works on all letters that are selected, oldest first, as `who`. It goes on when the caller has gone.
    pub async fn work(
        &self,
        work: Work,
        boxes: Vec<LetterBox>,
        selection: Selection,
        who: String,
    ) -> Result<Worked, Error> {
        if work == Work::Retry && boxes.contains(&LetterBox::Replies) {
            return Err(Error::ReportsStay);
        }
        let this = self.clone();
        let working = tokio::spawn(async move {
            let _turn = this.turn().await?;
            this.work_through(work, boxes, &selection, &who).await
        });
        working.await.map_err(|_| Error::Interrupted)?
    }

    async fn work_through(
        &self,
        work: Work,
        boxes: Vec<LetterBox>,
        selection: &Selection,
        who: &str,
    ) -> Result<Worked, Error> {
        let mut look = Look::begin(&self.link, &self.topology, boxes).await?;
        let mut worked = Worked::default();
        let outcome = loop {
            match look.next().await {
                Ok(Some((_, letter))) if !selection.takes(&letter) => {}
                Ok(Some((letter_box, letter))) => {
                    if let Err(error) = self.work_on(work, &mut look, &letter_box, &letter).await {
                        break Err(error);
                    }
                    log(work, who, &letter_box, &letter);
                    worked.message_ids.push(letter.message.message_id);
                }
                Ok(None) => break Ok(()),
                Err(error) => break Err(error.into()),
            }
        };
        worked.more = look.is_cut_short();
        let ended = look.end().await.map_err(Error::from);
        match outcome.and(ended) {
            Ok(()) => Ok(worked),
            Err(error) if worked.message_ids.is_empty() => Err(error),
            Err(error) => {
                warn!(error = %Chain(&error), done = worked.message_ids.len(), "work on dead letters ended early");
                worked.ended_by = Some(error);
                Ok(worked)
            }
        }
    }

    async fn work_on(
        &self,
        work: Work,
        look: &mut Look,
        letter_box: &LetterBox,
        letter: &DeadLetter,
    ) -> Result<(), Error> {
        if work == Work::Retry {
            let LetterBox::Participant(participant) = letter_box else {
                return Err(Error::ReportsStay);
            };
            let exchange = self.topology.commands_exchange();
            let mut message = letter.again();
            self.signing
                .sign_again(&mut message, participant, now())
                .map_err(Error::NotOurs)?;
            let sending = self
                .publisher
                .publish(&exchange, participant.as_str(), &message);
            sending.await.map_err(Error::NotSent)?;
        }
        look.remove(letter).await?;
        counter!(names::DEAD_LETTERS_WORKED_TOTAL, "work" => work.done()).increment(1);
        Ok(())
    }

    async fn turn(&self) -> Result<tokio::sync::SemaphorePermit<'_>, Error> {
        let busy = LinkError::Busy { limit: TURN_LIMIT };
        match timeout(TURN_LIMIT, self.turns.acquire()).await {
            Ok(Ok(turn)) => Ok(turn),
            Ok(Err(_)) | Err(_) => Err(LookError::Link(busy).into()),
        }
    }
}

/// Who did what, for whoever asks later.
fn log(work: Work, who: &str, letter_box: &LetterBox, letter: &DeadLetter) {
    info!(
        target: "audit",
        caller = who,
        participant.id = letter_box.name(),
        message.id = letter.message.message_id,
        reason = letter.death.reason.map_or("unknown", DeathReason::as_str),
        executions = executions_in(&letter.message.body).len(),
        "{} a dead letter", work.done()
    );
}

/// The executions that a dispatch or a report speaks of, as far as they can be read.
fn executions_in(body: &[u8]) -> Vec<ExecutionId> {
    #[derive(Deserialize)]
    struct Body<'a> {
        #[serde(borrow)]
        executions: Vec<&'a RawValue>,
    }
    #[derive(Deserialize)]
    struct Identified {
        execution: ExecutionId,
    }
    let Ok(body) = serde_json::from_slice::<Body<'_>>(body) else {
        return Vec::new();
    };
    let each = body
        .executions
        .iter()
        .filter_map(|one| serde_json::from_str::<Identified>(one.get()).ok());
    each.map(|one| one.execution).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A letter is here because something in it is wrong; the rest of it is read all the same.
    #[test]
    fn an_order_that_cannot_be_read_hides_no_other() {
        let id = "01890a5d-ac96-774b-bcce-b302099a8057_b";
        let body = format!(
            r#"{{"executions":[{{"execution":7}},{{"execution":"{id}","new":1}},"no"],"x":{{}}}}"#
        );
        let found = executions_in(body.as_bytes());
        assert_eq!(found, [id.parse().unwrap()]);
        assert!(executions_in(b"\xff\xfe").is_empty());
        assert!(executions_in(b"{}").is_empty());
    }
}
