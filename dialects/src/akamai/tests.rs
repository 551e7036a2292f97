//! What Akamai is told, letter by letter, and what its answers mean. Answers are those of its API reference.

use domain::{Evidence, fault::FaultCode};

use super::*;
use crate::{
    fixture::{command, reasons, translate, url},
    vendor::fixture::{DELETE, INVALIDATE, answer, call, done, failed, host, spoken, tag},
};

/// One type a call; a CP code is a number.
#[test]
fn each_type_has_its_call() {
    let some = || {
        vec![
            tag("black-friday"),
            url("https://www.example.com/a?x={account:cpcode}"),
            Selector::Everything,
            host("www.example.com"),
        ]
    };
    insta::assert_snapshot!(spoken(&Akamai, INVALIDATE, some()), @r#"
    POST /ccu/v3/invalidate/url/{account:network} [1] content-type: application/json
    {"objects":["https://www.example.com/a?x=\u007baccount:cpcode}"]}
    POST /ccu/v3/invalidate/tag/{account:network} [0] content-type: application/json
    {"objects":["black-friday"]}
    POST /ccu/v3/invalidate/cpcode/{account:network} [2, 3] content-type: application/json
    {"objects":[{account:cpcode}]}
    "#);
    assert!(spoken(&Akamai, DELETE, some()).contains("POST /ccu/v3/delete/tag/"));
}

/// Bodies end at 45,000 bytes, and are as full as they can be.
#[test]
fn a_body_ends_at_its_limit() {
    let long = |number: usize| {
        url(&format!(
            "https://www.example.com/{number:04}{}",
            "x".repeat(4_000)
        ))
    };
    let command = command(DELETE, (0..40).map(long).collect());
    let calls = translate(&Akamai, &command).unwrap();
    let sizes = calls.iter().map(|call| call.body.as_ref().unwrap().len());
    assert!(sizes.clone().all(|bytes| bytes <= 45_000));
    let full: Vec<_> = calls.iter().map(|call| call.selectors.len()).collect();
    assert_eq!(full, [11, 11, 11, 7]);
}

/// Prefixes and patterns are another system's; a tag has 128 characters, and not every one.
#[test]
fn it_says_why_it_cannot() {
    insta::assert_snapshot!(reasons(&Akamai, &DELETE), @r"
    exact
    impossible: Akamai knows no prefixes
    impossible: Akamai knows no wildcards
    impossible: Akamai knows no regular expressions
    exact
    widened: Akamai knows no host names, only the CP code of a whole configuration
    exact
    ");
    assert_eq!(
        Akamai.fidelity(&INVALIDATE, &tag(&"x".repeat(128))),
        Fidelity::Exact
    );
    assert_eq!(
        Akamai.fidelity(&DELETE, &tag(&"x".repeat(129))).why(),
        Some("Akamai knows tags of at most 128 characters")
    );
    assert_eq!(
        Akamai.fidelity(&DELETE, &tag("Az09&'^-$!`#%.+~_|/")),
        Fidelity::Exact
    );
    for disallowed in r":*@=()<>?;[]{}\".chars() {
        let fidelity = Akamai.fidelity(&INVALIDATE, &tag(&format!("a{disallowed}b")));
        assert_eq!(
            fidelity.why(),
            Some("Akamai knows tags of letters, digits and &'^-$!`#%.+~_|/ only"),
            "{disallowed}"
        );
    }
}

/// A tag reaches what the credentials reach, so an account names a client that sees one configuration's content only.
#[test]
fn a_tag_needs_a_client_of_its_own() {
    let by_tag = call(&Akamai, DELETE, tag("a"));
    let named = |name: &str| (name == "client").then(|| "purge-shop".to_owned());
    assert_eq!(Akamai.at_account(&by_tag, &named), Ok(vec![by_tag.clone()]));
    for none in [None, Some(String::new())] {
        let unfit = Akamai.at_account(&by_tag, &|_| none.clone()).unwrap_err();
        assert_eq!(unfit.field, "client");
        assert!(unfit.why.contains("`client`"), "{unfit:?}");
    }
    for other in [
        url("https://www.example.com/ccu/v3/delete/tag/a"),
        Selector::Everything,
    ] {
        let other = call(&Akamai, DELETE, other);
        assert_eq!(Akamai.at_account(&other, &|_| None), Ok(vec![other]));
    }
    let client = Akamai.account().iter().find(|field| field.name == "client");
    assert!(client.is_some_and(|field| field.exclusive));
}

/// With an estimate it is estimated; without one it is only taken.
#[test]
fn an_estimate_is_more_than_an_acknowledgement() {
    let one = call(&Akamai, DELETE, tag("a"));
    let judged = |body| Akamai.judge(&one, &answer(201, &[], body));
    let estimated = r#"{"httpStatus":201,"detail":"Request accepted","estimatedSeconds":5,
        "purgeId":"e535071c-26b2-11e7-94d7-276f2f54d938","supportId":"17PY1492793544958045-219026624"}"#;
    assert_eq!(
        judged(estimated),
        Verdict::Estimated {
            within: Duration::from_secs(5),
            finding: Finding::Accepted
        }
    );
    let vague = r#"{"httpStatus":201,"estimatedSeconds":"soon"}"#;
    assert_eq!(
        judged(vague),
        done(Evidence::Acknowledged, Finding::Accepted)
    );
    let silent =
        r#"{"httpStatus":201,"detail":"Request accepted","purgeId":"e5","supportId":"17"}"#;
    assert_eq!(
        judged(silent),
        done(Evidence::Acknowledged, Finding::Accepted)
    );
}

/// Every documented refusal, with the provider's words; too many calls may come again in 5 seconds.
#[test]
fn refusals_are_understood() {
    let one = call(&Akamai, DELETE, tag("a"));
    let judged = |status, body: &str| failed(Akamai.judge(&one, &answer(status, &[], body)));
    let problem = r#"{"supportId":"17PY","title":"unauthorized arl","httpStatus":403,"detail":"http://x",
        "describedBy":"https://api.ccu.akamai.com/ccu/v2/errors/unauthorized-arl"}"#;
    assert_eq!(
        judged(403, problem),
        (
            FaultCode::Refused,
            Again::Never,
            "Akamai answered 403: http://x".to_owned()
        )
    );
    let too_many = r#"{"title":"Rate Limit exceeded","httpStatus":429,"supportId":"17"}"#;
    assert_eq!(
        judged(429, too_many),
        (
            FaultCode::Throttled,
            Again::AfterSeconds(5),
            "Akamai answered 429: Rate Limit exceeded".to_owned()
        )
    );
    for (status, again) in [
        (400, Again::Never),
        (404, Again::Never),
        (405, Again::Never),
        (410, Again::Never),
        (411, Again::Never),
        (413, Again::Never),
        (415, Again::Never),
        (408, Again::Soon),
        (500, Again::Soon),
        (503, Again::Soon),
        (504, Again::Soon),
        (507, Again::Soon),
    ] {
        assert_eq!(judged(status, "").1, again, "{status}");
    }
}
