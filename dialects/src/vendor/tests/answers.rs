//! What holds for the answers of every provider.

use domain::{
    Evidence, NativeCall, Operation, PurgeMode,
    fault::{Again, FaultCode},
};
use proptest::prelude::*;

use super::{providers, selectors};
use crate::{
    Answer, Verdict,
    fixture::{command, translate, url},
    vendor::fixture::answer,
};

/// Whatever a provider answers, and from wherever it was cut off or came, it ends as a verdict; and an answer that is no
/// answer of the provider's is never a success.
#[test]
fn what_is_no_answer_is_never_a_success() {
    let bodies = [
        "",
        "<html><body>Sign in</body></html>",
        "{\"Id",
        "[]",
        "null",
        "{\"status\":1",
    ];
    for dialect in providers() {
        for selector in selectors() {
            let purge = Operation::Purge(PurgeMode::Delete);
            let Ok(calls) = translate(dialect, &command(purge, vec![selector])) else {
                continue;
            };
            for body in bodies {
                for status in [200, 201, 204] {
                    let verdict = dialect.judge(&calls[0], &answer(status, &[], body));
                    let is_silence = dialect.name() == "bunny" && !body.starts_with('<');
                    let is_unreadable = matches!(&verdict, Verdict::Failed { fault, .. }
                        if fault.code == FaultCode::UnreadableAnswer && fault.again == Again::Soon);
                    assert!(
                        is_unreadable || is_silence,
                        "{} {verdict:?}",
                        dialect.name()
                    );
                }
                let redirect = dialect.judge(&calls[0], &answer(302, &[], body));
                assert!(
                    matches!(redirect, Verdict::Failed { .. }),
                    "{}",
                    dialect.name()
                );
            }
        }
    }
}

/// Who may not, may not after another try either; who is too early is told when to come back; a failure may pass.
#[test]
fn a_refusal_says_whether_to_try_again() {
    let cases = [
        (401, FaultCode::Unauthorized, Again::Never),
        (403, FaultCode::Refused, Again::Never),
        (404, FaultCode::Refused, Again::Never),
        (408, FaultCode::NativeError, Again::Soon),
        (429, FaultCode::Throttled, Again::AfterSeconds(7)),
        (500, FaultCode::NativeError, Again::Soon),
        (502, FaultCode::NativeError, Again::Soon),
        (503, FaultCode::NativeError, Again::AfterSeconds(7)),
        (507, FaultCode::NativeError, Again::Soon),
    ];
    for dialect in providers() {
        let purge = command(
            Operation::Purge(PurgeMode::Delete),
            vec![url("https://www.example.com/a")],
        );
        let call = translate(dialect, &purge).unwrap().remove(0);
        for (status, code, again) in cases {
            for body in [
                "",
                "<html>",
                "no",
                "{\"message\":\"no\"}",
                "{\"errors\":[]}",
            ] {
                let answer = answer(status, &[("retry-after", "7")], body);
                let Verdict::Failed { fault, .. } = dialect.judge(&call, &answer) else {
                    panic!("{}", dialect.name());
                };
                assert_eq!(
                    (fault.code, fault.again),
                    (code, again),
                    "{}",
                    dialect.name()
                );
            }
        }
    }
}

/// A signature holds the time. A clock that is off is named as what it is, in whatever form the provider says it.
#[test]
fn a_clock_that_is_off_is_named() {
    for (name, status, body) in [
        (
            "akamai",
            400,
            r#"{"title":"Bad request","detail":"Invalid timestamp","httpStatus":400}"#,
        ),
        (
            "cloudfront",
            403,
            "<ErrorResponse><Error><Code>SignatureDoesNotMatch</Code><Message>Signature expired: 20261122T000000Z is now \
             earlier than 20261122T010000Z</Message></Error></ErrorResponse>",
        ),
        (
            "alibaba-cloud-cdn",
            400,
            r#"{"Code":"InvalidTimeStamp.Expired","Message":"Specified time stamp or date value is expired."}"#,
        ),
    ] {
        let dialect = crate::by_name(&name.parse().unwrap()).unwrap();
        let call = NativeCall::new("POST", None, "/", vec![0]);
        let Verdict::Failed { fault, .. } = dialect.judge(&call, &answer(status, &[], body)) else {
            panic!("{name}");
        };
        assert_eq!(
            (fault.code, fault.again),
            (FaultCode::ClockOff, Again::Never),
            "{name}"
        );
        assert!(
            fault.message.contains("the adapter's clock is off"),
            "{}",
            fault.message
        );
    }
}

/// A job is asked after where a job can come of a call, and its name cannot leave its place in the path.
#[test]
fn a_job_that_can_run_can_be_asked_after() {
    for dialect in providers() {
        let asked = dialect.poll("bulkpurge/../{account:x}?&\n");
        let can_run = [
            "cloudfront",
            "cloudfront-tenant",
            "google-cloud-cdn",
            "edgecast",
            "alibaba-cloud-cdn",
        ];
        assert_eq!(
            asked.is_some(),
            can_run.contains(&dialect.name()),
            "{}",
            dialect.name()
        );
        assert_eq!(dialect.has_jobs(), asked.is_some(), "{}", dialect.name());
        let Some(call) = asked else { continue };
        assert_eq!((call.method.as_str(), call.selectors), ("GET", vec![]));
        assert!(
            call.path.ends_with("..%2F%7Baccount%3Ax%7D%3F%26%0A"),
            "{}",
            call.path
        );
        for status in [200, 404, 503] {
            let verdict = dialect.judge_poll("1", &answer(status, &[], "<html>"));
            let again = match status {
                404 => Again::Never,
                _ => Again::Soon,
            };
            assert!(
                matches!(&verdict, Verdict::Failed { fault, .. } if fault.again == again),
                "{} {verdict:?}",
                dialect.name()
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// No answer makes a dialect panic, and none of anybody's text becomes evidence of more than a success can be.
    #[test]
    fn no_answer_surprises(status in 100_u16..600, body in "\\PC{0,60}") {
        for dialect in providers() {
            let command = command(
                Operation::Purge(PurgeMode::Delete),
                vec![url("https://www.example.com/a")],
            );
            let call = translate(dialect, &command).unwrap().remove(0);
            let answer: Answer = answer(status, &[], &body);
            for verdict in [dialect.judge(&call, &answer), dialect.judge_poll("1", &answer)] {
                if let Verdict::Done { evidence, .. } = verdict {
                    prop_assert!((200..300).contains(&status) && evidence < Evidence::Verified);
                }
            }
        }
    }
}
