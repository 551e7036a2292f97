//! What is refused, by the provider or by us.

use super::*;

/// A redirect would carry the token to somebody else, and a page is no answer, however long it is: what they say is told, and
/// not all of it.
#[tokio::test]
async fn what_is_no_answer_is_a_fault_and_never_a_success() {
    let folder = TempDir::new().unwrap();
    let (provider, url) = Provider::start().await;
    let mut stage = Stage::start(&folder, &url, "").await;
    provider.answers(302, &[("location", "/elsewhere")], "");
    let report = stage.carry_out(&order("fastly", vec![url_purge(0)])).await;
    let fault = failed(&report);
    assert_eq!(fault.code, FaultCode::UnreadableAnswer);
    assert!(
        fault.message.contains("302 and sent us to /elsewhere"),
        "{fault:?}"
    );
    assert_eq!(provider.asked().len(), 1);
    let page = format!(
        "<html><title>Backend down</title>{}",
        "<p>sorry".repeat(1_300_000)
    );
    for _ in 0..5 {
        provider.answers(500, &[], &page);
    }
    let report = stage.carry_out(&order("fastly", vec![url_purge(0)])).await;
    let fault = failed(&report);
    assert_eq!(fault.code, FaultCode::NativeError);
    assert_eq!(fault.message, "Fastly answered 500: Backend down");
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

/// What may not be repeated is not sent again after an interruption.
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

/// One answer, byte for byte, to everybody who connects.
async fn raw(answer: &'static str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 4_096];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    url
}

/// An answer that breaks off is no answer, whatever it had begun to say.
#[tokio::test]
async fn an_answer_that_breaks_off_is_a_fault() {
    let folder = TempDir::new().unwrap();
    let url = raw("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"status\":\"ok\"").await;
    let mut stage = Stage::start(&folder, &url, "").await;
    let report = stage.carry_out(&order("fastly", vec![url_purge(0)])).await;
    let fault = failed(&report);
    assert_eq!(fault.code, FaultCode::Unreachable);
    assert!(
        fault
            .message
            .contains("broke before the answer was whole: 200 {\"status\":\"ok\""),
        "{fault:?}"
    );
}

/// A page, a list, a number or half an object with the status of a success is none, at every provider; what was said is shown,
/// and not all of it.
#[tokio::test]
async fn a_success_that_cannot_be_read_is_a_fault_with_its_words() {
    let folder = TempDir::new().unwrap();
    let (provider, url) = Provider::start().await;
    let more = "budgets = { calls = { amount = 1000, per = \"1s\", burst = 1000 } }\n\
                [api.account]\nvalues = { project = \"p\", urlmap = \"m\", group = \"g\" }\n";
    let edgegrid = "client_token = ct\nclient_secret = cs\naccess_token = at\n";
    let long = format!("<html>{}", "sorry ".repeat(2_000_000));
    let key = NativeCall::new("POST", None, "/a", vec![0]);
    let dialects = [
        "fastly",
        "cloudflare",
        "akamai",
        "edgecast",
        "google-cloud-cdn",
        "varnish-broadcaster",
    ];
    for dialect in dialects {
        let secret = if dialect == "akamai" {
            edgegrid
        } else {
            "the-token"
        };
        std::fs::write(folder.path().join("token"), secret).unwrap();
        for body in ["<html>sorry", "[1]", "7", "{\"status\":", &long] {
            let mut stage = Stage::start(&folder, &url, more).await;
            for _ in 0..5 {
                provider.answers(200, &[], body);
            }
            let report = stage.carry_out(&order(dialect, vec![key.clone()])).await;
            let fault = failed(&report);
            assert_eq!(
                fault.code,
                FaultCode::UnreadableAnswer,
                "{dialect} {body:.20}"
            );
            let begin: String = body.chars().take(5).collect();
            assert!(fault.message.contains(&begin), "{fault:?}");
            assert!(fault.message.len() < 1_000, "{}", fault.message.len());
            stage.stop().await;
            provider.answers.lock().unwrap().clear();
        }
    }
}

/// A job that never ends is given up after its time, and says so.
#[tokio::test]
async fn a_job_that_never_ends_is_given_up() {
    let folder = TempDir::new().unwrap();
    let (provider, url) = Provider::start().await;
    provider.answers(200, &[], r#"{"Id":"J1"}"#);
    for _ in 0..1_000 {
        provider.says_of_a_job(200, r#"{"Status_Details":{"Status":"in-progress"}}"#);
    }
    let more = "give_up_after = \"300ms\"\n";
    let mut stage = Stage::start(&folder, &url, more).await;
    let path = "/v2/mcc/customers/1/edge/bulkpurge";
    let call = NativeCall {
        body: Some(r#"{"MediaPath":["http:\/\/a.example\/"],"MediaType":3}"#.to_owned()),
        ..NativeCall::new("PUT", None, path, vec![0])
    };
    let report = stage.carry_out(&order("edgecast", vec![call])).await;
    assert!(
        matches!(report.outcome, ReportedOutcome::Running { .. }),
        "{report:?}"
    );
    let report = stage.report().await;
    let fault = failed(&report);
    assert_eq!(fault.code, FaultCode::TimedOut);
    assert!(
        fault
            .message
            .contains("its job bulkpurge/J1 had not ended after 300ms"),
        "{fault:?}"
    );
}

/// A limit that is named by a date holds like one in seconds.
#[tokio::test]
async fn a_wait_until_a_date_is_obeyed() {
    let folder = TempDir::new().unwrap();
    let (provider, url) = Provider::start().await;
    let date = ("date", "Sun, 06 Nov 1994 08:49:37 GMT");
    let after = ("retry-after", "Sun, 06 Nov 1994 08:49:38 GMT");
    provider.answers(503, &[date, after], "");
    let mut stage = Stage::start(&folder, &url, "").await;
    let began = Instant::now();
    let report = stage.carry_out(&order("fastly", vec![url_purge(0)])).await;
    assert!(began.elapsed() >= Duration::from_secs(1));
    assert_eq!(
        report.outcome,
        ReportedOutcome::Done(Evidence::Acknowledged)
    );
    assert_eq!(provider.asked().len(), 2);
}
