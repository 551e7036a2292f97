//! A provider, played by a small server that answers as a test says and remembers what it was asked.

mod comes_to;
mod estimates;
mod jobs;
mod refusals;
mod room;
mod secrets;
mod together;
mod whose;

use std::{
    collections::{HashMap, VecDeque},
    sync::Mutex,
};

use amqp::envelope::{ExecutionReport, MappingDocument, OrderedServer, ReportedOutcome};
use axum::{
    Router,
    body::Bytes,
    http::{HeaderMap, Method, StatusCode, Uri},
};
use domain::{CommandId, Evidence, Finding, Outcome, Timestamp};
use service::configuration::load_with;
use tempfile::TempDir;
use tokio::{net::TcpListener, sync::mpsc, time::timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::*;
use crate::{
    config::Configuration,
    jobs::{Jobs, Poller, Teller},
    journal::Journal,
    ledger::Ledger,
    receipt::Receipt,
    report::Reportable,
    worker::{Carrier, Worker},
};

/// Longer than anything here takes; reached only when something hangs.
const LONG: Duration = Duration::from_secs(30);

type Answers = Mutex<VecDeque<(u16, Vec<(&'static str, &'static str)>, String)>>;

/// One request as it came.
#[derive(Debug, Clone)]
struct Asked {
    line: String,
    headers: HeaderMap,
    body: String,
}

/// What the provider answers, to calls and to questions after jobs (`GET`), and what it heard. Without an answer left it answers
/// `200 {}`.
#[derive(Default)]
struct Provider {
    answers: Answers,
    of_jobs: Answers,
    /// To every question whose line ends so, before all others.
    always: Mutex<HashMap<&'static str, String>>,
    asked: Mutex<Vec<Asked>>,
}

impl Provider {
    async fn start() -> (Arc<Self>, String) {
        let provider = Arc::new(Self::default());
        let own = Arc::clone(&provider);
        let router = Router::new().fallback(
            async move |method: Method, uri: Uri, headers: HeaderMap, body: Bytes| {
                let body = String::from_utf8(body.to_vec()).unwrap();
                let line = format!("{method} {uri}");
                let answers = match method {
                    Method::GET => &own.of_jobs,
                    _ => &own.answers,
                };
                let always = own.always.lock().unwrap();
                let always = always.iter().find(|(end, _)| line.ends_with(**end));
                let always = always.map(|(_, body)| (200, Vec::new(), body.clone()));
                let next = always.or_else(|| answers.lock().unwrap().pop_front());
                let asked = Asked {
                    line,
                    headers,
                    body,
                };
                own.asked.lock().unwrap().push(asked);
                let (status, headers, body) =
                    next.unwrap_or_else(|| (200, Vec::new(), "{}".to_owned()));
                let headers: HeaderMap = headers
                    .into_iter()
                    .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
                    .collect();
                (StatusCode::from_u16(status).unwrap(), headers, body)
            },
        );
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (provider, url)
    }

    fn answers(&self, status: u16, headers: &[(&'static str, &'static str)], body: &str) {
        let answer = (status, headers.to_vec(), body.to_owned());
        self.answers.lock().unwrap().push_back(answer);
    }

    fn says_of_a_job(&self, status: u16, body: &str) {
        let answer = (status, Vec::new(), body.to_owned());
        self.of_jobs.lock().unwrap().push_back(answer);
    }

    fn says_always_of_a_job(&self, end: &'static str, body: &str) {
        self.always.lock().unwrap().insert(end, body.to_owned());
    }

    fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

/// An adapter of the kind `api` without RabbitMQ.
struct Stage {
    api: Arc<Api>,
    worker: Worker,
    reports: mpsc::Receiver<Reportable>,
    stopped: CancellationToken,
    parts: Vec<tokio::task::JoinHandle<()>>,
}

impl Stage {
    async fn start(folder: &TempDir, url: &str, more: &str) -> Self {
        Self::start_with(configuration(folder, url, more)).await
    }

    async fn start_with(configuration: Configuration) -> Self {
        let (sender, reports) = mpsc::channel(100);
        let participant = configuration.participant.clone();
        let (journal, writer) =
            Journal::open(&configuration.journal, &participant, sender).unwrap();
        let api = Arc::new(Api::new(&configuration).unwrap());
        let teller = Teller::Api(Arc::clone(&api));
        let (jobs, heard) = Jobs::new(teller.clone(), 200);
        let stopped = CancellationToken::new();
        let pace = configuration.api.polls();
        let poller = Poller::new(teller, journal.clone(), participant.clone(), pace, heard);
        let polling = poller.run(stopped.clone());
        jobs.resume(journal.jobs()).await;
        let parts = vec![
            tokio::task::spawn_blocking(move || writer.run().unwrap()),
            tokio::spawn(async move { polling.await.unwrap() }),
        ];
        let worker = Worker {
            participant,
            journal,
            ledger: Ledger::default(),
            carrier: Carrier::Api(jobs),
        };
        Self {
            api,
            worker,
            reports,
            stopped,
            parts,
        }
    }

    async fn carry_out(&mut self, order: &Order) -> ExecutionReport {
        let work = Work {
            sent_before: false,
            order: order.clone(),
            mapping: None,
            told: None,
            receipt: Receipt::of_test(false),
            absorbed: Vec::new(),
            asked_by: None,
        };
        self.do_work(work).await
    }

    async fn do_work(&mut self, work: Work) -> ExecutionReport {
        self.worker.carry_out(work, &|| false).await.unwrap();
        self.report().await
    }

    async fn report(&mut self) -> ExecutionReport {
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

/// Until so many calls wait at the desks.
async fn calls_wait(api: &Api, count: usize) {
    let wait = async {
        while api.desks.calls_waiting() < count {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(LONG, wait).await.unwrap();
}

/// With `more` lines in `[api]`. The token is in the file `token` of the folder.
fn configuration(folder: &TempDir, url: &str, more: &str) -> Configuration {
    let path = |name: &str| folder.path().join(name).display().to_string();
    if !folder.path().join("token").exists() {
        std::fs::write(path("token"), "the-token\n").unwrap();
    }
    let (journal, token, file) = (path("journal"), path("token"), path("adapter.toml"));
    let text = format!(
        "participant = \"b\"\nkind = \"api\"\n[journal]\nfolder = \"{journal}\"\n\
         [calls]\npause = {{ first = \"1ms\", max = \"5ms\", factor = 2.0 }}\n\
         [api]\nbase_url = \"{url}\"\ncredentials = \"{token}\"\npoll_every = \"5ms\"\n{more}\n\
         [api.accounts.shop]\n\
         values = {{ service = \"S1\", zone = \"Z1\", alone = \"Z1\", distribution = \"D1\", customer = \"1\", site = \"s/1\" }}\n"
    );
    std::fs::write(&file, text).unwrap();
    load_with(
        config::DEFAULT,
        Some(file.as_ref()),
        config::ENVIRONMENT_PREFIX,
        [],
    )
    .unwrap()
}

fn order(dialect: &str, calls: Vec<NativeCall>) -> Order {
    let server = |id: &str| OrderedServer {
        id: id.parse().unwrap(),
        address: "192.0.2.1:80".parse().unwrap(),
    };
    Order {
        expires_at: None,
        tracestate: None,
        originator: None,
        probes: None,
        execution: ExecutionId {
            command: CommandId::from_uuid(Uuid::now_v7()),
            participant: "b".parse().unwrap(),
        },
        sequence: 1,
        configuration: "shop".parse().unwrap(),
        operation: "purge".to_owned(),
        repeatable: true,
        accepted_at: Timestamp::from_millis(1),
        traceparent: None,
        native: vec![NativeOrder {
            mapping: None,
            limits: domain::NativeLimits::NONE,
            dialect: dialect.parse().unwrap(),
            servers: vec![server("b-1"), server("b-2")],
            calls,
        }],
    }
}

fn url_purge(number: u32) -> NativeCall {
    let path = format!("/purge/www.example.com/{number}");
    NativeCall::new("POST", None, &path, vec![number])
}

fn failed(report: &ExecutionReport) -> &Fault {
    match &report.outcome {
        ReportedOutcome::Failed(fault) => fault,
        other => panic!("{other:?}"),
    }
}

/// The calls go out once, in order, with the account and the token; what came of them holds for every server.
#[tokio::test]
async fn the_calls_are_made_once_for_all_servers() {
    let folder = TempDir::new().unwrap();
    let (provider, url) = Provider::start().await;
    let mut stage = Stage::start(&folder, &url, "").await;
    let key = NativeCall::new("POST", None, "/service/{account:service}/purge/k", vec![1]);
    let report = stage
        .carry_out(&order("fastly", vec![url_purge(0), key]))
        .await;
    assert_eq!(
        report.outcome,
        ReportedOutcome::Done(Evidence::Acknowledged)
    );
    let asked = provider.asked();
    let lines: Vec<_> = asked.iter().map(|asked| asked.line.as_str()).collect();
    assert_eq!(
        lines,
        ["POST /purge/www.example.com/0", "POST /service/S1/purge/k"]
    );
    assert_eq!(asked[1].headers["fastly-key"], "the-token");
    assert!(asked[1].headers.contains_key("traceparent"));
    let ids: Vec<_> = report
        .results
        .iter()
        .map(|result| result.server.as_str())
        .collect();
    assert_eq!(ids, ["b-1", "b-2"]);
    assert_eq!(report.results[0].findings, report.results[1].findings);
    let found: Vec<_> = report.results[0]
        .findings
        .iter()
        .map(|one| one.selector)
        .collect();
    assert_eq!(found, [0, 1]);
    assert_eq!(report.results[0].findings[0].finding, Finding::Accepted);
    assert_eq!(report.results[0].attempts, 2);
}

/// One call fails, the others are made nevertheless, and the result says which.
#[tokio::test]
async fn a_call_that_fails_leaves_the_others_unharmed() {
    let folder = TempDir::new().unwrap();
    let (provider, url) = Provider::start().await;
    provider.answers(404, &[], r#"{"msg":"no such host"}"#);
    let mut stage = Stage::start(&folder, &url, "").await;
    let report = stage
        .carry_out(&order("fastly", vec![url_purge(0), url_purge(1)]))
        .await;
    assert!(
        failed(&report).message.contains("no such host"),
        "{report:?}"
    );
    let found: Vec<_> = report.results[0]
        .findings
        .iter()
        .map(|one| one.selector)
        .collect();
    assert_eq!((found, provider.asked().len()), (vec![1], 2));
}

/// What the operator has not written is named, and nothing is sent without it.
#[tokio::test]
async fn a_value_that_is_missing_is_named_by_its_key() {
    let folder = TempDir::new().unwrap();
    let (provider, url) = Provider::start().await;
    let mut stage = Stage::start(&folder, &url, "").await;
    let path = "/client/v4/zones/{account:zone}/purge_cache";
    let blog = Order {
        configuration: "blog".parse().unwrap(),
        ..order(
            "cloudflare",
            vec![NativeCall::new("POST", None, path, vec![0])],
        )
    };
    let report = stage.carry_out(&blog).await;
    let fault = failed(&report);
    assert_eq!(fault.code, FaultCode::NotConfigured);
    assert!(
        fault.message.contains("`api.accounts.blog.values.zone`"),
        "{fault:?}"
    );
    assert_eq!(provider.asked().len(), 0);
}

/// A new token in the file counts with the next call; no restart, and the old one is never sent again.
#[tokio::test]
async fn new_credentials_count_at_once() {
    let folder = TempDir::new().unwrap();
    let (provider, url) = Provider::start().await;
    let mut stage = Stage::start(&folder, &url, "").await;
    stage.carry_out(&order("fastly", vec![url_purge(0)])).await;
    std::fs::write(folder.path().join("token"), "the-next").unwrap();
    stage.carry_out(&order("fastly", vec![url_purge(0)])).await;
    std::fs::remove_file(folder.path().join("token")).unwrap();
    let report = stage.carry_out(&order("fastly", vec![url_purge(0)])).await;
    assert_eq!(failed(&report).code, FaultCode::NotConfigured);
    let asked = provider.asked();
    let tokens: Vec<_> = asked
        .iter()
        .map(|asked| &asked.headers["fastly-key"])
        .collect();
    assert_eq!(tokens, ["the-token", "the-next"]);
}

/// The provider says when to come again; that holds for every execution with the same account.
#[tokio::test]
async fn retry_after_is_obeyed_by_everybody_with_that_account() {
    let folder = TempDir::new().unwrap();
    let (provider, url) = Provider::start().await;
    provider.answers(429, &[("retry-after", "1")], r#"{"msg":"slow down"}"#);
    let mut stage = Stage::start(&folder, &url, "").await;
    let began = Instant::now();
    let report = stage
        .carry_out(&order("fastly", vec![url_purge(0), url_purge(1)]))
        .await;
    assert!(began.elapsed() >= Duration::from_secs(1));
    assert_eq!(
        report.outcome,
        ReportedOutcome::Done(Evidence::Acknowledged)
    );
    assert_eq!(report.results[0].tries[0].fault.code, FaultCode::Throttled);
    assert_eq!(provider.asked().len(), 3);
}

/// The operator's budget is kept, whatever there is to do; what does not fit in the time is said to be so.
#[tokio::test]
async fn calls_keep_the_budget_of_the_account() {
    let folder = TempDir::new().unwrap();
    let (provider, url) = Provider::start().await;
    let more =
        "budgets = { urls = { amount = 4, per = \"1s\", burst = 1 } }\ntotal_time = \"900ms\"";
    let mut stage = Stage::start(&folder, &url, more).await;
    let report = stage
        .carry_out(&order("fastly", (0..8).map(url_purge).collect()))
        .await;
    let asked = provider.asked().len();
    assert!((1..=4).contains(&asked), "{asked}");
    assert_eq!(failed(&report).code, FaultCode::Throttled);
    assert_eq!(report.results[0].findings.len(), asked);
}

/// Where the operator wants it, a purge that the provider may undo by a race goes out twice.
#[tokio::test]
async fn a_second_call_is_made_where_it_is_asked_for() {
    let folder = TempDir::new().unwrap();
    let (provider, url) = Provider::start().await;
    let mut stage = Stage::start(&folder, &url, "second_calls = true").await;
    let report = stage.carry_out(&order("fastly", vec![url_purge(0)])).await;
    assert_eq!(
        report.outcome,
        ReportedOutcome::Done(Evidence::Acknowledged)
    );
    let lines: Vec<_> = provider
        .asked()
        .into_iter()
        .map(|asked| asked.line)
        .collect();
    assert_eq!(lines, ["POST /purge/www.example.com/0"; 2]);
}
