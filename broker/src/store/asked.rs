//! What is asked of the script that accepts, and what it answers: acceptances as texts, those of a call together.
//!
//! Invariant: what several commands of a call have in common (originators, participants, keys) is said once for all of them; an
//! argument costs Redis, its Lua and the broker more than what is in it.
//! Not here: what is decided (`accept_script`), and which acceptances go together (`gather`).

use std::collections::HashMap;

use domain::{CommandId, ParticipantId, RequestId, Timestamp};
use redis::ScriptInvocation;

use super::{Bounds, Keys, Lease, Placed, Shard, StoreError, outbox::millis};

/// One command that is to be accepted.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) id: CommandId,
    pub(super) body: String,
    pub(super) accepted_at: Timestamp,
    pub(super) originator: ParticipantId,
    /// How many commands of its originator may be open.
    pub(super) open: u64,
    /// The record of the audit log, on one line.
    pub(super) audit: String,
    pub(super) executions: Vec<AskedExecution>,
    /// What few commands have.
    pub(super) special: Special,
}

/// One execution of it.
#[derive(Debug)]
pub(super) struct AskedExecution {
    pub(super) participant: ParticipantId,
    /// What it was told, and what is kept of the plan.
    pub(super) plan: String,
    /// Without its first member; empty where nothing is sent.
    pub(super) order: String,
    /// Under which it may be marked as dispatched at once.
    pub(super) lease: Option<Lease>,
}

/// What is not so with most commands.
#[derive(Debug, Default)]
pub(super) struct Special {
    /// Its request, and what is kept of that.
    pub(super) request: Option<(RequestId, String)>,
    /// Before then nobody is told.
    pub(super) not_before: Option<Timestamp>,
    pub(super) expires_at: Option<Timestamp>,
    /// By when a second person must have approved it, and what is kept of that.
    pub(super) approval: Option<(Timestamp, String)>,
}

/// What the script answers for one command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// Accepted; of each execution that waits in an outbox, its place.
    Accepted(Vec<Placed>),
    /// What is kept of an earlier request with its id.
    Known(String),
    /// Too many wait for the participant of the execution at this place.
    Full(usize),
    /// Too many commands of its originator are open.
    Busy,
}

impl Asked {
    /// Of its texts.
    pub(super) fn bytes(&self) -> usize {
        let of_executions = self.executions.iter();
        let of_executions = of_executions.map(|one| one.plan.len() + one.order.len());
        self.body.len() + self.audit.len() + of_executions.sum::<usize>()
    }
}

impl Special {
    fn is_empty(&self) -> bool {
        self.request.is_none()
            && self.not_before.is_none()
            && self.expires_at.is_none()
            && self.approval.is_none()
    }

    /// The arguments, each empty where there is nothing.
    fn texts(&self) -> [String; 5] {
        let moment = |moment: Option<Timestamp>| {
            moment.map_or_else(String::new, |moment| moment.as_millis().to_string())
        };
        let request = self.request.as_ref();
        let approval = self.approval.as_ref();
        [
            request.map_or_else(String::new, |(_, kept)| kept.clone()),
            moment(self.not_before),
            moment(self.expires_at),
            moment(approval.map(|(until, _)| *until)),
            approval.map_or_else(String::new, |(_, kept)| kept.clone()),
        ]
    }
}

/// What is said once, in the order in which it came, and its number, from 1.
struct Once<'a, T> {
    numbers: HashMap<&'a ParticipantId, usize>,
    all: Vec<(&'a ParticipantId, T)>,
}

impl<'a, T> Once<'a, T> {
    fn new() -> Self {
        Self {
            numbers: HashMap::new(),
            all: Vec::new(),
        }
    }

    fn number(&mut self, id: &'a ParticipantId, what: T) -> usize {
        *self.numbers.entry(id).or_insert_with(|| {
            self.all.push((id, what));
            self.all.len()
        })
    }
}

/// Writes the KEYS and ARGV of [`super::accept_script::ACCEPT`] for acceptances of one shard.
pub(super) fn write(
    call: &mut ScriptInvocation<'_>,
    keys: &Keys,
    (shard, bounds): (Shard, Bounds),
    together: &[&Asked],
) {
    let (mut originators, mut participants) = (Once::new(), Once::new());
    for asked in together {
        originators.number(&asked.originator, asked.open);
        for execution in &asked.executions {
            let number = participants.number(&execution.participant, None);
            let lease = &mut participants.all[number - 1].1;
            // The latest; whoever came by another one is not marked by it.
            *lease = execution.lease.as_ref().or(*lease);
        }
    }
    write_common(call, keys, (shard, bounds));
    call.arg(originators.all.len())
        .arg(participants.all.len())
        .arg(lines(together));
    for (originator, open) in &originators.all {
        call.key(keys.commands(shard, originator))
            .arg(originator.as_str())
            .arg(*open);
    }
    for (participant, lease) in &participants.all {
        call.key(keys.outbox(shard, participant))
            .arg(participant.as_str())
            .arg(lease.map_or("", |lease| &lease.0));
    }
    for asked in together {
        let special = &asked.special;
        call.key(keys.command(shard, asked.id));
        if let Some((request, _)) = &special.request {
            call.key(keys.request(shard, &asked.originator, *request));
        }
        call.arg(&asked.body)
            .arg(asked.accepted_at.as_millis())
            .arg(originators.numbers[&asked.originator])
            .arg(asked.executions.len())
            .arg(if special.is_empty() { 0 } else { 5 });
        for execution in &asked.executions {
            let number = participants.numbers[&execution.participant];
            let is_marked = execution.lease.is_some()
                && execution.lease.as_ref() == participants.all[number - 1].1;
            let sign = if is_marked { "" } else { "-" };
            call.arg(format!("{sign}{number}"))
                .arg(&execution.plan)
                .arg(&execution.order);
        }
        if !special.is_empty() {
            call.arg(&special.texts());
        }
    }
}

fn write_common(call: &mut ScriptInvocation<'_>, keys: &Keys, (shard, bounds): (Shard, Bounds)) {
    call.key(keys.sequences(shard))
        .key(keys.scheduled(shard))
        .key(keys.scheduled_counts(shard))
        .key(keys.expiring(shard))
        .key(keys.open(shard))
        .key(keys.audit(shard))
        .key(keys.approvals(shard));
    call.arg(bounds.outbox)
        .arg(keys.wake(shard))
        .arg(bounds.window)
        .arg(millis(bounds.report));
}

fn lines(together: &[&Asked]) -> String {
    let length = together.iter().map(|asked| asked.audit.len() + 1).sum();
    let mut lines = String::with_capacity(length);
    for asked in together {
        if !lines.is_empty() {
            lines.push('\n');
        }
        lines.push_str(&asked.audit);
    }
    lines
}

impl Answer {
    /// What the script answered for all of a call.
    pub(super) fn read_all(text: &str) -> Vec<Result<Self, StoreError>> {
        text.split('\n').map(Self::read).collect()
    }

    fn read(line: &str) -> Result<Self, StoreError> {
        let lacking = || StoreError::lacking("the answer of accept");
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        Ok(match word {
            "a" => {
                let places = rest.split_terminator(' ').map(|word| {
                    let number = word.strip_suffix('*');
                    let sequence = number.unwrap_or(word).parse();
                    Ok(Placed {
                        sequence: sequence.map_err(|_| lacking())?,
                        is_dispatched: number.is_some(),
                    })
                });
                Self::Accepted(places.collect::<Result<_, StoreError>>()?)
            }
            "k" => Self::Known(rest.to_owned()),
            "f" => Self::Full(rest.parse().map_err(|_| lacking())?),
            "b" => Self::Busy,
            _ => return Err(lacking()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each word of an answer, and none that nobody says.
    #[test]
    fn answers_are_read() {
        let place = |sequence, is_dispatched| Placed {
            sequence,
            is_dispatched,
        };
        let read: Vec<_> = Answer::read_all("a 7* 1\na\nk digest id shop\nf 2\nb")
            .into_iter()
            .map(Result::unwrap)
            .collect();
        assert_eq!(
            read,
            [
                Answer::Accepted(vec![place(7, true), place(1, false)]),
                Answer::Accepted(Vec::new()),
                Answer::Known("digest id shop".to_owned()),
                Answer::Full(2),
                Answer::Busy,
            ]
        );
        for line in ["", "a x", "f", "x 1"] {
            assert!(Answer::read(line).is_err(), "{line}");
        }
    }
}
