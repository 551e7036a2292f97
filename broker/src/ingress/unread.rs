//! What tonic says of a request that it could not read, in our words: which field, which rule, with the details that every
//! error of ours has.
//!
//! Invariant: nothing else is touched. A status with details is ours, and one that is not about a request's bytes stays.

use http::HeaderMap;
use tonic::{Code, Status};

use crate::{error::Error, metrics::count_call_refused};

/// How tonic 0.14 begins to say that a request is longer than `limits.request_bytes`.
const TOO_LONG: &str = "Error, decoded message length too large";
/// And that it is no message, which the caller did.
const NO_MESSAGE: [&str; 5] = [
    "failed to decode Protobuf message",
    "protocol error: received message",
    "Error decompressing",
    "Missing request message",
    "Unexpected EOF decoding stream",
];

/// Puts our words into the end of a call, where it is about a request that could not be read.
pub(super) fn explain(headers: &mut HeaderMap, limit: usize) {
    let Some(status) = Status::from_header_map(headers) else {
        return;
    };
    if !status.details().is_empty() {
        return;
    }
    let is_malformed = || {
        let mut known = NO_MESSAGE.iter();
        known.any(|beginning| status.message().starts_with(beginning))
    };
    let rule = match status.code() {
        Code::OutOfRange if status.message().starts_with(TOO_LONG) => {
            format!("must be at most {limit} bytes (limits.request_bytes)")
        }
        Code::Internal if is_malformed() => {
            format!("must be a message of this call: {}", status.message())
        }
        _ => return,
    };
    count_call_refused("unread");
    // It fails only for a message that no header can hold, and then what tonic said stays.
    let _ = Status::from(Error::invalid("request", rule)).add_header(headers);
}

#[cfg(test)]
mod tests {
    use tonic_types::StatusExt as _;

    use super::*;

    fn explained(status: &Status) -> Status {
        let mut headers = HeaderMap::new();
        status.add_header(&mut headers).unwrap();
        explain(&mut headers, 4096);
        Status::from_header_map(&headers).unwrap()
    }

    /// The caller learns that it is the request as a whole, and the limit's name.
    #[test]
    fn what_cannot_be_read_is_said_in_our_words() {
        for (status, rule) in [
            (
                Status::out_of_range(format!("{TOO_LONG}: found 5000 bytes")),
                "limits.request_bytes",
            ),
            (
                Status::internal("failed to decode Protobuf message: invalid tag value: 0"),
                "invalid tag value",
            ),
        ] {
            let explained = explained(&status);
            assert_eq!(explained.code(), Code::InvalidArgument, "{explained}");
            let violations = explained
                .get_details_bad_request()
                .unwrap()
                .field_violations;
            assert_eq!(violations[0].field, "request");
            assert!(violations[0].description.contains(rule), "{violations:?}");
        }
    }

    /// What others say, and what we say ourselves, stays as it is.
    #[test]
    fn any_other_end_of_a_call_stays() {
        let ours = Status::from(Error::Interrupted);
        for status in [ours, Status::unimplemented("no such call"), Status::ok("")] {
            let same = explained(&status);
            assert_eq!(same.code(), status.code());
            assert_eq!(same.message(), status.message());
            assert_eq!(same.details(), status.details());
        }
    }
}
