//! What the broker says about the newest command: how long it took, on each server, and who could not do it.
//!
//! Invariant: the broker's own times and words, nothing measured or worded here.

use std::time::Duration;

use anyhow::{Context, Result};
use proto::v1;

use super::stage::Stage;

/// A command as it stands.
#[derive(Debug)]
pub(super) struct Outcome(v1::Command);

impl Outcome {
    /// The owner's newest command.
    pub(super) async fn newest(stage: &Stage) -> Result<Self> {
        let mut owner = stage.owner()?;
        let request = v1::ListCommandsRequest {
            page_size: 1,
            ..v1::ListCommandsRequest::default()
        };
        let page = owner.commands.list_commands(request).await?.into_inner();
        let newest = page
            .commands
            .first()
            .context("the broker knows no command")?;
        Ok(Self(owner.get(&newest.id).await?))
    }

    /// From its acceptance to the last participant's result.
    pub(super) fn took(&self) -> Result<Duration> {
        let changes = self.0.executions.iter();
        let settled =
            changes.filter_map(|execution| execution.change_time.as_ref().map(nanoseconds));
        let settled = settled.max().context("it has no executions")?;
        let accepted = self.0.accept_time.as_ref().map(nanoseconds);
        let accepted = accepted.context("it has no time of acceptance")?;
        let took =
            u64::try_from(settled - accepted).context("it settled before it was accepted")?;
        Ok(Duration::from_nanos(took))
    }

    /// The participants that have not done it.
    pub(super) fn undone(&self) -> Vec<String> {
        let executions = self.0.executions.iter();
        let undone = executions.filter(|execution| execution.state() != v1::ExecutionState::Done);
        undone
            .map(|execution| execution.participant_id.clone())
            .collect()
    }

    /// How long a server took from the first call to the last answer, if it was told at all.
    pub(super) fn took_at(&self, server: &str) -> Option<Duration> {
        let result = self
            .results()
            .find(|(_, result)| result.server_id == server);
        let (_, result) = result?;
        (result.attempts > 0).then(|| Duration::from_millis(result.took_ms))
    }

    /// Why a participant did not do it, in the words of its dialects or of its own system; nothing where it did.
    pub(super) fn why_not(&self, participant: &str) -> Option<String> {
        let execution = self.0.executions.iter();
        let mut execution = execution.filter(|execution| execution.participant_id == participant);
        let execution = execution.next()?;
        let unsaid = execution
            .fidelity
            .as_ref()
            .filter(|_| execution.state() == v1::ExecutionState::Unsupported)
            .map(|fidelity| fidelity.why.clone());
        let fault = execution.fault.as_ref().map(|fault| fault.message.clone());
        unsaid.or(fault)
    }

    fn results(&self) -> impl Iterator<Item = (&v1::Execution, &v1::ServerResult)> {
        let executions = self.0.executions.iter();
        executions.flat_map(|execution| {
            execution
                .servers
                .iter()
                .map(move |server| (execution, server))
        })
    }
}

fn nanoseconds(time: &prost_types::Timestamp) -> i64 {
    time.seconds * 1_000_000_000 + i64::from(time.nanos)
}
