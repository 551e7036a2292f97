//! Whether a signature was refused because this machine's clock is off.
//!
//! Invariant: only what a signature's time decides is explained by the clock, and only where the provider's own `Date`
//! says that it is off; the provider's words stay in the fault.

use std::time::{Duration, SystemTime};

use dialects::{Answer, Authentication};
use domain::{
    Fault,
    fault::{Again, FaultCode},
};

use super::speaker::Proof;
use crate::http::date;

/// The fault of a call, explained by the clock where that is why.
pub(super) fn explain(fault: Fault, how: &Proof, answer: &Answer, now: SystemTime) -> Fault {
    let (Some(tolerance), 400 | 401 | 403) = (tolerance(how), answer.status) else {
        return fault;
    };
    let Some(theirs) = answer.header("date").and_then(date::read) else {
        return fault;
    };
    let (off, word) = match now.duration_since(theirs) {
        Ok(ahead) => (ahead, "ahead of"),
        Err(behind) => (behind.duration(), "behind"),
    };
    if off <= tolerance {
        return fault;
    }
    let message = format!(
        "this adapter's clock is {} s {word} the provider's, so its signatures are refused: {}",
        off.as_secs(),
        fault.message
    );
    Fault::participant(FaultCode::ClockOff, Again::Never, &message)
}

/// How far off a signature's time may be: Akamai takes 30 seconds ("Authenticate with EdgeGrid"), Amazon 5 minutes
/// ("Signature Version 4", eligible requests), Alibaba 15 minutes ("Signature method", time stamps).
fn tolerance(how: &Proof) -> Option<Duration> {
    let seconds = match how {
        Proof::Known(Authentication::EdgeGrid) => 30,
        Proof::Known(Authentication::SigV4 { .. }) => 5 * 60,
        Proof::Known(Authentication::AlibabaRpc) => 15 * 60,
        Proof::Known(Authentication::None | Authentication::Header { .. })
        | Proof::Header { .. } => return None,
    };
    Some(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explained(how: &Proof, status: u16, off_seconds: u64) -> Fault {
        let fault = Fault::participant(
            FaultCode::Unauthorized,
            Again::Never,
            "no: Invalid timestamp",
        );
        let answer = Answer {
            status,
            headers: vec![(
                "date".to_owned(),
                "Sun, 06 Nov 1994 08:49:37 GMT".to_owned(),
            )],
            body: String::new(),
        };
        let theirs = date::read("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
        explain(
            fault,
            how,
            &answer,
            theirs + Duration::from_secs(off_seconds),
        )
    }

    /// An operator reads that the clock is off, by how much, and what the provider said.
    #[test]
    fn a_clock_that_is_off_is_named() {
        let edgegrid = Proof::Known(Authentication::EdgeGrid);
        let fault = explained(&edgegrid, 401, 312);
        assert_eq!(fault.code, FaultCode::ClockOff);
        assert!(fault.message.contains("312 s ahead of"), "{fault:?}");
        assert!(fault.message.contains("Invalid timestamp"), "{fault:?}");
    }

    /// What the time does not decide is not put down to the clock.
    #[test]
    fn another_refusal_stays_what_it_is() {
        let edgegrid = Proof::Known(Authentication::EdgeGrid);
        let token = Proof::Known(Authentication::Header {
            name: "authorization",
            prefix: "",
        });
        for (how, status, off) in [
            (&edgegrid, 401, 20),
            (&edgegrid, 500, 900),
            (&token, 401, 900),
        ] {
            let fault = explained(how, status, off);
            assert_eq!(fault.code, FaultCode::Unauthorized, "{how:?} {status}");
        }
    }
}
