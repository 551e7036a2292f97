//! Executions that wait for the same account: what one call serves, and what each hears of it.

use super::*;
use crate::lanes::Lanes;

const PURGE: &str = "/client/v4/zones/{account:zone}/purge_cache";
/// Nothing goes out for as long as it takes to put in what is to wait together.
const AFTER_A_PAUSE: &str = "duplicate_window = \"0s\"\n\
    budgets = { calls = { amount = 1, per = \"1s\", burst = 1 }, urls = { amount = 1000, per = \"1s\", burst = 1000 } }";

pub(super) fn list(kind: &str, items: &[&str]) -> Order {
    let call = NativeCall {
        body: Some(serde_json::json!({ kind: items }).to_string()),
        ..NativeCall::new("POST", None, PURGE, vec![0]).header("content-type", "application/json")
    };
    order("cloudflare", vec![call])
}

fn tags(items: &[&str]) -> Order {
    list("tags", items)
}

pub(super) fn work(order: &Order) -> Work {
    Work {
        sent_before: false,
        order: order.clone(),
        mapping: None,
        told: None,
        receipt: Receipt::of_test(false),
        absorbed: Vec::new(),
        asked_by: None,
    }
}

impl Stage {
    /// Carries out orders of one configuration as they come out of their lane; the reports by execution, in the same order.
    async fn carry_out_all(&mut self, orders: &[Order]) -> Vec<ExecutionReport> {
        let lanes = Lanes::new();
        for order in orders {
            lanes.push([(order.configuration.clone(), work(order))]);
        }
        let (mut reports, mut under_way) = (Vec::new(), orders.len());
        while under_way > 0 {
            let (work, turn) = lanes.next().await.unwrap();
            let done = self.worker.carry_out_with_neighbours(work, &turn);
            timeout(LONG, done).await.unwrap().unwrap();
            drop(turn);
            while let Ok(report) = timeout(Duration::from_millis(200), self.reports.recv()).await {
                let report: ExecutionReport =
                    serde_json::from_str(report.unwrap().report.get()).unwrap();
                reports.push(report);
            }
            under_way = orders.len() - reports.len();
        }
        let of = |order: &Order| reports.iter().find(|one| one.execution == order.execution);
        orders
            .iter()
            .map(|order| of(order).unwrap().clone())
            .collect()
    }
}

fn bodies(provider: &Provider) -> Vec<serde_json::Value> {
    let asked = provider.asked().into_iter();
    asked
        .map(|asked| serde_json::from_str(&asked.body).unwrap())
        .collect()
}

pub(super) const OK: &str = r#"{"success":true,"errors":[],"messages":[],"result":{"id":"1"}}"#;

/// Many small purges of one configuration that wait become one call within the limit, and each has its own outcome.
#[tokio::test]
async fn purges_that_wait_are_said_in_as_few_calls_as_the_limits_allow() {
    let folder = TempDir::new().unwrap();
    let (provider, url) = Provider::start().await;
    for _ in 0..4 {
        provider.answers(200, &[], OK);
    }
    let mut stage = Stage::start(&folder, &url, AFTER_A_PAUSE).await;
    let names: Vec<_> = (0..150).map(|number| format!("t{number}")).collect();
    let orders: Vec<_> = names.iter().map(|name| tags(&[name])).collect();
    let reports = stage.carry_out_all(&orders).await;
    for report in &reports {
        assert_eq!(
            report.outcome,
            ReportedOutcome::Done(Evidence::Acknowledged)
        );
        assert_eq!(report.results.len(), 2);
    }
    let bodies = bodies(&provider);
    let said: Vec<_> = bodies
        .iter()
        .flat_map(|body| body["tags"].as_array().unwrap())
        .collect();
    assert_eq!(said.len(), 150);
    assert!(bodies.len() <= 3, "{} calls", bodies.len());
    assert!(
        bodies
            .iter()
            .all(|body| body["tags"].as_array().unwrap().len() <= 100)
    );
}

/// What waits is put together as far as the orders were planned with, and the operator's own sizes only lower that.
#[tokio::test]
async fn purges_that_wait_hold_to_the_limits_that_they_were_planned_with() {
    for (own, more, most) in [
        (20, "", 20),
        (20, "\nitems_per_call = 40", 20),
        (100, "\nitems_per_call = 40", 40),
    ] {
        let folder = TempDir::new().unwrap();
        let (provider, url) = Provider::start().await;
        for _ in 0..60 {
            provider.answers(200, &[], OK);
        }
        let more = AFTER_A_PAUSE.replace("amount = 1,", "amount = 10,") + more;
        let mut stage = Stage::start(&folder, &url, &more).await;
        let names: Vec<_> = (0..60).map(|number| format!("t{number}")).collect();
        let orders = names.iter().map(|name| within(tags(&[name]), "tags", own));
        let reports = stage.carry_out_all(&orders.collect::<Vec<_>>()).await;
        let is_done = |report: &ExecutionReport| {
            report.outcome == ReportedOutcome::Done(Evidence::Acknowledged)
        };
        assert!(reports.iter().all(is_done), "{reports:?}");
        let said = lengths(&provider, "tags");
        assert_eq!(said.iter().sum::<usize>(), 60, "{said:?}");
        assert!(said.iter().all(|items| *items <= most), "{said:?}");
        assert!(said.iter().any(|items| *items > 1), "{said:?}");
    }
}

/// Orders that were planned with other limits say other things in the same place of the same call: neither is served by the other's.
#[tokio::test]
async fn the_same_cut_otherwise_is_not_the_same() {
    let folder = TempDir::new().unwrap();
    let (provider, url) = Provider::start().await;
    for _ in 0..4 {
        provider.answers(200, &[], OK);
    }
    let more = AFTER_A_PAUSE.replace("amount = 1,", "amount = 10,");
    let mut stage = Stage::start(&folder, &url, &more).await;
    let names: Vec<_> = (0..60).map(|number| format!("t{number}")).collect();
    let all: Vec<_> = names.iter().map(String::as_str).collect();
    let orders = [20, 60].map(|own| within(tags(&all), "tags", own));
    for report in stage.carry_out_all(&orders).await {
        let outcome = ReportedOutcome::Done(Evidence::Acknowledged);
        assert_eq!(report.outcome, outcome, "{report:?}");
    }
    let mut said = lengths(&provider, "tags");
    said.sort_unstable();
    assert_eq!(said, [20, 20, 20, 60]);
}

pub(super) fn within(order: Order, unit: &str, amount: u32) -> Order {
    let mut order = order;
    order.native[0].limits = [(unit.to_owned(), amount)].into_iter().collect();
    order
}

/// How many items each call had.
pub(super) fn lengths(provider: &Provider, kind: &str) -> Vec<usize> {
    let bodies = bodies(provider).into_iter();
    bodies
        .map(|body| body[kind].as_array().unwrap().len())
        .collect()
}

/// A whole that is refused is nobody's fault but of whom the provider names: the others are told again and done.
#[tokio::test]
async fn who_is_refused_is_refused_alone() {
    let folder = TempDir::new().unwrap();
    let (provider, url) = Provider::start().await;
    let bad = r#"{"success":false,"errors":[{"code":1016,"message":"Invalid tag: evil"}]}"#;
    provider.answers(400, &[], bad);
    for _ in 0..2 {
        provider.answers(200, &[], OK);
    }
    let mut stage = Stage::start(&folder, &url, AFTER_A_PAUSE).await;
    let orders = [tags(&["good"]), tags(&["evil"]), tags(&["fine"])];
    let reports = stage.carry_out_all(&orders).await;
    assert_eq!(bodies(&provider)[0]["tags"].as_array().unwrap().len(), 3);
    assert_eq!(
        reports[0].outcome,
        ReportedOutcome::Done(Evidence::Acknowledged)
    );
    assert_eq!(
        reports[2].outcome,
        ReportedOutcome::Done(Evidence::Acknowledged)
    );
    assert!(
        failed(&reports[1]).message.contains("Invalid tag: evil"),
        "{reports:?}"
    );
    assert_eq!(provider.asked().len(), 3);
}

/// What a refusal of more says of a part of it, the part hears alone, though the call that was refused said no more than its lead's own.
#[tokio::test]
async fn who_asked_for_a_part_of_what_was_refused_is_asked_alone() {
    let folder = TempDir::new().unwrap();
    let (provider, url) = Provider::start().await;
    let bad = r#"{"success":false,"errors":[{"code":1016,"message":"Invalid tag: evil"}]}"#;
    provider.answers(400, &[], bad);
    provider.answers(200, &[], OK);
    let mut stage = Stage::start(&folder, &url, AFTER_A_PAUSE).await;
    let orders = [tags(&["good", "evil"]), tags(&["good"])];
    let reports = stage.carry_out_all(&orders).await;
    assert!(failed(&reports[0]).message.contains("Invalid tag: evil"));
    let outcome = ReportedOutcome::Done(Evidence::Acknowledged);
    assert_eq!(reports[1].outcome, outcome, "{reports:?}");
    assert_eq!(lengths(&provider, "tags"), [2, 1]);
}

/// A purge and a load of one configuration keep their order, and nothing behind a custom operation overtakes it.
#[tokio::test]
async fn what_does_not_commute_keeps_its_order() {
    let folder = TempDir::new().unwrap();
    let (provider, url) = Provider::start().await;
    for _ in 0..3 {
        provider.answers(200, &[], OK);
    }
    let mut stage = Stage::start(&folder, &url, AFTER_A_PAUSE).await;
    let between = Order {
        operation: "warm-up".to_owned(),
        ..list("hosts", &["a.example"])
    };
    let orders = [tags(&["one"]), tags(&["two"]), between, tags(&["three"])];
    stage.carry_out_all(&orders).await;
    let kinds = bodies(&provider);
    let kinds: Vec<_> = kinds.iter().map(ToString::to_string).collect();
    assert_eq!(
        kinds,
        [
            r#"{"tags":["one","two"]}"#,
            r#"{"hosts":["a.example"]}"#,
            r#"{"tags":["three"]}"#
        ]
    );
}

/// The same purge asked for again and again while it waits is one call; one that comes later is a call of its own.
#[tokio::test]
async fn duplicates_that_wait_together_are_one_call() {
    let folder = TempDir::new().unwrap();
    let (provider, url) = Provider::start().await;
    let more = "budgets = { urls = { amount = 2, per = \"1s\", burst = 1 } }\nduplicate_window = \"100ms\"";
    let mut stage = Stage::start(&folder, &url, more).await;
    let orders: Vec<_> = (0..20)
        .map(|_| order("fastly", vec![url_purge(0)]))
        .collect();
    let reports = stage.carry_out_all(&orders).await;
    let done = ReportedOutcome::Done(Evidence::Acknowledged);
    assert!(
        reports.iter().all(|report| report.outcome == done),
        "{reports:?}"
    );
    assert_eq!(provider.asked().len(), 1);
    stage.carry_out(&order("fastly", vec![url_purge(0)])).await;
    assert_eq!(provider.asked().len(), 2);
}

/// A process that ends in the middle of a call for several has told none of them done: each comes again and is told again.
#[tokio::test]
async fn a_call_for_several_survives_a_crash_in_the_middle() {
    let folder = TempDir::new().unwrap();
    let (provider, url) = Provider::start().await;
    for _ in 0..3 {
        provider.answers(503, &[("retry-after", "300")], "");
    }
    let mut stage = Stage::start(&folder, &url, AFTER_A_PAUSE).await;
    let orders = [tags(&["one"]), tags(&["two"])];
    let cut_off = timeout(Duration::from_secs(3), stage.carry_out_all(&orders)).await;
    assert!(cut_off.is_err());
    stage.stop().await;
    std::fs::remove_dir_all(folder.path().join("journal").join("budgets")).unwrap();
    provider.answers.lock().unwrap().clear();
    provider.answers(200, &[], OK);
    let mut stage = Stage::start(&folder, &url, AFTER_A_PAUSE).await;
    let reports = stage.carry_out_all(&orders).await;
    let done = ReportedOutcome::Done(Evidence::Acknowledged);
    assert!(
        reports.iter().all(|report| report.outcome == done),
        "{reports:?}"
    );
}

/// What a provider allows to be under way is waited for, and what was begun before a restart counts.
#[tokio::test]
async fn what_is_under_way_is_waited_for_over_a_restart() {
    let folder = TempDir::new().unwrap();
    let (provider, url) = Provider::start().await;
    let path = "/v2/mcc/customers/1/edge/bulkpurge";
    let bulk = |name: &str| {
        let call = NativeCall {
            body: Some(format!(
                r#"{{"MediaPath":["http:\/\/a.example\/{name}"],"MediaType":3}}"#
            )),
            ..NativeCall::new("PUT", None, path, vec![0]).header("content-type", "application/json")
        };
        order("edgecast", vec![call])
    };
    let more = "outstanding = { paths = 1 }\n";
    let mut settings = configuration(&folder, &url, more);
    settings.api.poll_every = LONG;
    provider.answers(200, &[], r#"{"Id":"J1"}"#);
    let mut stage = Stage::start_with(settings).await;
    let report = stage.carry_out(&bulk("a")).await;
    assert!(
        matches!(report.outcome, ReportedOutcome::Running { .. }),
        "{report:?}"
    );
    stage.stop().await;

    provider.answers(200, &[], r#"{"Id":"J2"}"#);
    for _ in 0..2 {
        provider.says_of_a_job(200, r#"{"Status_Details":{"Status":"done"}}"#);
    }
    let mut settings = configuration(&folder, &url, more);
    settings.api.poll_every = Duration::from_millis(300);
    let mut stage = Stage::start_with(settings).await;
    stage
        .worker
        .carry_out(work(&bulk("b")), &|| false)
        .await
        .unwrap();
    let outcomes = [
        stage.report().await,
        stage.report().await,
        stage.report().await,
    ];
    assert!(
        outcomes
            .iter()
            .all(|one| !matches!(one.outcome, ReportedOutcome::Failed(_))),
        "{outcomes:?}"
    );
    let lines: Vec<_> = provider
        .asked()
        .into_iter()
        .map(|asked| asked.line)
        .collect();
    let [put, one, two] = [
        format!("PUT {path}"),
        format!("GET {path}/J1"),
        format!("GET {path}/J2"),
    ];
    assert_eq!(lines, [put.clone(), one, put, two]);
}
