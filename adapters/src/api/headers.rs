//! What providers say of their limits in headers of any answer.
//!
//! Invariant: only what says that nothing is left makes anybody wait, and never longer than a limit.
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
    let pairs = PAIRS.iter().filter(|(left, _)| number(left) == Some(0));
    let pairs = pairs.filter_map(|(_, reset)| number(reset));
    let retry_after = number("retry-after");
    let spans = pairs.chain(structured(answer)).chain(retry_after);
    let span = |number: u64| {
        if number < MOMENTS_FROM {
            return Duration::from_secs(number);
        }
        let at = UNIX_EPOCH.checked_add(Duration::from_secs(number));
        // A moment that no clock will ever show is as good as the longest wait.
        at.map_or(LONGEST, |at| at.duration_since(now).unwrap_or_default())
    };
    spans.map(span).max().map(|span| span.min(LONGEST))
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

    fn wait(headers: &[(&str, &str)]) -> Option<u64> {
        let headers = headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let answer = Answer {
            status: 200,
            headers: headers.collect(),
            body: String::new(),
        };
        let now = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        used_up(&answer, now).map(|span| span.as_secs())
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
            assert_eq!(wait(headers), expected, "{headers:?}");
        }
    }
}
