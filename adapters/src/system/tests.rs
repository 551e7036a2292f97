//! The invocation system's side, played by a small server.

mod long;
mod lost;
mod rotated;

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use amqp::envelope::{OrderedServer, ReportedOutcome};
use axum::{
    Router,
    extract::Path,
    http::{HeaderMap, StatusCode},
    routing::put,
};
use domain::{Evidence, ExecutionId, Timestamp, result::SelectorFinding};
use serde_json::{Value, json};
use service::{backoff::BackoffSettings, configuration::load_with};
use tempfile::TempDir;
use tokio::{net::TcpListener, sync::mpsc, time::timeout};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::{
    config::Configuration,
    jobs::{Jobs, News, Poller, Teller},
    journal::Journal,
    ledger::Ledger,
    receipt::Receipt,
    report::Reportable,
    worker::{Carrier, Work, Worker},
};

/// Longer than anything here takes; reached only when something hangs.
const LONG: Duration = Duration::from_secs(30);
const EXECUTION: &str = "01890a5d-ac96-774b-bcce-b302099a8057_b";

/// What the invocation system answers to a question, and what it heard.
#[derive(Default)]
struct Script {
    submission: Mutex<Option<(StatusCode, String)>>,
    state: Mutex<Option<(StatusCode, String)>>,
    submitted: AtomicUsize,
    asked: AtomicUsize,
    headers: Mutex<HeaderMap>,
}

impl Script {
    fn answer_submissions(&self, status: StatusCode, body: &Value) {
        *self.submission.lock().unwrap() = Some((status, body.to_string()));
    }

    fn answer_questions(&self, status: StatusCode, body: &Value) {
        *self.state.lock().unwrap() = Some((status, body.to_string()));
    }
}

async fn invocation_system() -> (Arc<Script>, String) {
    let script = Arc::new(Script::default());
    let (on_put, on_get) = (Arc::clone(&script), Arc::clone(&script));
    let router = Router::new().route(
        "/base/v1/executions/{id}",
        put(async move |headers: HeaderMap, Path(_): Path<String>| {
            on_put.submitted.fetch_add(1, Ordering::SeqCst);
            *on_put.headers.lock().unwrap() = headers;
            on_put
                .submission
                .lock()
                .unwrap()
                .clone()
                .unwrap_or((StatusCode::ACCEPTED, String::new()))
        })
        .get(async move || {
            on_get.asked.fetch_add(1, Ordering::SeqCst);
            on_get
                .state
                .lock()
                .unwrap()
                .clone()
                .unwrap_or((StatusCode::OK, running().to_string()))
        }),
    );
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/base/", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (script, url)
}

fn running() -> Value {
    json!({ "execution": EXECUTION, "state": "running", "servers": [{ "server": "b-1", "state": "running" }] })
}

fn settled() -> Value {
    json!({ "execution": EXECUTION, "state": "settled", "servers": [
        { "server": "b-1", "state": "done", "evidence": "verified", "attempts": 1, "took_ms": 3,
          "findings": [{ "selector": 0, "finding": { "removed": 1 } }],
          "proof": { "verdict": "verified", "probes": [{ "url": "http://www.example.com/", "verdict": "verified",
            "seen": [{ "at": 2, "before": false, "status": 200, "hash": "0123456789abcdef" }] }] } },
    ]})
}

pub(crate) fn order() -> Order {
    let servers = vec![OrderedServer {
        id: "b-1".parse().unwrap(),
        address: "192.0.2.1:80".parse().unwrap(),
    }];
    let call = NativeCall::new("PUT", None, &format!("/v1/executions/{EXECUTION}"), vec![0]);
    Order {
        expires_at: None,
        tracestate: None,
        originator: None,
        probes: None,
        execution: EXECUTION.parse().unwrap(),
        sequence: 1,
        configuration: "shop".parse().unwrap(),
        operation: "rotate".to_owned(),
        repeatable: false,
        accepted_at: Timestamp::from_millis(1),
        traceparent: None,
        native: vec![NativeOrder {
            mapping: None,
            limits: domain::NativeLimits::NONE,
            dialect: "canonical".parse().unwrap(),
            servers,
            calls: vec![NativeCall {
                body: Some("{}".to_owned()),
                ..call
            }],
        }],
    }
}

/// An adapter of the kind `invocation-system` without RabbitMQ.
struct Stage {
    worker: Worker,
    news: mpsc::Sender<News>,
    reports: mpsc::Receiver<Reportable>,
    stopped: CancellationToken,
    parts: Vec<tokio::task::JoinHandle<()>>,
}

impl Stage {
    async fn start(folder: &TempDir, url: &str, poll_every: &str) -> Self {
        let configuration = configuration(folder, url, poll_every);
        let (sender, reports) = mpsc::channel(100);
        let participant = configuration.participant.clone();
        let (journal, writer) =
            Journal::open(&configuration.journal, &participant, sender).unwrap();
        let system =
            System::new(&configuration.invocation_system, &configuration.calls, &[]).unwrap();
        let teller = Teller::System(Arc::new(system));
        let (jobs, heard) = Jobs::new(teller.clone(), 10);
        let stopped = CancellationToken::new();
        let pace = configuration.invocation_system.pace();
        let poller = Poller::new(teller, journal.clone(), participant.clone(), pace, heard);
        let polling = poller.run(stopped.clone());
        jobs.resume(journal.jobs()).await;
        let parts = vec![
            tokio::task::spawn_blocking(move || writer.run().unwrap()),
            tokio::spawn(async move { polling.await.unwrap() }),
        ];
        let news = jobs.news();
        let worker = Worker {
            participant,
            journal,
            ledger: Ledger::default(),
            carrier: Carrier::System(jobs),
        };
        Self {
            worker,
            news,
            reports,
            stopped,
            parts,
        }
    }

    async fn carry_out(&mut self, redelivered: bool) -> ReportedOutcome {
        self.carry_out_with(redelivered, Vec::new()).await
    }

    async fn carry_out_with(
        &mut self,
        redelivered: bool,
        absorbed: Vec<ExecutionId>,
    ) -> ReportedOutcome {
        let work = Work {
            sent_before: false,
            order: order(),
            told: None,
            receipt: Receipt::of_test(redelivered),
            mapping: None,
            absorbed,
            asked_by: None,
        };
        self.worker.carry_out(work, &|| false).await.unwrap();
        self.report().await.outcome
    }

    async fn report(&mut self) -> amqp::envelope::ExecutionReport {
        let report = timeout(LONG, self.reports.recv()).await.unwrap().unwrap();
        serde_json::from_str(report.report.get()).unwrap()
    }

    /// As a process ends: what is written is written.
    async fn stop(self) {
        self.stopped.cancel();
        drop(self.worker);
        for part in self.parts {
            part.await.unwrap();
        }
    }
}

pub(crate) fn configuration(folder: &TempDir, url: &str, poll_every: &str) -> Configuration {
    let variables = [
        ("PARTICIPANT", "b"),
        ("KIND", "invocation-system"),
        ("JOURNAL__FOLDER", folder.path().to_str().unwrap()),
        ("INVOCATION_SYSTEM__BASE_URL", url),
        ("INVOCATION_SYSTEM__TOKEN", "a-secret"),
        ("INVOCATION_SYSTEM__POLL_EVERY", poll_every),
        ("INVOCATION_SYSTEM__REPORT_EVERY", "1ms"),
        ("INVOCATION_SYSTEM__CALLBACK_LISTEN", "127.0.0.1:1"),
        (
            "INVOCATION_SYSTEM__CALLBACK_URL",
            "http://adapter.example/hook/",
        ),
    ];
    let variables =
        variables.map(|(name, value)| (format!("ADAPTER__{name}").into(), value.into()));
    let configuration: Configuration = load_with(
        crate::config::DEFAULT,
        None,
        crate::config::ENVIRONMENT_PREFIX,
        variables,
    )
    .unwrap();
    let pause = BackoffSettings {
        first: Duration::from_millis(1),
        max: Duration::from_millis(5),
        factor: 2.0,
    };
    Configuration {
        calls: crate::config::Calls {
            pause,
            ..configuration.calls
        },
        ..configuration
    }
}

fn running_report() -> ReportedOutcome {
    ReportedOutcome::Running {
        job: EXECUTION.to_owned(),
    }
}

/// Framework 3 in its plain form: submit, hear that it runs, ask until it has settled, server by server.
#[tokio::test]
async fn an_execution_is_submitted_once_and_asked_for_until_it_settles() {
    let folder = TempDir::new().unwrap();
    let (script, url) = invocation_system().await;
    let mut stage = Stage::start(&folder, &url, "5ms").await;
    assert_eq!(stage.carry_out(false).await, running_report());
    script.answer_questions(StatusCode::OK, &settled());
    let report = stage.report().await;
    assert_eq!(report.outcome, ReportedOutcome::Done(Evidence::Verified));
    let finding = domain::Finding::Removed(Some(1));
    assert_eq!(
        report.results[0].findings,
        [SelectorFinding {
            selector: 0,
            finding
        }]
    );
    assert_eq!(script.submitted.load(Ordering::SeqCst), 1);
    let headers = script.headers.lock().unwrap().clone();
    assert_eq!(headers["authorization"], "Bearer a-secret");
    let callback = headers[CALLBACK_HEADER].to_str().unwrap();
    assert!(
        callback.starts_with(&format!(
            "http://adapter.example/hook/v1/callbacks/{EXECUTION}/"
        )),
        "{callback}"
    );
}

/// A system that is quick answers the submission itself, and there is nothing to ask.
#[tokio::test]
async fn what_settles_at_once_is_not_asked_for() {
    let folder = TempDir::new().unwrap();
    let (script, url) = invocation_system().await;
    script.answer_submissions(StatusCode::OK, &settled());
    let mut stage = Stage::start(&folder, &url, "5ms").await;
    assert_eq!(
        stage.carry_out(false).await,
        ReportedOutcome::Done(Evidence::Verified)
    );
    assert_eq!(script.asked.load(Ordering::SeqCst), 0);
}

/// The adapter restarts while the job runs: it asks on and submits nothing; a redelivery hears "running".
#[tokio::test]
async fn a_restart_asks_on_without_submitting_again() {
    let folder = TempDir::new().unwrap();
    let (script, url) = invocation_system().await;
    let mut stage = Stage::start(&folder, &url, "1h").await;
    stage.carry_out(false).await;
    stage.stop().await;
    let mut stage = Stage::start(&folder, &url, "5ms").await;
    assert_eq!(stage.carry_out(true).await, running_report());
    script.answer_questions(StatusCode::OK, &settled());
    assert_eq!(
        stage.report().await.outcome,
        ReportedOutcome::Done(Evidence::Verified)
    );
    assert_eq!(script.submitted.load(Ordering::SeqCst), 1);
}

/// A callback with the right token makes us ask at once; a wrong one does nothing, and neither is believed.
#[tokio::test]
async fn a_callback_makes_the_adapter_ask_at_once() {
    let folder = TempDir::new().unwrap();
    let (script, url) = invocation_system().await;
    let mut stage = Stage::start(&folder, &url, "1h").await;
    stage.carry_out(false).await;
    script.answer_questions(StatusCode::OK, &settled());
    let callback = script.headers.lock().unwrap()[CALLBACK_HEADER]
        .to_str()
        .unwrap()
        .to_owned();
    let token = callback.rsplit_once('/').unwrap().1.to_owned();
    let execution: ExecutionId = EXECUTION.parse().unwrap();
    for token in ["wrong".to_owned(), token] {
        assert_eq!(script.asked.load(Ordering::SeqCst), 0);
        let execution = execution.clone();
        stage
            .news
            .send(News::Called { execution, token })
            .await
            .unwrap();
    }
    assert_eq!(
        stage.report().await.outcome,
        ReportedOutcome::Done(Evidence::Verified)
    );
}

/// No means no, and a system that is down is not worn out.
#[tokio::test]
async fn a_refused_submission_fails_every_server() {
    let folder = TempDir::new().unwrap();
    let (script, url) = invocation_system().await;
    script.answer_submissions(
        StatusCode::UNAUTHORIZED,
        &json!({ "title": "Unauthorized" }),
    );
    let mut stage = Stage::start(&folder, &url, "5ms").await;
    let outcome = stage.carry_out(false).await;
    assert!(
        matches!(&outcome, ReportedOutcome::Failed(fault) if fault.code == FaultCode::Unauthorized),
        "{outcome:?}"
    );
    assert_eq!(script.submitted.load(Ordering::SeqCst), 1);
}

/// A question without an answer is asked again; an execution that the system has forgotten has failed.
#[tokio::test]
async fn a_question_without_an_answer_is_asked_again() {
    let folder = TempDir::new().unwrap();
    let (script, url) = invocation_system().await;
    script.answer_questions(StatusCode::INTERNAL_SERVER_ERROR, &Value::Null);
    let mut stage = Stage::start(&folder, &url, "1ms").await;
    stage.carry_out(false).await;
    while script.asked.load(Ordering::SeqCst) < 3 {
        tokio::task::yield_now().await;
    }
    script.answer_questions(StatusCode::NOT_FOUND, &Value::Null);
    let outcome = stage.report().await.outcome;
    assert!(
        matches!(&outcome, ReportedOutcome::Failed(fault) if fault.code == FaultCode::UnreadableAnswer),
        "{outcome:?}"
    );
}

/// An order for caches is not handed to a system that would not understand it.
#[test]
fn only_a_canonical_order_is_submitted() {
    let mut order = order();
    assert!(submission(&order.native).is_ok());
    order.native[0].calls[0].host = Some("somebody.example".to_owned());
    assert!(submission(&order.native).is_err());
    order.native[0].calls[0].host = None;
    order.native[0].dialect = "varnish".parse().unwrap();
    assert!(submission(&order.native).is_err());
    assert!(submission(&[]).is_err());
}
