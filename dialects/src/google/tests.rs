//! What Google Cloud CDN is told, letter by letter, and what its answers mean.

use domain::Finding;

use super::*;
use crate::{
    fixture::{reasons, selectors, url},
    http::done,
    vendor::fixture::{DELETE, answer, call, failed, prefix, running, spoken, tag},
};

const PENDING: &str = r#"{"kind":"compute#operation","id":"1234","name":"operation-1234","operationType":"invalidateCache",
    "status":"PENDING","user":"mock_data@example.com","progress":0,"insertTime":"2017-08-08T10:37:55.413-07:00"}"#;

/// One path a call, each bound to a host name; ten tags a call, on every host name.
#[test]
fn every_call_names_a_host() {
    let mut some = selectors();
    some.retain(|selector| !matches!(selector, Selector::Regex(_)));
    some.push(url("http://www.example.com/a/b.html?x=2"));
    insta::assert_snapshot!(spoken(&Google, DELETE, some).replace(INVALIDATE, "…"), @r#"
    POST … [0, 6] content-type: application/json
    {"host":"www.example.com","path":"/a/b.html"}
    POST … [1, 2] content-type: application/json
    {"host":"www.example.com","path":"/img/*"}
    POST … [4, 5] content-type: application/json
    {"host":"www.example.com","path":"/*"}
    POST … [5] content-type: application/json
    {"host":"img.example.com","path":"/*"}
    POST … [3] content-type: application/json
    {"cacheTags":["news"],"host":"www.example.com"}
    POST … [3] content-type: application/json
    {"cacheTags":["news"],"host":"img.example.com"}
    "#);
    assert_eq!(
        call(&Google, DELETE, tag("a")).path,
        "/compute/v1/projects/{account:project}/global/urlMaps/{account:urlmap}/invalidateCache?requestId={execution:uuid}"
    );
}

/// Eleven tags are two calls for each host name.
#[test]
fn ten_tags_are_one_call() {
    let tags = (0..11).map(|number| tag(&number.to_string())).collect();
    let command = crate::fixture::command(DELETE, tags);
    let calls = crate::fixture::translate(&Google, &command).unwrap();
    let sizes: Vec<_> = calls.iter().map(|call| call.selectors.len()).collect();
    assert_eq!(sizes, [10, 10, 1, 1]);
}

/// A path is taken with all its queries, and a beginning ends at a `/`; both are said before.
#[test]
fn it_says_why_it_does_more() {
    insta::assert_snapshot!(reasons(&Google, &DELETE), @r"
    widened: Google Cloud CDN removes a path with all its query strings
    exact
    widened: Google Cloud CDN cannot say it more narrowly than by all paths that begin with /img/
    impossible: Google Cloud CDN knows no regular expressions
    exact
    exact
    exact
    ");
    let open = prefix("www.example.com/img/l");
    assert_eq!(Google.fidelity(&DELETE, &open).as_str(), "widened");
    let star = url("https://www.example.com/a*b");
    assert_eq!(Google.fidelity(&DELETE, &star).as_str(), "impossible");
}

/// A path has 1,024 characters, its `*` among them and its query not.
#[test]
fn a_path_has_its_length() {
    let of = |selector| Google.fidelity(&DELETE, &selector);
    let path = |length: usize| format!("www.example.com/{}", "x".repeat(length - 1));
    let page = |length| url(&format!("https://{}?{}", path(length), "y".repeat(2_000)));
    let below = |length: usize| prefix(&format!("{}/", path(length - 1)));
    for (fits, does_not) in [(page(1_024), page(1_025)), (below(1_023), below(1_024))] {
        assert_ne!(of(fits).as_str(), "impossible");
        let why = of(does_not);
        assert_eq!(
            why.why(),
            Some("Google Cloud CDN takes paths of at most 1024 characters")
        );
    }
}

/// An operation is asked after until it is done, and may have failed then.
#[test]
fn an_operation_runs_until_it_is_done() {
    let one = call(&Google, DELETE, tag("a"));
    assert_eq!(
        Google.judge(&one, &answer(200, &[], PENDING)),
        running("operation-1234")
    );
    assert_eq!(
        Google.poll("operation-1234").unwrap().path,
        "/compute/v1/projects/{account:project}/global/operations/operation-1234"
    );
    let dots = PENDING.replace("operation-1234", "..");
    let fault = failed(Google.judge(&one, &answer(200, &[], &dots)));
    assert_eq!(fault.0, FaultCode::UnreadableAnswer);
    let judged = |body: &str| Google.judge_poll("operation-1234", &answer(200, &[], body));
    assert_eq!(
        judged(&PENDING.replace("PENDING", "RUNNING")),
        running("operation-1234")
    );
    let ended = PENDING.replace("PENDING", "DONE");
    assert_eq!(judged(&ended), done(Finding::Removed(None)));
    let wrong = ended.replace(
        "\"progress\":0",
        r#""error":{"errors":[{"code":"RESOURCE_NOT_FOUND","message":"no such map"}]}"#,
    );
    assert_eq!(
        failed(judged(&wrong)),
        (
            FaultCode::Refused,
            Again::Never,
            "Google Cloud CDN did not do it: RESOURCE_NOT_FOUND: no such map".to_owned()
        )
    );
}

/// 403 is a refusal, but not where a quota is the reason.
#[test]
fn a_quota_is_no_refusal() {
    let one = call(&Google, DELETE, tag("a"));
    let body = |reason: &str| {
        format!(
            r#"{{"error":{{"code":403,"message":"Quota","errors":[{{"message":"Quota","domain":"usageLimits","reason":"{reason}"}}]}}}}"#
        )
    };
    let judged = |reason| failed(Google.judge(&one, &answer(403, &[], &body(reason))));
    assert_eq!(
        judged("rateLimitExceeded"),
        (
            FaultCode::Throttled,
            Again::AfterSeconds(60),
            "Google Cloud CDN answered 403: 403: Quota".to_owned()
        )
    );
    assert_eq!(judged("forbidden").0, FaultCode::Refused);
}
