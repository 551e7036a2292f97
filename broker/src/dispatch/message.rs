//! What a lane says to an adapter: executions to carry out, and those to be left.
//!
//! Invariant: sent again, a message has the id that it had the first time.

use std::collections::BTreeMap;

use amqp::{
    Message,
    envelope::{Absorbed, DISPATCH_TYPE, Dispatch},
    header,
};
use domain::{CommandId, ExecutionId, Timestamp};
use serde::Deserialize;

use crate::store::{AbsorbedEntry, Entry, Lane, Mark};

/// The message for a batch: executions with what they absorb, and cancels; one of both may be empty.
pub fn of(
    lane: &Lane,
    marked: &[(&Entry, &Mark)],
    absorbed: &[(AbsorbedEntry, Mark)],
    cancels: &[CommandId],
    now: Timestamp,
) -> Result<Message, serde_json::Error> {
    let sent = marked.iter().map(|(entry, _)| *entry).collect::<Vec<_>>();
    let marks = marked
        .iter()
        .map(|(entry, mark)| (entry.sequence, **mark))
        .chain(absorbed.iter().map(|(entry, mark)| (entry.sequence, *mark)));
    let again = marks.clone().filter(|(_, mark)| *mark == Mark::SendAgain);
    let execution = |command: &CommandId| ExecutionId {
        command: *command,
        participant: lane.participant.clone(),
    };
    let body = serde_json::to_vec(&Dispatch {
        participant: lane.participant.clone(),
        executions: sent.iter().map(|entry| &*entry.order).collect(),
        sent_before: again.map(|(sequence, _)| sequence).collect(),
        shard: lane.shard.number(),
        absorbed: absorbed
            .iter()
            .map(|(entry, _)| Absorbed {
                execution: execution(&entry.command),
                sequence: entry.sequence,
                by: entry.by_sequence,
            })
            .collect(),
        cancels: cancels.iter().map(execution).collect(),
    })?;
    let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX).into();
    let sequences = marks.map(|(sequence, _)| sequence);
    let first = sequences.clone().min().unwrap_or_default();
    let last = sequences.max().unwrap_or_default();
    let mut headers = BTreeMap::from([
        (header::COUNT.to_owned(), number(sent.len() as u64)),
        (header::SEQUENCE_FIRST.to_owned(), number(first)),
        (header::SEQUENCE_LAST.to_owned(), number(last)),
    ]);
    let name = match cancels.first() {
        Some(command) if sent.is_empty() => format!("cancel-{command}"),
        _ => format!("{first}-{last}"),
    };
    if let Some(traceparent) = sent.first().and_then(|entry| traceparent(entry)) {
        headers.insert(header::TRACEPARENT.to_owned(), traceparent.into());
    }
    Ok(Message {
        message_id: format!("{}-{}-{name}", lane.participant, lane.shard.number()),
        kind: DISPATCH_TYPE.to_owned(),
        app_id: "broker".to_owned(),
        timestamp: now,
        correlation_id: None,
        headers,
        body,
    })
}

/// The trace of an order, without reading the rest of it.
fn traceparent(entry: &Entry) -> Option<String> {
    #[derive(Deserialize)]
    struct Traced {
        traceparent: Option<String>,
    }
    serde_json::from_str::<Traced>(entry.order.get())
        .ok()?
        .traceparent
}
