//! Words and figures for people: durations, times, names of codes.
//!
//! Invariant: pure; the same value always reads the same.

use std::time::Duration;

use prost_types::Timestamp;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tonic::Code;

/// `12 ms`, `1.4 s`, `2 min 3 s`.
pub(crate) fn duration(duration: Duration) -> String {
    let millis = duration.as_millis();
    let seconds = duration.as_secs();
    match seconds {
        0 if millis > 0 => format!("{millis} ms"),
        0..60 if duration.subsec_millis() == 0 => format!("{seconds} s"),
        0..60 => format!("{:.1} s", duration.as_secs_f64()),
        _ => format!("{} min {} s", seconds / 60, seconds % 60),
    }
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
    }
}
