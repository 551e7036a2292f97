//! How `fedctl` ended, as a number for scripts.
//!
//! Invariant: the numbers never change their meaning; `--help` documents them.

use proto::v1::{Overall, Standing};
use tonic::Code;

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// What was asked is done, as far as anybody can know.
    Done,
    /// It is not.
    Failed,
    /// The request was malformed or names what does not exist.
    Usage,
    /// Done at some participants, not at others.
    Partly,
    /// The caller may not.
    NotAllowed,
    /// Not settled yet; it goes on without us.
    StillRunning,
}

/// What the broker said last.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Answer<'a> {
    /// How the command stands.
    Standing(&'a Standing),
    /// An error.
    Error(Code),
}

impl Exit {
    /// The one place where an answer becomes an exit code.
    pub(crate) fn of(answer: Answer<'_>) -> Self {
        match answer {
            Answer::Standing(standing) if !standing.settled => Self::StillRunning,
            Answer::Standing(standing) => match standing.overall() {
                Overall::Complete | Overall::Processed => Self::Done,
                Overall::Partial => Self::Partly,
                Overall::Failed | Overall::Cancelled => Self::Failed,
                Overall::Unspecified | Overall::Pending | Overall::Active => Self::StillRunning,
            },
            Answer::Error(Code::InvalidArgument | Code::NotFound) => Self::Usage,
            Answer::Error(Code::Unauthenticated | Code::PermissionDenied) => Self::NotAllowed,
            Answer::Error(_) => Self::Failed,
        }
    }

    /// The number.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Partly => 3,
            Self::NotAllowed => 4,
            Self::StillRunning => 5,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code_of(overall: Overall, settled: bool) -> u8 {
        let standing = Standing {
            overall: overall.into(),
            settled,
            ..Standing::default()
        };
        Exit::of(Answer::Standing(&standing)).code()
    }

    /// A script asks only the number: each settled standing has one, and `processed` counts as done.
    #[test]
    fn a_settled_standing_has_its_number() {
        assert_eq!(code_of(Overall::Complete, true), 0);
        assert_eq!(code_of(Overall::Processed, true), 0);
        assert_eq!(code_of(Overall::Failed, true), 1);
        assert_eq!(code_of(Overall::Cancelled, true), 1);
        assert_eq!(code_of(Overall::Partial, true), 3);
    }

    /// A participant has failed already and another is still at work: the answer is not known yet.
    #[test]
    fn what_is_not_settled_is_still_running_whatever_it_looks_like() {
        for overall in [Overall::Pending, Overall::Active, Overall::Partial] {
            assert_eq!(code_of(overall, false), 5);
        }
    }

    /// The broker's refusals are told apart: a wrong request, a caller who may not, and everything else.
    #[test]
    fn an_error_of_the_broker_has_its_number() {
        let code_of = |code| Exit::of(Answer::Error(code)).code();
        assert_eq!(code_of(Code::InvalidArgument), 2);
        assert_eq!(code_of(Code::NotFound), 2);
        assert_eq!(code_of(Code::Unauthenticated), 4);
        assert_eq!(code_of(Code::PermissionDenied), 4);
        assert_eq!(code_of(Code::Unavailable), 1);
        assert_eq!(code_of(Code::FailedPrecondition), 1);
    }
}
