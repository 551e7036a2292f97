//! What bunny.net is told, letter by letter, and what its answers mean.

use domain::{
    Evidence,
    fault::{Again, FaultCode},
};

use super::*;
use crate::{
    fixture::{reasons, url},
    vendor::fixture::{
        DELETE, INVALIDATE, answer, call, done, failed, host, prefix, spoken, tag, wildcard,
    },
};

/// Each call says one thing; a URL that ends like a pattern is still a URL.
#[test]
fn each_call_says_one_thing() {
    let some = vec![
        url("https://www.example.com/dir/?x=a*"),
        prefix("www.example.com/img"),
        wildcard("www.example.com/img/*.png"),
        host("img.example.com"),
        tag("product-123"),
        Selector::Everything,
    ];
    insta::assert_snapshot!(spoken(&Bunny, DELETE, some), @r#"
    POST /purge?url=https%3A%2F%2Fwww.example.com%2Fdir%2F%3Fx%3Da%2A&async=false&exactPath=true [0]

    POST /purge?url=https%3A%2F%2Fwww.example.com%2Fimg%2A&async=false [1]

    POST /purge?url=https%3A%2F%2Fwww.example.com%2Fimg%2F%2A&async=false [2]

    POST /purge?url=https%3A%2F%2Fimg.example.com%2F%2A&async=false [3]

    POST /pullzone/{account:zone}/purgeCache [4] content-type: application/json
    {"CacheTag":"product-123"}
    POST /pullzone/{account:zone}/purgeCache [5]
    "#);
}

/// All but regular expressions, and patterns with more after their `*`.
#[test]
fn it_says_what_it_cannot() {
    insta::assert_snapshot!(reasons(&Bunny, &DELETE), @r"
    exact
    exact
    widened: bunny.net cannot say it more narrowly than by all paths that begin with /img/
    impossible: bunny.net knows no regular expressions
    exact
    exact
    exact
    ");
    assert_eq!(Bunny.fidelity(&INVALIDATE, &tag("a")).as_str(), "widened");
    for pattern in ["*", "product-*"] {
        let fidelity = Bunny.fidelity(&DELETE, &tag(pattern));
        assert_eq!(
            fidelity.why(),
            Some("bunny.net takes a `*` in a tag for any characters")
        );
    }
}

/// A URL is answered when it is purged; a zone is only taken. Success may have no body, but is never a page.
#[test]
fn answers_are_understood() {
    let judged = |selector, status, body| {
        let one = call(&Bunny, DELETE, selector);
        Bunny.judge(&one, &answer(status, &[], body))
    };
    let page = || url("https://www.example.com/a");
    for status in [200, 204] {
        assert_eq!(
            judged(page(), status, ""),
            done(Evidence::Reported, Finding::Removed(None))
        );
        assert_eq!(
            judged(tag("a"), status, ""),
            done(Evidence::Acknowledged, Finding::Accepted)
        );
    }
    assert_eq!(
        failed(judged(page(), 200, " <!DOCTYPE html>")).0,
        FaultCode::UnreadableAnswer
    );
    let denied = r#"{"Message":"Authorization has been denied for this request."}"#;
    assert_eq!(
        failed(judged(page(), 401, denied)),
        (
            FaultCode::Unauthorized,
            Again::Never,
            "bunny.net answered 401: Authorization has been denied for this request.".to_owned()
        )
    );
}
