//! Jobs that a provider works on, over restarts, and dialects from documents.

use super::*;

const INVALIDATIONS: &str = "/2020-05-31/distribution/{account:distribution}/invalidation";

fn invalidation(id: &str, status: &str) -> String {
    format!("<Invalidation><Id>{id}</Id><Status>{status}</Status></Invalidation>")
}

fn cloudfront(folder: &TempDir) -> Order {
    let keys = "[default]\naws_access_key_id = A\naws_secret_access_key = s\n";
    std::fs::write(folder.path().join("token"), keys).unwrap();
    let call = |number| NativeCall {
        body: Some("<CallerReference>{execution}</CallerReference>".to_owned()),
        ..NativeCall::new("POST", None, INVALIDATIONS, vec![number])
            .header("content-type", "application/xml")
    };
    order("cloudfront", vec![call(0), call(1)])
}

/// Two invalidations run; the adapter restarts, asks on for both and submits nothing again; each ends once.
#[tokio::test]
async fn jobs_are_asked_for_until_all_have_ended_whatever_restarts() {
    let folder = TempDir::new().unwrap();
    let order = cloudfront(&folder);
    let (provider, url) = Provider::start().await;
    provider.answers(201, &[], &invalidation("I1", "InProgress"));
    provider.answers(201, &[], &invalidation("I2", "InProgress"));
    let mut settings = configuration(&folder, &url, "");
    settings.api.poll_every = LONG;
    let mut stage = Stage::start_with(settings).await;
    let report = stage.carry_out(&order).await;
    assert_eq!(
        report.outcome,
        ReportedOutcome::Running {
            job: "I1 I2".to_owned()
        }
    );
    stage.stop().await;

    for (id, status) in [
        ("I1", "InProgress"),
        ("I1", "Completed"),
        ("I2", "InProgress"),
        ("I2", "Completed"),
    ] {
        provider.answers(200, &[], &invalidation(id, status));
    }
    let more = "budgets = { calls = { amount = 1000, per = \"1s\", burst = 100 } }";
    let mut stage = Stage::start(&folder, &url, more).await;
    let report = stage.report().await;
    assert_eq!(report.outcome, ReportedOutcome::Done(Evidence::Reported));
    assert_eq!(report.results.len(), 2);
    assert_eq!(report.results[0].findings.len(), 2);
    let asked = provider.asked();
    let lines: Vec<_> = asked.iter().map(|asked| asked.line.as_str()).collect();
    let at = "/2020-05-31/distribution/D1/invalidation";
    let [post, one, two] = [
        format!("POST {at}"),
        format!("GET {at}/I1"),
        format!("GET {at}/I2"),
    ];
    assert_eq!(lines, [&*post, &post, &one, &one, &two, &two]);
    let execution = &order.execution;
    let reference = format!("<CallerReference>{execution}-1</CallerReference>");
    assert_eq!(asked[1].body, reference);
}

/// One of two jobs fails: the other one's success is told, and the execution has failed.
#[tokio::test]
async fn a_job_that_failed_is_told_with_those_that_did_not() {
    let folder = TempDir::new().unwrap();
    let order = cloudfront(&folder);
    let (provider, url) = Provider::start().await;
    provider.answers(201, &[], &invalidation("I1", "InProgress"));
    provider.answers(201, &[], &invalidation("I2", "InProgress"));
    let words = "<Error><Code>NoSuchInvalidation</Code><Message>gone</Message></Error>";
    provider.answers(404, &[], words);
    provider.answers(200, &[], &invalidation("I2", "Completed"));
    let more = "budgets = { calls = { amount = 1000, per = \"1s\", burst = 100 } }";
    let mut stage = Stage::start(&folder, &url, more).await;
    stage.carry_out(&order).await;
    let report = stage.report().await;
    assert!(
        failed(&report).message.contains("NoSuchInvalidation"),
        "{report:?}"
    );
    let found: Vec<_> = report.results[0]
        .findings
        .iter()
        .map(|one| one.selector)
        .collect();
    assert_eq!(found, [1]);
}

/// While the credentials are wrong nobody knows how the job is; it is asked for again, and not given up.
#[tokio::test]
async fn a_question_that_is_refused_says_nothing_of_the_job() {
    let folder = TempDir::new().unwrap();
    let order = cloudfront(&folder);
    let one = Order {
        native: vec![NativeOrder {
            calls: order.native[0].calls[..1].to_vec(),
            ..order.native[0].clone()
        }],
        ..order
    };
    let (provider, url) = Provider::start().await;
    provider.answers(201, &[], &invalidation("I1", "InProgress"));
    let words = "<Error><Code>InvalidClientTokenId</Code><Message>no</Message></Error>";
    provider.answers(403, &[], words);
    provider.answers(500, &[], "<html>");
    provider.answers(200, &[], &invalidation("I1", "Completed"));
    let more = "budgets = { calls = { amount = 1000, per = \"1s\", burst = 100 } }";
    let mut stage = Stage::start(&folder, &url, more).await;
    stage.carry_out(&one).await;
    let report = stage.report().await;
    assert_eq!(report.outcome, ReportedOutcome::Done(Evidence::Reported));
}

const DOCUMENT: &str = include_str!("mapping.yaml");

fn mapped(version: u32) -> Work {
    let call = NativeCall::new("POST", None, "/sites/{account:site}/purge", vec![0]);
    let mut order = order("acme", vec![call]);
    order.native[0].mapping = Some(2);
    let mapping = MappingDocument {
        name: "acme".parse().unwrap(),
        version,
        document: DOCUMENT.to_owned(),
    };
    Work {
        sent_before: false,
        order,
        mapping: Some(Arc::new(mapping)),
        told: None,
        receipt: Receipt::of_test(false),
        absorbed: Vec::new(),
        asked_by: None,
    }
}

/// A participant's own API, described by a document: its job is asked for as the document says, after a restart too.
#[tokio::test]
async fn a_document_judges_answers_and_asks_for_jobs() {
    let folder = TempDir::new().unwrap();
    let (provider, url) = Provider::start().await;
    provider.answers(202, &[], r#"{"job":"7"}"#);
    let mut settings = configuration(&folder, &url, "");
    settings.api.poll_every = LONG;
    let mut stage = Stage::start_with(settings).await;
    let report = stage.do_work(mapped(2)).await;
    assert_eq!(
        report.outcome,
        ReportedOutcome::Running {
            job: "7".to_owned()
        }
    );
    stage.stop().await;
    provider.answers(200, &[], r#"{"state":"done"}"#);
    let mut stage = Stage::start(&folder, &url, "").await;
    let report = stage.report().await;
    assert_eq!(report.outcome, ReportedOutcome::Done(Evidence::Reported));
    let asked = provider.asked();
    assert_eq!(asked[0].line, "POST /sites/s%2F1/purge");
    assert_eq!(asked[0].headers["authorization"], "Bearer the-token");
    assert_eq!(asked[1].line, "GET /jobs/7");
}

/// An execution keeps the version that it was planned with; without that one it is not carried out by another.
#[tokio::test]
async fn another_version_of_a_document_judges_nothing() {
    let folder = TempDir::new().unwrap();
    let (provider, url) = Provider::start().await;
    let mut stage = Stage::start(&folder, &url, "").await;
    let report = stage.do_work(mapped(3)).await;
    assert_eq!(failed(&report).code, FaultCode::UnreadableOrder);
    assert_eq!(provider.asked().len(), 0);
}
