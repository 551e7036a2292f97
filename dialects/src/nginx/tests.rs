//! What the dialect makes of answers to a load.

use domain::{Evidence, Fault, Finding, fault::Side};

use super::*;
use crate::fixture;

const DATE: &str = "Sun, 22 Nov 2026 12:00:00 GMT";

fn loaded(
    status: u16,
    headers: &[(&str, &str)],
) -> Result<(Evidence, Finding), (Fault, Option<Finding>)> {
    fixture::loaded(&NGINX, status, headers)
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
