//! What the dialect makes of answers to a load.

use domain::{Evidence, Fault, Finding, fault::Side};

use super::*;
use crate::fixture;

fn loaded(
    status: u16,
    headers: &[(&str, &str)],
) -> Result<(Evidence, Finding), (Fault, Option<Finding>)> {
    fixture::loaded(&SQUID, status, headers)
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
    for (error, side) in [
        ("ERR_ACCESS_DENIED 0", Side::Participant),
        ("ERR_CONNECT_FAIL 111", Side::Origin),
    ] {
        let (fault, _) = loaded(403, &[miss, ("x-squid-error", error)]).unwrap_err();
        assert_eq!(fault.side, side, "{error}");
    }
    let (fault, finding) = loaded(504, &[miss]).unwrap_err();
    assert_eq!(
        (fault.side, finding),
        (Side::Origin, Some(Finding::OriginStatus(504)))
    );
}
