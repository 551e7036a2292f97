//! What Cloudflare is told, letter by letter, and what its answers mean.

use domain::{
    Evidence,
    fault::{Again, FaultCode},
};

use super::*;
use crate::{
    fixture::{limits, reasons, selectors, url},
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
    {"prefixes":["www.example.com/img/","img.example.com/"]}
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

/// Where the zone keeps variants apart, a URL is each of them; what else is said needs no headers.
#[test]
fn a_file_is_said_with_the_headers_of_its_variants() {
    let variants = |name: &str| {
        let headers = r#"[{"CF-Device-Type":"mobile"},{"Origin":"https://a.example","Accept-Language":"de"}]"#;
        (name == "variants").then(|| headers.to_owned())
    };
    let page = call(&Cloudflare, DELETE, url("https://www.example.com:8443/a"));
    let calls = Cloudflare.at_account(&page, &variants).unwrap();
    let [one] = &calls[..] else {
        panic!("{calls:?}")
    };
    insta::assert_snapshot!(one.body.as_deref().unwrap(), @r#"{"files":["https://www.example.com:8443/a",{"headers":{"CF-Device-Type":"mobile"},"url":"https://www.example.com:8443/a"},{"headers":{"Accept-Language":"de","Origin":"https://a.example"},"url":"https://www.example.com:8443/a"}]}"#);
    assert_eq!(Cloudflare.draws(one), [Draw::of("urls", 3)]);
    assert_eq!((&one.path, &one.selectors), (&page.path, &page.selectors));
    let urls = (0..50).map(|number| url(&format!("https://www.example.com/{number}")));
    let command = crate::fixture::command(DELETE, urls.collect());
    let whole = crate::fixture::translate(&Cloudflare, &command)
        .unwrap()
        .remove(0);
    let calls = Cloudflare.at_account(&whole, &variants).unwrap();
    let lengths: Vec<_> = calls.iter().map(bulk::length).collect();
    // The adapter cuts it by what one call holds.
    assert_eq!(lengths, [300]);
    let most = |own| Cloudflare.bulk(&calls[0], &limits(own)).unwrap().most;
    assert_eq!([most(&[]), most(&[("urls", 500)])], [100, 500]);
    let by_prefix = call(&Cloudflare, DELETE, prefix("www.example.com/a/"));
    assert_eq!(
        Cloudflare.at_account(&by_prefix, &variants),
        Ok(vec![by_prefix])
    );
    assert_eq!(
        Cloudflare.at_account(&page, &|_| None),
        Ok(vec![page.clone()])
    );
    let wrong = Cloudflare.at_account(&page, &|_| Some("mobile".to_owned()));
    assert!(
        wrong.is_err_and(
            |unfit| unfit.field == "variants" && unfit.why.contains("must be a JSON list")
        )
    );
}

/// A tag reaches through the zone, so it is said only where the account names the zone as the configuration's alone; the zone of
/// another time, or one that is only used, is not.
#[test]
fn a_tag_needs_a_zone_of_its_own() {
    let by_tag = call(&Cloudflare, DELETE, tag("a"));
    let at = |alone: Option<&'static str>| {
        let value = move |name: &str| match name {
            ZONE => Some("z1".to_owned()),
            "alone" => alone.map(str::to_owned),
            _ => None,
        };
        Cloudflare.at_account(&by_tag, &value)
    };
    assert_eq!(at(Some("z1")), Ok(vec![by_tag.clone()]));
    for other in [None, Some(""), Some("true"), Some("z2")] {
        assert!(
            at(other).is_err_and(|unfit| unfit.field == "alone" && unfit.why.contains("`alone`")),
            "{other:?}"
        );
    }
    let unknown = Cloudflare.at_account(&by_tag, &|_| None);
    assert!(unknown.is_err());
    for one in [
        url("https://www.example.com/a"),
        prefix("www.example.com/tags/"),
        Selector::Everything,
    ] {
        let one = call(&Cloudflare, DELETE, one);
        assert_eq!(Cloudflare.at_account(&one, &|_| None), Ok(vec![one]));
    }
    let alone = Cloudflare.account().iter().find(|field| **field == ALONE);
    assert!(alone.is_some_and(|field| field.exclusive));
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
    widened: Cloudflare takes no account of upper and lower case in a tag
    exact
    exact
    ");
    assert_eq!(
        Cloudflare.fidelity(&DELETE, &tag("2026-01")),
        Fidelity::Exact
    );
    let all_below = wildcard("www.example.com/img/*");
    assert_eq!(Cloudflare.fidelity(&DELETE, &all_below), Fidelity::Exact);
    assert_eq!(
        Cloudflare.fidelity(&INVALIDATE, &all_below).why(),
        Some("Cloudflare cannot mark stale here, it can only delete")
    );
}

/// A prefix is whole directories: that `/img` reaches `/images` is shown nowhere. It has 31 separators at most.
#[test]
fn a_prefix_is_whole_directories() {
    let deep = |depth: usize| prefix(&format!("www.example.com{}/", "/d".repeat(depth)));
    for (selector, fidelity, said) in [
        (
            prefix("www.example.com/img/"),
            "exact",
            "www.example.com/img/",
        ),
        (prefix("www.example.com/img"), "widened", "www.example.com/"),
        (
            wildcard("www.example.com/img/l*"),
            "widened",
            "www.example.com/img/",
        ),
        (
            deep(30),
            "exact",
            &format!("www.example.com{}/", "/d".repeat(30)),
        ),
        (
            deep(31),
            "widened",
            &format!("www.example.com{}/", "/d".repeat(30)),
        ),
    ] {
        assert_eq!(Cloudflare.fidelity(&DELETE, &selector).as_str(), fidelity);
        let body = call(&Cloudflare, DELETE, selector).body.unwrap();
        assert_eq!(body, json!({ "prefixes": [said] }).to_string());
        assert!(said.matches('/').count() <= 31);
    }
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
