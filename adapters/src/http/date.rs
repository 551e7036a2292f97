//! The date of an answer, and a wait until a date as one of so many seconds.
//!
//! Invariant: a wait is reckoned by the answerer's own clock where it says what that shows.

use std::time::SystemTime;

use time::{PrimitiveDateTime, format_description::BorrowedFormatItem, macros::format_description};

/// RFC 9110, 5.6.7: the one form that is sent today.
const DATE: &[BorrowedFormatItem<'_>] = format_description!(
    "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
);

/// What a date in a header says.
pub(crate) fn read(text: &str) -> Option<SystemTime> {
    let date = PrimitiveDateTime::parse(text.trim(), DATE).ok()?;
    Some(date.assume_utc().into())
}

/// The headers, with `Retry-After` in seconds where it was a date (RFC 9110, 10.2.3). What is over is `0`.
pub(super) fn in_seconds(
    mut headers: Vec<(String, String)>,
    now: SystemTime,
) -> Vec<(String, String)> {
    let theirs = headers.iter().find(|(name, _)| name == "date");
    let now = theirs.and_then(|(_, date)| read(date)).unwrap_or(now);
    for (name, value) in &mut headers {
        if name == "retry-after"
            && let Some(at) = read(value)
        {
            let rest = at.duration_since(now).unwrap_or_default();
            *value = rest.as_secs().to_string();
        }
    }
    headers
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn wait(headers: &[(&str, &str)], now: SystemTime) -> String {
        let headers = headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let headers = in_seconds(headers.collect(), now);
        headers
            .into_iter()
            .find(|(name, _)| name == "retry-after")
            .unwrap()
            .1
    }

    /// By the answerer's clock, or else by ours; what is no date stays as it is.
    #[test]
    fn a_date_becomes_seconds() {
        let at = ("retry-after", "Sun, 06 Nov 1994 08:50:37 GMT");
        let date = ("date", "Sun, 06 Nov 1994 08:49:37 GMT");
        let ours = read("Sun, 06 Nov 1994 08:50:30 GMT").unwrap();
        assert_eq!(wait(&[date, at], ours), "60");
        assert_eq!(wait(&[at], ours), "7");
        assert_eq!(wait(&[at], ours + Duration::from_mins(1)), "0");
        for other in ["12", "soon"] {
            assert_eq!(wait(&[date, ("retry-after", other)], ours), other);
        }
    }
}
