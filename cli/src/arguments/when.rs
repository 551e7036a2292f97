//! When a command may begin, and until when.
//!
//! Invariant: what was typed becomes moments once, so every try of one submission says the same.

mod moment;

use std::time::{Duration, SystemTime};

use clap::Args;
use prost_types::Timestamp;
use time::OffsetDateTime;

use crate::failure::Failure;
use moment::{Moment, moment};

/// Clocks differ, and a script takes its time.
const PAST_SECONDS_MAXIMUM: i64 = 60;
const HEADING: &str = "When (at once, and however late, unless one of these)";

/// When a command may begin, and until when.
#[derive(Debug, Args)]
pub(crate) struct When {
    /// Nobody is told before: a time such as 2026-01-31T06:00:00Z, or so long from now, such as 2h; best with --no-wait
    #[arg(long, value_name = "TIME", help_heading = HEADING, value_parser = moment)]
    not_before: Option<Moment>,
    /// What has not begun within so long, such as 90s or 10m, is never begun; counted from --not-before, where given
    #[arg(long, value_name = "DURATION", help_heading = HEADING, value_parser = humantime::parse_duration)]
    expire_in: Option<Duration>,
    /// What has not begun by then is never begun: a time, or so long from now
    #[arg(long, value_name = "TIME", help_heading = HEADING, value_parser = moment, conflicts_with = "expire_in")]
    expire_at: Option<Moment>,
}

/// The moments between which a command may begin.
#[derive(Debug, PartialEq)]
pub(crate) struct Between {
    /// Not before.
    pub(crate) not_before: Option<Timestamp>,
    /// Not after.
    pub(crate) expire_time: Option<Timestamp>,
}

impl When {
    /// The moments, by this machine's clock where durations were typed.
    pub(crate) fn between(&self) -> Result<Between, Failure> {
        self.between_from(SystemTime::now().into())
    }

    fn between_from(&self, now: OffsetDateTime) -> Result<Between, Failure> {
        let not_before = self.not_before.map(|moment| moment.from(now));
        let not_before = not_before.transpose().map_err(Failure::Usage)?;
        let begins = not_before.map_or(now, |moment| moment.max(now));
        let expires = match (self.expire_at, self.expire_in) {
            (Some(moment), _) => Some(moment.from(now).map_err(Failure::Usage)?),
            (None, Some(duration)) => {
                Some(Moment::In(duration).from(begins).map_err(Failure::Usage)?)
            }
            (None, None) => None,
        };
        if self.expire_in.is_some_and(|duration| duration.is_zero()) {
            return Err(Failure::Usage(
                "--expire-in: must be longer than 0 s".to_owned(),
            ));
        }
        // Whether a typed time has passed is for the broker's clock to say.
        let earliest = not_before.or(self.expire_in.map(|_| now));
        if let (Some(earliest), Some(expires)) = (earliest, expires)
            && expires <= earliest
        {
            return Err(Failure::Usage(format!(
                "it would expire at {}, before it may begin at {}",
                text(expires),
                text(earliest)
            )));
        }
        Ok(Between {
            not_before: not_before.map(timestamp),
            expire_time: expires.map(timestamp),
        })
    }
}

/// Refuses a beginning that has passed: a slip in the date would otherwise be carried out at once.
pub(crate) fn check_beginning(not_before: Option<&Timestamp>) -> Result<(), Failure> {
    check_beginning_from(not_before, SystemTime::now().into())
}

fn check_beginning_from(
    not_before: Option<&Timestamp>,
    now: OffsetDateTime,
) -> Result<(), Failure> {
    let Some(begins) = not_before else {
        return Ok(());
    };
    if begins.seconds >= now.unix_timestamp() - PAST_SECONDS_MAXIMUM {
        return Ok(());
    }
    let begins = crate::words::rfc3339(begins).unwrap_or_default();
    Err(Failure::Usage(format!(
        "--not-before: {begins} has passed; leave it out to begin at once"
    )))
}

fn timestamp(moment: OffsetDateTime) -> Timestamp {
    Timestamp {
        seconds: moment.unix_timestamp(),
        // Below a thousand million, as the type promises.
        nanos: i32::try_from(moment.nanosecond()).unwrap_or_default(),
    }
}

/// To the second, as people type it.
fn text(moment: OffsetDateTime) -> String {
    let whole = Timestamp {
        nanos: 0,
        ..timestamp(moment)
    };
    crate::words::rfc3339(&whole).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Typed {
        #[command(flatten)]
        when: When,
    }

    /// Seconds since 1970, where the clock of these tests stands at 1,000.
    fn between(words: &str) -> Result<(Option<i64>, Option<i64>), String> {
        let now = OffsetDateTime::from_unix_timestamp(1_000).expect("is a moment");
        let words = std::iter::once("fedctl").chain(words.split_whitespace());
        let typed = Typed::try_parse_from(words).map_err(|error| error.to_string())?;
        let between = typed.when.between_from(now);
        let between = between.map_err(|failure| failure.to_string())?;
        let seconds = |time: Option<Timestamp>| time.map(|time| time.seconds);
        Ok((seconds(between.not_before), seconds(between.expire_time)))
    }

    /// A time is a time whatever its zone; a duration counts from now, or from the beginning where there is one.
    #[test]
    fn times_and_durations_become_moments() {
        assert_eq!(between(""), Ok((None, None)));
        assert_eq!(
            between("--not-before 10m --expire-in 90s"),
            Ok((Some(1_600), Some(1_690)))
        );
        assert_eq!(between("--expire-in 2h"), Ok((None, Some(8_200))));
        assert_eq!(between("--expire-at 2h"), Ok((None, Some(8_200))));
        assert_eq!(
            between("--not-before 1970-01-01T01:30:00+01:00 --expire-at 1970-01-01T00:40:00Z"),
            Ok((Some(1_800), Some(2_400)))
        );
        // A beginning that has passed is no beginning.
        assert_eq!(
            between("--not-before 1970-01-01T00:00:00Z --expire-in 1m"),
            Ok((Some(0), Some(1_060)))
        );
    }

    /// A date of last year is a slip; half a minute ago is a script that took its time.
    #[test]
    fn a_beginning_that_has_passed_is_refused() {
        let now = OffsetDateTime::from_unix_timestamp(1_000).expect("is a moment");
        let check = |seconds| {
            let begins = Timestamp { seconds, nanos: 0 };
            check_beginning_from(Some(&begins), now)
        };
        assert!(check(941).is_ok());
        assert!(check(2_000).is_ok());
        let refused = check(930).expect_err("has passed").to_string();
        assert!(
            refused.starts_with("--not-before: 1970-01-01T00:15:30Z has passed"),
            "{refused}"
        );
        assert!(check_beginning_from(None, now).is_ok());
    }

    /// What is no time, what ends before it begins, two ends at once: each is said here.
    #[test]
    fn nonsense_is_refused() {
        for nonsense in [
            "--not-before tomorrow",
            "--not-before 2026-01-31",
            "--expire-at 10",
            "--expire-in forever",
            "--expire-in 0s",
            "--expire-in 5m --expire-at 2h",
            "--not-before 2h --expire-at 1h",
            "--expire-in 999999999999999years",
        ] {
            assert!(between(nonsense).is_err(), "{nonsense}");
        }
    }
}
