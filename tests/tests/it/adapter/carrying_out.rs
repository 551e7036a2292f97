//! Orders that go well, and what RabbitMQ's promises make of them.

use anyhow::{Context, Result, ensure};
use dialects::Site;
use domain::{
    Ceiling, Command, Configuration, Finding, Operation, Outcome, PurgeMode, Scope, Selector,
    Timestamp, command::WhenImpossible,
};
use tests::{
    caches::{Cache, Kind},
    origin::{Object, Origin},
};

use super::*;

/// What the broker would translate for one cache: a purge of one URL.
fn purge_of(cache: &Cache, url: &str) -> Result<Order> {
    let dialect = dialects::by_name(&cache.kind().dialect().parse()?).context("no such dialect")?;
    let mut order = order("shop", dialect.name(), cache.address(), Vec::new())?;
    let command = Command {
        expires_at: None,
        not_before: None,
        verification: None,
        tracestate: None,
        id: order.execution.command,
        originator: "a".parse()?,
        configuration: order.configuration.clone(),
        operation: Operation::Purge(PurgeMode::Delete),
        selectors: vec![Selector::Url(url.parse()?)],
        scope: Scope::default(),
        ceiling: Ceiling::default(),
        when_impossible: WhenImpossible::default(),
        request_id: None,
        accepted_at: Timestamp::from_millis(1),
        traceparent: None,
    };
    let configuration = Configuration {
        id: order.configuration.clone(),
        customer: "acme".parse()?,
        owner: "a".parse()?,
        hosts: vec![HOST.parse()?],
        wide_purges_need_approval: None,
    };
    let site = Site {
        execution: &order.execution,
        configuration: &configuration,
        servers: &[],
        limits: &domain::NativeLimits::NONE,
    };
    let calls = dialect.translate(&command, &site)?;
    order.native[0].calls = calls;
    Ok(order)
}

/// The whole way of a dispatch: from the queue to a real cache, and back as a report; the content is fresh afterwards.
#[tokio::test]
async fn a_dispatch_is_carried_out_on_a_real_cache_and_reported() -> Result<()> {
    let mut stage = Stage::new().await?;
    let origin = Origin::start().await?;
    origin.set("/a", Object::new("old"));
    let cache = Cache::start(Kind::Varnish, origin.address()).await?;
    cache.probe(HOST, "/a").await?;
    origin.set("/a", Object::new("new"));
    let before = cache.probe(HOST, "/a").await?;
    ensure!(before.hit && before.body == "old", "{before:?}");

    let _adapter = stage.adapter()?;
    let order = purge_of(&cache, "https://www.one.test/a")?;
    stage
        .dispatch(&json_of(std::slice::from_ref(&order))?)
        .await?;
    let reports = stage.reports(1).await?;
    ensure!(
        reports[0].execution == order.execution && is_done(&reports[0]),
        "{reports:?}"
    );
    let result = &reports[0].results[0];
    ensure!(
        matches!(result.outcome, Outcome::Done(_)) && result.attempts == 1,
        "{result:?}"
    );
    ensure!(
        result.findings[0].finding != Finding::NothingHeld,
        "{result:?}"
    );
    let after = cache.probe(HOST, "/a").await?;
    ensure!(!after.hit && after.body == "new", "{after:?}");
    stage.settled().await
}

/// The broker may publish a dispatch twice, and RabbitMQ may deliver it twice. The cache is told once; the broker hears the
/// same twice.
#[tokio::test]
async fn a_dispatch_that_comes_twice_is_carried_out_once() -> Result<()> {
    let mut stage = Stage::new().await?;
    let server = Server::start().await?;
    let orders = json_of(&[server.order("shop", "/a")?])?;
    let adapter = stage.adapter()?;
    stage.dispatch(&orders).await?;
    let first = stage.reports(1).await?;
    stage.dispatch(&orders).await?;
    let second = stage.reports(1).await?;
    drop(adapter);
    let _adapter = stage.adapter()?;
    stage.dispatch(&orders).await?;
    let third = stage.reports(1).await?;
    ensure!(is_done(&first[0]) && first == second && second == third);
    ensure!(server.told() == ["/a"], "{:?}", server.told());
    stage.settled().await
}

/// Commands of one configuration take effect in their order, across dispatches; another configuration does not wait.
#[tokio::test]
async fn one_configuration_keeps_its_order_and_others_overtake_it() -> Result<()> {
    let mut stage = Stage::new().await?;
    let server = Server::start().await?;
    let _adapter = stage.adapter()?;
    let first = [
        server.order("shop", "/held/1")?,
        server.order("news", "/news/1")?,
        server.order("shop", "/2")?,
    ];
    let second = [
        server.order("shop", "/3")?,
        server.order("news", "/news/2")?,
    ];
    stage.dispatch(&json_of(&first)?).await?;
    stage.dispatch(&json_of(&second)?).await?;
    let overtaking = stage.reports(2).await?;
    ensure!(overtaking.iter().all(is_done));
    server.is_told("/held/1").await?;
    server.release();
    stage.reports(3).await?;
    let told = server.told();
    let of = |prefix: &str| {
        told.iter()
            .filter(|path| path.starts_with(prefix))
            .cloned()
            .collect::<Vec<_>>()
    };
    ensure!(of("/news") == ["/news/1", "/news/2"], "{told:?}");
    let shop: Vec<_> = told
        .iter()
        .filter(|path| !path.starts_with("/news"))
        .collect();
    ensure!(shop == ["/held/1", "/2", "/3"], "{told:?}");
    stage.settled().await
}

/// An operator's machines see an adapter that is ready, and what it did.
#[tokio::test]
async fn an_adapter_is_ready_when_connected_and_counts_what_it_does() -> Result<()> {
    let mut stage = Stage::new().await?;
    let server = Server::start().await?;
    let listen = format!("127.0.0.1:{}", tests::ports::free()?);
    let keys = [
        ("ALLOWED_ADDRESSES", "[\"127.0.0.0/8\"]"),
        ("SIGNALS__LISTEN", &listen),
    ];
    let mut adapter = stage.adapter_with(&keys)?;
    let get = async |path: &str| -> Result<String> {
        let answer = tests::http()
            .get(format!("http://{listen}{path}"))
            .send()
            .await?;
        Ok(answer.error_for_status()?.text().await?)
    };
    adapter.ready(LIMIT, async || get("/readyz").await).await?;
    stage
        .dispatch(&json_of(&[server.order("shop", "/a")?])?)
        .await?;
    stage.reports(1).await?;
    for line in [
        "adapter_executions_total{outcome=\"done\"} 1",
        "adapter_native_calls_total{dialect=\"varnish\",status=\"2xx\"} 1",
        "adapter_executions_in_flight 0",
    ] {
        // An execution is in flight until its report is confirmed, which is after we have it.
        wait::until(LIMIT, line, async || {
            let metrics = get("/metrics").await?;
            ensure!(metrics.lines().any(|one| one == line), "{metrics}");
            Ok(())
        })
        .await?;
    }
    Ok(())
}

/// An operator mends everything in one go, and a script tells a wrong file from a broken process.
#[tokio::test]
async fn a_wrong_configuration_is_refused_with_all_its_problems() -> Result<()> {
    let stage = Stage::new().await?;
    let keys = [
        ("ALLOWED_ADDRESSES", "[]"),
        ("CALLS__ATTEMPTS", "0"),
        ("NO_SUCH_KEY", "1"),
    ];
    let mut adapter = stage.adapter_with(&keys)?;
    let ended = async || adapter.exit_status();
    let status = wait::until(LIMIT, "the adapter has ended", ended).await?;
    ensure!(status.code() == Some(64), "{status}");
    let said = adapter.log_tail();
    for key in ["allowed_addresses: ", "calls.attempts: ", "no_such_key: "] {
        ensure!(said.contains(key), "{said}");
    }
    Ok(())
}
