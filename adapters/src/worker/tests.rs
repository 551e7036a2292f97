//! One execution at a time, with a real journal and a small server.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use amqp::envelope::{NativeOrder, OrderedServer};
use axum::{Router, http::StatusCode};
use domain::{CommandId, Evidence, ExecutionId, NativeCall};
use service::configuration::load_with;
use tempfile::TempDir;
use tokio::{net::TcpListener, sync::mpsc, time::timeout};
use uuid::Uuid;

use super::*;
use crate::config::{self, Configuration};

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
        tokio::task::spawn_blocking(move || writer.run());
        let allowed = configuration.allowed_addresses.clone();
        let caches = Caches::new(&configuration.calls, configuration.execution, allowed).unwrap();
        let worker = Worker {
            participant,
            journal,
            carrier: Carrier::Caches(Box::new(caches)),
        };
        Self {
            worker,
            reports,
            server,
            calls,
        }
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
                dialect: "varnish".parse().unwrap(),
                servers,
                calls,
            }],
        }
    }

    /// Carries an order out and gives its report.
    async fn carry_out(&mut self, order: &Order, redelivered: bool) -> ExecutionReport {
        let receipt = Receipt::of_test(redelivered);
        self.worker
            .carry_out(Work {
                sent_before: false,
                order: order.clone(),
                receipt,
            })
            .await
            .unwrap();
        let report = timeout(LONG, self.reports.recv()).await.unwrap().unwrap();
        serde_json::from_str(report.report.get()).unwrap()
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
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

fn result(outcome: Outcome) -> ServerResult {
    let server = "b-1".parse().unwrap();
    ServerResult {
        server,
        outcome,
        findings: Vec::new(),
        attempts: 1,
        took_ms: 1,
    }
}

/// The whole is as good as its worst server.
#[test]
fn an_execution_is_as_good_as_its_worst_server() {
    let done = |evidence| result(Outcome::Done(evidence));
    let fault = Fault::participant(FaultCode::Refused, Again::Never, "403");
    let failed = || result(Outcome::Failed(fault.clone()));
    let unknown = || result(Outcome::Unknown);
    let fold = |results: &[ServerResult]| super::fold(results);
    assert_eq!(
        fold(&[done(Evidence::Verified), done(Evidence::Acknowledged)]),
        ReportedOutcome::Done(Evidence::Acknowledged)
    );
    assert_eq!(
        fold(&[done(Evidence::Reported), unknown()]),
        ReportedOutcome::Unknown
    );
    assert_eq!(
        fold(&[unknown(), failed(), done(Evidence::Reported)]),
        ReportedOutcome::Failed(fault.clone())
    );
    assert!(
        matches!(fold(&[]), ReportedOutcome::Failed(fault) if fault.code == FaultCode::UnreadableOrder)
    );
}
