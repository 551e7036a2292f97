//! `fedctl participants keys`: the public keys that a participant's adapter signs its reports with.
//!
//! Invariant: a key is added to, or taken from what the broker has; the rest of the record stays.

use std::time::SystemTime;

use clap::{Args, Subcommand};
use domain::signing::PublicKey;
use proto::v1::{Participant, SigningKey, UpdateParticipantRequest};

use super::{Kind as _, incomplete, participants::Participants, print};
use crate::{commands::Context, exit::Exit, failure::Failure, view::KeyView};

/// What to do with the keys of a participant.
#[derive(Debug, Args)]
pub(crate) struct ParticipantKeys {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List them
    List(Whose),
    /// Add one: from its first key on, a participant's unsigned reports are not believed
    Add(Add),
    /// Remove one: what it signed is not believed any more
    Remove(Remove),
}

#[derive(Debug, Args)]
struct Whose {
    /// The participant
    #[arg(value_name = "PARTICIPANT")]
    id: String,
}

#[derive(Debug, Args)]
struct Add {
    /// The participant
    #[arg(value_name = "PARTICIPANT")]
    id: String,
    /// The public key, as `fedctl keys generate` and `fedctl keys show` print it
    #[arg(value_name = "KEY")]
    public_key: PublicKey,
    /// What it signs before this moment (RFC 3339) is not believed
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_rfc3339)]
    from: Option<SystemTime>,
    /// What it signs from this moment (RFC 3339) on is not believed
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_rfc3339)]
    until: Option<SystemTime>,
}

#[derive(Debug, Args)]
struct Remove {
    /// The participant
    #[arg(value_name = "PARTICIPANT")]
    id: String,
    /// The key's id, as the list shows it
    #[arg(value_name = "KEY_ID")]
    key_id: String,
}

impl ParticipantKeys {
    /// Does it, and shows the keys.
    pub(crate) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let participant = match self.action {
            Action::List(Whose { id }) => get(context, &id).await?,
            Action::Add(typed) => {
                let mut participant = get(context, &typed.id).await?;
                let key = typed.public_key.to_string();
                participant.signing_keys.retain(|one| one.public_key != key);
                participant.signing_keys.push(SigningKey {
                    public_key: key,
                    key_id: String::new(),
                    valid_from_time: typed.from.map(Into::into),
                    valid_until_time: typed.until.map(Into::into),
                });
                put(context, participant).await?
            }
            Action::Remove(typed) => {
                let mut participant = get(context, &typed.id).await?;
                let before = participant.signing_keys.len();
                let keys = &mut participant.signing_keys;
                keys.retain(|one| one.key_id != typed.key_id);
                if keys.len() == before {
                    let (id, key) = (typed.id, typed.key_id);
                    return Err(Failure::Usage(format!("{id} has no key {key}")));
                }
                put(context, participant).await?
            }
        };
        let keys = participant.signing_keys.into_iter().map(KeyView::from);
        print(context, "keys", &keys.collect::<Vec<_>>())
    }
}

async fn get(context: &Context, id: &str) -> Result<Participant, Failure> {
    let found = Participants::get(&context.broker, id).await?;
    found.ok_or_else(incomplete)
}

async fn put(context: &Context, participant: Participant) -> Result<Participant, Failure> {
    let request = UpdateParticipantRequest {
        // Without any and without a word the broker would keep those that are there.
        removes_signing_keys: participant.signing_keys.is_empty(),
        participant: Some(participant),
    };
    let updated = context
        .broker
        .registry(async |mut client| client.update_participant(request.clone()).await);
    updated.await?.participant.ok_or_else(incomplete)
}
