//! Times and durations as people type them.

use std::time::Duration;

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// A moment as it was typed.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Moment {
    /// A time.
    At(OffsetDateTime),
    /// So long from now.
    In(Duration),
}

impl Moment {
    /// The moment, where it is `now`.
    pub(crate) fn from(self, now: OffsetDateTime) -> Result<OffsetDateTime, String> {
        match self {
            Self::At(moment) => Ok(moment),
            Self::In(duration) => time::Duration::try_from(duration)
                .ok()
                .and_then(|duration| now.checked_add(duration))
                .ok_or_else(|| "that long is beyond all times".to_owned()),
        }
    }
}

/// Reads a time or a duration.
pub(crate) fn moment(text: &str) -> Result<Moment, String> {
    if let Ok(moment) = OffsetDateTime::parse(text, &Rfc3339) {
        return Ok(Moment::At(moment));
    }
    humantime::parse_duration(text)
        .map(Moment::In)
        .map_err(|_| {
            "must be a time such as 2026-01-31T06:00:00Z, or a duration such as 90s or 2h"
                .to_owned()
        })
}
