//! One call, tried until it is done or another try makes no sense.
//!
//! Invariant: the fault decides whether to try again, the limits whether there is time; and what may not be repeated is
//! tried again only while the native system has certainly not heard of it.
//! Not here: sending (`http`) and waiting: this only decides.

use std::time::{Duration, Instant};

use dialects::Verdict;
use domain::{
    Fault,
    fault::{Again, FaultCode},
};
use service::backoff::{Backoff, BackoffSettings};

/// What came of one try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reply {
    /// The native system answered, and the dialect judged it.
    Judged(Verdict),
    /// Nothing was sent.
    Unsent(Fault),
    /// It was sent, and no whole answer came: it may have been done.
    Lost(Fault),
}

/// How a call ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    /// With an answer, the last of them.
    Judged(Verdict),
    /// Nothing was sent in the last try.
    Failed(Fault),
    /// The last try was sent, and had no whole answer.
    Lost(Fault),
    /// Without one, and it may not be repeated to find out.
    Unknown,
}

/// What to do after a try.
#[derive(Debug)]
pub(crate) enum Next {
    /// Try again after a pause, because of this.
    Again(Duration, Fault),
    /// It has ended.
    Ended(End),
}

/// The limits of all tries of one call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AttemptLimits {
    /// How many.
    pub(crate) attempts: u32,
    /// For how long, pauses included.
    pub(crate) total_time: Duration,
    /// The pauses.
    pub(crate) pause: BackoffSettings,
}

/// The tries of one call.
#[derive(Debug)]
pub(crate) struct Attempt {
    limits: AttemptLimits,
    repeatable: bool,
    ends_at: Instant,
    pauses: Backoff,
    made: u32,
}

impl Attempt {
    /// Before the first try. No try begins after `until`, whatever the limits say.
    pub(crate) fn new(limits: AttemptLimits, repeatable: bool, until: Option<Instant>) -> Self {
        let own = Instant::now() + limits.total_time;
        Self {
            limits,
            repeatable,
            ends_at: until.map_or(own, |until| until.min(own)),
            pauses: Backoff::new(limits.pause),
            made: 0,
        }
    }

    /// How many tries were made.
    pub(crate) fn made(&self) -> u32 {
        self.made
    }

    /// Whether a try at that moment would still be in time.
    pub(crate) fn has_time_until(&self, moment: Instant) -> bool {
        moment <= self.ends_at
    }

    /// Decides after a try.
    pub(crate) fn next(&mut self, reply: Reply) -> Next {
        if !is_throttled(&reply) {
            self.made += 1;
        }
        let pause = match &reply {
            Reply::Judged(Verdict::Failed { fault, .. }) | Reply::Lost(fault)
                if self.repeatable =>
            {
                self.pause(fault)
            }
            Reply::Unsent(fault) => self.pause(fault),
            Reply::Judged(_) | Reply::Lost(_) => None,
        };
        match (pause, reply) {
            (
                Some(pause),
                Reply::Judged(Verdict::Failed { fault, .. })
                | Reply::Lost(fault)
                | Reply::Unsent(fault),
            ) => Next::Again(pause, fault),
            (_, Reply::Judged(verdict)) => Next::Ended(End::Judged(verdict)),
            (_, Reply::Lost(_)) if !self.repeatable => Next::Ended(End::Unknown),
            (_, Reply::Unsent(fault)) => Next::Ended(End::Failed(fault)),
            (_, Reply::Lost(fault)) => Next::Ended(End::Lost(fault)),
        }
    }

    /// The pause before another try, where the fault wants one and the limits allow it.
    fn pause(&mut self, fault: &Fault) -> Option<Duration> {
        if self.made >= self.limits.attempts {
            return None;
        }
        let own = self.pauses.next_delay();
        let pause = match fault.again {
            Again::Never => return None,
            Again::Soon => own,
            // Not all of us at the same moment.
            Again::AfterSeconds(seconds) => Duration::from_secs(seconds.into()) + own,
        };
        self.has_time_until(Instant::now() + pause).then_some(pause)
    }
}

/// Whether it was told to wait: that is no failure, and only the time limits how often.
fn is_throttled(reply: &Reply) -> bool {
    let (Reply::Judged(Verdict::Failed { fault, .. }) | Reply::Unsent(fault)) = reply else {
        return false;
    };
    fault.code == FaultCode::Throttled && fault.again != Again::Never
}

#[cfg(test)]
mod tests {
    use domain::{Evidence, Finding};

    use super::*;

    fn attempt(repeatable: bool) -> Attempt {
        let pause = BackoffSettings {
            first: Duration::from_millis(100),
            max: Duration::from_secs(1),
            factor: 2.0,
        };
        let limits = AttemptLimits {
            attempts: 3,
            total_time: Duration::from_secs(20),
            pause,
        };
        Attempt::new(limits, repeatable, None)
    }

    fn fault(again: Again) -> Fault {
        Fault::participant(FaultCode::NativeError, again, "no")
    }

    fn refused(again: Again) -> Reply {
        Reply::Judged(Verdict::Failed {
            fault: fault(again),
            finding: None,
        })
    }

    fn pause(next: Next) -> Duration {
        match next {
            Next::Again(pause, _) => pause,
            Next::Ended(end) => panic!("{end:?}"),
        }
    }

    fn end(next: Next) -> End {
        match next {
            Next::Again(pause, fault) => panic!("again after {pause:?}: {fault:?}"),
            Next::Ended(end) => end,
        }
    }

    /// The fault says that another try makes sense, until the tries are used up.
    #[test]
    fn a_fault_that_wants_another_try_gets_as_many_as_there_are() {
        let mut attempt = attempt(true);
        assert!(pause(attempt.next(refused(Again::Soon))) <= Duration::from_millis(100));
        assert!(
            pause(attempt.next(Reply::Unsent(fault(Again::Soon)))) <= Duration::from_millis(200)
        );
        let last = end(attempt.next(Reply::Lost(fault(Again::Soon))));
        assert_eq!((last, attempt.made()), (End::Lost(fault(Again::Soon)), 3));
    }

    /// What would fail the same way is not tried again, and what is done is done.
    #[test]
    fn what_is_final_ends_at_once() {
        let never = refused(Again::Never);
        assert!(matches!(
            end(attempt(true).next(never)),
            End::Judged(Verdict::Failed { .. })
        ));
        let done = Verdict::Done {
            evidence: Evidence::Reported,
            finding: Finding::NothingHeld,
        };
        assert_eq!(
            end(attempt(true).next(Reply::Judged(done.clone()))),
            End::Judged(done)
        );
    }

    /// The server's own wish is kept where there is time, and otherwise we give up at once instead of waiting in vain.
    #[test]
    fn a_wish_for_a_pause_is_kept_or_ends_it() {
        assert!(
            pause(attempt(true).next(refused(Again::AfterSeconds(7)))) >= Duration::from_secs(7)
        );
        assert!(matches!(
            end(attempt(true).next(refused(Again::AfterSeconds(60)))),
            End::Judged(_)
        ));
    }

    /// Who is told to wait waits as long as there is time, however often.
    #[test]
    fn being_told_to_wait_uses_up_no_try() {
        let mut attempt = attempt(true);
        let throttled = || {
            let fault = Fault::participant(FaultCode::Throttled, Again::Soon, "slow down");
            Reply::Judged(Verdict::Failed {
                fault,
                finding: None,
            })
        };
        for _ in 0..10 {
            pause(attempt.next(throttled()));
        }
        assert_eq!(attempt.made(), 0);
    }

    /// What may not be repeated is told at most once: only what was never sent is sent again.
    #[test]
    fn what_may_not_be_repeated_is_sent_again_only_if_it_was_not_sent() {
        let mut attempt = attempt(false);
        pause(attempt.next(Reply::Unsent(fault(Again::Soon))));
        assert_eq!(
            end(attempt.next(Reply::Lost(fault(Again::Soon)))),
            End::Unknown
        );
        assert!(matches!(
            end(attempt.next(refused(Again::Soon))),
            End::Judged(_)
        ));
    }
}
