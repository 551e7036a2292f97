//! An adapter with its journal, as `adapters` promises it: what it does between a delivery and its acknowledgement.
//!
//! Invariant: what is in the journal survives a crash, everything else does not. A step is what can happen between two
//! crashes: one look, one telling of one server, one flush, one publish, one confirm, one acknowledgement.
//! Not here: what is known of executions (`book`), and the way of reports (`reporter`).

use std::collections::{BTreeMap, VecDeque};

use amqp::envelope::{Dispatch, ExecutionReport, Order, ReportedOutcome};
use domain::{
    ConfigurationId, Evidence, ExecutionId, Outcome, ParticipantId, ServerResult, Timestamp,
};
use rand::{Rng, seq::SliceRandom as _};

use super::{
    book::{Book, Entry},
    mutation::Mutation,
    rabbitmq::Queued,
    reporter::{Reportable, Reporter, fault, fold, of_absorbed},
    world::{Telling, World, short},
};

/// Dispatches that one adapter holds unsettled.
const PREFETCH: usize = 3;

/// A machine with a disk; its process comes and goes.
pub(super) struct Host {
    /// Whose adapter, by its place in the cast.
    index: usize,
    participant: ParticipantId,
    book: Book,
    process: Process,
}

/// What a crash takes away.
#[derive(Default)]
struct Process {
    connection: u64,
    unsettled: Vec<Held>,
    lanes: BTreeMap<ConfigurationId, VecDeque<Work>>,
    reporter: Reporter,
}

struct Held {
    message: Queued,
    unreported: usize,
}

/// Which delivery waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Receipt {
    connection: u64,
    place: u64,
}

struct Work {
    order: Order,
    receipt: Receipt,
    comes_again: bool,
    absorbed: Vec<ExecutionId>,
    asked_by: Option<Receipt>,
    stage: Stage,
    results: Vec<ServerResult>,
}

/// How far the first work of a lane has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// It waits for its turn.
    Look,
    /// It waits until it is on disk that it was begun, at that moment.
    Begin(Timestamp),
    Tell(Timestamp),
}

/// What can happen next.
#[derive(Debug, Clone, Copy)]
enum Step {
    Deliver,
    Work,
    Flush,
    Publish,
    Confirm,
    Acknowledge,
}

impl Host {
    /// With an empty journal.
    pub(super) fn new(index: usize, participant: &ParticipantId) -> Self {
        Self {
            index,
            participant: participant.clone(),
            book: Book::default(),
            process: Process::default(),
        }
    }

    /// One of the things that can happen; whether there was one. Only the active one of a participant is delivered to.
    pub(super) fn step(&mut self, world: &mut World, active: bool) -> bool {
        let mut steps = [
            Step::Deliver,
            Step::Work,
            Step::Flush,
            Step::Publish,
            Step::Confirm,
            Step::Acknowledge,
        ];
        steps.shuffle(&mut world.rng);
        steps.into_iter().any(|step| match step {
            Step::Deliver => active && self.deliver(world),
            Step::Work => self.work(world),
            Step::Flush => self.flush(world),
            Step::Publish => self.process.reporter.publish(world, &self.participant),
            Step::Confirm => self.confirm(world),
            Step::Acknowledge => self.acknowledge(world),
        })
    }

    /// The connection is gone; what is at hand goes on, as far as it does.
    pub(super) fn disconnect(&mut self, world: &mut World) {
        world.note(format!("{} loses its connection", self.participant));
        let unsettled = std::mem::take(&mut self.process.unsettled);
        world.rabbit.commands[self.index].give_back(unsettled.into_iter().map(|held| held.message));
        self.process.connection += 1;
    }

    /// The process is killed and started again.
    pub(super) fn crash(&mut self, world: &mut World) {
        self.disconnect(world);
        world.note(format!("{} is killed", self.participant));
        self.book.forget();
        self.process = Process {
            connection: self.process.connection,
            ..Process::default()
        };
    }

    fn deliver(&mut self, world: &mut World) -> bool {
        if self.process.unsettled.len() >= PREFETCH {
            return false;
        }
        let Some(message) = world.rabbit.commands[self.index].take() else {
            return false;
        };
        let place = message.place;
        let again = if message.redelivered { " again" } else { "" };
        world.note(format!("{} gets message {place}{again}", self.participant));
        let receipt = Receipt {
            connection: self.process.connection,
            place,
        };
        let dispatch: Dispatch<'_> = serde_json::from_slice(&message.body).unwrap();
        let parts = dispatch.executions.len() + dispatch.absorbed.len();
        if !world.broken(Mutation::AcknowledgedUnreported) {
            self.process.unsettled.push(Held {
                message: message.clone(),
                unreported: parts,
            });
        }
        self.book.cancel(&dispatch.cancels);
        for order in &dispatch.executions {
            let order: Order = serde_json::from_str(order.get()).unwrap();
            let absorbed = dispatch
                .absorbed
                .iter()
                .filter(|one| one.by == order.sequence);
            let comes_again = message.redelivered || dispatch.sent_before.contains(&order.sequence);
            let comes_again = comes_again && minds_redelivery(world);
            self.book.see(&order.execution, comes_again);
            self.put_into_lane(Work {
                comes_again,
                absorbed: absorbed.map(|one| one.execution.clone()).collect(),
                order,
                receipt,
                asked_by: None,
                stage: Stage::Look,
                results: Vec::new(),
            });
        }
        self.end_cancelled(world, receipt);
        true
    }

    fn put_into_lane(&mut self, work: Work) {
        let lane = self
            .process
            .lanes
            .entry(work.order.configuration.clone())
            .or_default();
        lane.push_back(work);
    }

    /// Takes what is cancelled and has not begun out of the lanes. The dispatch that cancelled it is held for it.
    fn end_cancelled(&mut self, world: &mut World, receipt: Receipt) {
        let mut cancelled = Vec::new();
        for lane in self.process.lanes.values_mut() {
            let (meant, rest) = lane.drain(..).partition::<VecDeque<_>, _>(|work| {
                work.stage == Stage::Look
                    && work.absorbed.is_empty()
                    && self.book.is_cancelled(&work.order.execution)
            });
            *lane = rest;
            cancelled.extend(meant);
        }
        if let Some(held) = self.process.held(receipt) {
            held.unreported += cancelled.len();
        }
        for mut work in cancelled {
            work.asked_by = Some(receipt);
            match self.book.find(world, &work.order.execution) {
                Some(Entry::Finished(report)) => self.answer(world, &work, &report),
                Some(Entry::Begun(_)) => self.give_up(world, work),
                None => self.end(world, work, ReportedOutcome::Cancelled),
            }
        }
    }

    /// One lane goes one step further.
    fn work(&mut self, world: &mut World) -> bool {
        let busy = self.process.lanes.iter().filter(|(_, lane)| {
            lane.front().is_some_and(|work| {
                !matches!(work.stage, Stage::Begin(_))
                    || self.book.is_on_disk(&work.order.execution)
            })
        });
        let mut busy = busy.map(|(name, _)| name.clone()).collect::<Vec<_>>();
        busy.shuffle(&mut world.rng);
        let Some(name) = busy.first() else {
            return false;
        };
        let work = self
            .process
            .lanes
            .get_mut(name)
            .and_then(VecDeque::pop_front)
            .unwrap();
        if let Some(rest) = self.go_on(world, work) {
            self.process.lanes.get_mut(name).unwrap().push_front(rest);
        }
        true
    }

    /// What is left of it, if anything is.
    fn go_on(&mut self, world: &mut World, mut work: Work) -> Option<Work> {
        let is_current = work.receipt.connection == self.process.connection;
        match work.stage {
            // It comes again, perhaps to another adapter.
            Stage::Look | Stage::Tell(_) if !is_current => {
                world.note(format!("{} leaves {}", self.participant, name(&work)));
                None
            }
            Stage::Look => self.look(world, work),
            Stage::Begin(begun) => {
                work.stage = Stage::Tell(begun);
                Some(work)
            }
            Stage::Tell(begun) => {
                self.tell(world, &mut work, begun);
                if work.results.len() < work.order.native[0].servers.len() {
                    return Some(work);
                }
                let outcome = fold(&work.results);
                self.end(world, work, outcome);
                None
            }
        }
    }

    fn look(&mut self, world: &mut World, mut work: Work) -> Option<Work> {
        let (execution, repeatable) = (work.order.execution.clone(), work.order.repeatable);
        let marked = match self.book.find(world, &execution) {
            Some(Entry::Finished(report)) => {
                self.answer(world, &work, &report);
                return None;
            }
            Some(Entry::Begun(_)) if !repeatable => {
                self.give_up(world, work);
                return None;
            }
            None if !repeatable && work.comes_again => {
                self.give_up(world, work);
                return None;
            }
            Some(Entry::Begun(begun)) => Some(begun),
            None => None,
        };
        if let Some(begun) = marked {
            work.stage = Stage::Tell(begun);
            return Some(work);
        }
        let is_over = work.order.expires_at.is_some_and(|end| end <= world.clock);
        if is_over && !self.book.has_begun(&execution) {
            if self.book.is_doubtful(&execution) {
                self.give_up(world, work);
            } else {
                self.end(world, work, ReportedOutcome::Expired);
            }
            return None;
        }
        let Some(begun) = self
            .book
            .begin(&execution, work.absorbed.is_empty(), world.clock)
        else {
            self.end(world, work, ReportedOutcome::Cancelled);
            return None;
        };
        let needs_mark = !repeatable || work.order.expires_at.is_some();
        if needs_mark {
            self.book.write_begun(&execution, begun);
        }
        work.stage = if needs_mark && !world.broken(Mutation::BegunUnwritten) {
            Stage::Begin(begun)
        } else {
            Stage::Tell(begun)
        };
        world.note(format!("{} begins {}", self.participant, name(&work)));
        Some(work)
    }

    fn tell(&mut self, world: &mut World, work: &mut Work, begun: Timestamp) {
        let server = work.order.native[0].servers[work.results.len()].id.clone();
        world.note(format!(
            "{} tells {server} {}",
            self.participant,
            name(work)
        ));
        world.tellings.push(Telling {
            participant: self.participant.clone(),
            server: server.clone(),
            configuration: work.order.configuration.clone(),
            command: work.order.execution.command,
            sequence: work.order.sequence,
            begun,
        });
        let outcome = match world.rng.random_range(0..10) {
            0 => Outcome::Failed(fault()),
            1 => Outcome::Done(Evidence::Acknowledged),
            _ => Outcome::Done(Evidence::Reported),
        };
        work.results.push(ServerResult {
            outcome,
            ..ServerResult::unknown(server)
        });
    }

    /// It was finished before; what it absorbs ends with it, but for what ended by itself.
    fn answer(&mut self, world: &mut World, work: &Work, report: &ExecutionReport) {
        world.note(format!("{} answers {}", self.participant, name(work)));
        let receipts = [Some(work.receipt), work.asked_by];
        self.book.answer(Reportable::new(report.clone(), receipts));
        let ends = self.ends_of_absorbed(world, work, report);
        self.book.finish(ends);
    }

    /// It may not be repeated, and may have been begun.
    fn give_up(&mut self, world: &mut World, mut work: Work) {
        world.given_up.insert(work.order.execution.clone());
        let servers = work.order.native[0].servers.iter();
        work.results = servers
            .map(|server| ServerResult::unknown(server.id.clone()))
            .collect();
        self.end(world, work, ReportedOutcome::Unknown);
    }

    fn end(&mut self, world: &mut World, mut work: Work, outcome: ReportedOutcome) {
        world.note(format!(
            "{} ends {}: {outcome:?}",
            self.participant,
            name(&work)
        ));
        let report = ExecutionReport {
            execution: work.order.execution.clone(),
            outcome,
            results: std::mem::take(&mut work.results),
            reported_at: world.clock,
            traceparent: None,
            absorbed_by: None,
            told: None,
        };
        let mut ends = vec![Reportable::new(
            report.clone(),
            [Some(work.receipt), work.asked_by],
        )];
        ends.extend(self.ends_of_absorbed(world, &work, &report));
        if world.broken(Mutation::ReportedUnwritten) {
            self.book.know(&ends);
            for end in ends {
                self.process.reporter.push(end);
            }
        } else if leaves_early(&work, &report) {
            self.report_meanwhile(ends);
        } else {
            self.book.finish(ends);
        }
    }

    /// They are reported while they are written down, and their deliveries wait for both.
    fn report_meanwhile(&mut self, ends: Vec<Reportable>) {
        for end in ends {
            for receipt in end.receipts.into_iter().flatten() {
                if let Some(held) = self.process.held(receipt) {
                    held.unreported += 1;
                }
            }
            self.book.keep(end.clone());
            self.process.reporter.push(end);
        }
    }

    /// The new reports of those that it absorbs; those that the journal knows better are answered.
    fn ends_of_absorbed(
        &mut self,
        world: &mut World,
        work: &Work,
        report: &ExecutionReport,
    ) -> Vec<Reportable> {
        let receipts = [Some(work.receipt), None];
        let mut ends = Vec::new();
        for execution in &work.absorbed {
            let absorbers = world.absorbed.entry(execution.clone()).or_default();
            absorbers.insert(work.order.execution.command);
            if let Some(Entry::Finished(known)) = self.book.find(world, execution) {
                self.book.answer(Reportable::new(known, receipts));
            } else {
                ends.push(Reportable::new(of_absorbed(report, execution), receipts));
            }
        }
        ends
    }

    /// Everything that waits for the disk is on it.
    fn flush(&mut self, world: &mut World) -> bool {
        let Some((reports, kept)) = self.book.flush() else {
            return false;
        };
        world.note(format!("{} flushes its journal", self.participant));
        self.process
            .count(kept.into_iter().flat_map(|end| end.receipts));
        for report in reports {
            self.process.reporter.push(report);
        }
        true
    }

    fn confirm(&mut self, world: &mut World) -> bool {
        let Some(receipts) = self.process.reporter.confirm(world, &self.participant) else {
            return false;
        };
        self.process.count(receipts.into_iter().map(Some));
        true
    }

    fn acknowledge(&mut self, world: &mut World) -> bool {
        let reported = |held: &Held| held.unreported == 0;
        let Some(index) = self.process.unsettled.iter().position(reported) else {
            return false;
        };
        let held = self.process.unsettled.remove(index);
        world.note(format!(
            "{} acknowledges message {}",
            self.participant, held.message.place
        ));
        true
    }
}

impl Process {
    /// What these deliveries waited for has come, once for each.
    fn count(&mut self, receipts: impl Iterator<Item = Option<Receipt>>) {
        for receipt in receipts.flatten() {
            if let Some(held) = self.held(receipt) {
                held.unreported -= 1;
            }
        }
    }

    /// The delivery, where it can still be settled.
    fn held(&mut self, receipt: Receipt) -> Option<&mut Held> {
        let is_current = receipt.connection == self.connection;
        let mut held = self.unsettled.iter_mut();
        held.find(|held| is_current && held.message.place == receipt.place)
    }
}

/// Whether it is reported while it is written down: what may be repeated and is done, by itself.
fn leaves_early(work: &Work, report: &ExecutionReport) -> bool {
    let is_done = matches!(report.outcome, ReportedOutcome::Done(_));
    let is_alone = work.absorbed.is_empty() && work.asked_by.is_none();
    work.order.repeatable && is_done && is_alone
}

/// Whether it is minded that a dispatch may have been here, or elsewhere. Where there is one journal, that is a second net under it,
/// which would hide that nothing is written.
fn minds_redelivery(world: &World) -> bool {
    let only_journal = world.hosts == 1 && world.broken(Mutation::BegunUnwritten);
    !only_journal && !world.broken(Mutation::RedeliveryIgnored)
}

fn name(work: &Work) -> String {
    format!(
        "{}#{}",
        short(work.order.execution.command),
        work.order.sequence
    )
}
