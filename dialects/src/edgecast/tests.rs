//! What Edgecast is told, letter by letter, and what its answers mean. Answers are those of its API reference.

use domain::fault::FaultCode;
use serde_json::json;

use super::*;
use crate::{
    fixture::{command, reasons, translate, url},
    vendor::fixture::{DELETE, answer, call, failed, host, prefix, running, spoken, wildcard},
};

/// All paths of a purge in one call, with the slashes escaped; a beginning ends at a `/`.
#[test]
fn it_purges_in_bulk() {
    let some = vec![
        url("http://cdn.example.com/marketing/brochure.pdf"
            .replace("cdn", "img")
            .as_str()),
        prefix("www.example.com/marketing/"),
        wildcard("www.example.com/img/gala*.fl*"),
        host("img.example.com"),
    ];
    insta::assert_snapshot!(spoken(&Edgecast, DELETE, some), @r#"
    PUT /v2/mcc/customers/{account:customer}/edge/bulkpurge [0, 1, 2, 3] content-type: application/json accept: application/json
    {"MediaPath":["http:\/\/img.example.com\/marketing\/brochure.pdf","http:\/\/www.example.com\/marketing\/*","http:\/\/www.example.com\/img\/*","http:\/\/img.example.com\/*"],"MediaType":{account:platform}}
    "#);
    insta::assert_snapshot!(spoken(&Edgecast, DELETE, vec![Selector::Everything]), @r#"
    PUT /v2/mcc/customers/{account:customer}/edge/bulkpurge [0] content-type: application/json accept: application/json
    {"MediaPath":["http:\/\/www.example.com\/*","http:\/\/img.example.com\/*"],"MediaType":{account:platform}}
    "#);
}

/// A load has the scheme of its URL.
#[test]
fn it_loads_in_bulk() {
    let some = vec![
        url("https://www.example.com/a"),
        url("http://www.example.com/a"),
    ];
    insta::assert_snapshot!(spoken(&Edgecast, Operation::Load, some), @r#"
    PUT /v2/mcc/customers/{account:customer}/edge/bulkload [0, 1] content-type: application/json accept: application/json
    {"MediaPath":["https:\/\/www.example.com\/a","http:\/\/www.example.com\/a"],"MediaType":{account:platform}}
    "#);
}

/// Each path of a bulk counts against the 50 that may be under way.
#[test]
fn a_bulk_has_at_most_fifty_paths() {
    let urls = (0..51).map(|number| url(&format!("https://www.example.com/{number}")));
    let calls = translate(&Edgecast, &command(DELETE, urls.collect())).unwrap();
    let sizes: Vec<_> = calls.iter().map(|call| call.selectors.len()).collect();
    assert_eq!(sizes, [50, 1]);
}

/// What it cannot say, and where it reaches further.
#[test]
fn it_says_why_it_cannot() {
    insta::assert_snapshot!(reasons(&Edgecast, &DELETE), @r"
    widened: Edgecast purges for every host name that points at the same content
    widened: Edgecast purges for every host name that points at the same content
    widened: Edgecast purges for every host name that points at the same content
    impossible: Edgecast knows no regular expressions
    impossible: Edgecast knows no tags
    widened: Edgecast purges for every host name that points at the same content
    exact
    ");
    let star = url("https://www.example.com/a*b");
    assert_eq!(Edgecast.fidelity(&DELETE, &star).as_str(), "impossible");
    let customer = &Edgecast.account()[0];
    assert!(customer.name == "customer" && customer.exclusive);
}

/// An id, as a number or as text, is a job of its kind.
#[test]
fn a_success_is_a_job() {
    let page = || url("https://www.example.com/a");
    let purge = call(&Edgecast, DELETE, page());
    let load = call(&Edgecast, Operation::Load, page());
    let taken = |call, body| Edgecast.judge(call, &answer(200, &[], body));
    assert_eq!(taken(&purge, r#"{"Id":5003}"#), running("bulkpurge/5003"));
    assert_eq!(taken(&load, r#"{"Id":"5003"}"#), running("bulkload/5003"));
    assert_eq!(failed(taken(&purge, "{}")).0, FaultCode::UnreadableAnswer);
    assert_eq!(
        Edgecast.poll("bulkload/5003").unwrap().path,
        "/v2/mcc/customers/{account:customer}/edge/bulkload/5003"
    );
    assert!(Edgecast.poll("5003").is_none() && Edgecast.poll("edge/1").is_none());
}

/// A bulk is asked after until all of it is done.
#[test]
fn a_job_runs_until_it_is_done() {
    let judged = |job: &str, status: &str| {
        let body = format!(
            r#"{{"Status_Details":{{"Count":2,"Status":"{status}","Created_at":"01\/02\/2020 10:00:00 AM","Completed_at":null}}}}"#
        );
        Edgecast.judge_poll(job, &answer(200, &[], &body))
    };
    assert_eq!(judged("bulkpurge/1", "in-progress"), running("bulkpurge/1"));
    assert_eq!(
        judged("bulkpurge/1", "done"),
        http::done(Finding::Removed(None))
    );
    assert_eq!(judged("bulkload/1", "Done"), http::done(Finding::Stored));
    assert_eq!(
        failed(judged("bulkload/1", "lost")).0,
        FaultCode::UnreadableAnswer
    );
}

/// A path may be called as the limit is: what is refused for its path is refused, and nobody else waits for it.
#[test]
fn a_path_is_no_word_about_the_limit() {
    let paths = [
        "http://www.example.com/outstanding",
        "http://www.example.com/outstanding.html",
        "http://www.example.com/a%20concurrent%20b",
        "http://www.example.com/too%20many",
    ];
    for path in paths {
        let one = call(&Edgecast, DELETE, url(path));
        let decoded = path.replace("%20", " ");
        let below = |path: &'static str| path.strip_prefix("http://www.example.com");
        let short = decoded.replace("http://www.example.com", "");
        for named in [path, &decoded, below(path).unwrap(), &short] {
            let body =
                json!({ "Message": format!("Invalid MediaPath {named}, sorry") }).to_string();
            let (code, again, _) = failed(Edgecast.judge(&one, &answer(400, &[], &body)));
            assert_eq!((code, again), (FaultCode::Refused, Again::Never), "{body}");
        }
        let body = json!({ "Message": format!("{path}: too many purges, concurrent ones.") });
        let full = answer(400, &[], &body.to_string());
        assert_eq!(failed(Edgecast.judge(&one, &full)).0, FaultCode::Throttled);
        assert!(Edgecast.is_full(&full));
    }
    assert!(!Edgecast.is_full(&answer(429, &[], r#"{"Message":"Too many requests"}"#)));
}

/// A 400 that names the limit of what may be under way passes; any other is refused in Edgecast's words, and not asked again.
#[test]
fn the_limit_of_what_is_under_way_passes() {
    let one = call(&Edgecast, DELETE, url("https://www.example.com/a"));
    let body =
        r#"{"Message":"The maximum number of outstanding purge requests has been reached."}"#;
    assert_eq!(
        failed(Edgecast.judge(&one, &answer(400, &[], body))),
        (
            FaultCode::Throttled,
            Again::AfterSeconds(30),
            "Edgecast answered 400: The maximum number of outstanding purge requests has been reached.".to_owned()
        )
    );
    for (body, words) in [
        (
            r#"{"Message":"Invalid MediaPath"}"#,
            "Edgecast answered 400: Invalid MediaPath",
        ),
        ("", "Edgecast answered 400"),
    ] {
        let refused = (FaultCode::Refused, Again::Never, words.to_owned());
        assert_eq!(
            failed(Edgecast.judge(&one, &answer(400, &[], body))),
            refused
        );
    }
}
