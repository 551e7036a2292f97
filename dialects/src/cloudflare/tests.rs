//! What Cloudflare is told, letter by letter, and what its answers mean.

use domain::{
    Evidence,
    fault::{Again, FaultCode},
};

use super::*;
use crate::{
    fixture::{reasons, selectors, url},
    vendor::fixture::{
        DELETE, INVALIDATE, answer, call, done, failed, prefix, spoken, tag, wildcard,
    },
};

/// Each kind has its own list and its own call; a zone is never purged as a whole.
#[test]
fn each_kind_has_its_list() {
    let mut some = selectors();
    some.retain(|selector| !matches!(selector, Selector::Regex(_)));
    some.extend([tag("sport"), prefix("img.example.com/icons")]);
    insta::assert_snapshot!(spoken(&Cloudflare, DELETE, some), @r#"
    POST /client/v4/zones/{account:zone}/purge_cache [0] content-type: application/json
    {"files":["https://www.example.com/a/b.html?x=1","http://www.example.com/a/b.html?x=1"]}
    POST /client/v4/zones/{account:zone}/purge_cache [3, 6] content-type: application/json
    {"tags":["news","sport"]}
    POST /client/v4/zones/{account:zone}/purge_cache [4, 5] content-type: application/json
    {"hosts":["www.example.com","img.example.com"]}
    POST /client/v4/zones/{account:zone}/purge_cache [1, 2, 7] content-type: application/json
    {"prefixes":["www.example.com/img/","img.example.com/icons"]}
    "#);
}

/// Both schemes of a URL are objects of their own, but a port has one scheme only.
#[test]
fn a_url_is_said_with_both_schemes() {
    let both = |text| with_both_schemes(&text);
    assert_eq!(
        both("http://www.example.com/a?b=c".parse().unwrap()),
        [
            "https://www.example.com/a?b=c",
            "http://www.example.com/a?b=c"
        ]
    );
    assert_eq!(
        both("http://www.example.com:8080/a".parse().unwrap()),
        ["http://www.example.com:8080/a"]
    );
}

/// 100 items are one call; a URL is two of them.
#[test]
fn a_call_has_at_most_100_items() {
    let urls = (0..51).map(|number| url(&format!("https://www.example.com/{number}")));
    let command = crate::fixture::command(DELETE, urls.collect());
    let calls = crate::fixture::translate(&Cloudflare, &command).unwrap();
    let sizes: Vec<_> = calls.iter().map(|call| call.selectors.len()).collect();
    assert_eq!(sizes, [50, 1]);
}

/// A pattern is said by the beginning that its matches share; marking stale it does not know.
#[test]
fn it_says_why_it_does_more() {
    insta::assert_snapshot!(reasons(&Cloudflare, &DELETE), @r"
    exact
    exact
    widened: Cloudflare cannot say it more narrowly than by all paths that begin with /img/
    impossible: Cloudflare knows no regular expressions
    exact
    exact
    exact
    ");
    let all_below = wildcard("www.example.com/img/*");
    assert_eq!(Cloudflare.fidelity(&DELETE, &all_below), Fidelity::Exact);
    assert_eq!(
        Cloudflare.fidelity(&INVALIDATE, &all_below).why(),
        Some("Cloudflare cannot mark stale here, it can only delete")
    );
}

/// The envelope says whether it was taken; a status of success alone does not.
#[test]
fn the_envelope_decides() {
    let one = call(&Cloudflare, DELETE, tag("a"));
    let judged = |status, body| Cloudflare.judge(&one, &answer(status, &[], body));
    let taken = r#"{"success":true,"errors":[],"messages":[],"result":{"id":"023e105f4ecef8ad9ca31a8372d0c353"}}"#;
    assert_eq!(
        judged(200, taken),
        done(Evidence::Acknowledged, Finding::Accepted)
    );
    let not_taken = r#"{"success":false,"errors":[{"code":1094,"message":"Bad purge request"}],"messages":[],"result":null}"#;
    assert_eq!(
        failed(judged(200, not_taken)),
        (
            FaultCode::Refused,
            Again::Never,
            "Cloudflare did not do it: 1094: Bad purge request".to_owned()
        )
    );
    let denied = r#"{"success":false,"errors":[{"code":10000,"message":"Authentication error"}],"messages":[],"result":null}"#;
    assert_eq!(
        failed(judged(403, denied)),
        (
            FaultCode::Refused,
            Again::Never,
            "Cloudflare answered 403: 10000: Authentication error".to_owned()
        )
    );
    let early = answer(
        429,
        &[("retry-after", "3")],
        "{\"success\":false,\"errors\":[]}",
    );
    assert_eq!(
        failed(Cloudflare.judge(&one, &early)).1,
        Again::AfterSeconds(3)
    );
}
