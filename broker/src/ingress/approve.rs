//! A second person's word: a command that waits for it goes, once.
//!
//! Invariant: whoever submitted a command never approves it, and neither does a system. A repeated call by the same person has
//! the same answer as the first.

use domain::limits;
use proto::v1;
use tracing::info;

use super::{commands::Commands, identity::Identity, view};
use crate::{
    authorise::Rpc,
    error::Error,
    metrics::count_released,
    pipeline::now,
    store::{Approval, ApprovalAsked, Approved, StoredCommand},
};

impl Commands {
    /// Lets the command go, if it waits and the caller is somebody else.
    pub(super) async fn approve(
        &self,
        identity: &Identity,
        request: v1::ApproveCommandRequest,
    ) -> Result<v1::ApproveCommandResponse, Error> {
        let reason = reason(request.reason)?;
        let id = &request.command_id;
        let stored = self.admitted(identity, Rpc::ApproveCommand, id).await?;
        let asked = stored.approval.as_ref();
        let asked = asked.ok_or_else(|| nothing_waits(&stored, "it needs none"))?;
        check_second(identity, asked)?;
        let moment = now();
        let approval = Approval {
            by: identity.to_string(),
            at: moment,
            reason,
        };
        let store = &self.pipeline.store;
        match store.approve(&stored.command, &approval).await? {
            Approved::Now => {
                // Any replica would within a second; a person waits now.
                let shard = store.keys().shard_of(&stored.command.configuration);
                let released = store.release_due(shard, moment, DUE).await?;
                released.participants.iter().for_each(count_released);
                info!(command.id = %stored.command.id, approved.by = %approval.by, "approved a command");
            }
            Approved::Before(before) if before.by == approval.by => {}
            Approved::Before(before) => {
                let why = format!("{} has approved it", before.by);
                return Err(nothing_waits(&stored, &why));
            }
            Approved::NotWaiting => {
                let why = "it has ended, or the time to approve it is over";
                return Err(nothing_waits(&stored, why));
            }
        }
        let after = self.admitted(identity, Rpc::ApproveCommand, id).await?;
        Ok(v1::ApproveCommandResponse {
            command: Some(view::command_within(&after, self.answer_bytes)),
        })
    }
}

/// Commands of its shard whose time has come that are looked at with it.
const DUE: isize = 100;

/// Nobody is waited for, and why.
fn nothing_waits(stored: &StoredCommand, why: &str) -> Error {
    Error::NothingToApprove {
        command: stored.command.id,
        why: why.to_owned(),
    }
}

/// What is written down for others to read.
fn reason(text: String) -> Result<String, Error> {
    let most = limits::LABEL_LENGTH;
    if text.chars().count() > most || text.chars().any(char::is_control) {
        let rule =
            format!("must be at most {most} characters without control characters (LABEL_LENGTH)");
        return Err(Error::invalid("reason", rule));
    }
    Ok(text)
}

/// Another one, and a person.
fn check_second(identity: &Identity, asked: &ApprovalAsked) -> Result<(), Error> {
    if identity.to_string() == asked.submitted_by {
        let why = "whoever submitted a command cannot approve it; a second person must";
        return Err(Error::NotAllowed(why));
    }
    if !identity.is_person() {
        let why = "a person must approve: operator/<name> or participant/<id>/person/<name>";
        return Err(Error::NotAllowed(why));
    }
    Ok(())
}
