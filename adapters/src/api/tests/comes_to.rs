//! What one call of an order comes to at its account.

use super::{
    together::{OK, lengths, list, within},
    *,
};

/// A call that was planned with more than most accounts take goes out as it was planned; planned by a broker that knows no such
/// limits, it is cut to what most take. The operator's sizes may cut it still.
#[tokio::test]
async fn a_call_is_as_long_as_it_was_planned() {
    let names: Vec<_> = (0..250)
        .map(|number| format!("https://www.example.com/{number}"))
        .collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let whole = list("files", &names);
    for (order, more, expected) in [
        (within(whole.clone(), "urls", 500), "", vec![250]),
        (whole.clone(), "", vec![100, 100, 50]),
        (
            within(whole, "urls", 500),
            "items_per_call = 200\n",
            vec![200, 50],
        ),
    ] {
        let folder = TempDir::new().unwrap();
        let (provider, url) = Provider::start().await;
        for _ in &expected {
            provider.answers(200, &[], OK);
        }
        let mut stage = Stage::start(&folder, &url, more).await;
        let report = stage.carry_out(&order).await;
        assert_eq!(
            report.outcome,
            ReportedOutcome::Done(Evidence::Acknowledged)
        );
        assert_eq!(lengths(&provider, "files"), expected);
    }
}

/// A call that begins a job is never cut, or the second half would be said by nobody: the first one's job is all that is asked
/// after.
#[tokio::test]
async fn a_call_that_begins_a_job_stays_one() {
    let folder = TempDir::new().unwrap();
    let (provider, url) = Provider::start().await;
    provider.answers(200, &[], r#"{"Id":"J1"}"#);
    provider.says_of_a_job(200, r#"{"Status_Details":{"Status":"done"}}"#);
    let more =
        "items_per_call = 1\nbytes_per_call = 1\n[api.account]\nvalues = { customer = \"1\" }\n";
    let mut stage = Stage::start(&folder, &url, more).await;
    let path = "/v2/mcc/customers/1/edge/bulkpurge";
    let paths = r#"["http:\/\/a.example\/a","http:\/\/a.example\/b"]"#;
    let call = NativeCall {
        body: Some(format!(r#"{{"MediaPath":{paths},"MediaType":3}}"#)),
        ..NativeCall::new("PUT", None, path, vec![0]).header("content-type", "application/json")
    };
    stage.carry_out(&order("edgecast", vec![call])).await;
    let asked = provider.asked();
    let said: serde_json::Value = serde_json::from_str(&asked[0].body).unwrap();
    assert_eq!(said["MediaPath"].as_array().unwrap().len(), 2);
    assert!(asked.iter().skip(1).all(|asked| asked.body.is_empty()));
}

/// A broadcaster is told which group, under the host name of the content, once for all nodes.
#[tokio::test]
async fn a_broadcaster_hears_the_group_and_the_host_name() {
    let folder = TempDir::new().unwrap();
    let (provider, url) = Provider::start().await;
    provider.answers(
        200,
        &[],
        r#"{"done":true,"rate":100,"nodes":{"Cache1":200,"Cache2":200}}"#,
    );
    let more = "[api.account]\nvalues = { group = \"GroupA\" }\n";
    let mut stage = Stage::start(&folder, &url, more).await;
    let call = NativeCall::new("PURGE", Some("www.example.com"), "/a", vec![0])
        .header("x-broadcast-group", "{account:group}");
    let report = stage
        .carry_out(&order("varnish-broadcaster", vec![call]))
        .await;
    assert_eq!(
        report.outcome,
        ReportedOutcome::Done(Evidence::Acknowledged)
    );
    let asked = provider.asked();
    assert_eq!(asked[0].line, "PURGE /a");
    assert_eq!(asked[0].headers["x-broadcast-group"], "GroupA");
    assert_eq!(asked[0].headers["host"], "www.example.com");
}

/// A zone that keeps variants of a URL apart is told of each, and in calls no longer than the account's plan allows; all of them
/// are one call of the order.
#[tokio::test]
async fn a_call_comes_to_what_the_account_needs() {
    let folder = TempDir::new().unwrap();
    let (provider, url) = Provider::start().await;
    let more = "items_per_call = 2\n[api.account]\nvalues = { variants = '[{\"CF-Device-Type\": \"mobile\"}]' }\n";
    let mut stage = Stage::start(&folder, &url, more).await;
    for _ in 0..2 {
        provider.answers(200, &[], r#"{"success":true,"errors":[]}"#);
    }
    let call = |files: &str| NativeCall {
        body: Some(format!(r#"{{"files":{files}}}"#)),
        ..NativeCall::new(
            "POST",
            None,
            "/client/v4/zones/{account:zone}/purge_cache",
            vec![0],
        )
    };
    let files = r#"["https://www.example.com/?\u007baccount:zone}","https://www.example.com/b"]"#;
    let report = stage
        .carry_out(&order("cloudflare", vec![call(files)]))
        .await;
    assert_eq!(
        report.outcome,
        ReportedOutcome::Done(Evidence::Acknowledged)
    );
    let asked = provider.asked();
    let bodies: Vec<_> = asked.iter().map(|asked| asked.body.as_str()).collect();
    let mobile = |url| format!(r#"{{"headers":{{"CF-Device-Type":"mobile"}},"url":"{url}"}}"#);
    let both = |url| format!(r#"{{"files":["{url}",{}]}}"#, mobile(url));
    assert_eq!(
        bodies,
        [
            both("https://www.example.com/?{account:zone}"),
            both("https://www.example.com/b")
        ]
    );
    assert!(asked.iter().all(|asked| asked.line.contains("/zones/Z1/")));
}

/// Of a call that comes to several at the account the least sure says how sure the whole is, and what any of them found is found:
/// also where the first ones say less than the last.
#[tokio::test]
async fn all_that_a_call_comes_to_counts() {
    let folder = TempDir::new().unwrap();
    let (provider, url) = Provider::start().await;
    let more = "items_per_call = 1";
    let mut stage = Stage::start(&folder, &url, more).await;
    for seconds in [420, 5] {
        let body = format!(r#"{{"httpStatus":201,"estimatedSeconds":{seconds}}}"#);
        provider.answers(201, &[], &body);
    }
    let edgegrid = "client_token = ct\nclient_secret = cs\naccess_token = at\n";
    std::fs::write(folder.path().join("token"), edgegrid).unwrap();
    let call = NativeCall {
        body: Some(r#"{"objects":["https://a.example/1","https://a.example/2"]}"#.to_owned()),
        ..NativeCall::new("POST", None, "/ccu/v3/delete/url/production", vec![0])
            .header("content-type", "application/json")
    };
    let before = Timestamp::from(std::time::SystemTime::now());
    let report = stage.carry_out(&order("akamai", vec![call])).await;
    assert_eq!(report.outcome, ReportedOutcome::Done(Evidence::Estimated));
    let estimated = report.results[0].estimated_at.unwrap();
    assert!(estimated.since(before) >= Duration::from_mins(7));
    assert_eq!(provider.asked().len(), 2);
}

/// What the operator has not said of the zone is not taken for granted, nor from what holds for all: a tag would reach whatever
/// else the zone carries, so nothing is sent. What names its host name goes out all the same.
#[tokio::test]
async fn a_tag_of_a_zone_that_may_carry_more_is_not_sent() {
    let folder = TempDir::new().unwrap();
    let (provider, url) = Provider::start().await;
    let more = "[api.account]\nvalues = { alone = \"Z2\" }\n[api.accounts.blog]\nvalues = { zone = \"Z2\" }\n";
    let mut stage = Stage::start(&folder, &url, more).await;
    let of_blog = |order: Order| Order {
        configuration: "blog".parse().unwrap(),
        ..order
    };
    let report = stage.carry_out(&of_blog(list("tags", &["news"]))).await;
    let fault = failed(&report);
    assert_eq!(fault.code, FaultCode::NotConfigured);
    assert!(fault.message.contains("`alone`"), "{fault:?}");
    assert_eq!(provider.asked().len(), 0);
    for order in [
        of_blog(list("hosts", &["a.example"])),
        list("tags", &["news"]),
    ] {
        provider.answers(200, &[], OK);
        let report = stage.carry_out(&order).await;
        let done = ReportedOutcome::Done(Evidence::Acknowledged);
        assert_eq!(report.outcome, done);
    }
    assert_eq!(provider.asked().len(), 2);
}
