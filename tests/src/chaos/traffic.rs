//! What is asked for: who owns what, where it is deployed, and the next command.
//!
//! Invariant: every command names a URL that no other one names, so that none can do another's work unless it says so.

use anyhow::Result;
use proto::v1;

use super::recorder::Recorder;
use crate::federation::{Client, load, purge, selector};

/// The participants. Each has one server.
pub(super) const PARTICIPANTS: [&str; 4] = ["alder", "birch", "cedar", "dogwood"];
/// Who submits.
pub(super) const ORIGINATORS: [&str; 2] = ["alder", "birch"];
/// The custom operation that may not be repeated, as the brokers' configuration names it.
pub(super) const ONCE: &str = "count-visit";
/// Configurations that one participant carries, for each participant and originator.
const NARROW: usize = 4;
/// Configurations that all carry, for each originator.
const WIDE: usize = 2;
/// One command in so many goes to all participants.
const WIDE_EVERY: u64 = 20;
/// One command in so many may not be repeated.
const ONCE_EVERY: u64 = 16;
/// One command in so many loads.
const LOAD_EVERY: u64 = 10;

/// The commands of one originator, one after the other.
#[derive(Debug)]
pub(super) struct Traffic {
    originator: &'static str,
    /// Names this source of commands and no other.
    source: usize,
    /// Purges that only this participant carries out, instead of a bit of everything.
    only: Option<&'static str>,
    count: u64,
}

impl Traffic {
    /// Commands of this originator that begin with the first.
    pub(super) fn new(originator: &'static str, source: usize, only: Option<&'static str>) -> Self {
        Self {
            originator,
            source,
            only,
            count: 0,
        }
    }

    /// The next command, and whether it may be repeated.
    pub(super) fn next(&mut self) -> (v1::CommandDraft, bool) {
        self.count += 1;
        let (count, originator) = (self.count, self.originator);
        let turn = usize::try_from(count).unwrap_or_default();
        let configuration = if self.only.is_none() && count.is_multiple_of(WIDE_EVERY) {
            format!("wide-{originator}-{}", turn / 20 % WIDE)
        } else {
            let participant = self.only.unwrap_or(PARTICIPANTS[turn % PARTICIPANTS.len()]);
            let number = turn / PARTICIPANTS.len() % NARROW;
            format!("{participant}-{originator}-{number}")
        };
        let url = format!("http://{configuration}.example/{}/{count}", self.source);
        let mut draft = match count {
            _ if self.only.is_some() => purge(&[&url]),
            count if count % ONCE_EVERY == 1 => once(&url),
            count if count % LOAD_EVERY == 2 => load(&[&url]),
            _ => purge(&[&url]),
        };
        draft.configuration_id = configuration;
        (draft, self.only.is_some() || count % ONCE_EVERY != 1)
    }
}

/// A purge that one participant alone carries out.
pub(super) fn probe(participant: &str, number: u64) -> v1::CommandDraft {
    let configuration = format!("probe-{participant}");
    let mut draft = purge(&[&format!("http://{configuration}.example/{number}")]);
    draft.configuration_id = configuration;
    draft
}

fn once(url: &str) -> v1::CommandDraft {
    let custom = v1::CustomOperation {
        name: ONCE.to_owned(),
        ..v1::CustomOperation::default()
    };
    v1::CommandDraft {
        operation: Some(v1::Operation {
            kind: Some(v1::operation::Kind::Custom(custom)),
        }),
        selectors: vec![selector(v1::selector::Kind::Url(url.to_owned()))],
        ..v1::CommandDraft::default()
    }
}

/// Says to the registry who takes part, with which servers, and what is deployed where.
pub(super) async fn register(mut operator: Client, recorder: &Recorder) -> Result<()> {
    for (server, participant) in PARTICIPANTS.into_iter().enumerate() {
        operator.create_participant(participant).await?;
        let address = recorder.address(server);
        let id = format!("{participant}-1");
        operator
            .create_server(&id, participant, "agent", address)
            .await?;
    }
    for originator in ORIGINATORS {
        for number in 0..WIDE {
            let id = format!("wide-{originator}-{number}");
            place(&mut operator, &id, originator, &PARTICIPANTS).await?;
        }
        for participant in PARTICIPANTS {
            for number in 0..NARROW {
                let id = format!("{participant}-{originator}-{number}");
                place(&mut operator, &id, originator, &[participant]).await?;
            }
        }
    }
    for participant in PARTICIPANTS {
        let id = format!("probe-{participant}");
        place(&mut operator, &id, ORIGINATORS[0], &[participant]).await?;
    }
    Ok(())
}

async fn place(operator: &mut Client, id: &str, owner: &str, at: &[&str]) -> Result<()> {
    let host = format!("{id}.example");
    operator.create_configuration(id, owner, &[&host]).await?;
    for participant in at {
        operator.deploy(id, participant).await?;
    }
    Ok(())
}
