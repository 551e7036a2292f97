//! A provider that says when it will be done, and an edge that is looked at by then or not at all.

use std::sync::atomic::{AtomicUsize, Ordering};

use domain::{
    Probes,
    proof::ProofVerdict,
    verification::{Expect, Probe},
};

use super::*;
use crate::verify::Edge;

/// An edge that has always had what it is asked for; how often it was asked.
pub(super) async fn edge() -> (Edge, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let own = Arc::clone(&asked);
    let router = Router::new().fallback(async move || {
        own.fetch_add(1, Ordering::SeqCst);
        ([("age", "100"), ("x-cache", "HIT")], "content")
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let edge = listener.local_addr().unwrap().to_string().parse().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    (edge, asked)
}

/// To tell about one URL, with an answer that estimates so many seconds, and to look at that edge.
async fn carried_out(expect: Expect, seconds: u32, edge: Edge) -> ExecutionReport {
    let folder = TempDir::new().unwrap();
    let (provider, url) = Provider::start().await;
    let body = format!(r#"{{"httpStatus":201,"estimatedSeconds":{seconds}}}"#);
    provider.answers(201, &[], &body);
    let edgegrid = "client_token = ct\nclient_secret = cs\naccess_token = at\n";
    std::fs::write(folder.path().join("token"), edgegrid).unwrap();
    let mut settings = configuration(&folder, &url, "");
    settings.api.probe = vec![edge];
    settings.allowed_addresses = vec!["127.0.0.1".parse().unwrap()];
    settings.probes.settle = Duration::from_millis(1);
    let mut stage = Stage::start_with(settings).await;
    let call = NativeCall {
        body: Some(r#"{"objects":["http://www.example.com/a"]}"#.to_owned()),
        ..NativeCall::new("POST", None, "/ccu/v3/delete/url/production", vec![0])
            .header("content-type", "application/json")
    };
    let probe = Probe {
        url: "http://www.example.com/a".parse().unwrap(),
        selectors: vec![0],
        exact: true,
    };
    let order = Order {
        probes: Some(Probes {
            expect,
            probes: vec![probe],
            uncovered: Vec::new(),
        }),
        ..order("akamai", vec![call])
    };
    let report = stage.carry_out(&order).await;
    assert_eq!(provider.asked().len(), 1, "it was told once");
    report
}

/// What is done in an hour, by the one who does it, is not looked at now: that it is still there says nothing, and the word stands.
#[tokio::test]
async fn what_is_done_too_late_to_be_looked_at_has_not_failed() {
    let (edge, asked) = edge().await;
    let report = carried_out(Expect::Gone, 3_600, edge).await;
    assert_eq!(report.outcome, ReportedOutcome::Done(Evidence::Estimated));
    let proof = report.results[0].proof.as_ref().unwrap();
    assert_eq!((proof.verdict, proof.repeats), (ProofVerdict::Unprobed, 0));
    let why = proof.why.as_deref().unwrap();
    assert!(why.starts_with("done only after 3"), "{why}");
    assert_eq!(
        asked.load(Ordering::SeqCst),
        1,
        "before, and not afterwards"
    );
}

/// What is done in a moment is waited for, also where one could look at once.
#[tokio::test]
async fn an_estimate_is_waited_for() {
    let (edge, asked) = edge().await;
    let began = Instant::now();
    let report = carried_out(Expect::Held, 1, edge).await;
    assert!(began.elapsed() >= Duration::from_secs(1));
    assert_eq!(report.outcome, ReportedOutcome::Done(Evidence::Verified));
    assert_eq!(asked.load(Ordering::SeqCst), 2);
}
