//! Looking afterwards, at a cache that behaves as a test says.

use std::sync::atomic::{AtomicUsize, Ordering};

use axum::http::Method;
use domain::{
    Evidence, Probes, Proof,
    proof::ProofVerdict,
    verification::{Expect, Probe},
};

use super::*;

/// A cache that holds one object, and forgets it with the purge of that number; the lines that it heard.
struct Cache {
    server: Server,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Cache {
    async fn forgetting_with(purge: usize) -> Self {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let (record, purges) = (Arc::clone(&heard), AtomicUsize::new(0));
        let server = server(move |_, request| {
            record.lock().unwrap().push(request.method().to_string());
            let is_purge = request.method() != Method::GET;
            let earlier = purges.fetch_add(usize::from(is_purge), Ordering::SeqCst);
            let (age, word) = if earlier < purge {
                ("100", "HIT")
            } else {
                ("0", "MISS")
            };
            async move {
                if is_purge {
                    return StatusCode::OK.into_response();
                }
                ([("age", age), ("x-cache", word)], "content").into_response()
            }
        });
        let server = server.await;
        Self { server, heard }
    }

    fn heard(&self) -> String {
        self.heard.lock().unwrap().join(" ")
    }
}

/// To purge one URL, and to look at it.
fn verified(server: &Server) -> Order {
    let url = "http://www.example.com/a?b=1".parse().unwrap();
    Order {
        probes: Some(Probes {
            expect: Expect::Gone,
            probes: vec![Probe {
                url,
                selectors: vec![0],
                exact: true,
            }],
            uncovered: Vec::new(),
        }),
        ..order("purge", true, &[server.address], vec![purge()])
    }
}

fn proof_of(result: &ServerResult) -> &Proof {
    result.proof.as_ref().unwrap()
}

/// The same, where the URL stands for more.
fn by_sample(server: &Server) -> Order {
    let mut order = verified(server);
    for probe in order
        .probes
        .iter_mut()
        .flat_map(|probes| &mut probes.probes)
    {
        probe.exact = false;
    }
    order
}

/// A cache that holds nothing at all proves a URL that was purged to be gone, and nothing of what a URL only stands for.
#[tokio::test]
async fn a_sample_that_is_nowhere_verifies_nothing() {
    let server = server(|_, _| async {
        (StatusCode::NOT_FOUND, [("x-cache", "MISS")], "not found").into_response()
    });
    let server = server.await;
    for (order, verdict) in [
        (verified(&server), ProofVerdict::Verified),
        (by_sample(&server), ProofVerdict::Unproven),
    ] {
        let results = tell(&order).await;
        let proof = proof_of(&results[0]);
        assert_eq!((proof.verdict, proof.repeats), (verdict, 0), "{proof:?}");
    }
}

/// Before, the purge, and twice after it: gone at once.
#[tokio::test]
async fn what_is_gone_is_verified() {
    let cache = Cache::forgetting_with(1).await;
    let results = tell(&verified(&cache.server)).await;
    assert_eq!(results[0].outcome, Outcome::Done(Evidence::Verified));
    assert_eq!(cache.heard(), "GET PURGE GET GET");
    let proof = proof_of(&results[0]);
    assert_eq!((proof.verdict, proof.repeats), (ProofVerdict::Verified, 0));
    assert_eq!(proof.probes[0].seen.len(), 3);
}

/// The first purge came to nothing, the second one did it: as when a cache's parent still had the old one.
#[tokio::test]
async fn what_comes_back_is_told_again() {
    let cache = Cache::forgetting_with(2).await;
    let results = tell(&verified(&cache.server)).await;
    assert_eq!(results[0].outcome, Outcome::Done(Evidence::Verified));
    assert_eq!(cache.heard(), "GET PURGE GET GET PURGE GET GET");
    assert_eq!((proof_of(&results[0]).repeats, results[0].attempts), (1, 2));
}

/// However often: what is served is older than the purge, whatever the server says.
#[tokio::test]
async fn what_stays_has_failed_with_its_proof() {
    let cache = Cache::forgetting_with(usize::MAX).await;
    let results = tell(&verified(&cache.server)).await;
    assert_eq!(fault_of(&results[0]).code, FaultCode::NotVerified);
    assert_eq!(cache.heard(), "GET PURGE GET GET PURGE GET GET");
    let proof = proof_of(&results[0]);
    assert_eq!(
        (proof.verdict, proof.repeats),
        (ProofVerdict::NotVerified, 1)
    );
    assert!(matches!(fold(&results), ReportedOutcome::Failed(_)));
}

/// An order that another adapter has by now is left between purge and proof; there is no report that could say `verified`.
#[tokio::test]
async fn an_order_that_is_left_has_no_proof() {
    let cache = Cache::forgetting_with(1).await;
    let is_current = || !cache.heard().contains("PURGE");
    let results = caches(&calls_settings())
        .carry_out(&verified(&cache.server), &TraceContext::new(), &is_current)
        .await;
    assert_eq!(results, None);
}

/// A server that purges and does not serve, at this moment, is known by its word alone.
#[tokio::test]
async fn a_look_that_shows_nothing_leaves_the_word() {
    let server = server(|_, request: axum::extract::Request| async move {
        if request.method() == Method::GET {
            return StatusCode::SERVICE_UNAVAILABLE.into_response();
        }
        StatusCode::OK.into_response()
    })
    .await;
    let said = tell_one(&server).await.outcome;
    let results = tell(&verified(&server)).await;
    assert_eq!(results[0].outcome, said);
    assert_eq!(proof_of(&results[0]).verdict, ProofVerdict::Unprobed);
}
