//! What providers say of their limits in headers of any answer.
//!
//! Invariant: only what says that nothing is left makes anybody wait, and never longer than a limit. `Retry-After` says so with 429
//! and 503; with a job it says when to ask after that, and of the account nothing.
//!
//! Known: `Retry-After` (RFC 9110, 10.2.3; the HTTP client has turned a date into seconds), `RateLimit` and
//! `RateLimit-Remaining`/`-Reset` (IETF httpapi drafts; Cloudflare, GitLab), `X-RateLimit-Remaining`/`-Reset`,
//! `Fastly-RateLimit-Remaining`/`-Reset` (a moment, in seconds since 1970).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use dialects::Answer;

/// Pairs of headers: how much is left, and when there is more.
const PAIRS: [(&str, &str); 3] = [
    ("ratelimit-remaining", "ratelimit-reset"),
    ("x-ratelimit-remaining", "x-ratelimit-reset"),
    ("fastly-ratelimit-remaining", "fastly-ratelimit-reset"),
];
/// Numbers above this are moments since 1970 and not spans.
const MOMENTS_FROM: u64 = 1_000_000_000;
/// Who is told to wait longer asks again then.
const LONGEST: Duration = Duration::from_hours(1);

/// For how long nobody calls, if the answer says that nothing is left.
pub(super) fn used_up(answer: &Answer, now: SystemTime) -> Option<Duration> {
    let number = |name: &str| answer.header(name)?.trim().parse::<u64>().ok();
    let empty: Vec<_> = PAIRS
        .iter()
        .filter(|(left, _)| number(left) == Some(0))
        .collect();
    let structured = structured(answer);
    let is_empty = !empty.is_empty() || structured.is_some();
    let retry_after = number("retry-after").filter(|_| is_empty || is_too_much(answer.status));
    let pairs = empty.into_iter().filter_map(|(_, reset)| number(reset));
    let spans = pairs.chain(structured).chain(retry_after);
    spans.map(|number| span(number, now)).max()
}

/// After which time a job is to be asked after, if the answer that names it says so.
pub(super) fn poll_after(answer: &Answer, now: SystemTime) -> Option<Duration> {
    let number = answer.header("retry-after")?.trim().parse().ok()?;
    Some(span(number, now))
}

/// Whether a status says that there were too many calls (RFC 6585, 4), or that it is too much at present (RFC 9110, 15.6.4).
fn is_too_much(status: u16) -> bool {
    matches!(status, 429 | 503)
}

fn span(number: u64, now: SystemTime) -> Duration {
    if number < MOMENTS_FROM {
        return Duration::from_secs(number).min(LONGEST);
    }
    let at = UNIX_EPOCH.checked_add(Duration::from_secs(number));
    // A moment that no clock will ever show is as good as the longest wait.
    let span = at.map_or(LONGEST, |at| at.duration_since(now).unwrap_or_default());
    span.min(LONGEST)
}

/// `RateLimit: "default";r=0;t=30`: of the policies without anything left, the longest wait.
fn structured(answer: &Answer) -> Option<u64> {
    let policies = answer.header("ratelimit")?.split(',');
    let value = |policy: &str, name: &str| {
        let mut parameters = policy
            .split(';')
            .skip(1)
            .filter_map(|one| one.trim().split_once('='));
        let found = parameters.find(|(key, _)| *key == name)?;
        found.1.parse::<u64>().ok()
    };
    let used_up = policies.filter(|policy| value(policy, "r") == Some(0));
    used_up.filter_map(|policy| value(policy, "t")).max()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, headers: &[(&str, &str)]) -> Answer {
        let headers = headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Answer {
            status,
            headers: headers.collect(),
            body: String::new(),
        }
    }

    fn now() -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_700_000_000)
    }

    fn wait(status: u16, headers: &[(&str, &str)]) -> Option<u64> {
        used_up(&answer(status, headers), now()).map(|span| span.as_secs())
    }

    /// With a success it is about what was begun, and with another fault about that call; where nothing is left it is about all.
    #[test]
    fn retry_after_is_the_accounts_only_where_it_was_too_much() {
        let after = ("retry-after", "30");
        for (status, headers, expected) in [
            (202, &[after][..], None),
            (500, &[after], None),
            (429, &[after], Some(30)),
            (503, &[after], Some(30)),
            (200, &[after, ("x-ratelimit-remaining", "0")], Some(30)),
            (200, &[after, ("x-ratelimit-remaining", "1")], None),
            (200, &[after, ("ratelimit", "\"day\";r=0;t=3")], Some(30)),
        ] {
            assert_eq!(wait(status, headers), expected, "{status} {headers:?}");
        }
        let begun = answer(202, &[after]);
        assert_eq!(poll_after(&begun, now()), Some(Duration::from_secs(30)));
        let forever = answer(202, &[("retry-after", "18446744073709551615")]);
        assert_eq!(poll_after(&forever, now()), Some(LONGEST));
        assert_eq!(poll_after(&answer(202, &[]), now()), None);
    }

    /// Each provider says it in its own way; none says it as long as something is left.
    #[test]
    fn what_is_used_up_is_known_by_its_headers() {
        for (headers, expected) in [
            (&[("retry-after", "7")][..], Some(7)),
            (
                &[("ratelimit", "\"default\";r=0;t=30, \"day\";r=5;t=999")],
                Some(30),
            ),
            (&[("ratelimit", "\"default\";r=1;t=30")], None),
            (
                &[("ratelimit-remaining", "0"), ("ratelimit-reset", "12")],
                Some(12),
            ),
            (
                &[
                    ("fastly-ratelimit-remaining", "0"),
                    ("fastly-ratelimit-reset", "1700000060"),
                ],
                Some(60),
            ),
            (
                &[
                    ("fastly-ratelimit-remaining", "9"),
                    ("fastly-ratelimit-reset", "1700000060"),
                ],
                None,
            ),
            (
                &[
                    ("x-ratelimit-remaining", "0"),
                    ("x-ratelimit-reset", "1600000000"),
                ],
                Some(0),
            ),
            (&[("retry-after", "999999")], Some(3_600)),
            (&[("retry-after", "18446744073709551615")], Some(3_600)),
            (&[("retry-after", "soon"), ("ratelimit", "nonsense")], None),
            (&[], None),
        ] {
            assert_eq!(wait(429, headers), expected, "{headers:?}");
        }
    }
}
