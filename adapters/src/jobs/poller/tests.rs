//! The queue of jobs, without a clock.

use service::trace::TraceContext;
use tempfile::TempDir;

use super::*;
use crate::system::{System, job_of, tests};

/// Asks for what is due and lets every question end with "it runs". Says how many there were.
async fn ask_all(poller: &mut Poller) -> usize {
    let mut asked = 0;
    loop {
        poller.ask_what_is_due();
        let Some((job, _)) = poller.asking.next().await else {
            return asked;
        };
        asked += 1;
        poller.take(&job, Asked::Running(Vec::new())).await.unwrap();
    }
}

fn poller(folder: &TempDir) -> Poller {
    let configuration = tests::configuration(folder, "http://127.0.0.1:1", "1h");
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
    poller.slots = Arc::new(Semaphore::new(1));
    let order = tests::order();
    poller.hear(News::Job(Arc::new(job()), None));
    for _ in 0..5 {
        poller.called(order.execution.clone(), "token");
        assert_eq!(ask_all(&mut poller).await, 1);
    }
    for due in &mut poller.due {
        due.at = Instant::now();
    }
    assert_eq!(ask_all(&mut poller).await, 1);
    assert_eq!(poller.due.len(), 1);
}
