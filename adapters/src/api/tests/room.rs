//! Calls that wait for room where much is under way, and what must go on meanwhile.

use std::{fmt::Write, pin::pin};

use dialects::{Budget, Draw};
use domain::{
    Probes,
    verification::{Expect, Probe},
};

use super::{
    estimates::edge,
    jobs::{INVALIDATIONS, invalidation},
    together::work,
    *,
};
use crate::api::{
    budget::{Moment, Purse},
    desk::Turn,
    queue::{Key, Wish},
};

const BULK: &str = "/v2/mcc/customers/1/edge/bulkpurge";
const DONE: &str = r#"{"Status_Details":{"Status":"done"}}"#;

/// A purge of one path at Edgecast.
fn bulk(number: usize) -> Order {
    let body = format!(r#"{{"MediaPath":["http:\/\/a.example\/{number}"],"MediaType":3}}"#);
    let call = NativeCall {
        body: Some(body),
        ..NativeCall::new("PUT", None, BULK, vec![0]).header("content-type", "application/json")
    };
    order("edgecast", vec![call])
}

/// Calls for as many paths with `*` as CloudFront lets be in progress, each.
fn patterns(folder: &TempDir, calls: usize) -> Order {
    patterns_in(folder, &vec![15; calls])
}

/// Calls for so many paths with `*`.
fn patterns_in(folder: &TempDir, calls: &[u32]) -> Order {
    let keys = "aws_access_key_id = A\naws_secret_access_key = s\n";
    std::fs::write(folder.path().join("token"), keys).unwrap();
    let call = |(number, paths): (u32, &u32)| {
        let mut body = "<CallerReference>{execution}</CallerReference>".to_owned();
        for path in 0..*paths {
            write!(body, "<Path>/{number}/{path}/*</Path>").unwrap();
        }
        NativeCall {
            body: Some(body),
            ..NativeCall::new("POST", None, INVALIDATIONS, vec![number])
                .header("content-type", "application/xml")
        }
    };
    order("cloudfront", (0..).zip(calls).map(call).collect())
}

const QUICK: &str =
    "total_time = \"20s\"\nbudgets = { calls = { amount = 1000, per = \"1s\", burst = 1000 } }";

/// Until so many calls have reached the provider, and another one waits at its desk.
async fn another_waits(api: &Api, provider: &Provider, calls: usize) {
    let made = || {
        lines(provider)
            .iter()
            .filter(|line| !line.starts_with("GET"))
            .count()
    };
    let wait = async {
        while made() < calls {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(LONG, wait).await.unwrap();
    calls_wait(api, 1).await;
}

fn lines(provider: &Provider) -> Vec<String> {
    let asked = provider.asked().into_iter();
    asked.map(|asked| asked.line).collect()
}

/// A call may wait for room that the one before it, of the same order, holds by its job: that is asked after meanwhile, and what it
/// came to is told with the rest.
#[tokio::test]
async fn a_call_gets_the_room_that_its_own_orders_job_held() {
    let folder = TempDir::new().unwrap();
    let (provider, url) = Provider::start().await;
    for id in ["I1", "I2"] {
        provider.answers(201, &[], &invalidation(id, "InProgress"));
    }
    for (id, status) in [
        ("I1", "InProgress"),
        ("I1", "Completed"),
        ("I2", "Completed"),
    ] {
        provider.says_of_a_job(200, &invalidation(id, status));
    }
    let mut stage = Stage::start(&folder, &url, QUICK).await;
    let report = stage.carry_out(&patterns(&folder, 2)).await;
    let job = "I2".to_owned();
    assert_eq!(report.outcome, ReportedOutcome::Running { job });
    let report = stage.report().await;
    assert_eq!(report.outcome, ReportedOutcome::Done(Evidence::Reported));
    let findings = report.results[0].findings.iter();
    let found: Vec<_> = findings.map(|one| one.selector).collect();
    assert_eq!(found, [0, 1]);
    let at = "/2020-05-31/distribution/D1/invalidation";
    let [post, one, two] = [
        format!("POST {at}"),
        format!("GET {at}/I1"),
        format!("GET {at}/I2"),
    ];
    assert_eq!(lines(&provider), [&*post, &one, &one, &post, &two]);
}

/// A job that has ended gives its room back, though one of its order that began before it runs on.
#[tokio::test]
async fn a_job_that_ended_gives_its_room_back_whatever_runs_before_it() {
    let folder = TempDir::new().unwrap();
    let (provider, url) = Provider::start().await;
    for id in ["I1", "I2", "I3"] {
        provider.answers(201, &[], &invalidation(id, "InProgress"));
    }
    provider.says_always_of_a_job("/I1", &invalidation("I1", "InProgress"));
    provider.says_always_of_a_job("/I2", &invalidation("I2", "InProgress"));
    let mut stage = Stage::start(&folder, &url, QUICK).await;
    let job = |name: &str| ReportedOutcome::Running {
        job: name.to_owned(),
    };
    let report = stage.carry_out(&patterns_in(&folder, &[7, 7])).await;
    assert_eq!(report.outcome, job("I1 I2"));
    provider.says_always_of_a_job("/I2", &invalidation("I2", "Completed"));
    let report = stage.carry_out(&patterns_in(&folder, &[8])).await;
    assert_eq!(report.outcome, job("I3"));
}

/// While one account may not be asked, the jobs of others are, be there one question at a time.
#[tokio::test]
async fn an_account_that_waits_holds_up_no_other() {
    let folder = TempDir::new().unwrap();
    let (provider, url) = Provider::start().await;
    for id in ["J1", "J2"] {
        provider.answers(200, &[], &format!(r#"{{"Id":"{id}"}}"#));
    }
    let mut settings = configuration(
        &folder,
        &url,
        "polls_at_once = 1
",
    );
    let token = folder.path().join("of-blog");
    std::fs::write(&token, "another\n").unwrap();
    let account = crate::config::Account {
        credentials: Some(token),
        values: [("customer".to_owned(), "2".to_owned())].into(),
        ..crate::config::Account::default()
    };
    let blog: domain::ConfigurationId = "blog".parse().unwrap();
    (settings.api.accounts).insert(blog.clone(), account);
    let mut stage = Stage::start_with(settings).await;
    stage.carry_out(&bulk(0)).await;
    let wait = vec![("retry-after", "3600")];
    (provider.of_jobs.lock().unwrap()).push_back((429, wait, String::new()));
    let was_asked = async {
        while provider.asked().len() < 2 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        // And is to be asked again.
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    timeout(LONG, was_asked).await.unwrap();
    let other = Order {
        configuration: blog,
        ..bulk(1)
    };
    provider.says_of_a_job(200, DONE);
    stage.carry_out(&other).await;
    let report = stage.report().await;
    assert_eq!(report.execution, other.execution);
    assert_eq!(report.outcome, ReportedOutcome::Done(Evidence::Reported));
}

/// Whoever leaves gives up what he waited for at once, though nothing comes back for hours.
#[tokio::test]
async fn who_leaves_lets_others_go() {
    let folder = TempDir::new().unwrap();
    let settings = configuration(&folder, "http://127.0.0.1:1", "").api;
    let day = Budget {
        unit: "urls",
        amount: 10,
        per: Duration::from_hours(24),
        burst: 10,
        source: "a test",
    };
    let purse = Purse::open(budget::rates(&[day], &settings), None);
    let desk = Desk::open(purse, &settings, &[]);
    let urls = |amount| Draw {
        unit: "urls",
        amount,
    };
    desk.at_most(&[urls(5)]);
    let wish = |flow: &str, amount| Wish {
        flow: flow.to_owned(),
        draws: vec![urls(amount)],
        same: Key::of(flow),
        bulk: None,
        scope: String::new(),
        shares: false,
        asks: false,
        until: Moment::now().plus(Duration::from_hours(48)),
    };
    let until = Instant::now() + 2 * LONG;
    let mut few = pin!(desk.wait(wish("b", 2), until, &|| true));
    tokio::select! {
        turn = desk.wait(wish("a", 10), until, &|| true) => panic!("{turn:?}"),
        turn = timeout(Duration::from_millis(100), &mut few) => assert!(turn.is_err(), "{turn:?}"),
    }
    let turn = timeout(LONG, few).await.unwrap();
    assert!(matches!(turn, Some(Turn::Lead(_))), "{turn:?}");
}

/// An order that was left while it waited, and may not be repeated, is not begun again. Nobody asks after what it began, so that takes
/// no room from others.
#[tokio::test]
async fn an_order_that_was_left_holds_no_room() {
    let folder = TempDir::new().unwrap();
    let (provider, url) = Provider::start().await;
    for id in ["I1", "I2"] {
        provider.answers(201, &[], &invalidation(id, "InProgress"));
    }
    let mut settings = configuration(&folder, &url, QUICK);
    settings.api.poll_every = LONG;
    let mut stage = Stage::start_with(settings).await;
    let once = Order {
        repeatable: false,
        ..patterns(&folder, 2)
    };
    tokio::select! {
        done = stage.worker.carry_out(work(&once), &|| false) => panic!("{done:?}"),
        () = another_waits(&stage.api, &provider, 1) => {}
    }
    let report = stage.carry_out(&once).await;
    assert_eq!(report.outcome, ReportedOutcome::Unknown);
    let report = stage.carry_out(&patterns(&folder, 1)).await;
    let job = "I2".to_owned();
    assert_eq!(report.outcome, ReportedOutcome::Running { job });
    assert_eq!(provider.asked().len(), 2);
}

/// However many calls of an originator wait for its job to end, the job is asked after.
#[tokio::test]
async fn a_question_stands_behind_no_call() {
    let folder = TempDir::new().unwrap();
    let (provider, url) = Provider::start().await;
    provider.answers(200, &[], r#"{"Id":"J1"}"#);
    let mut stage = Stage::start(&folder, &url, "outstanding = { paths = 1 }\n").await;
    let first = bulk(0);
    stage.carry_out(&first).await;
    let (worker, api) = (&stage.worker, Arc::clone(&stage.api));
    let waiting = futures::future::join_all((1..=100).map(|number| {
        let work = work(&bulk(number));
        async move { worker.carry_out(work, &|| false).await.unwrap() }
    }));
    let next = async {
        calls_wait(&api, 100).await;
        provider.says_of_a_job(200, DONE);
        timeout(LONG, stage.reports.recv()).await
    };
    let report = tokio::select! {
        _ = waiting => panic!("they wait for the first"),
        report = next => report.unwrap().unwrap(),
    };
    let report: ExecutionReport = serde_json::from_str(report.report.get()).unwrap();
    assert_eq!(report.execution, first.execution);
    assert_eq!(report.outcome, ReportedOutcome::Done(Evidence::Reported));
}

/// Who looks afterwards, and has to tell again, may wait for room that another job holds; that job is asked after meanwhile, be there
/// one question at a time.
#[tokio::test]
async fn who_tells_again_holds_up_no_question() {
    let folder = TempDir::new().unwrap();
    let (provider, url) = Provider::start().await;
    for id in ["J1", "J2", "J3"] {
        provider.answers(200, &[], &format!(r#"{{"Id":"{id}"}}"#));
    }
    let more = "outstanding = { paths = 1 }\npolls_at_once = 1\n";
    let mut settings = configuration(&folder, &url, more);
    let (edge, _) = edge().await;
    settings.api.probe = vec![edge];
    settings.allowed_addresses = vec!["127.0.0.1".parse().unwrap()];
    settings.probes.settle = Duration::from_millis(1);
    settings.probes.repeats = 1;
    let mut stage = Stage::start_with(settings).await;
    let first = Order {
        probes: Some(Probes {
            expect: Expect::Gone,
            probes: vec![Probe {
                url: "http://a.example/0".parse().unwrap(),
                selectors: vec![0],
                exact: true,
            }],
            uncovered: Vec::new(),
        }),
        ..bulk(0)
    };
    stage.carry_out(&first).await;
    let (second, api) = (bulk(1), Arc::clone(&stage.api));
    let meanwhile = async {
        another_waits(&api, &provider, 1).await;
        provider.says_of_a_job(200, DONE);
        // The edge has it still, so the first one is told again, and the second one's job has all the room.
        another_waits(&api, &provider, 2).await;
        for _ in ["J2", "J3"] {
            provider.says_of_a_job(200, DONE);
        }
    };
    let both = async { tokio::join!(stage.worker.carry_out(work(&second), &|| false), meanwhile) };
    timeout(LONG, both).await.unwrap().0.unwrap();
    let mut ends = Vec::new();
    while ends.len() < 2 {
        let report = stage.report().await;
        if !matches!(report.outcome, ReportedOutcome::Running { .. }) {
            ends.push(report);
        }
    }
    assert_eq!(ends[0].execution, second.execution);
    assert_eq!(ends[0].outcome, ReportedOutcome::Done(Evidence::Reported));
    assert_eq!(ends[1].execution, first.execution);
    assert_eq!(failed(&ends[1]).code, FaultCode::NotVerified);
    assert_eq!(ends[1].results[0].proof.as_ref().unwrap().repeats, 1);
}

/// What the operator allows to be under way is kept also by one call alone: it is not sent, and the fault names the key.
#[tokio::test]
async fn a_call_that_never_fits_is_refused_by_its_key() {
    let folder = TempDir::new().unwrap();
    let (provider, url) = Provider::start().await;
    let mut stage = Stage::start(&folder, &url, "outstanding = { patterns = 1 }").await;
    let paths = NativeCall {
        body: Some("<Path>/a/*</Path><Path>/b/*</Path>".to_owned()),
        ..NativeCall::new("POST", None, INVALIDATIONS, vec![0])
    };
    let keys = "aws_access_key_id = A\naws_secret_access_key = s\n";
    std::fs::write(folder.path().join("token"), keys).unwrap();
    let report = stage.carry_out(&order("cloudfront", vec![paths])).await;
    let fault = failed(&report);
    assert_eq!(fault.code, FaultCode::NotConfigured);
    assert!(
        fault.message.contains("`api.outstanding.patterns`"),
        "{fault:?}"
    );
    assert_eq!(provider.asked().len(), 0);
}
