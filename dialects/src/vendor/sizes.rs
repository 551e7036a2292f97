//! How much one call to a provider holds: what the provider says of most accounts, and what a participant's record says of its own.
//!
//! Invariant: a record's number counts for that participant alone, and never past what no account has. What it does not name
//! is as the provider says.
//! Not here: how often an account is called (`budget`).

use domain::{NativeLimits, limits};

use super::Limits;

/// The unit of a body's length.
pub const BYTES: &str = "bytes";

/// Below this a single URL of the greatest length may be too long.
const FEWEST_BYTES: u32 = 8_192;
/// What one participant is told for a command is no longer than that.
#[expect(
    clippy::cast_possible_truncation,
    reason = "4 MiB fits, and no conversion is one of constants"
)]
const MOST_BYTES: u32 = limits::ORDER_BYTES as u32;

/// The longest that stands for `{execution}`: a UUID, `_`, a participant, `-` and a number of a call.
const EXECUTION_BYTES: usize = 36 + 1 + limits::ID_LENGTH + 1 + 10;
/// What stands for `{execution:uuid}`.
const UUID_BYTES: usize = 36;

/// Bytes of a body when the adapter has filled it in, at most: but for the values of the account, which only the adapter knows.
pub(crate) fn filled(body: &str) -> usize {
    let places = [
        ("{execution}", EXECUTION_BYTES),
        ("{execution:uuid}", UUID_BYTES),
    ];
    let more = places.map(|(place, bytes)| {
        let count = body.matches(place).count();
        count * bytes.saturating_sub(place.len())
    });
    body.len() + more.iter().sum::<usize>()
}

/// How much of one unit a call holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// What is counted: `urls`, `tags`, …, or [`BYTES`].
    pub unit: &'static str,
    /// So many where the participant's record says nothing; as many as there are where this is `None`.
    pub usual: Option<u32>,
    /// No record may say more.
    pub most: u32,
    /// Who says so.
    pub source: &'static str,
}

/// A body of a provider that publishes no length.
pub(crate) const ANY_BODY: Size = Size {
    unit: BYTES,
    usual: None,
    most: MOST_BYTES,
    source: "ours: no number is published, and an order ends at 4 MiB",
};

/// One thing a call, for everybody.
pub(crate) const fn alone(unit: &'static str, source: &'static str) -> Size {
    exactly(unit, 1, source)
}

/// The same for every account.
pub(crate) const fn exactly(unit: &'static str, amount: u32, source: &'static str) -> Size {
    Size {
        unit,
        usual: Some(amount),
        most: amount,
        source,
    }
}

impl Size {
    /// No record may say less.
    pub fn least(&self) -> u32 {
        if self.unit == BYTES { FEWEST_BYTES } else { 1 }
    }
}

/// What one call has room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Room {
    /// So many items.
    pub(crate) items: usize,
    /// A body of so many bytes.
    pub(crate) bytes: usize,
}

impl Room {
    /// For one item, however long.
    pub(crate) const ONE: Self = Self {
        items: 1,
        bytes: usize::MAX,
    };
}

/// A record says a limit that its participant cannot have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BrokenLimit {
    /// There is no such unit; the rule.
    Unit(String),
    /// It is too little or too much; the rule.
    Amount(String),
}

impl Limits {
    /// What a call for items of this unit has room for, at a participant with limits of its `own`.
    pub(crate) fn room(&self, unit: &str, own: &NativeLimits) -> Room {
        Room {
            items: self.most(unit, own),
            bytes: self.most(BYTES, own),
        }
    }

    fn most(&self, unit: &str, own: &NativeLimits) -> usize {
        let size = self.sizes.iter().find(|size| size.unit == unit);
        let amount = size.and_then(|size| {
            let own = own.get(unit);
            // An order keeps what it was planned with, and the bounds may be narrower by now.
            own.map(|amount| amount.clamp(size.least(), size.most))
                .or(size.usual)
        });
        amount.map_or(usize::MAX, |amount| {
            usize::try_from(amount).unwrap_or(usize::MAX)
        })
    }

    /// Whether a record may say so much of a unit.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub fn check(&self, unit: &str, amount: u32) -> Result<(), BrokenLimit> {
        let Some(size) = self.sizes.iter().find(|size| size.unit == unit) else {
            let units: Vec<_> = self.sizes.iter().map(|size| size.unit).collect();
            return Err(BrokenLimit::Unit(format!(
                "must be one of {}",
                units.join(", ")
            )));
        };
        let (least, most) = (size.least(), size.most);
        if (least..=most).contains(&amount) {
            return Ok(());
        }
        let source = size.source;
        let rule = format!("must be {least} to {most} for `{unit}` ({source})");
        Err(BrokenLimit::Amount(rule))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::all;

    fn own(unit: &str, amount: u32) -> NativeLimits {
        [(unit.to_owned(), amount)].into_iter().collect()
    }

    /// Every default is one that a record could say, has its source, and no unit is there twice.
    #[test]
    fn every_default_is_within_its_bounds() {
        for dialect in all() {
            let sizes = dialect.limits().sizes;
            for (index, size) in sizes.iter().enumerate() {
                let unit = size.unit;
                // Who breaks a limit reads its source alone.
                let is_whole = !size.source.is_empty() && !size.source.contains("the same page");
                assert!(is_whole, "{} {unit}: {}", dialect.name(), size.source);
                assert!(sizes[..index].iter().all(|other| other.unit != unit));
                let usual = size.usual.unwrap_or(size.most);
                assert_eq!(dialect.limits().check(unit, usual), Ok(()), "{unit}");
            }
        }
    }

    /// A record's number counts between the bounds, and only of its own unit; what is said of no unit changes nothing.
    #[test]
    fn a_records_number_counts_between_the_bounds() {
        const LIMITS: Limits = Limits {
            sizes: &[
                Size {
                    unit: "urls",
                    usual: Some(100),
                    most: 500,
                    source: "a page",
                },
                ANY_BODY,
            ],
            ..Limits::NONE
        };
        let items = |own: &NativeLimits| LIMITS.room("urls", own).items;
        assert_eq!(items(&NativeLimits::NONE), 100);
        assert_eq!(items(&own("urls", 500)), 500);
        assert_eq!(items(&own("urls", 7)), 7);
        assert_eq!(items(&own("urls", 9_000)), 500);
        assert_eq!(items(&own("urls", 0)), 1);
        assert_eq!(items(&own("tags", 7)), 100);
        let bytes = |own: &NativeLimits| LIMITS.room("urls", own).bytes;
        assert_eq!(bytes(&NativeLimits::NONE), usize::MAX);
        assert_eq!(bytes(&own("bytes", 9_000)), 9_000);
        assert_eq!(LIMITS.check("bytes", 8_192), Ok(()));
        for (unit, amount, rule) in [
            (
                "files",
                1,
                BrokenLimit::Unit("must be one of urls, bytes".to_owned()),
            ),
            (
                "urls",
                501,
                BrokenLimit::Amount("must be 1 to 500 for `urls` (a page)".to_owned()),
            ),
        ] {
            assert_eq!(LIMITS.check(unit, amount), Err(rule));
        }
        for (unit, amount) in [("urls", 0), ("bytes", 8_191), ("bytes", u32::MAX)] {
            assert!(LIMITS.check(unit, amount).is_err(), "{unit} {amount}");
        }
    }

    /// Whatever is put in counts as long as it may be, as often as it is put in; any other brace is only a brace.
    #[test]
    fn a_place_counts_as_what_will_stand_there() {
        let longest = format!(
            "01890a5d-ac96-774b-bcce-b302099a8057_{}-4294967295",
            "b".repeat(63)
        );
        let uuid = "d720e32d-4765-5177-b65b-42dd7f6e6445";
        for (body, sent) in [
            (
                "<a>{execution}</a>{execution}",
                format!("<a>{longest}</a>{longest}"),
            ),
            (
                r#"{"id":"{execution:uuid}"}"#,
                format!(r#"{{"id":"{uuid}"}}"#),
            ),
            ("{a} {execution", "{a} {execution".to_owned()),
        ] {
            assert_eq!(filled(body), sent.len(), "{body}");
        }
    }
}
