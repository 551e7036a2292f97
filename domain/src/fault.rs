//! Why something did not happen, on whose side, and whether another try makes sense.
//!
//! Invariant: whoever sees the failure decides about the retry, there and once; every loop above only obeys.

use serde::{Deserialize, Serialize};

use crate::limits::FAULT_MESSAGE_LENGTH;

/// A failure with its own answer to "again?".
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "Told")]
pub struct Fault {
    /// What kind of failure.
    pub code: FaultCode,
    /// Whose side it is on.
    pub side: Side,
    /// Whether another try makes sense.
    pub again: Again,
    /// The native system's own words, or ours, shortened and without control characters.
    pub message: String,
}

/// A fault as somebody else wrote it: its message is anything.
#[derive(Deserialize)]
struct Told {
    code: FaultCode,
    side: Side,
    again: Again,
    message: String,
}

impl From<Told> for Fault {
    fn from(told: Told) -> Self {
        Self::new(told.code, told.side, told.again, &told.message)
    }
}

/// Kinds of failure; the words are part of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultCode {
    /// No connection to the server or system.
    Unreachable,
    /// Connected, but no answer in time.
    TimedOut,
    /// The native system's own access rules said no.
    Refused,
    /// The credentials were not accepted.
    Unauthorized,
    /// Too many calls.
    Throttled,
    /// The native system said that it failed.
    NativeError,
    /// An answer that the dialect does not know.
    UnreadableAnswer,
    /// The adapter's own configuration does not allow this address.
    AddressNotAllowed,
    /// The order could not be read or asks for a dialect that the adapter does not have.
    UnreadableOrder,
    /// The origin answered with an error while loading.
    OriginError,
    /// The server failed so often of late that the adapter leaves it alone for a while.
    CircuitOpen,
    /// The adapter's configuration lacks what the call needs: a value of the account, a credential.
    NotConfigured,
    /// The adapter's clock is off, so that what it signs is refused.
    ClockOff,
    /// The native system took it, and what the cache serves afterwards is nevertheless older than the command.
    NotVerified,
    /// Servers of one execution failed for several reasons; each has its own fault.
    Several,
}

/// Whose side a failure is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The command cannot be carried out as it is.
    Originator,
    /// The participant's system or its adapter.
    Participant,
    /// The customer's origin server.
    Origin,
    /// The federation's own broker.
    Federation,
}

/// Whether another try makes sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Again {
    /// It would fail the same way.
    Never,
    /// Yes, at the loop's own pace.
    Soon,
    /// Yes, but not before so many seconds, as the native system asked.
    AfterSeconds(u32),
}

impl Fault {
    /// A fault on the participant's side; the message is cleaned and shortened.
    pub fn participant(code: FaultCode, again: Again, message: &str) -> Self {
        Self::new(code, Side::Participant, again, message)
    }

    /// A fault; the message is cleaned and shortened.
    pub fn new(code: FaultCode, side: Side, again: Again, message: &str) -> Self {
        let clean = message.chars().map(|character| {
            if character.is_control() {
                ' '
            } else {
                character
            }
        });
        let message = clean
            .take(FAULT_MESSAGE_LENGTH)
            .collect::<String>()
            .trim()
            .to_owned();
        Self {
            code,
            side,
            again,
            message,
        }
    }

    /// The one fault that stands for several: itself when they agree in code, side and words, `several` otherwise.
    pub fn fold<'a>(faults: impl IntoIterator<Item = &'a Self>) -> Option<Self> {
        let mut faults = faults.into_iter();
        let first = faults.next()?;
        let mut others = 0_usize;
        let mut alike = true;
        for fault in faults {
            others += 1;
            alike &= fault.code == first.code && fault.side == first.side;
        }
        if alike {
            return Some(first.clone());
        }
        let message = format!(
            "{} servers failed in different ways, one with: {}",
            others + 1,
            first.message
        );
        Some(Self::new(
            FaultCode::Several,
            Side::Participant,
            Again::Never,
            &message,
        ))
    }
}

impl FaultCode {
    /// The word for people, messages and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::TimedOut => "timed_out",
            Self::Refused => "refused",
            Self::Unauthorized => "unauthorized",
            Self::Throttled => "throttled",
            Self::NativeError => "native_error",
            Self::UnreadableAnswer => "unreadable_answer",
            Self::AddressNotAllowed => "address_not_allowed",
            Self::UnreadableOrder => "unreadable_order",
            Self::OriginError => "origin_error",
            Self::CircuitOpen => "circuit_open",
            Self::NotConfigured => "not_configured",
            Self::ClockOff => "clock_off",
            Self::NotVerified => "not_verified",
            Self::Several => "several",
        }
    }
}

impl Side {
    /// The word for people and messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Originator => "originator",
            Self::Participant => "participant",
            Self::Origin => "origin",
            Self::Federation => "federation",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A native system's error page may be anything; what is kept is short and safe to print.
    #[test]
    fn a_message_is_cleaned_and_shortened() {
        let fault = Fault::participant(
            FaultCode::NativeError,
            Again::Soon,
            &"<html>\r\n\u{1b}[31m".repeat(500),
        );
        assert!(fault.message.chars().count() <= FAULT_MESSAGE_LENGTH);
        assert!(!fault.message.chars().any(char::is_control));
    }

    /// Ten servers refused by the same rule are one fault; a refusal and a time-out are several.
    #[test]
    fn faults_that_agree_fold_into_one() {
        let refused = Fault::participant(FaultCode::Refused, Again::Never, "403");
        let late = Fault::participant(FaultCode::TimedOut, Again::Soon, "no answer");
        assert_eq!(Fault::fold([&refused, &refused]), Some(refused.clone()));
        assert_eq!(
            Fault::fold([&refused, &late]).map(|fault| fault.code),
            Some(FaultCode::Several)
        );
        assert_eq!(Fault::fold([]), None);
    }
}
