//! Telling servers, against small HTTP servers that misbehave on request.

mod circuit;
mod long_answers;
mod looking;
mod rest;
mod server;

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use amqp::envelope::ReportedOutcome;
use axum::{body::Body, http::StatusCode, response::IntoResponse};
use domain::{Finding, Outcome, Timestamp, result::SelectorFinding};
use service::backoff::BackoffSettings;
use tokio::{net::TcpListener, sync::Semaphore};

use self::server::{Server, answering, server};
use super::*;
use crate::ending::fold;

/// A dialect of servers that is always there.
const DIALECT: &str = "varnish";

fn calls_settings() -> config::Calls {
    config::Calls {
        timeout: Duration::from_millis(500),
        load_timeout: Duration::from_secs(5),
        connect_timeout: Duration::from_millis(500),
        attempts: 3,
        total_time: Duration::from_secs(3),
        pause: BackoffSettings {
            first: Duration::from_millis(5),
            max: Duration::from_millis(20),
            factor: 2.0,
        },
        circuit: config::Circuit {
            failures: 100,
            pause: BackoffSettings {
                first: Duration::from_hours(1),
                max: Duration::from_hours(1),
                factor: 2.0,
            },
        },
        answer_limit: 65_536,
        load_limit: 1_048_576,
        idle_connections: 4,
        name_lifetime: Duration::from_secs(5),
        name_timeout: Duration::from_secs(5),
    }
}

fn execution() -> config::Execution {
    config::Execution {
        concurrency: 1,
        servers_at_once: 4,
        total_time: Duration::from_mins(1),
        load_total_time: Duration::from_mins(1),
    }
}

fn caches(settings: &config::Calls) -> Caches {
    let allowed = vec!["127.0.0.0/8".parse().unwrap()];
    Caches::new(settings, execution(), probes(), allowed).unwrap()
}

fn probes() -> config::Probes {
    config::Probes {
        timeout: Duration::from_secs(5),
        body_limit: 65_536,
        at_once: 4,
        repeats: 1,
        pause: BackoffSettings {
            first: Duration::from_millis(10),
            max: Duration::from_millis(10),
            factor: 1.0,
        },
        settle: Duration::from_millis(50),
    }
}

fn order(
    operation: &str,
    repeatable: bool,
    servers: &[SocketAddr],
    calls: Vec<NativeCall>,
) -> Order {
    let servers = (1..).zip(servers).map(|(number, address)| OrderedServer {
        id: format!("b-{number}").parse().unwrap(),
        address: address.to_string().parse().unwrap(),
    });
    Order {
        expires_at: None,
        tracestate: None,
        originator: None,
        probes: None,
        execution: "01890a5d-ac96-774b-bcce-b302099a8057_b".parse().unwrap(),
        sequence: 1,
        configuration: "shop".parse().unwrap(),
        operation: operation.to_owned(),
        repeatable,
        accepted_at: Timestamp::from_millis(1),
        traceparent: None,
        native: vec![NativeOrder {
            mapping: None,
            limits: domain::NativeLimits::NONE,
            dialect: DIALECT.parse().unwrap(),
            servers: servers.collect(),
            calls,
        }],
    }
}

fn purge() -> NativeCall {
    NativeCall::new("PURGE", Some("www.example.com"), "/a?b=1", vec![0])
}

fn load() -> NativeCall {
    NativeCall::new("GET", Some("www.example.com"), "/a", vec![0])
}

async fn tell(order: &Order) -> Vec<ServerResult> {
    caches(&calls_settings())
        .carry_out(order, &TraceContext::new(), &|| true)
        .await
        .unwrap()
}

async fn tell_one(server: &Server) -> ServerResult {
    let order = order("purge", true, &[server.address], vec![purge()]);
    tell(&order).await.into_iter().next().unwrap()
}

fn fault_of(result: &ServerResult) -> &Fault {
    match &result.outcome {
        Outcome::Failed(fault) => fault,
        other => panic!("{other:?}"),
    }
}

fn is_done(result: &ServerResult) -> bool {
    matches!(result.outcome, Outcome::Done(_))
}

/// What goes over the wire: the method, the path as it was written, the host of the content, and the trace.
#[tokio::test]
async fn a_call_goes_out_as_the_dialect_wrote_it() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let record = Arc::clone(&seen);
    let server = server(move |_, request| {
        let header = |name: &str| request.headers()[name].to_str().unwrap().to_owned();
        let line = format!("{} {} {}", request.method(), request.uri(), header("host"));
        record
            .lock()
            .unwrap()
            .push((line, header("traceparent"), header("x-more")));
        async { StatusCode::OK.into_response() }
    })
    .await;
    let trace = TraceContext::new();
    let order = order(
        "purge",
        true,
        &[server.address],
        vec![purge().header("x-more", "1")],
    );
    caches(&calls_settings())
        .carry_out(&order, &trace, &|| true)
        .await
        .unwrap();
    let (line, traceparent, more) = seen.lock().unwrap().pop().unwrap();
    assert_eq!(
        (line.as_str(), more.as_str()),
        ("PURGE /a?b=1 www.example.com", "1")
    );
    assert!(
        traceparent.contains(&trace.trace_id_text()),
        "{traceparent}"
    );
    assert_ne!(traceparent, trace.to_string());
}

/// Every server has its own result, in the order of the order, however long each takes.
#[tokio::test]
async fn servers_are_told_side_by_side_and_reported_apart() {
    let others = Arc::new(Semaphore::new(0));
    let answers = |status: StatusCode| {
        let others = Arc::clone(&others);
        server(move |_, _| {
            others.add_permits(1);
            async move { status.into_response() }
        })
    };
    let (refusing, quick) = (
        answers(StatusCode::FORBIDDEN).await,
        answers(StatusCode::OK).await,
    );
    // It answers when the two others have been told.
    let waits = Arc::clone(&others);
    let slow = server(move |_, _| {
        let others = Arc::clone(&waits);
        async move {
            let _both = others.acquire_many(2).await;
            StatusCode::OK.into_response()
        }
    })
    .await;
    let addresses = [slow.address, refusing.address, quick.address];
    let results = tell(&order("purge", true, &addresses, vec![purge()])).await;
    assert!(
        is_done(&results[0]) && !is_done(&results[1]) && is_done(&results[2]),
        "{results:?}"
    );
    assert!(
        matches!(fold(&results), ReportedOutcome::Failed(fault) if fault == *fault_of(&results[1]))
    );
}

/// 403 is the server's last word: it is asked once.
#[tokio::test]
async fn a_refusal_is_not_tried_again() {
    let server = answering(403).await;
    let result = tell_one(&server).await;
    assert_eq!(
        (fault_of(&result).code, result.attempts, server.calls()),
        (FaultCode::Refused, 1, 1)
    );
}

/// A server that stumbles once has done it in the end.
#[tokio::test]
async fn a_server_that_fails_once_is_tried_again() {
    let server = server(|number, _| async move {
        let status = if number == 0 {
            StatusCode::INTERNAL_SERVER_ERROR
        } else {
            StatusCode::OK
        };
        status.into_response()
    })
    .await;
    let result = tell_one(&server).await;
    assert!(is_done(&result), "{result:?}");
    assert_eq!((result.attempts, server.calls()), (2, 2));
    // What happened in between is told.
    let [again] = result.tries.as_slice() else {
        panic!("{result:?}")
    };
    assert_eq!(again.fault.code, FaultCode::NativeError);
    assert!(again.pause_ms <= 5 && again.at > Timestamp::from_millis(0));
}

/// Tries end: a server that always fails costs as many calls as the operator said.
#[tokio::test]
async fn a_server_that_always_fails_is_given_up() {
    let server = answering(500).await;
    let result = tell_one(&server).await;
    assert!(!is_done(&result));
    assert_eq!((result.attempts, server.calls()), (3, 3));
}

/// A silent server is cut off, tried again, and reported as silent.
#[tokio::test]
async fn a_server_that_does_not_answer_times_out() {
    let server = server(|_, _| std::future::pending()).await;
    let settings = config::Calls {
        timeout: Duration::from_millis(50),
        ..calls_settings()
    };
    let order = order("purge", true, &[server.address], vec![purge()]);
    let results = caches(&settings)
        .carry_out(&order, &TraceContext::new(), &|| true)
        .await
        .unwrap();
    assert_eq!(
        (fault_of(&results[0]).code, server.calls()),
        (FaultCode::TimedOut, 3)
    );
}

/// Nobody there at all.
#[tokio::test]
async fn a_closed_port_is_unreachable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    for repeatable in [true, false] {
        let order = order("purge", repeatable, &[address], vec![purge()]);
        let results = tell(&order).await;
        assert_eq!(
            (fault_of(&results[0]).code, results[0].attempts),
            (FaultCode::Unreachable, 3)
        );
    }
}

/// What may not be repeated and got no answer: nobody knows, and nobody tries to find out by doing it again.
#[tokio::test]
async fn what_may_not_be_repeated_is_told_once() {
    let silent = server(|_, _| std::future::pending()).await;
    let failing = answering(500).await;
    let order = order(
        "custom",
        false,
        &[silent.address, failing.address],
        vec![purge()],
    );
    let results = tell(&order).await;
    assert_eq!(results[0].outcome, Outcome::Unknown);
    assert!(!is_done(&results[1]));
    assert_eq!((silent.calls(), failing.calls()), (1, 1));
}

/// A redirect would lead the adapter where its configuration does not allow it to go.
#[tokio::test]
async fn a_redirect_is_not_followed() {
    let target = answering(200).await;
    let location = format!("http://{}/", target.address);
    let server = server(move |_, _| {
        let location = location.clone();
        async move { (StatusCode::FOUND, [("location", location)]).into_response() }
    })
    .await;
    assert!(!is_done(&tell_one(&server).await));
    assert_eq!(target.calls(), 0);
}

/// An origin that redirects a load to a cloud's metadata would have the adapter read it. The way there is not taken, whether
/// the place is written as an address, as a name of this machine, or as something else that means it.
#[tokio::test]
async fn a_redirect_to_a_metadata_address_is_no_way() {
    let metadata = answering(200).await;
    let port = metadata.address.port();
    for host in ["127.0.0.1", "localhost", "0x7f.1", "[::ffff:127.0.0.1]"] {
        let location = format!("http://{host}:{port}/latest/meta-data");
        let origin = server(move |_, _| {
            let location = location.clone();
            async move { (StatusCode::FOUND, [("location", location)]).into_response() }
        })
        .await;
        let order = order("load", true, &[origin.address], vec![load()]);
        let results = tell(&order).await;
        assert!(origin.calls() > 0, "{results:?}");
        assert_eq!(metadata.calls(), 0, "{host}");
    }
}

/// An order may name any address; the adapter calls only those that its operator listed.
#[tokio::test]
async fn an_address_that_is_not_allowed_is_not_called() {
    let server = answering(200).await;
    let elsewhere = vec!["10.0.0.0/8".parse().unwrap()];
    let caches = Caches::new(&calls_settings(), execution(), probes(), elsewhere).unwrap();
    let order = order("purge", true, &[server.address], vec![purge()]);
    let results = caches
        .carry_out(&order, &TraceContext::new(), &|| true)
        .await
        .unwrap();
    assert_eq!(
        (fault_of(&results[0]).code, server.calls()),
        (FaultCode::AddressNotAllowed, 0)
    );
}

/// One URL that cannot be done does not keep the others from being done, and each finding is kept.
#[tokio::test]
async fn the_calls_after_a_refused_one_are_made() {
    let server = server(|number, _| async move {
        let status = if number == 0 {
            StatusCode::FORBIDDEN
        } else {
            StatusCode::OK
        };
        status.into_response()
    })
    .await;
    let calls = vec![
        purge(),
        NativeCall {
            selectors: vec![1, 2],
            ..purge()
        },
    ];
    let results = tell(&order("purge", true, &[server.address], calls)).await;
    assert_eq!(server.calls(), 2);
    assert_eq!(fault_of(&results[0]).code, FaultCode::Refused);
    let found: Vec<_> = results[0]
        .findings
        .iter()
        .map(|found| found.selector)
        .collect();
    assert!(found.ends_with(&[1, 2]), "{found:?}");
}

/// An order for a system or in a dialect that this adapter does not have is refused, and nothing is called.
#[tokio::test]
async fn a_dialect_that_servers_do_not_speak_is_refused() {
    let server = answering(200).await;
    for dialect in ["canonical", "no-such-dialect"] {
        let mut order = order("purge", true, &[server.address], vec![purge()]);
        order.native[0].dialect = dialect.parse().unwrap();
        let results = tell(&order).await;
        assert_eq!(fault_of(&results[0]).code, FaultCode::UnreadableOrder);
    }
    assert_eq!(server.calls(), 0);
}

/// The findings of one call count for every selector that it carries out.
#[tokio::test]
async fn a_finding_counts_for_every_selector_of_its_call() {
    let server = answering(200).await;
    let calls = vec![NativeCall {
        selectors: vec![0, 1],
        ..purge()
    }];
    let results = tell(&order("purge", true, &[server.address], calls)).await;
    let [
        SelectorFinding {
            selector: 0,
            finding: first,
        },
        SelectorFinding {
            selector: 1,
            finding: second,
        },
    ] = results[0].findings.as_slice()
    else {
        panic!("{results:?}")
    };
    assert!(first == second && first.is_success() && *first != Finding::NothingHeld);
}
