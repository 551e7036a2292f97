//! The queue of jobs, without a clock.

use dialects::Verdict;
use domain::{CommandId, Evidence, Finding};
use service::trace::TraceContext;
use tempfile::TempDir;
use uuid::Uuid;

use super::*;
use crate::system::{System, job_of, tests};

/// Asks for what is due and lets every question end with "it runs". Says how many there were.
async fn ask_all(poller: &mut Poller) -> usize {
    let mut asked = 0;
    loop {
        poller.ask_what_is_due();
        let Some(answered) = poller.asking.next().await else {
            return asked;
        };
        asked += 1;
        poller.take(runs(answered)).await.unwrap();
    }
}

fn runs(answered: Answered) -> Answered {
    Answered {
        asked: Asked::Running(Vec::new()),
        ..answered
    }
}

fn make_due(poller: &mut Poller) {
    for due in &mut poller.due {
        due.at = Instant::now();
    }
}

/// What the only question comes to, when it is answered so by a job of which the first part has ended.
async fn one_part_ended(poller: &mut Poller, asked: Asked) -> Answered {
    make_due(poller);
    poller.ask_what_is_due();
    let answered = poller.asking.next().await.unwrap();
    let ended = Verdict::Done {
        evidence: Evidence::Reported,
        finding: Finding::Accepted,
    };
    Answered {
        heard: vec![Some(ended)],
        asked,
        ..answered
    }
}

fn poller(folder: &TempDir) -> Poller {
    poller_with(folder, 16)
}

/// With so many places for questions.
fn poller_with(folder: &TempDir, places: usize) -> Poller {
    let mut configuration = tests::configuration(folder, "http://127.0.0.1:1", "1h");
    configuration.invocation_system.polls_at_once = places;
    let (sender, _reports) = mpsc::channel(1);
    let participant = &configuration.participant;
    let (journal, _writer) = Journal::open(&configuration.journal, participant, sender).unwrap();
    let system = System::new(&configuration.invocation_system, &configuration.calls, &[]).unwrap();
    let (_news, heard) = mpsc::channel(1);
    let teller = Teller::System(Arc::new(system));
    let pace = configuration.invocation_system.pace();
    Poller::new(teller, journal, configuration.participant, pace, heard)
}

fn job() -> Job {
    let (name, token) = ("job".to_owned(), "token".to_owned());
    job_of(
        &tests::order(),
        name,
        Vec::new(),
        token,
        &TraceContext::new(),
    )
}

/// The callback is quicker than the answer to the submission: the job is asked for as soon as it is known.
#[tokio::test]
async fn a_callback_that_comes_too_early_is_remembered() {
    let folder = TempDir::new().unwrap();
    for (token, asked) in [("token", 1), ("wrong", 0)] {
        let mut poller = poller(&folder);
        for _ in 0..2 * EARLY_LIMIT {
            poller.called(job().execution, token);
        }
        assert_eq!(poller.early.len(), EARLY_LIMIT);
        poller.hear(News::Job(Arc::new(job()), None));
        assert_eq!((ask_all(&mut poller).await, poller.early.len()), (asked, 0));
    }
}

/// A system that calls back often does not make the adapter ask more often for ever.
#[tokio::test]
async fn callbacks_leave_one_entry_that_counts() {
    let folder = TempDir::new().unwrap();
    let mut poller = poller(&folder);
    let order = tests::order();
    poller.hear(News::Job(Arc::new(job()), None));
    for _ in 0..5 {
        poller.called(order.execution.clone(), "token");
        assert_eq!(ask_all(&mut poller).await, 1);
    }
    make_due(&mut poller);
    assert_eq!(ask_all(&mut poller).await, 1);
    assert_eq!(poller.due.len(), 1);
}

/// Whoever is called back is in front of those that are due, and these have every other place, so that neither waits for all of the
/// other kind.
#[tokio::test]
async fn who_is_called_back_and_who_is_due_take_turns() {
    let folder = TempDir::new().unwrap();
    let mut poller = poller_with(&folder, 1);
    poller.ask_what_is_due();
    let numbered = |number: u128| {
        let command = CommandId::from_uuid(Uuid::from_u128(number));
        let job = job();
        let execution = ExecutionId {
            command,
            ..job.execution.clone()
        };
        Job { execution, ..job }
    };
    for number in 0..5 {
        poller.hear(News::Job(Arc::new(numbered(number)), None));
    }
    make_due(&mut poller);
    for number in 0..3 {
        poller.called(numbered(number).execution, "token");
    }
    let mut order = Vec::new();
    for _ in 0..5 {
        poller.ask_what_is_due();
        assert_eq!(poller.asking.len(), 1);
        let answered = poller.asking.next().await.unwrap();
        order.push(answered.job.execution.command.as_uuid().as_u128());
        poller.take(runs(answered)).await.unwrap();
    }
    assert_eq!(order, [0, 3, 1, 4, 2]);
}

/// What was heard of a job's first parts is there at its next question, and is no answer for the job that took its place.
#[tokio::test]
async fn a_job_that_takes_anothers_place_begins_anew() {
    let folder = TempDir::new().unwrap();
    let mut poller = poller(&folder);
    let execution = job().execution;
    poller.hear(News::Job(Arc::new(job()), None));
    let answered = one_part_ended(&mut poller, Asked::Running(Vec::new())).await;
    poller.take(answered).await.unwrap();
    assert_eq!(poller.tracked[&execution].heard.len(), 1);

    let late = one_part_ended(&mut poller, Asked::Settled(Vec::new())).await;
    let next = Arc::new(job());
    poller.hear(News::Job(Arc::clone(&next), None));
    poller.take(late).await.unwrap();
    let tracked = &poller.tracked[&execution];
    assert!(Arc::ptr_eq(&tracked.job, &next));
    assert!(tracked.heard.is_empty());
    make_due(&mut poller);
    assert_eq!(ask_all(&mut poller).await, 1);
}
