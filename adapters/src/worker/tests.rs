//! One execution at a time, with a real journal and a small server.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use amqp::envelope::{NativeOrder, OrderedServer};
use axum::{Router, http::StatusCode};
use domain::{
    CommandId, ExecutionId, Fault, NativeCall, Outcome, Timestamp,
    fault::{Again, Side},
};
use service::configuration::load_with;
use tempfile::TempDir;
use tokio::{net::TcpListener, sync::mpsc, time::timeout};
use uuid::Uuid;

use super::*;
use crate::{
    config::{self, Configuration},
    journal::Writer,
};

/// Longer than anything here takes; reached only when something hangs.
const LONG: Duration = Duration::from_secs(30);

/// A worker, the server that its orders name, and what it reports.
struct Stage {
    worker: Worker,
    reports: mpsc::Receiver<Reportable>,
    server: SocketAddr,
    calls: Arc<AtomicUsize>,
}

impl Stage {
    async fn new(folder: &TempDir) -> Self {
        let (stage, writer) = Self::before_a_stuck_disk(folder).await;
        tokio::task::spawn_blocking(move || writer.run());
        stage
    }

    /// Nothing is on disk before the writer runs.
    async fn before_a_stuck_disk(folder: &TempDir) -> (Self, Writer) {
        let calls = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&calls);
        let router = Router::new().fallback(async move || {
            count.fetch_add(1, Ordering::SeqCst);
            StatusCode::OK
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        let configuration = configuration(folder);
        let (sender, reports) = mpsc::channel(100);
        let participant = configuration.participant.clone();
        let (journal, writer) =
            Journal::open(&configuration.journal, &participant, sender).unwrap();
        let allowed = configuration.allowed_addresses.clone();
        let caches = Caches::new(
            &configuration.calls,
            configuration.execution,
            configuration.probes,
            allowed,
        )
        .unwrap();
        let worker = Worker {
            participant,
            journal,
            ledger: Ledger::default(),
            carrier: Carrier::Caches(Box::new(caches)),
        };
        let stage = Self {
            worker,
            reports,
            server,
            calls,
        };
        (stage, writer)
    }

    fn order(&self, repeatable: bool) -> Order {
        let command = CommandId::from_uuid(Uuid::now_v7());
        let servers = vec![OrderedServer {
            id: "b-1".parse().unwrap(),
            address: self.server.to_string().parse().unwrap(),
        }];
        let calls = vec![NativeCall::new(
            "PURGE",
            Some("www.example.com"),
            "/a",
            vec![0],
        )];
        Order {
            expires_at: None,
            tracestate: None,
            originator: None,
            probes: None,
            execution: ExecutionId {
                command,
                participant: "b".parse().unwrap(),
            },
            sequence: 1,
            configuration: "shop".parse().unwrap(),
            operation: "purge".to_owned(),
            repeatable,
            accepted_at: Timestamp::from_millis(1),
            traceparent: None,
            native: vec![NativeOrder {
                mapping: None,
                limits: domain::NativeLimits::NONE,
                dialect: "varnish".parse().unwrap(),
                servers,
                calls,
            }],
        }
    }

    /// Carries an order out and gives its report.
    async fn carry_out(&mut self, order: &Order, redelivered: bool) -> ExecutionReport {
        self.do_work(work(order, redelivered)).await
    }

    async fn do_work(&mut self, work: Work) -> ExecutionReport {
        let execution = &work.order.execution;
        self.worker.ledger.see(execution, work.comes_again());
        self.worker.carry_out(work, &|| false).await.unwrap();
        self.report().await
    }

    async fn report(&mut self) -> ExecutionReport {
        let report = timeout(LONG, self.reports.recv()).await.unwrap().unwrap();
        serde_json::from_str(report.report.get()).unwrap()
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }
}

fn work(order: &Order, redelivered: bool) -> Work {
    Work {
        sent_before: false,
        order: order.clone(),
        told: None,
        receipt: Receipt::of_test(redelivered),
        mapping: None,
        absorbed: Vec::new(),
        asked_by: None,
    }
}

fn configuration(folder: &TempDir) -> Configuration {
    let variables = [
        ("ADAPTER__PARTICIPANT", "b"),
        ("ADAPTER__ALLOWED_ADDRESSES", "[\"127.0.0.1\"]"),
        ("ADAPTER__JOURNAL__FOLDER", folder.path().to_str().unwrap()),
    ];
    let variables = variables.map(|(name, value)| (name.into(), value.into()));
    load_with(config::DEFAULT, None, config::ENVIRONMENT_PREFIX, variables).unwrap()
}

/// RabbitMQ delivers at least once; the cache is told once, and both deliveries get the same answer.
#[tokio::test]
async fn what_is_finished_is_answered_and_not_done_again() {
    let folder = TempDir::new().unwrap();
    let mut stage = Stage::new(&folder).await;
    for repeatable in [true, false] {
        let order = stage.order(repeatable);
        let told_before = stage.calls();
        let first = stage.carry_out(&order, false).await;
        let second = stage.carry_out(&order, true).await;
        assert!(
            matches!(first.outcome, ReportedOutcome::Done(_)),
            "{first:?}"
        );
        assert_eq!((first, stage.calls()), (second, told_before + 1));
    }
}

/// Nobody waits for the disk to hear that a purge is done, but its delivery does: it is acknowledged when the report is confirmed
/// and written down, whichever comes last.
#[tokio::test]
async fn what_may_be_repeated_is_reported_while_it_is_written_and_its_delivery_waits_for_both() {
    let folder = TempDir::new().unwrap();
    let (mut stage, writer) = Stage::before_a_stuck_disk(&folder).await;
    let work = work(&stage.order(true), false);
    let delivery = work.receipt.clone();
    let report = stage.do_work(work).await;
    assert!(matches!(report.outcome, ReportedOutcome::Done(_)));
    assert_eq!(delivery.unreported(), 2);
    // As the reporter does when RabbitMQ has confirmed it.
    delivery.reported();
    assert_eq!(delivery.unreported(), 1);
    drop(stage);
    let written = tokio::task::spawn_blocking(move || writer.run());
    written.await.unwrap().unwrap();
    assert_eq!(delivery.unreported(), 0);
}

/// `kill -9` after the report left and before it was written: the delivery was not acknowledged, so it comes again, and is carried
/// out and reported once more. Once it is written down it is answered.
#[tokio::test]
async fn what_was_reported_and_not_written_is_done_again_after_a_kill() {
    let folder = TempDir::new().unwrap();
    let (mut stage, writer) = Stage::before_a_stuck_disk(&folder).await;
    let order = stage.order(true);
    let first = work(&order, false);
    let delivery = first.receipt.clone();
    stage.do_work(first).await;
    assert_eq!((stage.calls(), delivery.unreported()), (1, 2));
    drop((stage, writer));

    let mut stage = Stage::new(&folder).await;
    let again = Order {
        native: stage.order(true).native,
        ..order
    };
    let report = stage.carry_out(&again, true).await;
    assert!(matches!(report.outcome, ReportedOutcome::Done(_)));
    assert_eq!(stage.carry_out(&again, true).await, report);
    assert_eq!(stage.calls(), 1);
}

/// What a repetition could contradict is on disk before anybody hears of it: what was never begun, and what has a receipt.
#[tokio::test]
async fn what_could_be_contradicted_is_written_before_it_is_reported() {
    let folder = TempDir::new().unwrap();
    let (mut stage, writer) = Stage::before_a_stuck_disk(&folder).await;
    let cancelled = stage.order(true);
    let signed = Work {
        told: Some(Told {
            digest: domain::receipt::order_digest("an order"),
            configuration: cancelled.configuration.clone(),
        }),
        ..work(&stage.order(true), false)
    };
    let expired = Order {
        expires_at: OVER,
        ..stage.order(true)
    };
    let ledger = &stage.worker.ledger;
    ledger.cancel(std::slice::from_ref(&cancelled.execution));
    let never = || false;
    for work in [work(&cancelled, false), work(&expired, false), signed] {
        let delivery = work.receipt.clone();
        stage.worker.carry_out(work, &never).await.unwrap();
        assert_eq!(delivery.unreported(), 1);
    }
    assert!(stage.reports.is_empty());
    tokio::task::spawn_blocking(move || writer.run());
    for outcome in [ReportedOutcome::Cancelled, ReportedOutcome::Expired] {
        assert_eq!(stage.report().await.outcome, outcome);
    }
    assert!(stage.report().await.told.is_some());
}

/// The process died in between: its mark is there, its report is not. A repeatable order is simply done again.
#[tokio::test]
async fn what_was_begun_and_may_not_be_repeated_is_unknown() {
    let folder = TempDir::new().unwrap();
    let mut stage = Stage::new(&folder).await;
    let order = stage.order(false);
    stage.worker.journal.begin(&order.execution).await.unwrap();
    let report = stage.carry_out(&order, true).await;
    assert_eq!(report.outcome, ReportedOutcome::Unknown);
    assert_eq!(report.results[0].outcome, Outcome::Unknown);
    assert_eq!(stage.carry_out(&order, true).await, report);
    assert_eq!(stage.calls(), 0);
}

/// Another adapter of this participant may have begun it before it died, and its journal is not here.
#[tokio::test]
async fn what_comes_again_and_is_not_known_may_have_been_begun_elsewhere() {
    let folder = TempDir::new().unwrap();
    let mut stage = Stage::new(&folder).await;
    let once = stage.order(false);
    assert_eq!(
        stage.carry_out(&once, true).await.outcome,
        ReportedOutcome::Unknown
    );
    assert_eq!(stage.calls(), 0);
    let repeatable = stage.order(true);
    assert!(matches!(
        stage.carry_out(&repeatable, true).await.outcome,
        ReportedOutcome::Done(_)
    ));
    assert_eq!(stage.calls(), 1);
}

/// Long ago.
const OVER: Option<Timestamp> = Some(Timestamp::from_millis(1));

/// What the originator wanted by noon is of no use to him at one, and a load would only cost his origin.
#[tokio::test]
async fn an_order_whose_time_is_over_is_never_begun() {
    let folder = TempDir::new().unwrap();
    let mut stage = Stage::new(&folder).await;
    let order = Order {
        expires_at: OVER,
        ..stage.order(true)
    };
    let report = stage.carry_out(&order, false).await;
    assert_eq!(report.outcome, ReportedOutcome::Expired);
    assert_eq!((report.results.len(), stage.calls()), (0, 0));
    // The journal answers the redelivery, whatever the clock says by then.
    let early = Order {
        expires_at: Some(now().plus(Duration::from_hours(1))),
        ..order
    };
    assert_eq!(stage.carry_out(&early, true).await, report);
    assert_eq!(stage.calls(), 0);
}

/// Another adapter had it, and died; nobody knows whether it was begun in time, so nobody says that it was not.
#[tokio::test]
async fn what_another_one_may_have_begun_is_not_called_expired() {
    let folder = TempDir::new().unwrap();
    let mut stage = Stage::new(&folder).await;
    let order = Order {
        expires_at: OVER,
        ..stage.order(true)
    };
    stage.worker.ledger.see(&order.execution, true);
    let report = stage.carry_out(&order, true).await;
    assert_eq!(report.outcome, ReportedOutcome::Unknown);
    assert_eq!(stage.calls(), 0);
}

/// It was begun in time, and this process died in its midst: the next one goes on with it and does not call it expired.
#[tokio::test]
async fn what_was_begun_in_time_is_gone_on_with() {
    let folder = TempDir::new().unwrap();
    let mut stage = Stage::new(&folder).await;
    let order = Order {
        expires_at: OVER,
        ..stage.order(true)
    };
    stage.worker.journal.begin(&order.execution).await.unwrap();
    let report = stage.carry_out(&order, true).await;
    assert!(matches!(report.outcome, ReportedOutcome::Done(_)));
    assert_eq!(stage.calls(), 1);
}

/// A cancel that comes first holds, for its redelivery too; one that comes after the beginning does not.
#[tokio::test]
async fn a_cancel_holds_for_what_has_not_begun() {
    let folder = TempDir::new().unwrap();
    let mut stage = Stage::new(&folder).await;
    let (early, late, waiting) = (stage.order(true), stage.order(true), stage.order(true));
    stage
        .worker
        .ledger
        .cancel(std::slice::from_ref(&early.execution));
    let cancelled = stage.carry_out(&early, false).await;
    assert_eq!(cancelled.outcome, ReportedOutcome::Cancelled);
    assert_eq!(stage.carry_out(&early, true).await, cancelled);
    let done = stage.carry_out(&late, false).await;
    stage
        .worker
        .ledger
        .cancel(std::slice::from_ref(&late.execution));
    assert_eq!(stage.carry_out(&late, true).await, done);
    // As intake does with what it took out of a lane.
    stage.worker.cancel(work(&waiting, false)).await.unwrap();
    assert_eq!(stage.report().await.outcome, ReportedOutcome::Cancelled);
    stage.worker.cancel(work(&late, false)).await.unwrap();
    assert_eq!(stage.report().await, done);
    assert_eq!(stage.calls(), 1);
}

/// One purge does the work of two earlier ones: the cache is told once, three executions are reported, and again the same
/// three when the dispatch comes twice.
#[tokio::test]
async fn what_was_absorbed_is_reported_with_its_absorber() {
    let folder = TempDir::new().unwrap();
    let mut stage = Stage::new(&folder).await;
    let order = stage.order(true);
    let absorbed: Vec<_> = [stage.order(true), stage.order(true)]
        .map(|order| order.execution)
        .into();
    // A cancel for one that others rely on does not hold.
    stage
        .worker
        .ledger
        .cancel(std::slice::from_ref(&order.execution));
    let mut heard = Vec::new();
    for redelivered in [false, true] {
        let work = Work {
            absorbed: absorbed.clone(),
            ..work(&order, redelivered)
        };
        let own = stage.do_work(work).await;
        let others = [stage.report().await, stage.report().await];
        assert!(matches!(own.outcome, ReportedOutcome::Done(_)), "{own:?}");
        for (other, execution) in others.iter().zip(&absorbed) {
            assert_eq!(other.execution, *execution);
            assert_eq!(other.outcome, own.outcome);
            assert_eq!(other.absorbed_by, Some(order.execution.command));
            assert!(other.results.len() == 1 && other.results[0].findings.is_empty());
        }
        heard.push((own, others));
    }
    assert_eq!((heard.pop(), stage.calls()), (heard.pop(), 1));
}

/// The absorber expired: the work of the others was not done, and nobody says that it was.
#[tokio::test]
async fn what_was_absorbed_by_something_that_never_began_has_failed() {
    let folder = TempDir::new().unwrap();
    let mut stage = Stage::new(&folder).await;
    let order = Order {
        expires_at: OVER,
        ..stage.order(true)
    };
    let absorbed = stage.order(true).execution;
    let work = Work {
        absorbed: vec![absorbed.clone()],
        ..work(&order, false)
    };
    assert_eq!(stage.do_work(work).await.outcome, ReportedOutcome::Expired);
    let report = stage.report().await;
    assert_eq!(report.execution, absorbed);
    assert!(
        matches!(&report.outcome, ReportedOutcome::Failed(Fault { side, again, .. })
            if *side == Side::Federation && *again == Again::Soon),
        "{report:?}"
    );
}

/// The report stands in the same trace as the order, one step below it.
#[tokio::test]
async fn a_report_carries_the_adapters_own_span() {
    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    let folder = TempDir::new().unwrap();
    let mut stage = Stage::new(&folder).await;
    let parent = format!("00-{TRACE}-b7ad6b7169203331-01");
    let order = Order {
        traceparent: Some(parent.clone()),
        ..stage.order(true)
    };
    let span = stage.carry_out(&order, false).await.traceparent.unwrap();
    assert!(span.contains(TRACE) && span != parent, "{span}");
}
