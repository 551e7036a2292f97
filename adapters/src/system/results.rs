//! What the invocation system's answers mean, server by server.
//!
//! Invariant: every server that was submitted has one result, whatever the system says of others.

use dialects::{
    Answer,
    canonical::{Progress, ServerState},
};
use domain::{ServerId, ServerResult, Try, limits::TRIES_PER_RESULT};

/// The states of all servers, where the answer has them.
pub(super) fn settled(answer: &Answer) -> Option<Progress> {
    (answer.status == 200).then(|| Progress::read(&answer.body).ok())?
}

/// Those of `servers` that have ended while others have not.
pub(super) fn ended(progress: &Progress, servers: &[ServerId]) -> Vec<ServerResult> {
    let has_ended = |id: &&ServerId| {
        let said = progress.servers.iter().find(|said| said.server == **id);
        said.is_some_and(|said| match said.state {
            ServerState::Waiting | ServerState::Running => false,
            ServerState::Done | ServerState::Failed | ServerState::Unknown => true,
        })
    };
    progress.results(servers.iter().filter(has_ended))
}

/// As many as a result keeps.
pub(super) fn latest(mut tries: Vec<Try>) -> Vec<Try> {
    tries.drain(..tries.len().saturating_sub(TRIES_PER_RESULT));
    tries
}
