//! What the dialect says, letter by letter, and what it makes of answers.

use domain::{
    Ceiling, Evidence, Fault, Finding, PurgeMode,
    fault::{FaultCode, Side},
};

use super::*;
use crate::fixture::{answer, command, reasons, said, translate, url};

const DATE: &str = "Sun, 22 Nov 2026 12:00:00 GMT";

fn purged(status: u16) -> Verdict {
    let call = NativeCall::new("PURGE", Some("www.example.com"), "/a", vec![0]);
    Nginx.judge(&call, &answer(status, &[]))
}

fn loaded(
    status: u16,
    headers: &[(&str, &str)],
) -> Result<(Evidence, Finding), (Fault, Option<Finding>)> {
    let call = NativeCall::new("GET", Some("www.example.com"), "/a", vec![0]);
    match Nginx.judge(&call, &answer(status, headers)) {
        Verdict::Done { evidence, finding } => Ok((evidence, finding)),
        Verdict::Failed { fault, finding } => Err((fault, finding)),
        Verdict::Running { job } => panic!("{job}"),
    }
}

/// Every URL is one exact key; a spelling that means the same is another key.
#[test]
fn it_purges_and_loads_urls() {
    let urls = || {
        vec![
            url("https://www.example.com/a/b.html?x=1"),
            url("http://img.example.com/%c3%a9"),
        ]
    };
    insta::assert_snapshot!(said(&Nginx, Operation::Purge(PurgeMode::Delete), urls()), @r#"
    PURGE www.example.com /a/b.html?x=1 [0]
    PURGE img.example.com /%c3%a9 [1]
    PURGE img.example.com /%C3%A9 [1]
    "#);
    insta::assert_snapshot!(said(&Nginx, Operation::Load, urls()), @r#"
    GET www.example.com /a/b.html?x=1 [0]
    GET img.example.com /%c3%a9 [1]
    "#);
}

/// What it cannot say is refused with a sentence for the originator, never said more widely.
#[test]
fn it_says_why_it_cannot() {
    let why = |mode| reasons(&Nginx, &Operation::Purge(mode));
    insta::assert_snapshot!(why(PurgeMode::Delete), @r#"
    exact
    impossible: nginx's cache-purge module 2.3 knows exact URLs only, no prefixes
    impossible: nginx's cache-purge module 2.3 knows exact URLs only, no wildcards
    impossible: nginx's cache-purge module 2.3 knows exact URLs only, no regular expressions
    impossible: nginx's cache-purge module 2.3 knows exact URLs only, no tags
    impossible: nginx's cache-purge module 2.3 knows exact URLs only, no whole host names
    impossible: nginx's cache-purge module 2.3 knows exact URLs only, no whole configurations
    "#);
    insta::assert_snapshot!(why(PurgeMode::Invalidate), @r#"
    widened: nginx's cache-purge module 2.3 cannot mark stale, it can only delete
    impossible: nginx's cache-purge module 2.3 knows exact URLs only, no prefixes
    impossible: nginx's cache-purge module 2.3 knows exact URLs only, no wildcards
    impossible: nginx's cache-purge module 2.3 knows exact URLs only, no regular expressions
    impossible: nginx's cache-purge module 2.3 knows exact URLs only, no tags
    impossible: nginx's cache-purge module 2.3 knows exact URLs only, no whole host names
    impossible: nginx's cache-purge module 2.3 knows exact URLs only, no whole configurations
    "#);
    insta::assert_snapshot!(why(PurgeMode::Deferred), @r#"
    impossible: nginx's cache-purge module 2.3 deletes at once, it cannot wait until it is idle
    impossible: nginx's cache-purge module 2.3 knows exact URLs only, no prefixes
    impossible: nginx's cache-purge module 2.3 knows exact URLs only, no wildcards
    impossible: nginx's cache-purge module 2.3 knows exact URLs only, no regular expressions
    impossible: nginx's cache-purge module 2.3 knows exact URLs only, no tags
    impossible: nginx's cache-purge module 2.3 knows exact URLs only, no whole host names
    impossible: nginx's cache-purge module 2.3 knows exact URLs only, no whole configurations
    "#);
}

/// Deleting is more than invalidating: done where the originator lets it, refused where it does not.
#[test]
fn an_invalidation_deletes_if_the_ceiling_lets_it() {
    let mut command = command(
        Operation::Purge(PurgeMode::Invalidate),
        vec![url("https://www.example.com/a")],
    );
    assert_eq!(translate(&Nginx, &command).unwrap().len(), 1);
    command.ceiling = Ceiling {
        widest: None,
        narrowed: false,
    };
    assert!(translate(&Nginx, &command).is_err());
}

/// A host name of another configuration is refused here too, though the broker has looked before.
#[test]
fn another_configurations_host_is_refused() {
    let command = command(
        Operation::Purge(PurgeMode::Delete),
        vec![url("https://www.other.com/a")],
    );
    assert!(translate(&Nginx, &command).is_err());
}

/// Nothing held is a success, and told apart; a refusal by the cache's own rules will not change by asking again.
#[test]
fn answers_to_a_purge_are_understood() {
    let done = |finding| Verdict::Done {
        evidence: Evidence::Reported,
        finding,
    };
    assert_eq!(purged(200), done(Finding::Removed(None)));
    assert_eq!(purged(404), done(Finding::NothingHeld));
    assert!(
        matches!(purged(403), Verdict::Failed { fault, .. } if fault.code == FaultCode::Refused)
    );
    assert!(
        matches!(purged(502), Verdict::Failed { fault, .. } if fault.code == FaultCode::NativeError)
    );
}

/// nginx says what it found, and the headers say whether it can have stored what it fetched.
#[test]
fn answers_to_a_load_are_understood() {
    let stored = Ok((Evidence::Acknowledged, Finding::Stored));
    assert_eq!(
        loaded(200, &[("x-cache", "HIT")]),
        Ok((Evidence::Reported, Finding::AlreadyThere))
    );
    assert_eq!(
        loaded(200, &[("x-cache", "REVALIDATED")]),
        Ok((Evidence::Reported, Finding::Stored))
    );
    assert_eq!(
        loaded(200, &[("x-cache", "MISS"), ("cache-control", "max-age=60")]),
        stored
    );
    let again = ("x-cache", "EXPIRED");
    let expires = |at| loaded(200, &[again, ("date", DATE), ("expires", at)]);
    assert_eq!(expires("Sun, 22 Nov 2026 12:00:01 GMT"), stored);
    assert_eq!(
        loaded(200, &[]),
        Ok((Evidence::Acknowledged, Finding::Accepted))
    );
    let refused = |headers: &[(&str, &str)]| loaded(200, headers).unwrap_err();
    for headers in [
        &[("x-cache", "MISS"), ("cache-control", "private")][..],
        &[("x-cache", "MISS"), ("set-cookie", "a=b")],
        &[("x-cache", "MISS"), ("x-store", "uncacheable")],
        &[("x-cache", "BYPASS")],
        // It was told nothing of how long this stays fresh, or that it is old already.
        &[again],
        &[again, ("cache-control", "public")],
        &[again, ("date", DATE), ("expires", DATE)],
    ] {
        assert_eq!(
            refused(headers).1,
            Some(Finding::RefusedByRules),
            "{headers:?}"
        );
    }
    assert_eq!(
        refused(&[("x-cache", "MISS"), ("x-store", "too-large")]).1,
        Some(Finding::TooLarge)
    );
    let (fault, finding) = loaded(404, &[("x-cache", "MISS")]).unwrap_err();
    assert_eq!(
        (fault.side, finding),
        (Side::Origin, Some(Finding::OriginStatus(404)))
    );
}
