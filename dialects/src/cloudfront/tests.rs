//! What CloudFront is told, letter by letter, and what its answers mean. Answers are those of its API reference.

use domain::Finding;

use super::*;
use crate::{
    fixture::{command, limits, reasons, regex, translate, translate_within, url},
    vendor::fixture::{DELETE, answer, call, failed, host, prefix, running, spoken, tag, wildcard},
};

const INVALIDATION: &str = r#"<?xml version="1.0"?>
<Invalidation xmlns="http://cloudfront.amazonaws.com/doc/2020-05-31/"><Id>IDFDVBD632BHDS5</Id><Status>InProgress</Status>
<CreateTime>2019-12-05T18:40:49.413Z</CreateTime><InvalidationBatch><Paths><Quantity>1</Quantity><Items><Path>/a&lt;Id&gt;</Path>
</Items></Paths><CallerReference>my-ref</CallerReference></InvalidationBatch></Invalidation>"#;

fn error(code: &str) -> String {
    format!(
        "<ErrorResponse xmlns=\"http://cloudfront.amazonaws.com/doc/2020-05-31/\"><Error><Type>Sender</Type><Code>{code}</Code>\
         <Message>Your request &amp; more.</Message></Error><RequestId>410c2a4b</RequestId></ErrorResponse>"
    )
}

/// Paths in one invalidation, tags in another, paths with `*` in a third; the same path on two host names is one path.
#[test]
fn each_kind_is_one_invalidation() {
    let some = vec![
        url("https://www.example.com/a?x=1&y={execution}"),
        url("https://img.example.com/a?x=1&y={execution}"),
        tag("news"),
        prefix("www.example.com/img/l"),
        wildcard("www.example.com/img/*/large-*.png"),
        host("img.example.com"),
        Selector::Everything,
    ];
    insta::assert_snapshot!(spoken(&CloudFront, DELETE, some), @r#"
    POST /2020-05-31/distribution/{account:distribution}/invalidation [0, 1] content-type: application/xml
    <?xml version="1.0" encoding="UTF-8"?>
    <InvalidationBatch xmlns="http://cloudfront.amazonaws.com/doc/2020-05-31/"><Paths><Quantity>1</Quantity><Items><Path>/a?x=1&amp;y=&#123;execution}</Path></Items></Paths><CallerReference>{execution}</CallerReference></InvalidationBatch>
    POST /2020-05-31/distribution/{account:distribution}/invalidation [2] content-type: application/xml
    <?xml version="1.0" encoding="UTF-8"?>
    <InvalidationBatch xmlns="http://cloudfront.amazonaws.com/doc/2020-05-31/"><Paths><Quantity>1</Quantity><Items><Path>#news</Path></Items></Paths><CallerReference>{execution}</CallerReference></InvalidationBatch>
    POST /2020-05-31/distribution/{account:distribution}/invalidation [3, 4, 5, 6] content-type: application/xml
    <?xml version="1.0" encoding="UTF-8"?>
    <InvalidationBatch xmlns="http://cloudfront.amazonaws.com/doc/2020-05-31/"><Paths><Quantity>3</Quantity><Items><Path>/img/l*</Path><Path>/img/*</Path><Path>/*</Path></Items></Paths><CallerReference>{execution}</CallerReference></InvalidationBatch>
    "#);
}

/// No more than 15 paths with `*` may be in progress, so no call has more.
#[test]
fn patterns_go_out_fifteen_at_a_time() {
    let some = (0..31).map(|number| prefix(&format!("www.example.com/{number}/")));
    let calls = translate(&CloudFront, &command(DELETE, some.collect())).unwrap();
    let sizes: Vec<_> = calls.iter().map(|call| call.selectors.len()).collect();
    assert_eq!(sizes, [15, 15, 1]);
}

/// It knows no host names, and says so; a `*` at the end of a URL would mean more than the URL.
#[test]
fn it_says_how_far_it_reaches() {
    insta::assert_snapshot!(reasons(&CloudFront, &DELETE), @r"
    widened: CloudFront knows no host names, so it does this for all of the configuration
    widened: CloudFront knows no host names, so it does this for all of the configuration
    widened: CloudFront knows no host names, so it does this for all of the configuration
    impossible: CloudFront knows no regular expressions
    widened: CloudFront takes no account of upper and lower case in a tag
    widened: CloudFront knows no host names, so it does this for all of the configuration
    exact
    ");
    assert_eq!(CloudFront.fidelity(&DELETE, &tag("17-4")), Fidelity::Exact);
    let longest = wildcard(&format!("www.example.com/{}/*.png", "x".repeat(3_997)));
    assert_eq!(CloudFront.fidelity(&DELETE, &longest).as_str(), "widened");
    for selector in [
        url("https://www.example.com/a*"),
        url("https://www.example.com/a*b?c"),
        url(&format!("https://www.example.com/{}", "x".repeat(4_000))),
        prefix(&format!("www.example.com/{}", "x".repeat(4_000))),
        tag("a*"),
        regex("^/a"),
    ] {
        assert_eq!(
            CloudFront.fidelity(&DELETE, &selector).as_str(),
            "impossible"
        );
    }
}

/// A distribution without `CacheTagConfig` ignores tags and says that it is done, so the account must name its header.
#[test]
fn a_tag_needs_a_distribution_that_looks_at_tags() {
    let by_tag = call(&CloudFront, DELETE, tag("a"));
    let configured = |name: &str| (name == "tagheader").then(|| "Cache-Tag".to_owned());
    assert_eq!(
        CloudFront.at_account(&by_tag, &configured),
        Ok(vec![by_tag.clone()])
    );
    for none in [None, Some(String::new())] {
        let unfit = CloudFront
            .at_account(&by_tag, &|_| none.clone())
            .unwrap_err();
        assert_eq!(unfit.field, "tagheader");
        for part in ["`CacheTagConfig`", "`tagheader`"] {
            assert!(unfit.why.contains(part), "{unfit:?}");
        }
    }
    let by_path = call(&CloudFront, DELETE, url("https://www.example.com/a"));
    assert_eq!(
        CloudFront.at_account(&by_path, &|_| None),
        Ok(vec![by_path])
    );
}

/// A success names the job, in its body or, where that was lost, in its location.
#[test]
fn a_success_is_a_job() {
    let one = call(&CloudFront, DELETE, tag("a"));
    let location = (
        "location",
        "https://cloudfront.amazonaws.com/2020-05-31/distribution/EDFDVBD632BHDS5/invalidation/I2J0I21PCUYOIK",
    );
    let judged = |headers: &[_], body| CloudFront.judge(&one, &answer(201, headers, body));
    assert_eq!(judged(&[], INVALIDATION), running("IDFDVBD632BHDS5"));
    assert_eq!(judged(&[location], "<Invalid"), running("I2J0I21PCUYOIK"));
    let fault = failed(judged(&[], "<Invalid"));
    assert_eq!(
        (fault.0, fault.1),
        (FaultCode::UnreadableAnswer, Again::Soon)
    );
}

/// It is asked after until it is completed.
#[test]
fn a_job_runs_until_it_is_completed() {
    let asked = CloudFront.poll("IDFDVBD632BHDS5").unwrap();
    assert_eq!(
        (asked.method.as_str(), asked.path.as_str()),
        (
            "GET",
            "/2020-05-31/distribution/{account:distribution}/invalidation/IDFDVBD632BHDS5"
        )
    );
    let judged = |body: &str| CloudFront.judge_poll("IDFDVBD632BHDS5", &answer(200, &[], body));
    assert_eq!(judged(INVALIDATION), running("IDFDVBD632BHDS5"));
    let completed = INVALIDATION.replace("InProgress", "Completed");
    assert_eq!(
        judged(&completed),
        crate::http::done(Finding::Removed(None))
    );
    assert_eq!(failed(judged("<html>")).1, Again::Soon);
    let gone = answer(404, &[], &error("NoSuchInvalidation"));
    assert_eq!(failed(CloudFront.judge_poll("I1", &gone)).1, Again::Never);
}

/// Every documented error: what is in progress ends, the rest does not change by asking again.
#[test]
fn errors_are_understood() {
    let one = call(&CloudFront, DELETE, tag("a"));
    for (status, code, expected, again) in [
        (
            400,
            "TooManyInvalidationsInProgress",
            FaultCode::Throttled,
            Again::AfterSeconds(60),
        ),
        (400, "Throttling", FaultCode::Throttled, Again::Soon),
        (413, "BatchTooLarge", FaultCode::Refused, Again::Never),
        (
            400,
            "InconsistentQuantities",
            FaultCode::Refused,
            Again::Never,
        ),
        (400, "MissingBody", FaultCode::Refused, Again::Never),
        (400, "InvalidArgument", FaultCode::Refused, Again::Never),
        (
            400,
            "InvalidationBatchAlreadyExists",
            FaultCode::Refused,
            Again::Never,
        ),
        (404, "NoSuchDistribution", FaultCode::Refused, Again::Never),
        (403, "AccessDenied", FaultCode::Refused, Again::Never),
        (
            403,
            "SignatureDoesNotMatch",
            FaultCode::Unauthorized,
            Again::Never,
        ),
        (
            403,
            "InvalidClientTokenId",
            FaultCode::Unauthorized,
            Again::Never,
        ),
        (
            503,
            "ServiceUnavailable",
            FaultCode::NativeError,
            Again::Soon,
        ),
    ] {
        let fault = failed(CloudFront.judge(&one, &answer(status, &[], &error(code))));
        assert_eq!((fault.0, fault.1), (expected, again), "{code}");
        let words = format!("CloudFront answered {status}: {code}: Your request & more.");
        assert_eq!(fault.2, words);
    }
}

/// What is in progress is the distribution's, and everything else that is too much the account's.
#[test]
fn too_much_in_progress_is_a_limit_of_the_distribution() {
    let refused = |code: &str| {
        let body = format!("<ErrorResponse><Error><Code>{code}</Code></Error></ErrorResponse>");
        CloudFront.is_full(&answer(400, &[], &body))
    };
    assert!(refused("TooManyInvalidationsInProgress"));
    assert!(!refused("Throttling"));
}

/// What is put into a body counts before it is there, as long as it may be: however tight the limit, no body is longer when it goes out.
#[test]
fn a_body_with_the_longest_id_keeps_to_its_limit() {
    let participant = "b".repeat(63);
    let longest = format!(
        "01890a5d-ac96-774b-bcce-b302099a8057_{participant}-{}",
        u32::MAX
    );
    let long = "x".repeat(500);
    let paths = (0..40).map(|number| url(&format!("https://www.example.com/{number:02}{long}")));
    let command = command(DELETE, paths.collect());
    let closest = (8_192_u32..8_192 + 600).map(|bytes| {
        let own = limits(&[("bytes", bytes)]);
        let calls = translate_within(&CloudFront, &command, &own).unwrap();
        let bodies = calls.iter().filter_map(|call| call.body.as_ref());
        let sent = bodies.map(|body| body.replace("{execution}", &longest).len());
        let (sent, most) = (sent.max().unwrap(), usize::try_from(bytes).unwrap());
        assert!(sent <= most, "{sent} of {most}");
        most - sent
    });
    // Somewhere in between one path more would just fit.
    assert!(closest.min().unwrap() < 40);
}
