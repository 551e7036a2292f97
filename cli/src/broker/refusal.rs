//! A call that came to nothing: what was answered, and what may have happened all the same.
//!
//! Invariant: what the broker may have carried out is never reported as surely undone.

use std::{error::Error, io};

use tonic::{Code, Status};

/// A call that came to nothing.
#[derive(Debug)]
pub(crate) struct Refusal {
    /// The last answer.
    pub(crate) status: Status,
    /// Whether an earlier try may have been carried out, and only its answer was lost.
    pub(crate) is_repeated: bool,
}

/// Whether the broker may have carried out a call that ended so.
pub(crate) fn is_uncertain(status: &Status) -> bool {
    may_have_been_lost(status.code()) && !causes(status).any(is_unreached)
}

/// Whether a call that ended so says nothing about whether it was carried out.
pub(crate) const fn may_have_been_lost(code: Code) -> bool {
    matches!(
        code,
        Code::Unavailable
            | Code::Unknown
            | Code::DeadlineExceeded
            | Code::Internal
            | Code::Cancelled
    )
}

/// Nobody was there to carry anything out.
fn is_unreached(cause: &(dyn Error + 'static)) -> bool {
    let kind = cause.downcast_ref::<io::Error>().map(io::Error::kind);
    matches!(
        kind,
        Some(
            io::ErrorKind::ConnectionRefused
                | io::ErrorKind::HostUnreachable
                | io::ErrorKind::NetworkUnreachable
        )
    )
}

fn causes(status: &Status) -> impl Iterator<Item = &(dyn Error + 'static)> {
    std::iter::successors(status.source(), |cause: &&(dyn Error + 'static)| {
        (*cause).source()
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn caused_by(source: impl Error + Send + Sync + 'static) -> Status {
        let mut status = Status::unavailable("transport error");
        status.set_source(Arc::new(source));
        status
    }

    /// Where nobody listens nothing was done; a connection that broke may have carried the call.
    #[test]
    fn a_refused_connection_has_done_nothing() {
        let kind = |kind: io::ErrorKind| is_uncertain(&caused_by(io::Error::from(kind)));
        assert!(!kind(io::ErrorKind::ConnectionRefused));
        assert!(kind(io::ErrorKind::ConnectionReset));
        assert!(is_uncertain(&Status::unavailable("going down")));
        assert!(!is_uncertain(&Status::not_found("")));
    }
}
