//! What a lane says to an adapter: executions to carry out, and those to be left.
//!
//! Invariant: the same executions and cancels, sent again, have the message id that they had the first time.

use std::collections::{BTreeMap, BTreeSet};

use amqp::{
    Message,
    envelope::{Absorbed, DISPATCH_TYPE, Dispatch, MappingDocument},
    header,
};
use domain::{CommandId, DialectName, ExecutionId, Timestamp};
use serde::Deserialize;
use tracing::warn;

use crate::{
    directory::Directory,
    store::{AbsorbedEntry, Entry, Lane, Mark},
};

/// The message for a batch: executions with what they absorb, and cancels; one of both may be empty.
pub fn of(
    lane: &Lane,
    marked: &[(&Entry, &Mark)],
    absorbed: &[(AbsorbedEntry, Mark)],
    cancels: &[CommandId],
    directory: &Directory,
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
        mappings: mappings(&sent, directory),
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

/// The documents that the orders speak by, each once.
fn mappings(sent: &[&Entry], directory: &Directory) -> Vec<MappingDocument> {
    let named: BTreeSet<_> = sent.iter().flat_map(|entry| spoken_by(entry)).collect();
    let document = |(name, version): &(DialectName, u32)| {
        let document = directory.mapping(name, *version);
        if document.is_none() {
            warn!(mapping = %name, version, "an order is sent whose mapping is no longer kept");
        }
        document
    };
    named.iter().filter_map(document).collect()
}

/// The mappings of an order; most have none, which is seen without reading them.
fn spoken_by(entry: &Entry) -> Vec<(DialectName, u32)> {
    #[derive(Deserialize)]
    struct Spoken {
        native: Vec<Native>,
    }
    #[derive(Deserialize)]
    struct Native {
        dialect: DialectName,
        mapping: Option<u32>,
    }
    if !entry.order.get().contains(r#""mapping":"#) {
        return Vec::new();
    }
    let spoken = serde_json::from_str::<Spoken>(entry.order.get());
    let native = spoken.map_or_else(|_| Vec::new(), |spoken| spoken.native);
    native
        .into_iter()
        .filter_map(|native| Some((native.dialect, native.mapping?)))
        .collect()
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

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::*;
    use crate::store::{Change, MappingVersion, Record};

    fn entry(sequence: u64, native: &str) -> Entry {
        let order = format!(r#"{{"sequence":{sequence},"native":[{native}]}}"#);
        Entry {
            sequence,
            command: "01890a5d-ac96-774b-bcce-b302099a8057".parse().unwrap(),
            order: RawValue::from_string(order).unwrap(),
        }
    }

    /// However many orders speak by a version, its document travels once; what is no longer kept is left out.
    #[test]
    fn a_document_travels_once_with_its_message() {
        let directory = Directory::default();
        for (version, document) in [(1, "old"), (2, "new")] {
            let record = MappingVersion {
                name: "acme".parse().unwrap(),
                version,
                put_at: Timestamp::from_millis(0),
                document: Some(document.to_owned()),
            };
            directory
                .write()
                .apply(Change::Put(Record::Mapping(record)));
        }
        let entries = [
            entry(1, r#"{"dialect":"acme","mapping":1}"#),
            entry(
                2,
                r#"{"dialect":"varnish","calls":[{"body":"\"mapping\":7"}]}"#,
            ),
            entry(3, r#"{"dialect":"acme","mapping":2}"#),
            entry(4, r#"{"dialect":"acme","mapping":1}"#),
            entry(5, r#"{"dialect":"acme","mapping":9}"#),
        ];
        let found = mappings(&entries.iter().collect::<Vec<_>>(), &directory);
        let found: Vec<_> = found
            .iter()
            .map(|one| (one.version, one.document.as_str()))
            .collect();
        assert_eq!(found, [(1, "old"), (2, "new")]);
    }
}
