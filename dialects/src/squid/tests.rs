//! What the dialect says, letter by letter, and what it makes of answers.

use domain::{
    Ceiling, Evidence, Fault, Finding, PurgeMode,
    fault::{FaultCode, Side},
};

use super::*;
use crate::fixture::{answer, command, reasons, said, translate, url};

fn purged(status: u16) -> Verdict {
    let call = NativeCall::new("PURGE", Some("www.example.com"), "/a", vec![0]);
    Squid.judge(&call, &answer(status, &[]))
}

fn loaded(
    status: u16,
    headers: &[(&str, &str)],
) -> Result<(Evidence, Finding), (Fault, Option<Finding>)> {
    let call = NativeCall::new("GET", Some("www.example.com"), "/a", vec![0]);
    match Squid.judge(&call, &answer(status, headers)) {
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
    insta::assert_snapshot!(said(&Squid, Operation::Purge(PurgeMode::Delete), urls()), @r#"
    PURGE www.example.com /a/b.html?x=1 [0]
    PURGE img.example.com /%c3%a9 [1]
    PURGE img.example.com /%C3%A9 [1]
    "#);
    insta::assert_snapshot!(said(&Squid, Operation::Load, urls()), @r#"
    GET www.example.com /a/b.html?x=1 [0]
    GET img.example.com /%c3%a9 [1]
    "#);
}

/// What it cannot say is refused with a sentence for the originator, never said more widely.
#[test]
fn it_says_why_it_cannot() {
    let why = |mode| reasons(&Squid, &Operation::Purge(mode));
    insta::assert_snapshot!(why(PurgeMode::Delete), @r#"
    exact
    impossible: Squid knows exact URLs only, no prefixes
    impossible: Squid knows exact URLs only, no wildcards
    impossible: Squid knows exact URLs only, no regular expressions
    impossible: Squid knows exact URLs only, no tags
    impossible: Squid knows exact URLs only, no whole host names
    impossible: Squid knows exact URLs only, no whole configurations
    "#);
    insta::assert_snapshot!(why(PurgeMode::Invalidate), @r#"
    widened: Squid cannot mark stale, it can only delete
    impossible: Squid knows exact URLs only, no prefixes
    impossible: Squid knows exact URLs only, no wildcards
    impossible: Squid knows exact URLs only, no regular expressions
    impossible: Squid knows exact URLs only, no tags
    impossible: Squid knows exact URLs only, no whole host names
    impossible: Squid knows exact URLs only, no whole configurations
    "#);
    insta::assert_snapshot!(why(PurgeMode::Deferred), @r#"
    impossible: Squid deletes at once, it cannot wait until it is idle
    impossible: Squid knows exact URLs only, no prefixes
    impossible: Squid knows exact URLs only, no wildcards
    impossible: Squid knows exact URLs only, no regular expressions
    impossible: Squid knows exact URLs only, no tags
    impossible: Squid knows exact URLs only, no whole host names
    impossible: Squid knows exact URLs only, no whole configurations
    "#);
}

/// Deleting is more than invalidating: done where the originator lets it, refused where it does not.
#[test]
fn an_invalidation_deletes_if_the_ceiling_lets_it() {
    let mut command = command(
        Operation::Purge(PurgeMode::Invalidate),
        vec![url("https://www.example.com/a")],
    );
    assert_eq!(translate(&Squid, &command).unwrap().len(), 1);
    command.ceiling = Ceiling {
        widest: None,
        narrowed: false,
    };
    assert!(translate(&Squid, &command).is_err());
}

/// A host name of another configuration is refused here too, though the broker has looked before.
#[test]
fn another_configurations_host_is_refused() {
    let command = command(
        Operation::Purge(PurgeMode::Delete),
        vec![url("https://www.other.com/a")],
    );
    assert!(translate(&Squid, &command).is_err());
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

/// Squid names itself after the word, and says in `X-Store` what the shipped rules decided.
#[test]
fn answers_to_a_load_are_understood() {
    let miss = ("x-cache", "MISS from cache.example");
    assert_eq!(
        loaded(200, &[("x-cache", "HIT from cache.example")]),
        Ok((Evidence::Reported, Finding::AlreadyThere))
    );
    let stored = Ok((Evidence::Acknowledged, Finding::Stored));
    let dated = ("last-modified", "Sun, 22 Nov 2026 12:00:00 GMT");
    let fresh = |age| ("cache-control", age);
    assert_eq!(loaded(200, &[miss, fresh("max-age=3600")]), stored);
    assert_eq!(loaded(200, &[miss, fresh("max-age=30"), dated]), stored);
    assert_eq!(
        loaded(200, &[miss, dated]),
        Ok((Evidence::Acknowledged, Finding::Accepted))
    );
    assert_eq!(
        loaded(200, &[]),
        Ok((Evidence::Acknowledged, Finding::Accepted))
    );
    let refused = |headers: &[(&str, &str)]| loaded(200, headers).unwrap_err().1;
    assert_eq!(
        refused(&[miss, ("cache-control", "no-store")]),
        Some(Finding::RefusedByRules)
    );
    assert_eq!(refused(&[miss]), Some(Finding::RefusedByRules));
    assert_eq!(
        refused(&[miss, fresh("max-age=30")]),
        Some(Finding::RefusedByRules)
    );
    assert_eq!(
        refused(&[miss, ("x-store", "uncacheable")]),
        Some(Finding::RefusedByRules)
    );
    assert_eq!(
        refused(&[miss, ("x-store", "too-large")]),
        Some(Finding::TooLarge)
    );
    let (fault, finding) = loaded(504, &[miss]).unwrap_err();
    assert_eq!(
        (fault.side, finding),
        (Side::Origin, Some(Finding::OriginStatus(504)))
    );
}
