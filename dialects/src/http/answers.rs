//! What the answers of caches mean, as far as HTTP alone says it.
//!
//! Invariant: an answer that does not say what happened is never read as more than was said, and a fault knows on whose
//! side it is and whether to try again.
//! Not here: the signals of one kind of cache; each dialect reads its own.

use domain::{
    Evidence, Fault, Finding,
    fault::{Again, FaultCode, Side},
};

use super::freshness::explicit_freshness;
use crate::{
    Answer, Verdict,
    problem::{refusal, retry_after},
};

/// What a cache says of a load that the origin answered well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LoadSignal {
    /// It had it, fresh.
    Held,
    /// It fetched and stored it.
    Stored,
    /// It fetched it, and its own word does not say whether it stored it; the origin's headers allow it.
    Fetched,
    /// It will not store it, for its size.
    TooLarge,
    /// It will not store it.
    NotStored,
    /// Its own rules said no, and the origin was not asked.
    Refused,
    /// It said nothing that is known.
    Silent,
}

/// What a load means. An error status is the origin's, but where the cache says that it is its own: a cache that cannot
/// reach its origin says 502, 503 or 504. Those may pass; what the origin refuses it will refuse again.
pub(crate) fn judge_load(answer: &Answer, signal: LoadSignal) -> Verdict {
    if answer.status >= 400 && signal != LoadSignal::Refused {
        return origin_failed(answer);
    }
    let not_stored = |side, message, finding| Verdict::Failed {
        fault: Fault::new(FaultCode::Refused, side, Again::Never, message),
        finding: Some(finding),
    };
    match signal {
        LoadSignal::Held => done(Finding::AlreadyThere),
        LoadSignal::Stored => done(Finding::Stored),
        LoadSignal::Fetched => acknowledged(Finding::Stored),
        LoadSignal::Silent => acknowledged(Finding::Accepted),
        LoadSignal::TooLarge => not_stored(
            Side::Participant,
            "fetched, but larger than the cache stores",
            Finding::TooLarge,
        ),
        LoadSignal::NotStored => not_stored(
            Side::Origin,
            "fetched, but the cache's rules or the origin's headers do not let it store this",
            Finding::RefusedByRules,
        ),
        LoadSignal::Refused => refused(answer),
    }
}

/// What the cache's rules in `X-Store` say, where the shipped configuration sends it.
pub(crate) fn store_signal(answer: &Answer) -> Option<LoadSignal> {
    match answer.header("x-store")? {
        "stored" => Some(LoadSignal::Stored),
        "too-large" => Some(LoadSignal::TooLarge),
        "uncacheable" => Some(LoadSignal::NotStored),
        _ => None,
    }
}

/// Whether the origin's headers let a shared cache store an answer at all (RFC 9111, 3).
pub(crate) fn may_be_stored(answer: &Answer) -> bool {
    let control = directives(answer, "cache-control");
    let has = |word: &str| {
        control
            .iter()
            .any(|said| said == word || said.starts_with(&format!("{word}=\"")))
    };
    let forbidden = has("no-store") || has("private") || has("no-cache");
    let varies = directives(answer, "vary").iter().any(|name| name == "*");
    !forbidden && !varies && explicit_freshness(answer) != Some(0)
}

/// The words of a header that is a list, in lower case.
pub(crate) fn directives(answer: &Answer, name: &str) -> Vec<String> {
    let of_name = answer.headers.iter().filter(|(header, _)| header == name);
    let split = of_name.flat_map(|(_, value)| value.split(','));
    split.map(|word| word.trim().to_ascii_lowercase()).collect()
}

pub(crate) fn done(finding: Finding) -> Verdict {
    Verdict::Done {
        evidence: Evidence::Reported,
        finding,
    }
}

pub(crate) fn acknowledged(finding: Finding) -> Verdict {
    Verdict::Done {
        evidence: Evidence::Acknowledged,
        finding,
    }
}

/// What an answer means that is neither success nor "nothing held".
pub(crate) fn refused(answer: &Answer) -> Verdict {
    Verdict::failed(refusal("the cache", answer))
}

fn origin_failed(answer: &Answer) -> Verdict {
    let again = match answer.status {
        429 | 503 => retry_after(answer),
        500.. => Again::Soon,
        _ => Again::Never,
    };
    let message = format!("the origin answered {}", answer.status);
    Verdict::Failed {
        fault: Fault::new(FaultCode::OriginError, Side::Origin, again, &message),
        finding: Some(Finding::OriginStatus(answer.status)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    fn answer(headers: &[(&str, &str)]) -> Answer {
        fixture::answer(200, headers)
    }

    /// Where a cache does not say whether it stored something, the origin's headers may say that it cannot have.
    #[test]
    fn headers_that_forbid_storing_are_known() {
        let stored = [
            &[][..],
            &[("cache-control", "public, max-age=60")],
            &[("cache-control", "max-age=0, s-maxage=60")],
            &[("vary", "Accept-Encoding")],
        ];
        let forbidden = [
            &[("cache-control", "No-Store")][..],
            &[
                ("cache-control", "max-age=60"),
                ("cache-control", "private"),
            ],
            &[("cache-control", "private=\"x-a\", max-age=60")],
            &[("cache-control", "max-age=60, s-maxage=0")],
            &[("expires", "0")],
            &[("vary", "*")],
        ];
        assert!(stored.iter().all(|headers| may_be_stored(&answer(headers))));
        assert!(
            !forbidden
                .iter()
                .any(|headers| may_be_stored(&answer(headers)))
        );
    }
}
