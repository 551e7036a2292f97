//! `ListParticipantProgress`: who is behind, and by how much.
//!
//! Invariant: whoever may not see a participant does not hear how busy it is. How far a participant is with a caller's own
//! commands, their executions tell.

use domain::{Participant, ParticipantId};
use proto::v1;

use super::{identity::Identity, registry::Registry, view::timestamp};
use crate::{error::Error, store::Progress};

impl Registry {
    /// A page of it.
    pub(super) async fn list_progress(
        &self,
        identity: &Identity,
        request: v1::ListParticipantProgressRequest,
    ) -> Result<v1::ListParticipantProgressResponse, Error> {
        let (participants, next_page_token) =
            self.page::<Participant>(identity, request.page_size, &request.page_token, |_| true)?;
        let mut progress = Vec::with_capacity(participants.len());
        for (participant, _) in &participants {
            let found = self.registrar.store().progress(&participant.id).await?;
            progress.push(show(&participant.id, &found));
        }
        Ok(v1::ListParticipantProgressResponse {
            progress,
            next_page_token,
        })
    }
}

fn show(participant: &ParticipantId, progress: &Progress) -> v1::ParticipantProgress {
    v1::ParticipantProgress {
        participant_id: participant.to_string(),
        accepted_sequence: progress.accepted_sequence,
        read_sequence: progress.read_sequence,
        waiting: progress.waiting,
        unreported: progress.unreported,
        oldest_time: progress.oldest.map(timestamp),
        heard_time: progress.heard.map(timestamp),
    }
}
