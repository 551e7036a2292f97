//! Servers that are left alone, and executions whose time is over.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::*;

/// The surroundings of an order for which others wait, or not.
struct Busy(AtomicBool);

impl Surroundings for Busy {
    fn is_current(&self) -> bool {
        true
    }

    fn is_awaited(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// Somebody comes while it waits: nobody was there when it was asked the first time.
#[derive(Default)]
struct Coming(AtomicUsize);

impl Surroundings for Coming {
    fn is_current(&self) -> bool {
        true
    }

    fn is_awaited(&self) -> bool {
        self.0.fetch_add(1, Ordering::SeqCst) > 0
    }
}

/// Two failures, and a server is left alone for so long.
fn impatient(pause: Duration) -> config::Calls {
    let pause = BackoffSettings {
        first: pause,
        max: pause,
        factor: 2.0,
    };
    config::Calls {
        circuit: config::Circuit { failures: 2, pause },
        ..calls_settings()
    }
}

async fn closed_port() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap()
}

async fn carry_out(caches: &Caches, order: &Order, around: &dyn Surroundings) -> ServerResult {
    let results = caches.carry_out(order, &TraceContext::new(), around).await;
    results.unwrap().remove(0)
}

/// Others wait for this execution: a server that is known to be dead costs them nothing, and the fault says why.
#[tokio::test]
async fn a_dead_server_delays_nobody_who_waits() {
    let caches = caches(&impatient(Duration::from_secs(2)));
    let order = order("purge", true, &[closed_port().await], vec![purge()]);
    let busy = Busy(AtomicBool::new(true));
    let first = carry_out(&caches, &order, &busy).await;
    assert_eq!(
        (fault_of(&first).code, first.attempts),
        (FaultCode::CircuitOpen, 2)
    );
    let codes: Vec<_> = first.tries.iter().map(|one| one.fault.code).collect();
    assert_eq!(codes, [FaultCode::Unreachable; 2]);
    let began = Instant::now();
    let second = carry_out(&caches, &order, &busy).await;
    assert!(began.elapsed() < Duration::from_millis(500));
    assert_eq!(
        (fault_of(&second).code, second.attempts),
        (FaultCode::CircuitOpen, 0)
    );
    assert!(
        matches!(fault_of(&second).again, Again::AfterSeconds(1..=2)),
        "{second:?}"
    );
}

/// Nobody waits: the call sits the pause out, tells of it, and succeeds when the server is back.
#[tokio::test]
async fn a_server_that_comes_back_in_time_is_told_after_all() {
    let server = server(|number, _| async move {
        if number < 2 {
            std::future::pending::<()>().await;
        }
        StatusCode::OK.into_response()
    })
    .await;
    let settings = config::Calls {
        timeout: Duration::from_millis(50),
        ..impatient(Duration::from_millis(300))
    };
    let caches = caches(&settings);
    let order = order("purge", true, &[server.address], vec![purge()]);
    let quiet = Busy(AtomicBool::new(false));
    let result = carry_out(&caches, &order, &quiet).await;
    assert!(is_done(&result), "{result:?}");
    assert_eq!((result.attempts, server.calls()), (3, 3));
    let codes: Vec<_> = result.tries.iter().map(|one| one.fault.code).collect();
    assert_eq!(
        codes,
        [
            FaultCode::TimedOut,
            FaultCode::TimedOut,
            FaultCode::CircuitOpen
        ]
    );
    assert!(result.tries[2].pause_ms >= 100, "{result:?}");
}

/// Somebody comes while it waits: it gives way.
#[tokio::test]
async fn a_wait_ends_when_somebody_is_held_up_by_it() {
    let caches = caches(&impatient(Duration::from_secs(2)));
    let order = order("purge", true, &[closed_port().await], vec![purge()]);
    let coming = Coming::default();
    let result = carry_out(&caches, &order, &coming).await;
    assert_eq!(coming.0.load(Ordering::SeqCst), 2);
    assert_eq!(fault_of(&result).code, FaultCode::CircuitOpen);
    assert_eq!(result.attempts, 2);
}

/// A refusal is an answer: a server that says no a hundred times is there.
#[tokio::test]
async fn a_server_that_answers_is_not_left_alone() {
    let server = answering(500).await;
    let caches = caches(&impatient(Duration::from_hours(1)));
    let order = order("purge", true, &[server.address], vec![purge(); 3]);
    let result = carry_out(&caches, &order, &|| true).await;
    assert_eq!(
        (fault_of(&result).code, result.attempts),
        (FaultCode::NativeError, 9)
    );
}

/// One dead server of three: the two others are told as if it were not there.
#[tokio::test]
async fn the_other_servers_are_told() {
    let servers = [answering(200).await, answering(200).await];
    let addresses = [servers[0].address, closed_port().await, servers[1].address];
    let order = order("purge", true, &addresses, vec![purge()]);
    let caches = caches(&impatient(Duration::from_hours(1)));
    let results = caches
        .carry_out(&order, &TraceContext::new(), &|| true)
        .await
        .unwrap();
    assert!(is_done(&results[0]) && is_done(&results[2]), "{results:?}");
    assert_eq!(fault_of(&results[1]).code, FaultCode::CircuitOpen);
}

/// Hundreds of URLs on a slow server end with the execution's time, and the report says what was left.
#[tokio::test]
async fn calls_that_do_not_begin_in_time_are_not_tried() {
    // The third call is the one that the time ends in.
    let server = server(|number, _| async move {
        if number == 2 {
            std::future::pending::<()>().await;
        }
        StatusCode::OK.into_response()
    })
    .await;
    let execution = config::Execution {
        total_time: Duration::from_millis(250),
        ..execution()
    };
    let allowed = vec!["127.0.0.0/8".parse().unwrap()];
    let caches = Caches::new(&calls_settings(), execution, probes(), allowed).unwrap();
    let order = order("purge", true, &[server.address], vec![purge(); 100]);
    let began = Instant::now();
    let result = carry_out(&caches, &order, &|| true).await;
    assert!(began.elapsed() < Duration::from_secs(2));
    assert!(server.calls() <= 3, "{}", server.calls());
    let fault = fault_of(&result);
    assert_eq!(fault.code, FaultCode::TimedOut);
    assert!(fault.message.contains("not tried"), "{fault:?}");
}

/// A name with a dead address and a live one: the live one is called.
#[tokio::test]
async fn the_next_address_of_a_name_is_tried() {
    let server = answering(200).await;
    let mut order = order("purge", true, &[server.address], vec![purge()]);
    // Resolves to ::1 too on most machines, where nobody listens.
    let name = format!("localhost:{}", server.address.port());
    order.native[0].servers[0].address = name.parse().unwrap();
    let reach = Reach {
        private: vec!["127.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()],
        ..Reach::from(vec!["localhost".parse().unwrap()])
    };
    let caches = Caches::new(&calls_settings(), execution(), probes(), reach).unwrap();
    let result = carry_out(&caches, &order, &|| true).await;
    assert!(is_done(&result), "{result:?}");
    assert_eq!((result.attempts, server.calls()), (1, 1));
}
