//! How long the origin's headers say that an answer stays fresh.
//!
//! Invariant: only what the answer says counts; there is no clock here, so a date is compared with the answer's own.
//! Not here: what a cache makes of an answer that says nothing; each dialect knows its own.

use domain::Timestamp;

use super::answers::directives;
use crate::Answer;

/// The months as HTTP writes them, March first: so a leap day is a year's last.
const MONTHS: [&str; 12] = [
    "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec", "Jan", "Feb",
];

/// The beginning of 1970 in seconds since the first of March of the year 0.
const EPOCH: u64 = 719_468 * 86_400;

/// The seconds for which a shared cache may serve an answer (RFC 9111, 4.2.1); `None` where the origin does not say.
/// What cannot be read is none at all.
pub(crate) fn explicit_freshness(answer: &Answer) -> Option<u64> {
    let control = directives(answer, "cache-control");
    let age = |name: &str| control.iter().find_map(|said| said.strip_prefix(name));
    if let Some(age) = age("s-maxage=").or_else(|| age("max-age=")) {
        return Some(age.trim_matches('"').parse().unwrap_or(0));
    }
    let expires = answer.header("expires")?;
    let Some(expires) = seconds(expires) else {
        return Some(0);
    };
    // Every cache sends a date; without one nothing says that the answer is old.
    let date = answer.header("date").and_then(seconds).unwrap_or(0);
    Some(expires.saturating_sub(date))
}

/// The same as a moment.
pub(crate) fn moment(date: &str) -> Option<Timestamp> {
    let since_1970 = seconds(date)?.checked_sub(EPOCH)?;
    Some(Timestamp::from_millis(since_1970.checked_mul(1_000)?))
}

/// A date in HTTP's form, `Sun, 06 Nov 1994 08:49:37 GMT`, as seconds since the first of March of the year 0.
/// The two obsolete forms (RFC 9110, 5.6.7) are not read.
fn seconds(date: &str) -> Option<u64> {
    let (_, date) = date.trim().split_once(", ")?;
    let [day, month, year, time, "GMT"] = date.split(' ').collect::<Vec<_>>()[..] else {
        return None;
    };
    let [hours, minutes, seconds] = time.split(':').collect::<Vec<_>>()[..] else {
        return None;
    };
    let number = |text: &str| text.parse::<u32>().ok().map(u64::from);
    let month = MONTHS.iter().position(|name| *name == month)?;
    // January and February belong to the year before.
    let year = number(year)?.checked_sub(u64::from(month >= 10))?;
    let leap_days = year / 4 - year / 100 + year / 400;
    let days_of_months = (u64::try_from(month).ok()? * 153 + 2) / 5;
    let days = year * 365 + leap_days + days_of_months + number(day)?.checked_sub(1)?;
    Some(((days * 24 + number(hours)?) * 60 + number(minutes)?) * 60 + number(seconds)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    fn freshness(headers: &[(&str, &str)]) -> Option<u64> {
        explicit_freshness(&fixture::answer(200, headers))
    }

    /// What is meant for shared caches goes first, then what is meant for all, then the older header.
    #[test]
    fn the_most_special_header_counts() {
        let expires = ("expires", "Thu, 01 Jan 2026 00:01:00 GMT");
        let date = ("date", "Wed, 31 Dec 2025 23:59:00 GMT");
        let max = ("cache-control", "public, max-age=30, s-maxage=40");
        assert_eq!(freshness(&[max, expires, date]), Some(40));
        assert_eq!(
            freshness(&[("cache-control", "max-age=30"), expires, date]),
            Some(30)
        );
        assert_eq!(
            freshness(&[("cache-control", "public"), expires, date]),
            Some(120)
        );
        assert_eq!(freshness(&[("cache-control", "public"), date]), None);
    }

    /// A date in the past, and what is no date at all, say that nothing is fresh.
    #[test]
    fn an_old_or_unreadable_date_is_no_freshness() {
        let date = ("date", "Sun, 01 Mar 2026 00:00:00 GMT");
        for (expires, fresh) in [
            ("Sat, 28 Feb 2026 23:59:59 GMT", 0),
            ("Sun, 01 Mar 2026 00:00:01 GMT", 1),
            ("Wed, 01 Mar 2028 00:00:00 GMT", 731 * 86_400),
            ("0", 0),
            ("-1", 0),
            ("Thu, 01 Foo 2026 00:00:00 GMT", 0),
        ] {
            let seen = freshness(&[date, ("expires", expires)]);
            assert_eq!(seen, Some(fresh), "{expires}");
        }
        assert_eq!(freshness(&[("cache-control", "max-age=soon")]), Some(0));
    }
}
