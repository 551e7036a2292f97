//! Framework 3 in its plain form: the adapter hands executions to the participant's own invocation system, which tells a
//! real cache.

use std::borrow::Cow;

use anyhow::{Result, ensure};
use dialects::canonical::Submission;
use domain::{Ceiling, Configuration, Operation, PurgeMode, Selector, ServerId};
use tests::{
    caches::{Cache, Kind},
    origin::{Object, Origin},
    ports,
};

use super::*;

const TOKEN: &str = "a-token-of-the-test";

/// The example invocation system with one server.
struct Example {
    url: String,
    /// Where it calls back, and nowhere else.
    callback: String,
    process: Process,
}

impl Example {
    async fn start(stage: &Stage, cache: &Cache) -> Result<Self> {
        Self::start_for(stage, cache.address(), cache.kind().dialect()).await
    }

    async fn start_for(stage: &Stage, address: SocketAddr, dialect: &str) -> Result<Self> {
        let listen = format!("127.0.0.1:{}", ports::free()?);
        let callback = format!("127.0.0.1:{}", ports::free()?);
        let data = stage.folder.path().join("invocation-system");
        let servers =
            format!("[{{ id = \"b-1\", address = \"{address}\", dialect = \"{dialect}\" }}]");
        let mut command = Command::new(binaries::invocation_system()?);
        command
            .env("INVOCATION_SYSTEM__LISTEN", &listen)
            .env("INVOCATION_SYSTEM__TOKEN", TOKEN)
            .env("INVOCATION_SYSTEM__DATA_FOLDER", data)
            .env("INVOCATION_SYSTEM__CALLBACKS", format!("[\"{callback}\"]"))
            .env("INVOCATION_SYSTEM__SERVERS", servers);
        let process = Process::start("invocation-system", stage.folder.path(), command)?;
        let mut example = Self {
            url: format!("http://{listen}"),
            callback,
            process,
        };
        let url = example.execution("nothing");
        let answers = async || tests::http().get(&url).send().await.map(drop);
        example.process.ready(LIMIT, answers).await?;
        Ok(example)
    }

    fn execution(&self, id: &str) -> String {
        format!("{}/v1/executions/{id}", self.url)
    }
}

fn submission(order: &Order, servers: &[&str]) -> Result<Submission<'static>> {
    let configuration = Configuration {
        id: "shop".parse()?,
        customer: "acme".parse()?,
        owner: "a".parse()?,
        hosts: vec![HOST.parse()?],
        wide_purges_need_approval: None,
    };
    Ok(Submission {
        execution: Cow::Owned(order.execution.clone()),
        originator: Cow::Owned("a".parse()?),
        accepted_at: order.accepted_at,
        operation: Cow::Owned(Operation::Purge(PurgeMode::Delete)),
        selectors: Cow::Owned(vec![Selector::Url("https://www.one.test/a".parse()?)]),
        ceiling: Ceiling::default(),
        configuration: Cow::Owned(configuration),
        servers: servers
            .iter()
            .map(|id| id.parse::<ServerId>())
            .collect::<Result<_, _>>()?,
        probes: None,
    })
}

/// An order as the broker translates it for a participant with an invocation system.
fn canonical(servers: &[&str]) -> Result<Order> {
    let mut order = order(
        "shop",
        "canonical",
        SocketAddr::from(([192, 0, 2, 1], 80)),
        Vec::new(),
    )?;
    let path = format!("/v1/executions/{}", order.execution);
    let call =
        NativeCall::new("PUT", None, &path, vec![0]).header("content-type", "application/json");
    let body = serde_json::to_string(&submission(&order, servers)?)?;
    order.native[0].calls = vec![NativeCall {
        body: Some(body),
        ..call
    }];
    Ok(order)
}

async fn warm(origin: &Origin, cache: &Cache) -> Result<()> {
    origin.set("/a", Object::new("old"));
    cache.probe(HOST, "/a").await?;
    origin.set("/a", Object::new("new"));
    let before = cache.probe(HOST, "/a").await?;
    ensure!(before.hit && before.body == "old", "{before:?}");
    Ok(())
}

fn keys<'a>(example: &'a Example, poll_every: &'a str) -> [(&'static str, &'a str); 4] {
    [
        ("KIND", "invocation-system"),
        ("INVOCATION_SYSTEM__BASE_URL", &example.url),
        ("INVOCATION_SYSTEM__TOKEN", TOKEN),
        ("INVOCATION_SYSTEM__POLL_EVERY", poll_every),
    ]
}

/// Submitted, running, done: the delivery is freed while the native job runs, and the real cache is fresh in the end.
#[tokio::test]
async fn an_execution_runs_in_the_invocation_system_and_is_reported_server_by_server() -> Result<()>
{
    let mut stage = Stage::new().await?;
    let origin = Origin::start().await?;
    let cache = Cache::start(Kind::TrafficServer, origin.address()).await?;
    warm(&origin, &cache).await?;
    let example = Example::start(&stage, &cache).await?;
    let _adapter = stage.adapter_with(&keys(&example, "50ms"))?;

    let order = canonical(&["b-1"])?;
    stage
        .dispatch(&json_of(std::slice::from_ref(&order))?)
        .await?;
    let reports = stage.reports(2).await?;
    let running = ReportedOutcome::Running {
        job: order.execution.to_string(),
    };
    ensure!(reports[0].outcome == running, "{reports:?}");
    ensure!(
        is_done(&reports[1]) && reports[1].results.len() == 1,
        "{reports:?}"
    );
    let after = cache.probe(HOST, "/a").await?;
    ensure!(!after.hit && after.body == "new", "{after:?}");
    stage.settled().await
}

/// With a callback nobody waits for the next poll: here that would come after an hour.
#[tokio::test]
async fn a_callback_ends_the_wait() -> Result<()> {
    let mut stage = Stage::new().await?;
    let origin = Origin::start().await?;
    let cache = Cache::start(Kind::TrafficServer, origin.address()).await?;
    let example = Example::start(&stage, &cache).await?;
    let url = format!("http://{}/", example.callback);
    let callback = [
        (
            "INVOCATION_SYSTEM__CALLBACK_LISTEN",
            example.callback.as_str(),
        ),
        ("INVOCATION_SYSTEM__CALLBACK_URL", &url),
    ];
    let keys = [keys(&example, "1h").as_slice(), &callback].concat();
    let _adapter = stage.adapter_with(&keys)?;
    stage.dispatch(&json_of(&[canonical(&["b-1"])?])?).await?;
    let reports = stage.reports(2).await?;
    ensure!(is_done(&reports[1]), "{reports:?}");
    stage.settled().await
}

/// One trace from the command over the adapter and the participant's own system to the server, with what vendors added.
#[tokio::test]
async fn the_trace_goes_on_through_the_invocation_system_to_the_server() -> Result<()> {
    let mut stage = Stage::new().await?;
    let (told, mut traces) = tokio::sync::mpsc::unbounded_channel();
    let router = Router::new().fallback(move |request: Request| {
        let header = |name| request.headers().get(name).and_then(|it| it.to_str().ok());
        let header = |name| header(name).unwrap_or_default().to_owned();
        // An error means that the test is over.
        let _ = told.send((header("traceparent"), header("tracestate")));
        std::future::ready(StatusCode::OK)
    });
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move { axum::serve(listener, router).await });
    let example = Example::start_for(&stage, address, "varnish").await?;
    let _adapter = stage.adapter_with(&keys(&example, "50ms"))?;
    let order = Order {
        tracestate: Some("vendor=1".to_owned()),
        ..canonical(&["b-1"])?
    };
    stage
        .dispatch(&json_of(std::slice::from_ref(&order))?)
        .await?;
    let reports = stage.reports(2).await?;
    ensure!(is_done(&reports[1]), "{reports:?}");
    let (parent, vendors) = traces.recv().await.context("the server was told")?;
    let sent = order.traceparent.context("the order has a trace")?;
    ensure!(parent[..35] == sent[..35] && parent != sent, "{parent}");
    ensure!(vendors == "vendor=1", "{vendors}");
    stage.settled().await
}

/// Both sides are killed while the cache is frozen in the middle of the job; afterwards it completes.
#[tokio::test]
async fn a_job_survives_the_death_of_both_sides() -> Result<()> {
    let mut stage = Stage::new().await?;
    let origin = Origin::start().await?;
    let mut cache = Cache::start(Kind::TrafficServer, origin.address()).await?;
    let mut example = Example::start(&stage, &cache).await?;
    let mut adapter = stage.adapter_with(&keys(&example, "50ms"))?;
    cache.process().pause()?;
    stage.dispatch(&json_of(&[canonical(&["b-1"])?])?).await?;
    let running = stage.reports(1).await?;
    ensure!(
        matches!(running[0].outcome, ReportedOutcome::Running { .. }),
        "{running:?}"
    );
    stage.settled().await?;
    adapter.kill9();
    example.process.kill9();

    cache.process().resume()?;
    let example = Example::start(&stage, &cache).await?;
    let _adapter = stage.adapter_with(&keys(&example, "50ms"))?;
    let done = stage.reports(1).await?;
    ensure!(is_done(&done[0]), "{done:?}");
    Ok(())
}

/// The contract of the example: the token, the same submission again, another one under its id, an unknown server.
#[tokio::test]
async fn the_example_keeps_its_contract() -> Result<()> {
    let stage = Stage::new().await?;
    let origin = Origin::start().await?;
    let cache = Cache::start(Kind::TrafficServer, origin.address()).await?;
    let example = Example::start(&stage, &cache).await?;
    let order = canonical(&["b-1"])?;
    let url = example.execution(&order.execution.to_string());
    let put = async |token: &str, submission: &Submission<'_>| -> Result<(u16, Value)> {
        let answer = tests::http()
            .put(&url)
            .bearer_auth(token)
            .json(submission)
            .send()
            .await?;
        Ok((answer.status().as_u16(), answer.json().await?))
    };
    let right = submission(&order, &["b-1"])?;
    let (status, problem) = put("wrong", &right).await?;
    ensure!(
        status == 401 && problem["title"] == "Unauthorized",
        "{problem}"
    );
    let (status, problem) = put(TOKEN, &submission(&order, &["b-7"])?).await?;
    ensure!(
        status == 400 && problem["detail"] == "no such server: b-7",
        "{problem}"
    );
    let unknown = tests::http().get(&url).bearer_auth(TOKEN).send().await?;
    ensure!(unknown.status() == 404);

    let (status, progress) = put(TOKEN, &right).await?;
    ensure!(
        status == 202 && progress["state"] == "running",
        "{progress}"
    );
    let settled = async || -> Result<Value> {
        let answer = tests::http().get(&url).bearer_auth(TOKEN).send().await?;
        let progress: Value = answer.json().await?;
        ensure!(progress["state"] == "settled", "{progress}");
        Ok(progress)
    };
    let progress = wait::until(LIMIT, "the execution has settled", settled).await?;
    ensure!(
        progress["servers"][0]["findings"][0]["finding"] == "nothing_held",
        "{progress}"
    );
    ensure!(put(TOKEN, &right).await?.0 == 200);
    let other = Submission {
        operation: Cow::Owned(Operation::Load),
        ..right
    };
    ensure!(put(TOKEN, &other).await?.0 == 409);
    Ok(())
}
