//! A call that came to nothing: what was answered, and what may have happened all the same.
//!
//! Invariant: what the broker may have carried out is never reported as surely undone.

use std::{error::Error, fmt, io, path::Path, sync::Arc};

use rustls::{CertificateError, InvalidMessage};
use tonic::{Code, Status};

/// A call that came to nothing.
#[derive(Debug)]
pub(crate) struct Refusal {
    /// The last answer.
    pub(crate) status: Status,
    /// Whether an earlier try may have been carried out, and only its answer was lost.
    pub(crate) is_repeated: bool,
}

/// No broker was reached, so none was sent anything.
#[derive(Debug)]
pub(crate) struct Unreached(Vec<String>);

impl Unreached {
    /// Where this is why a call ended.
    pub(crate) fn of(status: &Status) -> Option<&Self> {
        causes(status).find_map(|cause| cause.downcast_ref())
    }

    /// A call that ended so, with the reason of each broker.
    pub(super) fn status(code: Code, reasons: Vec<String>) -> Status {
        let mut status = Status::new(code, "no broker was reached");
        status.set_source(Arc::new(Self(reasons)));
        status
    }

    /// Each broker's reason, where there are several.
    pub(crate) fn each(&self) -> Vec<String> {
        match self.0.as_slice() {
            [_] => Vec::new(),
            each => each.to_vec(),
        }
    }
}

impl fmt::Display for Unreached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [only] => write!(f, "{only}; nothing was sent"),
            each => write!(
                f,
                "none of {} brokers can be reached; nothing was sent",
                each.len()
            ),
        }
    }
}

impl Error for Unreached {}

/// Why this broker was not reached, where it was not: nobody listens, or somebody else, or its certificate does not count.
pub(super) fn unreached(status: &Status, url: &str, ca: Option<&Path>) -> Option<String> {
    causes(status).find_map(|cause| match tls_error(cause) {
        Some(rustls::Error::InvalidCertificate(
            CertificateError::UnknownIssuer | CertificateError::BadSignature,
        )) => Some(match ca {
            Some(file) => format!("the certificate of {url} is not signed by --ca {}", file.display()),
            None => format!(
                "the certificate of {url} is of no authority that this system trusts; name it with --ca"
            ),
        }),
        Some(rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType)) => {
            Some(format!("what listens at {url} does not speak TLS"))
        }
        Some(rustls::Error::InvalidCertificate(why)) => {
            Some(format!("the certificate of {url} does not count: {why}"))
        }
        _ if is_unreached(cause) => {
            let why = last(cause).to_string().to_lowercase();
            let why = why.split(" (os error").next().unwrap_or_default();
            Some(format!("cannot connect to {url}: {why}"))
        }
        _ => None,
    })
}

fn tls_error<'a>(cause: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    let within = || cause.downcast_ref::<io::Error>()?.get_ref()?.downcast_ref();
    cause.downcast_ref().or_else(within)
}

fn last<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    error.source().map_or(error, last)
}

/// Whether the broker may have carried out a call that ended so.
pub(crate) fn is_uncertain(status: &Status) -> bool {
    may_have_been_lost(status.code())
        && Unreached::of(status).is_none()
        && !causes(status).any(is_unreached)
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
    // The gRPC client names what it was about, in words alone.
    let is_name = cause.to_string() == "dns error";
    is_name
        || matches!(
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
    use super::*;

    fn caused_by(source: impl Error + Send + Sync + 'static) -> Status {
        let mut status = Status::unavailable("transport error");
        status.set_source(Arc::new(source));
        status
    }

    /// Where nobody listens, that is said with the address, and of several brokers of each.
    #[test]
    fn who_is_not_reached_is_named() {
        let refused = caused_by(io::Error::from(io::ErrorKind::ConnectionRefused));
        let why = unreached(&refused, "https://127.0.0.1:1", None);
        let why = why.expect("nobody listens");
        assert_eq!(
            why,
            "cannot connect to https://127.0.0.1:1: connection refused"
        );
        let one = Unreached::status(Code::Unavailable, vec![why.clone()]);
        assert!(!is_uncertain(&one));
        let one = Unreached::of(&one).expect("is its source");
        assert_eq!(one.to_string(), format!("{why}; nothing was sent"));
        let two = Unreached::status(Code::Unavailable, vec![why.clone(), "b".to_owned()]);
        let two = Unreached::of(&two).expect("is its source");
        assert_eq!(two.each(), [why, "b".to_owned()]);
        let reset = caused_by(io::Error::from(io::ErrorKind::ConnectionReset));
        assert_eq!(unreached(&reset, "https://a", None), None);
    }

    /// A strange authority is known by the option that names the own one.
    #[test]
    fn an_unknown_issuer_names_the_file() {
        let unknown = rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let status = caused_by(io::Error::new(io::ErrorKind::InvalidData, unknown));
        assert_eq!(
            unreached(&status, "https://b", Some(Path::new("ca.pem"))).as_deref(),
            Some("the certificate of https://b is not signed by --ca ca.pem")
        );
    }

    /// A port of something else is known by its first byte.
    #[test]
    fn what_does_not_speak_tls_is_named() {
        let other = rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType);
        let status = caused_by(io::Error::new(io::ErrorKind::InvalidData, other));
        let why = unreached(&status, "https://c", None);
        assert_eq!(
            why.as_deref(),
            Some("what listens at https://c does not speak TLS")
        );
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
