//! Request ids: what makes two submits the same, and which command an earlier one became.
//!
//! Invariant: what is compared is what the originator wrote, never what it came to by the registry or the clock of the day;
//! so a repeated request is recognised although its deployment is gone or its time is over.
//!
//! A request id lies in the shard of its configuration, for only there it is written in the same call as the command. An
//! earlier use is found in every shard; only when two requests of one id for configurations in two shards come at the same
//! time are both accepted.

use domain::{
    Ceiling, Command, CommandId, ConfigurationId, Operation, ParticipantId, RequestId, Scope,
    Selector, Timestamp, Verification, command::WhenImpossible,
};
use serde::Serialize;

use super::{Shard, Store, StoreError, keys::stable_hash};
use crate::verify::Draft;

/// How an earlier submit with the same request id compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Requested {
    /// It was the same request, accepted as this command.
    Before(CommandId),
    /// It asked for something else.
    Conflict,
}

/// What must be alike in two submits of one request id, but for the configuration, which may be left to be found.
#[derive(Serialize)]
struct Asked<'a> {
    operation: &'a Operation,
    selectors: &'a [Selector],
    scope: &'a Scope,
    ceiling: &'a Ceiling,
    when_impossible: WhenImpossible,
    not_before: Option<Timestamp>,
    expires_at: Option<Timestamp>,
    /// Left out where there is none, so that what was kept before it existed compares.
    #[serde(skip_serializing_if = "Option::is_none")]
    verification: Option<&'a Verification>,
}

/// The digest of an accepted command.
pub(super) fn digest(command: &Command) -> Result<String, StoreError> {
    Asked {
        operation: &command.operation,
        selectors: &command.selectors,
        scope: &command.scope,
        ceiling: &command.ceiling,
        when_impossible: command.when_impossible,
        not_before: command.not_before,
        expires_at: command.expires_at,
        verification: command.verification.as_ref(),
    }
    .digest()
}

impl Asked<'_> {
    fn digest(&self) -> Result<String, StoreError> {
        let mut operation = self.operation.clone();
        if let Operation::Custom(custom) = &mut operation {
            // That is the broker's to say, not the originator's.
            custom.repeatable = false;
        }
        let asked = Asked {
            operation: &operation,
            ..*self
        };
        let text = serde_json::to_vec(&asked)
            .map_err(|error| StoreError::unreadable("a request", error))?;
        Ok(format!("{:016x}{:x}", stable_hash(&text), text.len()))
    }
}

/// What is kept of a request: its digest, its command and that one's configuration.
pub(super) fn record(digest: &str, command: &Command) -> String {
    format!("{digest} {} {}", command.id, command.configuration)
}

/// Compares a request with what is kept of an earlier one.
pub(super) fn compare(
    kept: &str,
    digest: &str,
    configuration: Option<&ConfigurationId>,
) -> Result<Requested, StoreError> {
    let lacking = || StoreError::lacking("a request");
    let mut words = kept.split(' ');
    let (before, id) = (
        words.next().ok_or_else(lacking)?,
        words.next().ok_or_else(lacking)?,
    );
    let id: CommandId = id.parse().map_err(|_| lacking())?;
    let of = words.next();
    if before == digest
        && configuration.is_none_or(|configuration| Some(configuration.as_str()) == of)
    {
        Ok(Requested::Before(id))
    } else {
        Ok(Requested::Conflict)
    }
}

impl Store {
    /// What became of an earlier submit with the request id of this draft; one round trip, with a look into each shard.
    pub async fn requested(&self, draft: &Draft) -> Result<Option<Requested>, StoreError> {
        let Some(request) = draft.request_id else {
            return Ok(None);
        };
        let Some(kept) = self.kept_request(&draft.originator, request).await? else {
            return Ok(None);
        };
        let asked = Asked {
            operation: &draft.operation,
            selectors: &draft.selectors,
            scope: &draft.scope,
            ceiling: &draft.ceiling,
            when_impossible: draft.when_impossible,
            not_before: draft.not_before,
            expires_at: draft.expires_at,
            verification: draft.verification.as_ref(),
        };
        compare(&kept, &asked.digest()?, draft.configuration.as_ref()).map(Some)
    }

    async fn kept_request(
        &self,
        originator: &ParticipantId,
        request: RequestId,
    ) -> Result<Option<String>, StoreError> {
        let key = |shard: Shard| self.keys.request(shard, originator, request);
        let mut pipeline = redis::pipe();
        for shard in self.keys.shards() {
            pipeline.get(key(shard));
        }
        let kept: Vec<Option<String>> = self.redis.pipeline(&pipeline).await?;
        Ok(kept.into_iter().flatten().next())
    }
}

#[cfg(test)]
mod tests {
    use domain::{PurgeMode, operation::CustomOperation};

    use super::*;

    const ID: &str = "01890a5d-ac96-774b-bcce-b30209990000";

    fn asked<'a>(operation: &'a Operation, selectors: &'a [Selector]) -> Asked<'a> {
        Asked {
            operation,
            selectors,
            scope: &Scope::Everywhere,
            ceiling: &Ceiling {
                widest: None,
                narrowed: false,
            },
            when_impossible: WhenImpossible::Skip,
            not_before: None,
            expires_at: None,
            verification: None,
        }
    }

    /// Another time is another request; whether an operation may be repeated is not the originator's word.
    #[test]
    fn the_digest_is_of_what_the_originator_wrote() {
        let custom = |repeatable| {
            Operation::Custom(CustomOperation {
                name: "reindex".parse().unwrap(),
                repeatable,
                parameters: [].into(),
            })
        };
        let selectors = [Selector::Everything];
        let digest = |operation: &Operation| asked(operation, &selectors).digest().unwrap();
        assert_eq!(digest(&custom(true)), digest(&custom(false)));
        let purge = Operation::Purge(PurgeMode::Delete);
        assert_ne!(digest(&purge), digest(&custom(false)));
        let later = Asked {
            not_before: Some(Timestamp::from_millis(1)),
            ..asked(&purge, &selectors)
        };
        assert_ne!(later.digest().unwrap(), digest(&purge));
        let verified = Asked {
            verification: Some(&Verification::default()),
            ..asked(&purge, &selectors)
        };
        assert_ne!(verified.digest().unwrap(), digest(&purge));
    }

    /// A configuration that was left to be found the first or the second time is the same; another one is not.
    #[test]
    fn a_request_id_is_for_one_configuration() {
        let kept = format!("d {ID} shop");
        let (shop, news) = ("shop".parse().unwrap(), "news".parse().unwrap());
        let before = Requested::Before(ID.parse().unwrap());
        assert_eq!(compare(&kept, "d", Some(&shop)).unwrap(), before);
        assert_eq!(compare(&kept, "d", None).unwrap(), before);
        for (digest, configuration) in [("d", &news), ("e", &shop)] {
            let answer = compare(&kept, digest, Some(configuration)).unwrap();
            assert_eq!(answer, Requested::Conflict);
        }
    }
}
