//! Orders that are not carried out: cancelled, expired, absorbed, or for a server that is left alone; and how far the adapter
//! says that it has come.

use std::time::{Instant, SystemTime};

use anyhow::{Result, ensure};
use domain::{Outcome, fault::FaultCode};
use tests::ports;

use super::*;

fn fault_code(report: &ExecutionReport) -> Option<FaultCode> {
    match &report.outcome {
        ReportedOutcome::Failed(fault) => Some(fault.code),
        _ => None,
    }
}

/// What waits behind a slow server is cancelled at once; what is under way is finished. What was cancelled stays so for the
/// next adapter process, and a cancel that comes before its order holds.
#[tokio::test]
async fn what_waits_is_cancelled_and_what_is_under_way_is_not() -> Result<()> {
    let mut stage = Stage::new().await?;
    let server = Server::start().await?;
    let under_way = server.order("shop", "/held/1")?;
    let waiting = server.order("shop", "/2")?;
    let to_come = server.order("shop", "/3")?;
    let adapter = stage.adapter()?;
    let orders = json_of(&[under_way.clone(), waiting.clone()])?;
    stage.dispatch(&orders).await?;
    server.is_told("/held/1").await?;
    let cancels = [&under_way, &waiting, &to_come].map(|order| &order.execution);
    stage
        .dispatch_with(&[], json!({ "cancels": cancels }))
        .await?;
    let cancelled = stage.reports(1).await?;
    ensure!(
        cancelled[0].execution == waiting.execution
            && cancelled[0].outcome == ReportedOutcome::Cancelled,
        "{cancelled:?}"
    );
    // Its configuration's lane is still taken, and it does not wait for that.
    stage.dispatch(&json_of(&[to_come])?).await?;
    let early = stage.reports(1).await?;
    ensure!(early[0].outcome == ReportedOutcome::Cancelled, "{early:?}");
    server.release();
    ensure!(is_done(&stage.reports(1).await?[0]));
    stage.settled().await?;

    drop(adapter);
    let _adapter = stage.adapter()?;
    stage.dispatch(&orders).await?;
    let again = stage.reports(2).await?;
    ensure!(again.contains(&cancelled[0]), "{again:?}");
    ensure!(again.iter().any(is_done), "{again:?}");
    ensure!(server.told() == ["/held/1"], "{:?}", server.told());
    stage.settled().await
}

/// Its time passes while it waits in its lane: it is reported as expired and the server never hears of it.
#[tokio::test]
async fn an_order_that_expires_while_it_waits_is_not_begun() -> Result<()> {
    let mut stage = Stage::new().await?;
    let server = Server::start().await?;
    let now = Timestamp::from(SystemTime::now());
    let expires_at = Some(now.plus(Duration::from_secs(2)));
    let orders = [
        server.order("shop", "/held/1")?,
        Order {
            expires_at,
            ..server.order("shop", "/2")?
        },
        Order {
            expires_at: Some(now.plus(LIMIT)),
            ..server.order("news", "/3")?
        },
    ];
    let _adapter = stage.adapter()?;
    stage.dispatch(&json_of(&orders)?).await?;
    ensure!(is_done(&stage.reports(1).await?[0]));
    let over = async || Some(Timestamp::from(SystemTime::now())) > expires_at;
    wait::until(LIMIT, "its time is over", over).await?;
    server.release();
    let reports = stage.reports(2).await?;
    ensure!(is_done(&reports[0]), "{reports:?}");
    ensure!(
        reports[1].outcome == ReportedOutcome::Expired && reports[1].results.is_empty(),
        "{reports:?}"
    );
    ensure!(server.count("/2") == 0 && server.count("/3") == 1);
    stage.settled().await
}

/// One order does the work of an earlier one; one is absorbed by nothing that is there. The dispatch is acknowledged when
/// all three are reported, and how far the adapter has come is said with it.
#[tokio::test]
async fn what_was_absorbed_is_reported_with_its_absorber_and_how_far_we_are() -> Result<()> {
    let mut stage = Stage::new().await?;
    let server = Server::start().await?;
    let order = Order {
        sequence: 9,
        ..server.order("shop", "/held/all")?
    };
    let earlier = server.order("shop", "/a")?.execution;
    let orphan = server.order("shop", "/b")?.execution;
    let absorbed = json!([
        { "execution": earlier, "sequence": 7, "by": 9 },
        { "execution": orphan, "sequence": 8, "by": 3 },
    ]);
    let _adapter = stage.adapter()?;
    let members = json!({ "shard": 3, "absorbed": absorbed });
    let orders = json_of(std::slice::from_ref(&order))?;
    stage.dispatch_with(&orders, members).await?;
    let first = stage.report_message().await?;
    ensure!(first.executions.len() == 1, "{first:?}");
    ensure!(
        first.executions[0].execution == orphan
            && fault_code(&first.executions[0]) == Some(FaultCode::UnreadableOrder),
        "{first:?}"
    );
    let progress = first.progress.first().context("progress is told")?;
    ensure!(
        (progress.shard, progress.sequence) == (3, 9),
        "{progress:?}"
    );
    let queue = stage.topology.commands_queue(&stage.participant);
    stage.holds(&queue, 1).await?;
    server.is_told("/held/all").await?;
    server.release();
    let reports = stage.reports(2).await?;
    ensure!(is_done(&reports[0]) && is_done(&reports[1]), "{reports:?}");
    ensure!(reports[1].execution == earlier, "{reports:?}");
    ensure!(
        reports[1].absorbed_by == Some(order.execution.command),
        "{reports:?}"
    );
    let (sent, span) = (
        order.traceparent.as_deref(),
        reports[0].traceparent.as_deref(),
    );
    let (sent, span) = (sent.context("sent")?, span.context("a span")?);
    ensure!(sent[..35] == span[..35] && sent != span, "{span}");
    ensure!(server.told() == ["/held/all"], "{:?}", server.told());
    stage.settled().await
}

/// A server is dead. A hundred purges of the same configuration, half of them there, are through in less than the time that
/// one of them would try; the others are not delayed, the operator sees the open circuit, and later it is tried again.
#[tokio::test]
async fn a_dead_server_delays_nobody_and_is_tried_again() -> Result<()> {
    let mut stage = Stage::new().await?;
    let (living, port) = (Server::start().await?, ports::free()?);
    let listen = format!("127.0.0.1:{}", ports::free()?);
    let keys = [
        ("ALLOWED_ADDRESSES", "[\"127.0.0.0/8\"]"),
        ("SIGNALS__LISTEN", listen.as_str()),
        ("CALLS__TOTAL_TIME", "30s"),
        ("CALLS__CIRCUIT__PAUSE__FIRST", "3s"),
        ("CALLS__CIRCUIT__PAUSE__MAX", "3s"),
    ];
    let mut adapter = stage.adapter_with(&keys)?;
    let is_ready = async || {
        let ready = tests::http().get(format!("http://{listen}/readyz"));
        ready.send().await?.error_for_status()
    };
    adapter.ready(LIMIT, is_ready).await?;
    let dead = SocketAddr::from(([127, 0, 0, 1], port));
    let orders = (0..100).map(|number| {
        let path = format!("/{number}");
        match number % 2 {
            0 => order("shop", "varnish", dead, vec![purge(&path)]),
            _ => living.order("shop", &path),
        }
    });
    let orders = orders.collect::<Result<Vec<_>>>()?;
    let began = Instant::now();
    stage.dispatch(&json_of(&orders)?).await?;
    let reports = stage.reports(100).await?;
    ensure!(
        began.elapsed() < Duration::from_secs(30),
        "{:?}",
        began.elapsed()
    );
    let done = reports.iter().filter(|report| is_done(report)).count();
    let open = reports
        .iter()
        .filter(|report| fault_code(report) == Some(FaultCode::CircuitOpen));
    // The first ones find it out. However long all of it takes, one that comes after a pause is the probe, and says what it met.
    ensure!(done == 50 && open.count() >= 40, "{reports:?}");
    let metrics = tests::http().get(format!("http://{listen}/metrics"));
    let metrics = metrics.send().await?.text().await?;
    ensure!(metrics.contains("adapter_circuits_open 1"), "{metrics}");

    // It is back. Nobody waits behind this one, so it waits for the probe and succeeds.
    let router = Router::new().fallback(async || StatusCode::OK);
    let listener = TcpListener::bind(dead).await?;
    tokio::spawn(async move { axum::serve(listener, router).await });
    let late = order("shop", "varnish", dead, vec![purge("/late")])?;
    stage.dispatch(&json_of(&[late])?).await?;
    let late = stage.reports(1).await?;
    ensure!(
        matches!(late[0].results[0].outcome, Outcome::Done(_)),
        "{late:?}"
    );
    stage.settled().await
}

/// A script tells a wrong call of the program from a program that fails; nobody has to know which library reads arguments.
#[tokio::test]
async fn a_wrong_argument_ends_as_a_wrong_configuration_does() -> Result<()> {
    for (argument, code) in [("--no-such-argument", 64), ("--help", 0), ("--version", 0)] {
        for program in [binaries::adapter()?, binaries::invocation_system()?] {
            let ended = Command::new(program).arg(argument).output()?;
            ensure!(ended.status.code() == Some(code), "{argument}: {ended:?}");
        }
    }
    Ok(())
}
