//! `fedctl dead-letters`: what could not be handled, looked at, sent again, thrown away.
//!
//! Invariant: nothing is thrown away or sent again without having been named: by id, by reason, or all of it by somebody who
//! was asked.

mod text;
mod view;

use std::{
    collections::BTreeSet,
    io::{self, BufRead as _},
};

use clap::{ArgGroup, Args, Subcommand, ValueEnum};
use proto::v1::{
    AllDeadLetters, DeadLetterReason, DeadLetterSelection, DiscardDeadLettersRequest,
    GetDeadLetterRequest, ListDeadLettersRequest, MessageIds, RetryDeadLettersRequest,
    dead_letter_selection::Kind,
};

use super::Context;
use crate::{exit::Exit, failure::Failure, output::can_ask, table, words};
use view::{LetterDetails, LetterList, Worked};

/// The most letters that a broker looks at in one call.
const LETTERS_MAXIMUM: usize = 1_000;
/// A queue of dead letters holds 100,000; it ends a broker that never ends.
const ROUNDS_MAXIMUM: usize = 200;

/// Messages that could not be handled.
#[derive(Debug, Args)]
pub(crate) struct DeadLetters {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List them, the oldest of each participant first
    List(List),
    /// Show one with its headers, its body and how its executions stand now
    Show(Show),
    /// Send dispatches again: the same messages, so the same executions
    Retry(Selection),
    /// Throw them away for good
    Discard(Selection),
}

#[derive(Debug, Args)]
struct Whose {
    /// Only of this participant; `replies` for reports that no broker could read
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    participant: String,
}

#[derive(Debug, Args)]
struct List {
    #[command(flatten)]
    whose: Whose,
    /// Only those that died so
    #[arg(long)]
    reason: Option<Reason>,
    /// At most so many
    #[arg(long, value_name = "NUMBER", default_value_t = 100)]
    limit: usize,
}

#[derive(Debug, Args)]
struct Show {
    #[command(flatten)]
    whose: Whose,
    /// Its message id
    #[arg(value_name = "MESSAGE")]
    message_id: String,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("which").required(true).args(["message_ids", "reason", "all"]))]
struct Selection {
    #[command(flatten)]
    whose: Whose,
    /// Their message ids
    #[arg(value_name = "MESSAGE")]
    message_ids: Vec<String>,
    /// All that died so
    #[arg(long)]
    reason: Option<Reason>,
    /// All of them; you are asked first
    #[arg(long)]
    all: bool,
    /// Do not ask before --all
    #[arg(long)]
    yes: bool,
}

/// Why a message died.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Reason {
    /// Its receiver could not read it
    Rejected,
    /// Its receiver died of it again and again
    DeliveryLimit,
    /// Its queue was full
    MaxLength,
    /// It waited for too long
    Expired,
}

/// What is done with letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Work {
    Retry,
    Discard,
}

impl DeadLetters {
    /// Does it.
    pub(crate) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        match self.action {
            Action::List(list) => list.run(context).await,
            Action::Show(show) => show.run(context).await,
            Action::Retry(selection) => selection.run(context, Work::Retry).await,
            Action::Discard(selection) => selection.run(context, Work::Discard).await,
        }
    }
}

impl List {
    async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let list = list(context, &self.whose, self.reason, self.limit).await?;
        if context.output.json {
            context.output.document(&list)?;
            return Ok(Exit::Done);
        }
        if list.dead_letters.is_empty() {
            context.output.note("no dead letters");
        } else {
            context.output.text(&table::records(&list.dead_letters))?;
        }
        if list.more {
            context
                .output
                .note("there may be more; --participant, --reason or --limit shows others");
        }
        Ok(Exit::Done)
    }
}

impl Show {
    async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let request = GetDeadLetterRequest {
            participant_id: self.whose.participant,
            message_id: self.message_id,
        };
        let answer = context
            .broker
            .dead_letters(async |mut client| client.get_dead_letter(request.clone()).await);
        let details = LetterDetails::from(answer.await?);
        context.output.show(&details, text::details)?;
        Ok(Exit::Done)
    }
}

impl Selection {
    async fn run(self, context: &Context, work: Work) -> Result<Exit, Failure> {
        if self.all && !self.yes {
            self.confirm(context, work).await?;
        }
        let mut worked = self.work(context, work).await?;
        let asked: BTreeSet<_> = self.message_ids.into_iter().collect();
        let done: BTreeSet<_> = worked.message_ids.iter().cloned().collect();
        worked.not_found = asked.difference(&done).cloned().collect();
        let verb = match work {
            Work::Retry => "sent again",
            Work::Discard => "thrown away",
        };
        if context.output.json {
            context.output.document(&worked)?;
        } else {
            context.output.text(&text::worked(&worked, verb))?;
        }
        Ok(exit(&worked))
    }

    /// Call after call, while there may be more and each call gets something done.
    async fn work(&self, context: &Context, work: Work) -> Result<Worked, Failure> {
        let mut worked = Worked::default();
        for _ in 0..ROUNDS_MAXIMUM {
            let round = match self.call(context, work).await {
                Ok(round) => round,
                Err(failure) if worked.message_ids.is_empty() => return Err(failure),
                Err(failure) => {
                    worked.ended_by = Some(failure.to_string());
                    break;
                }
            };
            let goes_on = round.more && !round.message_ids.is_empty() && round.ended_by.is_none();
            worked.message_ids.extend(round.message_ids);
            (worked.more, worked.ended_by) = (round.more, round.ended_by);
            if !goes_on {
                break;
            }
        }
        Ok(worked)
    }

    async fn call(&self, context: &Context, work: Work) -> Result<Worked, Failure> {
        let (participant_id, selection) = (self.whose.participant.clone(), Some(self.selection()));
        let broker = &context.broker;
        Ok(match work {
            Work::Retry => {
                let request = RetryDeadLettersRequest {
                    participant_id,
                    selection,
                };
                let answer = broker.dead_letters(async |mut client| {
                    client.retry_dead_letters(request.clone()).await
                });
                answer.await?.into()
            }
            Work::Discard => {
                let request = DiscardDeadLettersRequest {
                    participant_id,
                    selection,
                };
                let answer = broker.dead_letters(async |mut client| {
                    client.discard_dead_letters(request.clone()).await
                });
                answer.await?.into()
            }
        })
    }

    fn selection(&self) -> DeadLetterSelection {
        let kind = match self.reason {
            Some(reason) => Kind::Reason(DeadLetterReason::from(reason).into()),
            None if self.all => Kind::All(AllDeadLetters {}),
            None => Kind::MessageIds(MessageIds {
                ids: self.message_ids.clone(),
            }),
        };
        DeadLetterSelection { kind: Some(kind) }
    }

    /// Asks with the figure in hand.
    async fn confirm(&self, context: &Context, work: Work) -> Result<(), Failure> {
        if !can_ask() {
            let usage = "--all means every dead letter; without a terminal to ask on, say --yes";
            return Err(Failure::Usage(usage.to_owned()));
        }
        let list = list(context, &self.whose, None, LETTERS_MAXIMUM).await?;
        let question = match work {
            Work::Retry => "Send them again?",
            Work::Discard => "Throw them away for good?",
        };
        let at_least = if list.more { "at least " } else { "" };
        context.output.note(&format!(
            "{at_least}{}. {question} [y/N]",
            words::count(list.dead_letters.len(), "dead letter")
        ));
        let mut answer = String::new();
        // A closed stdin says no.
        let _ = io::stdin().lock().read_line(&mut answer);
        match answer.trim().to_lowercase().as_str() {
            "y" | "yes" => Ok(()),
            _ => Err(Failure::Declined),
        }
    }
}

async fn list(
    context: &Context,
    whose: &Whose,
    reason: Option<Reason>,
    limit: usize,
) -> Result<LetterList, Failure> {
    let request = ListDeadLettersRequest {
        participant_id: whose.participant.clone(),
        reason: reason.map_or(DeadLetterReason::Unspecified, DeadLetterReason::from) as i32,
        page_size: i32::try_from(limit.clamp(1, LETTERS_MAXIMUM)).unwrap_or_default(),
    };
    let answer = context
        .broker
        .dead_letters(async |mut client| client.list_dead_letters(request.clone()).await);
    Ok(answer.await?.into())
}

/// Done when everything that was asked for is done; ids that are not there are a mistake in the call.
fn exit(worked: &Worked) -> Exit {
    let complete = worked.not_found.is_empty() && worked.ended_by.is_none();
    match (complete, worked.message_ids.is_empty()) {
        (true, _) => Exit::Done,
        (false, false) => Exit::Partly,
        (false, true) => Exit::Usage,
    }
}

impl From<Reason> for DeadLetterReason {
    fn from(reason: Reason) -> Self {
        match reason {
            Reason::Rejected => Self::Rejected,
            Reason::DeliveryLimit => Self::DeliveryLimit,
            Reason::MaxLength => Self::MaxLength,
            Reason::Expired => Self::Expired,
        }
    }
}
