//! What the dialect makes of answers to a load.

use domain::{Evidence, Fault, Finding, fault::Side};

use super::*;
use crate::fixture;

fn loaded(
    status: u16,
    headers: &[(&str, &str)],
) -> Result<(Evidence, Finding), (Fault, Option<Finding>)> {
    fixture::loaded(&TRAFFIC_SERVER, status, headers)
}

/// The codes in `Via` tell a hit from a miss, and a fill from none.
#[test]
fn answers_to_a_load_are_understood() {
    fn via(codes: &str) -> String {
        format!("1.1 first [x], http/1.1 traffic_server (ApacheTrafficServer/9.2.5 [{codes}])")
    }
    let of = |codes: &str| loaded(200, &[("via", &via(codes))]);
    for held in ["cHs f ", "cRs f ", "uScHs f p eN:t cCHp s "] {
        assert_eq!(
            of(held),
            Ok((Evidence::Reported, Finding::AlreadyThere)),
            "{held}"
        );
    }
    for stored in ["cMsSfW", "cSsNfU", "uScMsSfWpSeN:t cCMi p sS"] {
        assert_eq!(
            of(stored),
            Ok((Evidence::Reported, Finding::Stored)),
            "{stored}"
        );
    }
    assert_eq!(of("cMsSf ").unwrap_err().1, Some(Finding::RefusedByRules));
    let large = loaded(200, &[("via", &via("cMsSf ")), ("x-store", "too-large")]);
    assert_eq!(large.unwrap_err().1, Some(Finding::TooLarge));
    assert_eq!(
        loaded(200, &[]),
        Ok((Evidence::Acknowledged, Finding::Accepted))
    );
    let (fault, finding) = loaded(500, &[("via", &via("cMsSf "))]).unwrap_err();
    assert_eq!(
        (fault.side, finding),
        (Side::Origin, Some(Finding::OriginStatus(500)))
    );
}
