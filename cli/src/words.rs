//! Words and figures for people: durations, times, names of codes.
//!
//! Invariant: pure; the same value always reads the same.

use std::time::{Duration, SystemTime};

use prost_types::Timestamp;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tonic::Code;

/// Characters of what was typed that a message repeats.
const QUOTED_MAXIMUM: usize = 80;

/// `12 ms`, `1.4 s`, `2 min 3 s`, `5 h 12 min`, `3 d 4 h`.
pub(crate) fn duration(duration: Duration) -> String {
    let millis = duration.as_millis();
    let seconds = duration.as_secs();
    match seconds {
        0 if millis > 0 => format!("{millis} ms"),
        0..60 if duration.subsec_millis() == 0 => format!("{seconds} s"),
        0..60 => format!("{:.1} s", duration.as_secs_f64()),
        60..3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}

/// How long ago a moment was, in whole seconds; nothing when it is still to come.
pub(crate) fn since(time: &Timestamp, now: SystemTime) -> Option<Duration> {
    let past = OffsetDateTime::from(now) - moment(time)?;
    Duration::try_from(past)
        .ok()
        .map(|past| Duration::from_secs(past.as_secs()))
}

/// How long something took that was tried so often; nothing where it was not tried.
pub(crate) fn took(millis: u64, attempts: u32) -> String {
    match (millis, attempts) {
        (0, 0) => String::new(),
        (0, _) => "< 1 ms".to_owned(),
        _ => duration(Duration::from_millis(millis)),
    }
}

/// What a person typed, as far as a message has room for it.
pub(crate) fn short(text: &str) -> String {
    match text.char_indices().nth(QUOTED_MAXIMUM) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// A message without the rest of every URL that is too long for it.
pub(crate) fn short_urls(text: &str) -> String {
    let word = |word: &str| {
        if word.contains("://") {
            short(word)
        } else {
            word.to_owned()
        }
    };
    text.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

/// `1 server`, `3 servers`.
pub(crate) fn count(number: usize, noun: &str) -> String {
    match number {
        1 => format!("1 {noun}"),
        _ => format!("{number} {noun}s"),
    }
}

/// RFC 3339, for scripts.
pub(crate) fn rfc3339(time: &Timestamp) -> Option<String> {
    moment(time)?.format(&Rfc3339).ok()
}

/// `2025-11-22 16:03:11`, from RFC 3339.
pub(crate) fn readable(time: &str) -> String {
    time.get(..19).unwrap_or(time).replacen('T', " ", 1)
}

/// `2025-11-22 16:03:11.250`, from RFC 3339.
pub(crate) fn precise(time: &str) -> String {
    let fraction = time.get(19..).and_then(|rest| rest.strip_prefix('.'));
    let digits = fraction.unwrap_or_default().chars();
    let digits: String = digits.take_while(char::is_ascii_digit).take(3).collect();
    format!("{}.{digits:0<3}", readable(time))
}

fn moment(time: &Timestamp) -> Option<OffsetDateTime> {
    let whole = OffsetDateTime::from_unix_timestamp(time.seconds).ok()?;
    whole.checked_add(time::Duration::nanoseconds(time.nanos.into()))
}

/// The code as gRPC's documents write it.
pub(crate) const fn code(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A duration is written in the unit that a person would choose.
    #[test]
    fn durations_read_well() {
        let read = |millis| duration(Duration::from_millis(millis));
        assert_eq!(read(0), "0 s");
        assert_eq!(read(12), "12 ms");
        assert_eq!(read(1_440), "1.4 s");
        assert_eq!(read(5_000), "5 s");
        assert_eq!(read(123_000), "2 min 3 s");
        assert_eq!(read(18_720_000), "5 h 12 min");
        assert_eq!(read(275_000_000), "3 d 4 h");
    }

    /// What is too quick for the clock was done all the same; what was not tried took no time.
    #[test]
    fn less_than_a_millisecond_is_said() {
        assert_eq!(took(0, 1), "< 1 ms");
        assert_eq!(took(0, 0), "");
        assert_eq!(took(12, 1), "12 ms");
    }

    /// A URL of 100 kB is known by its beginning.
    #[test]
    fn a_long_url_is_cut() {
        let url = format!("https://www.example.com/{}", "ä".repeat(100_000));
        let said = short_urls(&format!("{url} is too long"));
        assert_eq!(said.chars().count(), 81 + " is too long".len());
        assert!(said.ends_with("ä… is too long"), "{said}");
        assert_eq!(short("https://a/"), "https://a/");
    }

    /// However many digits a moment has, it is shown with three below the second.
    #[test]
    fn a_moment_reads_to_the_millisecond() {
        assert_eq!(
            precise("2025-11-22T16:03:11.25Z"),
            "2025-11-22 16:03:11.250"
        );
        assert_eq!(precise("2025-11-22T16:03:11Z"), "2025-11-22 16:03:11.000");
        assert_eq!(
            precise("2025-11-22T16:03:11.123456Z"),
            "2025-11-22 16:03:11.123"
        );
    }

    /// What is to come has not been for any time.
    #[test]
    fn the_time_since_a_moment_is_never_negative() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_millis(10_500);
        let at = |seconds| Timestamp { seconds, nanos: 0 };
        assert_eq!(since(&at(4), now), Some(Duration::from_secs(6)));
        assert_eq!(since(&at(11), now), None);
    }
}
