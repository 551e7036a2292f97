//! Reports on their way from an adapter to the queue: in order, one message at a time, again until it is confirmed.

use std::collections::VecDeque;

use amqp::envelope::{ExecutionReport, Report, ReportedOutcome};
use domain::{
    CommandId, ExecutionId, Fault, Outcome, ParticipantId, ServerResult,
    fault::{Again, FaultCode, Side},
};
use rand::Rng;

use super::{
    adapter::Receipt,
    rabbitmq::{Address, Fate},
    world::World,
};

/// One execution's report, and the deliveries that wait for it: its own, and the one that cancelled it.
#[derive(Debug, Clone)]
pub(super) struct Reportable {
    pub(super) report: ExecutionReport,
    pub(super) receipts: [Option<Receipt>; 2],
}

/// What waits, and what is out.
#[derive(Default)]
pub(super) struct Reporter {
    waiting: VecDeque<Reportable>,
    out: Option<(Vec<Reportable>, Fate)>,
}

impl Reportable {
    pub(super) const fn new(report: ExecutionReport, receipts: [Option<Receipt>; 2]) -> Self {
        Self { report, receipts }
    }

    /// Of which command.
    pub(super) const fn command(&self) -> CommandId {
        self.report.execution.command
    }
}

impl Reporter {
    pub(super) fn push(&mut self, reportable: Reportable) {
        self.waiting.push_back(reportable);
    }

    /// Sends the next message; whether there was one to send.
    pub(super) fn publish(&mut self, world: &mut World, participant: &ParticipantId) -> bool {
        if self.out.is_some() || self.waiting.is_empty() {
            return false;
        }
        let count = world.rng.random_range(1..=self.waiting.len().min(4));
        let gathered = self.waiting.drain(..count).collect();
        self.send(world, participant, gathered);
        true
    }

    /// What was out is confirmed, with the receipts that waited, or sent again. `None` where nothing was out.
    pub(super) fn confirm(
        &mut self,
        world: &mut World,
        participant: &ParticipantId,
    ) -> Option<Vec<Receipt>> {
        let (sent, fate) = self.out.take()?;
        if fate == Fate::Confirmed {
            return Some(
                sent.into_iter()
                    .flat_map(|one| one.receipts)
                    .flatten()
                    .collect(),
            );
        }
        self.send(world, participant, sent);
        Some(Vec::new())
    }

    fn send(&mut self, world: &mut World, participant: &ParticipantId, sent: Vec<Reportable>) {
        let report = Report {
            participant: participant.clone(),
            executions: sent.iter().map(|one| one.report.clone()).collect(),
            progress: Vec::new(),
            receipts: None,
        };
        let fate = Fate::draw(&mut world.rng, world.faults);
        world.note(format!("{participant} reports {}: {fate:?}", sent.len()));
        let body = serde_json::to_vec(&report).unwrap();
        world.rabbit.publish(Address::Replies, body.into(), fate);
        self.out = Some((sent, fate));
    }
}

/// What a server says that does not do it.
pub(super) fn fault() -> Fault {
    Fault::participant(FaultCode::Refused, Again::Never, "no")
}

/// As the adapter folds it: failed when one is, otherwise unknown when one is, otherwise done.
pub(super) fn fold(results: &[ServerResult]) -> ReportedOutcome {
    let mut done = None;
    let mut unknown = false;
    for result in results {
        match &result.outcome {
            Outcome::Failed(fault) => return ReportedOutcome::Failed(fault.clone()),
            Outcome::Unknown => unknown = true,
            Outcome::Done(evidence) => {
                done = Some(done.map_or(*evidence, |weakest| evidence.min(&weakest).to_owned()));
            }
        }
    }
    match done {
        Some(evidence) if !unknown => ReportedOutcome::Done(evidence),
        _ => ReportedOutcome::Unknown,
    }
}

/// What is said of an execution whose absorber has this report: the same, where that was carried out.
pub(super) fn of_absorbed(absorber: &ExecutionReport, execution: &ExecutionId) -> ExecutionReport {
    let carried_out = matches!(
        absorber.outcome,
        ReportedOutcome::Done(_) | ReportedOutcome::Failed(_)
    );
    let not_carried_out = Fault::new(
        FaultCode::UnreadableOrder,
        Side::Federation,
        Again::Soon,
        "not carried out",
    );
    ExecutionReport {
        execution: execution.clone(),
        outcome: if carried_out {
            absorber.outcome.clone()
        } else {
            ReportedOutcome::Failed(not_carried_out)
        },
        results: if carried_out {
            absorber.results.clone()
        } else {
            Vec::new()
        },
        absorbed_by: Some(absorber.execution.command),
        ..absorber.clone()
    }
}
