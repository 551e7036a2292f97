//! The journal on a real disk.

use amqp::envelope::{ExecutionReport, ReportedOutcome};
use domain::{CommandId, Evidence};
use tempfile::TempDir;
use uuid::Uuid;

use super::*;

struct Opened {
    journal: Journal,
    reports: mpsc::Receiver<Reportable>,
    writer: tokio::task::JoinHandle<Result<(), JournalError>>,
}

fn settings(folder: &TempDir) -> config::Journal {
    config::Journal {
        folder: folder.path().to_owned(),
        keep_for: Duration::from_hours(1),
        keep_at_most: 1_000,
        cache: 1_048_576,
        written_within: Duration::ZERO,
    }
}

fn open(settings: &config::Journal) -> Opened {
    let (sender, reports) = mpsc::channel(10_000);
    let (journal, writer) = Journal::open(settings, &"b".parse().unwrap(), sender).unwrap();
    let writer = tokio::task::spawn_blocking(move || writer.run());
    Opened {
        journal,
        reports,
        writer,
    }
}

async fn close(opened: Opened) {
    drop(opened.journal);
    opened.writer.await.unwrap().unwrap();
}

fn execution() -> ExecutionId {
    let command = CommandId::from_uuid(Uuid::now_v7());
    ExecutionId {
        command,
        participant: "b".parse().unwrap(),
    }
}

fn report(execution: &ExecutionId) -> Reportable {
    let outcome = ReportedOutcome::Done(Evidence::Reported);
    let report = ExecutionReport {
        execution: execution.clone(),
        outcome,
        results: Vec::new(),
        reported_at: Timestamp::from_millis(7),
        traceparent: None,
        absorbed_by: None,
        told: None,
    };
    Reportable::new(&report, None)
}

fn job(execution: &ExecutionId) -> Arc<Job> {
    Arc::new(Job {
        execution: execution.clone(),
        name: "7".to_owned(),
        servers: vec!["b-1".parse().unwrap()],
        operation: "purge".to_owned(),
        token: "t".to_owned(),
        submitted_at: Timestamp::from_millis(7),
        traceparent: None,
        tracestate: None,
        absorbed: Vec::new(),
        told: None,
        api: None,
    })
}

/// RabbitMQ delivers again what was finished and not acknowledged, to this process or to the next one.
#[tokio::test]
async fn what_was_finished_is_found_before_and_after_a_restart() {
    let folder = TempDir::new().unwrap();
    let execution = execution();
    let mut opened = open(&settings(&folder));
    assert!(opened.journal.find(&execution).unwrap().is_none());
    opened
        .journal
        .finish(&execution, report(&execution))
        .await
        .unwrap();
    let found = |journal: &Journal| match journal.find(&execution).unwrap() {
        Some(Entry::Finished(report)) => report.get().to_owned(),
        other => panic!("{other:?}"),
    };
    let at_once = found(&opened.journal);
    let reported = opened.reports.recv().await.unwrap();
    assert_eq!(
        (at_once.as_str(), found(&opened.journal).as_str()),
        (reported.report.get(), reported.report.get())
    );
    close(opened).await;
    let opened = open(&settings(&folder));
    assert_eq!(found(&opened.journal), at_once);
    close(opened).await;
}

/// An adapter that died in the middle must not do it again: it finds its own mark.
#[tokio::test]
async fn what_was_begun_is_found_after_a_restart_until_it_is_finished() {
    let folder = TempDir::new().unwrap();
    let execution = execution();
    let opened = open(&settings(&folder));
    opened.journal.begin(&execution).await.unwrap();
    close(opened).await;
    let mut opened = open(&settings(&folder));
    assert!(matches!(
        opened.journal.find(&execution).unwrap(),
        Some(Entry::Begun)
    ));
    opened
        .journal
        .finish(&execution, report(&execution))
        .await
        .unwrap();
    opened.reports.recv().await.unwrap();
    close(opened).await;
    let opened = open(&settings(&folder));
    assert!(matches!(
        opened.journal.find(&execution).unwrap(),
        Some(Entry::Finished(_))
    ));
    close(opened).await;
}

/// The invocation system goes on while we are away; we go on asking for the same job.
#[tokio::test]
async fn a_job_is_polled_on_after_a_restart() {
    let folder = TempDir::new().unwrap();
    let execution = execution();
    let opened = open(&settings(&folder));
    opened
        .journal
        .run(job(&execution), report(&execution))
        .await
        .unwrap();
    close(opened).await;
    let opened = open(&settings(&folder));
    assert_eq!(opened.journal.jobs(), [job(&execution)]);
    opened
        .journal
        .finish(&execution, report(&execution))
        .await
        .unwrap();
    close(opened).await;
    let opened = open(&settings(&folder));
    assert_eq!(opened.journal.jobs(), []);
    close(opened).await;
}

/// The disk is not endless: the oldest reports go first, by number and by time.
#[tokio::test]
async fn the_oldest_reports_are_forgotten() {
    let folder = TempDir::new().unwrap();
    let settings = config::Journal {
        keep_at_most: 10,
        ..settings(&folder)
    };
    let mut opened = open(&settings);
    let executions: Vec<_> = std::iter::repeat_with(execution).take(30).collect();
    for execution in &executions {
        opened
            .journal
            .finish(execution, report(execution))
            .await
            .unwrap();
        opened.reports.recv().await.unwrap();
    }
    assert_eq!(opened.journal.store.len(), 10);
    assert!(opened.journal.find(&executions[0]).unwrap().is_none());
    assert!(opened.journal.find(&executions[29]).unwrap().is_some());
    opened
        .journal
        .store
        .apply(
            &[],
            store::Keep {
                time: Duration::ZERO,
                at_most: 10,
            },
        )
        .unwrap();
    assert!(opened.journal.store.len() <= 1);
    close(opened).await;
}

/// Nobody waits for what is reported already, so one flush is for as much of it as comes in time; what somebody waits for takes it along
/// at once.
#[tokio::test]
async fn what_is_reported_already_is_written_with_what_comes_meanwhile() {
    let folder = TempDir::new().unwrap();
    let never_by_itself = config::Journal {
        written_within: Duration::from_hours(1),
        ..settings(&folder)
    };
    let mut opened = open(&never_by_itself);
    let executions = [execution(), execution()];
    for execution in &executions {
        let reportable = report(execution);
        opened
            .journal
            .finish_meanwhile(execution, reportable)
            .await
            .unwrap();
        opened.reports.recv().await.unwrap();
    }
    assert_eq!(opened.journal.store.len(), 0);
    for execution in &executions {
        let found = opened.journal.find(execution).unwrap();
        assert!(matches!(found, Some(Entry::Finished(_))));
    }
    opened.journal.begin(&execution()).await.unwrap();
    assert_eq!(opened.journal.store.len(), 2);
    let last = execution();
    opened
        .journal
        .finish_meanwhile(&last, report(&last))
        .await
        .unwrap();
    // Who ends does not wait for more.
    close(opened).await;
    assert_eq!(open(&never_by_itself).journal.store.len(), 3);
}

/// Where reports and records both pile up, who reports while it is written holds no place among the reports that the writer needs to
/// go on: all of them come through.
#[tokio::test]
async fn nobody_holds_a_reports_place_while_he_waits_for_the_writer() {
    let folder = TempDir::new().unwrap();
    let (sender, mut reports) = mpsc::channel(1);
    let opened = Journal::open_for(&settings(&folder), &"b".parse().unwrap(), sender, 1);
    let (journal, writer) = opened.unwrap();
    let [first, second, last] = [execution(), execution(), execution()];
    // The only place for a record is taken, the second waits for it, and the last one behind that.
    journal.answer(report(&first)).await.unwrap();
    let (own, waiting) = (journal.clone(), report(&second));
    let second_waits = tokio::spawn(async move { own.answer(waiting).await.unwrap() });
    tokio::task::yield_now().await;
    let (own, waiting) = (journal.clone(), report(&last));
    let last_waits =
        tokio::spawn(async move { own.finish_meanwhile(&last, waiting).await.unwrap() });
    tokio::task::yield_now().await;
    let writer = tokio::task::spawn_blocking(move || writer.run());
    let all = async {
        for _ in 0..3 {
            reports.recv().await.unwrap();
        }
        second_waits.await.unwrap();
        last_waits.await.unwrap();
    };
    let came = tokio::time::timeout(Duration::from_mins(1), all).await;
    // Without that a writer that hangs would keep the test from ending.
    drop((reports, journal));
    came.expect("the writer goes on");
    writer.await.unwrap().unwrap();
}

/// What is asked for and is not there is seldom looked for on disk, and what is there is found, whatever came after it.
#[tokio::test]
async fn what_is_lower_than_the_highest_is_found_on_disk() {
    let folder = TempDir::new().unwrap();
    let (lower, between, higher) = (execution(), execution(), execution());
    let mut opened = open(&settings(&folder));
    for execution in [&higher, &lower] {
        opened
            .journal
            .finish(execution, report(execution))
            .await
            .unwrap();
        opened.reports.recv().await.unwrap();
    }
    close(opened).await;
    let opened = open(&settings(&folder));
    for (execution, is_there) in [(&lower, true), (&between, false), (&higher, true)] {
        let found = opened.journal.find(execution).unwrap();
        assert_eq!(found.is_some(), is_there);
    }
    close(opened).await;
}

/// Two adapters with one journal would each miss what the other wrote.
#[tokio::test]
async fn a_journal_that_is_open_is_refused() {
    let folder = TempDir::new().unwrap();
    let opened = open(&settings(&folder));
    let (sender, _reports) = mpsc::channel(1);
    let second = Journal::open(&settings(&folder), &"b".parse().unwrap(), sender);
    assert!(matches!(
        second,
        Err(JournalError::Storage { step: "open", .. })
    ));
    close(opened).await;
}
