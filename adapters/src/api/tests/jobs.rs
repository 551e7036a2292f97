//! Jobs that a provider works on, over restarts, and dialects from documents.

use super::*;

pub(super) const INVALIDATIONS: &str =
    "/2020-05-31/distribution/{account:distribution}/invalidation";

pub(super) fn invalidation(id: &str, status: &str) -> String {
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
        provider.says_of_a_job(200, &invalidation(id, status));
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
    provider.says_of_a_job(404, words);
    provider.says_of_a_job(200, &invalidation("I2", "Completed"));
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
    provider.says_of_a_job(403, words);
    provider.says_of_a_job(500, "<html>");
    provider.says_of_a_job(200, &invalidation("I1", "Completed"));
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
    provider.says_of_a_job(200, r#"{"state":"done"}"#);
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

/// A provider that names a job and says when to ask after it is asked then, and meanwhile the account goes on calling.
#[tokio::test]
async fn a_job_is_asked_after_when_its_provider_says() {
    let folder = TempDir::new().unwrap();
    let (provider, url) = Provider::start().await;
    for (id, seconds) in [("I1", "1"), ("I2", "3600")] {
        let after = ("retry-after", seconds);
        provider.answers(201, &[after], &invalidation(id, "InProgress"));
    }
    provider.says_of_a_job(200, &invalidation("I1", "Completed"));
    let more =
        "total_time = \"60s\"\nbudgets = { calls = { amount = 1000, per = \"1s\", burst = 1000 } }";
    let mut stage = Stage::start(&folder, &url, more).await;
    let began = Instant::now();
    let report = stage.carry_out(&cloudfront(&folder)).await;
    assert!(
        matches!(report.outcome, ReportedOutcome::Running { .. }),
        "both were called for, although the first was to be asked after later: {report:?}"
    );
    let asked = async {
        while provider.asked().len() < 3 {
            tokio::task::yield_now().await;
        }
    };
    timeout(LONG, asked).await.unwrap();
    assert!(began.elapsed() >= Duration::from_secs(1));
    let lines = provider.asked().into_iter().map(|asked| asked.line);
    let mut lines: Vec<_> = lines.collect();
    lines.sort_unstable();
    let at = "/2020-05-31/distribution/D1/invalidation";
    let (get, post) = (format!("GET {at}/I1"), format!("POST {at}"));
    assert_eq!(lines, [get, post.clone(), post]);
    stage.stop().await;
}

/// Too much in progress is a distribution's own limit: its calls wait for a minute, and the questions after its jobs do not, through
/// which room comes again.
#[tokio::test]
async fn too_much_in_progress_holds_no_question() {
    let folder = TempDir::new().unwrap();
    let (provider, url) = Provider::start().await;
    provider.answers(201, &[], &invalidation("I1", "InProgress"));
    let full =
        "<ErrorResponse><Error><Code>TooManyInvalidationsInProgress</Code></Error></ErrorResponse>";
    provider.answers(400, &[], full);
    provider.says_of_a_job(200, &invalidation("I1", "Completed"));
    let more =
        "total_time = \"30s\"\nbudgets = { calls = { amount = 1000, per = \"1s\", burst = 1000 } }";
    let mut stage = Stage::start(&folder, &url, more).await;
    let began = Instant::now();
    let mut report = stage.carry_out(&cloudfront(&folder)).await;
    // Unless it has ended before the second call.
    if matches!(report.outcome, ReportedOutcome::Running { .. }) {
        report = stage.report().await;
    }
    assert!(
        began.elapsed() < Duration::from_secs(20),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(failed(&report).code, FaultCode::Throttled);
    assert_eq!(provider.asked().len(), 3);
}

/// As many files as one call of Alibaba's takes: the answer to the question after them is long, and read to its end.
#[tokio::test]
async fn a_long_answer_to_a_question_is_read_to_its_end() {
    let folder = TempDir::new().unwrap();
    let (provider, url) = Provider::start().await;
    let keys = "access_key_id = AK\naccess_key_secret = SK\n";
    let mut stage = Stage::start(&folder, &url, "").await;
    std::fs::write(folder.path().join("token"), keys).unwrap();
    let call = NativeCall {
        body: Some("ObjectPath=www.example.com%2Fa&ObjectType=File".to_owned()),
        ..NativeCall::new(
            "POST",
            None,
            "/?Action=RefreshObjectCaches&Version=2018-05-10&Format=JSON",
            vec![0],
        )
    };
    provider.answers(200, &[], r#"{"RefreshTaskId":"1"}"#);
    let task = format!(
        r#"{{"ObjectPath":"www.example.com/{}","Status":"Complete","ObjectType":"file"}}"#,
        "a".repeat(1_000)
    );
    let tasks = vec![task; 1_000].join(",");
    provider.says_of_a_job(200, &format!(r#"{{"Tasks":[{tasks}]}}"#));
    let report = stage
        .carry_out(&order("alibaba-cloud-cdn", vec![call]))
        .await;
    assert!(
        matches!(report.outcome, ReportedOutcome::Running { .. }),
        "{report:?}"
    );
    let report = stage.report().await;
    assert_eq!(report.outcome, ReportedOutcome::Done(Evidence::Reported));
}
