//! What is refused, by the provider or by us.

use super::*;

/// A redirect would carry the token to somebody else, and a page is no answer.
#[tokio::test]
async fn what_is_no_answer_is_a_fault_and_never_a_success() {
    let folder = TempDir::new().unwrap();
    let (provider, url) = Provider::start().await;
    let mut stage = Stage::start(&folder, &url, "").await;
    provider.answers(302, &[("location", "/elsewhere")], "");
    let report = stage.carry_out(&order("fastly", vec![url_purge(0)])).await;
    assert_eq!(failed(&report).code, FaultCode::UnreadableAnswer);
    assert_eq!(provider.asked().len(), 1);
    for _ in 0..5 {
        provider.answers(500, &[], &"<html>".repeat(2_000_000));
    }
    let report = stage.carry_out(&order("fastly", vec![url_purge(0)])).await;
    assert_eq!(failed(&report).code, FaultCode::NativeError);
}

/// An adapter whose clock is off is refused by everybody; the fault says so.
#[tokio::test]
async fn a_clock_that_is_off_is_the_fault() {
    let folder = TempDir::new().unwrap();
    let keys = "aws_access_key_id = A\naws_secret_access_key = s\n";
    std::fs::write(folder.path().join("token"), keys).unwrap();
    let (provider, url) = Provider::start().await;
    let date = ("date", "Sun, 06 Nov 1994 08:49:37 GMT");
    let body = "<ErrorResponse><Error><Code>SignatureDoesNotMatch</Code><Message>Signature expired\
                </Message></Error></ErrorResponse>";
    provider.answers(403, &[date], body);
    let mut stage = Stage::start(&folder, &url, "").await;
    let path = "/2020-05-31/distribution/{account:distribution}/invalidation";
    let call = NativeCall::new("POST", None, path, vec![0]);
    let report = stage.carry_out(&order("cloudfront", vec![call])).await;
    let fault = failed(&report);
    assert_eq!(fault.code, FaultCode::ClockOff);
    assert!(fault.message.contains("Signature expired"), "{fault:?}");
}

/// What may not be repeated is not sent again after an interruption, nor after an answer that was lost.
#[tokio::test]
async fn what_may_not_be_repeated_is_never_sent_twice() {
    let folder = TempDir::new().unwrap();
    let (provider, url) = Provider::start().await;
    let mut stage = Stage::start(&folder, &url, "").await;
    let once = Order {
        repeatable: false,
        ..order("fastly", vec![url_purge(0)])
    };
    stage.worker.journal.begin(&once.execution).await.unwrap();
    let report = stage.carry_out(&once).await;
    assert_eq!(report.outcome, ReportedOutcome::Unknown);
    assert_eq!(report.results[0].outcome, Outcome::Unknown);
    assert_eq!(provider.asked().len(), 0);
}

/// An order for caches is not sent to a provider, nor a call that would go to another host with our token.
#[tokio::test]
async fn an_order_that_is_none_for_an_api_is_refused() {
    let folder = TempDir::new().unwrap();
    let (provider, url) = Provider::start().await;
    let mut stage = Stage::start(&folder, &url, "").await;
    let elsewhere = NativeCall::new("POST", Some("evil.example"), "/", vec![0]);
    for order in [
        order("varnish", vec![url_purge(0)]),
        order("fastly", vec![elsewhere]),
    ] {
        let report = stage.carry_out(&order).await;
        assert_eq!(failed(&report).code, FaultCode::UnreadableOrder);
    }
    assert_eq!(provider.asked().len(), 0);
}
