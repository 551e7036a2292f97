//! Words and figures for people: durations, times, names of codes.
//!
//! Invariant: pure; the same value always reads the same.

use std::time::{Duration, SystemTime};

use prost_types::Timestamp;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tonic::Code;

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

/// A time that was measured; nothing when it was not.
pub(crate) fn milliseconds(millis: u64) -> String {
    match millis {
        0 => String::new(),
        _ => duration(Duration::from_millis(millis)),
    }
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
