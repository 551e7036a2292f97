//! What looking through a cache shows: a sighting from an answer, and what several of them prove.
//!
//! Invariant: `verified` needs proof, and so does the opposite; what is neither is undecided. A clock that is off, a missing
//! header or a weak validator make a case undecided, never decided the wrong way.
//! Not here: asking, waiting and telling again (`adapters::verify`); what a proof means for the outcome (`domain::proof`).
//!
//! What is known of an object's age, strongest first:
//! 1. `Age` (RFC 9111, 4.2.3) counts the seconds since the origin made or confirmed it. Older than the command is stale,
//!    whatever else the answer says: a cache that asked a parent which still has the old object says `MISS`.
//!    An origin whose clock is slow makes every answer look old; then its `Date` moves on with our clock from one sighting
//!    to the next, which a stored answer's does not.
//! 2. The same `Date` as long before, on the same object, is the same stored answer.
//! 3. Another object than the one before the command is not that one.
//! 4. The cache's own word that it asked its origin.

mod hit;

use std::time::Duration;

use domain::{Timestamp, proof::Sighting, verification::Expect};

use crate::{Answer, http};

/// By how much `Age` and a clock may be off: caches count whole seconds, some from the `Date` of the answer.
const SECOND: Duration = Duration::from_secs(1);
/// The same for two of them.
const TWO_SECONDS: Duration = Duration::from_secs(2);
/// Characters of a header that a sighting keeps.
const HEADER_LENGTH: usize = 100;

/// When the command was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Told {
    /// Before the first call.
    pub began: Timestamp,
    /// After the last answer.
    pub ended: Timestamp,
}

/// What the sightings of one URL at one place show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judgement {
    /// It was done.
    Proven,
    /// It was not.
    Refuted(String),
    /// They show neither; telling again and looking later may.
    Undecided(String),
    /// They show nothing, and will not however often somebody looks.
    Nothing(String),
    /// The answers are not about the content.
    Unseen(String),
}

/// An answer as it was seen; `hash` is of what was read of its body.
pub fn sighting(answer: &Answer, at: Timestamp, hash: String) -> Sighting {
    let short = |name: &str| {
        let value = answer.header(name)?;
        Some(value.chars().take(HEADER_LENGTH).collect::<String>())
    };
    Sighting {
        at,
        before: false,
        status: answer.status,
        etag: short("etag"),
        last_modified: short("last-modified"),
        age: answer.header("age").and_then(|age| age.trim().parse().ok()),
        date: answer.header("date").and_then(http::moment),
        hit: hit::said(answer),
        vary: short("vary"),
        hash,
    }
}

/// Judges the two sightings `after` a command; `earlier` are those before them, of which the ones before the command are
/// marked so.
pub fn judge(expect: Expect, told: Told, earlier: &[Sighting], after: [&Sighting; 2]) -> Judgement {
    if let Some(why) = after.iter().find_map(|seen| not_the_content(seen)) {
        return Judgement::Unseen(why);
    }
    let [first, second] = after;
    match expect {
        Expect::Held => judge_held(first, second),
        Expect::Refreshed => match (look(told, earlier, first), look(told, earlier, second)) {
            (Judgement::Proven, Judgement::Undecided(_)) if is_same(first, second) => {
                Judgement::Proven
            }
            // The first may have been served stale, and made the cache ask again.
            (_, second) => second,
        },
        Expect::Gone => match (look(told, earlier, first), look(told, earlier, second)) {
            (Judgement::Refuted(why), _) | (_, Judgement::Refuted(why)) => Judgement::Refuted(why),
            // It is the one that the first look brought in.
            (Judgement::Proven, Judgement::Undecided(_)) if is_same(first, second) => {
                Judgement::Proven
            }
            (Judgement::Proven, second) => second,
            (first, _) => first,
        },
    }
}

/// Why a URL that stands for more shows nothing of that, whatever the cache says of it: there is nothing, as far as was seen.
pub fn nothing_there(earlier: &[Sighting], after: [&Sighting; 2]) -> Option<String> {
    let mut all = earlier.iter().chain(after);
    let is_nowhere = all.all(|seen| (400..=499).contains(&seen.status));
    let status = after[1].status;
    let when = if earlier.iter().any(|seen| seen.before) {
        "before and after"
    } else {
        "and nobody looked before"
    };
    is_nowhere.then(|| {
        format!("it answers {status}, {when}: where there is nothing, nothing is shown of what else is meant")
    })
}

/// Whether one answer is younger than the command.
fn look(told: Told, earlier: &[Sighting], seen: &Sighting) -> Judgement {
    if let Some(age) = seen.age.map(Duration::from_secs) {
        let since = seen.at.since(told.began);
        if age >= since + SECOND {
            if earlier.iter().any(|before| is_live(before, seen, age)) {
                return Judgement::Proven;
            }
            return Judgement::Refuted(format!(
                "an answer {} s old was served {} s after the command",
                age.as_secs(),
                since.as_secs()
            ));
        }
        if age + SECOND <= seen.at.since(told.ended) {
            return Judgement::Proven;
        }
    }
    let before = earlier.iter().filter(|sighting| sighting.before);
    let before: Vec<&Sighting> = before.collect();
    if before
        .iter()
        .any(|before| is_same_answer(told, before, seen))
    {
        return Judgement::Refuted("the very answer from before the command was served".to_owned());
    }
    if !before.is_empty() && !before.iter().any(|before| is_same(before, seen)) {
        return Judgement::Proven;
    }
    match seen.hit {
        Some(false) => Judgement::Proven,
        Some(true) => Judgement::Undecided(
            "the cache holds what it may have had before, and does not say since when".to_owned(),
        ),
        None => Judgement::Undecided(
            "nothing in the answer says whether it is older than the command".to_owned(),
        ),
    }
}

/// A load is proven by the cache's word that it has it: the second time at the latest.
fn judge_held(first: &Sighting, second: &Sighting) -> Judgement {
    if !(200..=299).contains(&second.status) {
        return Judgement::Refuted(format!("it answers {}", second.status));
    }
    match (second.hit, second.age) {
        (Some(false), _) => Judgement::Refuted("the cache had to ask its origin again".to_owned()),
        _ if !is_same(first, second) => {
            Judgement::Undecided("it served two different objects in a row".to_owned())
        }
        (Some(true), _) => Judgement::Proven,
        // Only what is stored has an age, and the same `Date` twice.
        (None, Some(_)) if second.date.is_some() && first.date == second.date => Judgement::Proven,
        (None, _) => Judgement::Undecided(
            "nothing in the answer says whether it came from the cache".to_owned(),
        ),
    }
}

/// Why an answer is not about the content: somebody on the way speaks, or sends us elsewhere.
fn not_the_content(seen: &Sighting) -> Option<String> {
    let about = match seen.status {
        300..=399 => "sends us elsewhere",
        401 | 403 | 405 | 407 | 408 | 421 | 425 | 429 => "does not let us look",
        500.. => "has trouble of its own",
        _ => return None,
    };
    Some(format!("it answers {}: it {about}", seen.status))
}

/// The same object, as far as can be seen. Of two `ETag`s the opaque part counts: a cache that compresses makes a strong
/// one weak (RFC 9110, 8.8.3.2). Without them all else must agree.
fn is_same(one: &Sighting, other: &Sighting) -> bool {
    if one.status != other.status {
        return false;
    }
    let opaque = |seen: &Sighting| {
        let etag = seen.etag.as_deref()?;
        Some(etag.strip_prefix("W/").unwrap_or(etag).to_owned())
    };
    match (opaque(one), opaque(other)) {
        (Some(one), Some(other)) => one == other,
        _ => one.hash == other.hash && one.last_modified == other.last_modified,
    }
}

/// The answer that was stored before the command: the origin's clock would have moved on since.
fn is_same_answer(told: Told, before: &Sighting, seen: &Sighting) -> bool {
    let is_old = told.began.since(before.at) >= TWO_SECONDS;
    is_old && before.date.is_some() && before.date == seen.date && is_same(before, seen)
}

/// Whether the origin answered both times itself, and only its clock makes the answer look `age` old.
fn is_live(before: &Sighting, seen: &Sighting, age: Duration) -> bool {
    let (Some(then), Some(now)) = (before.date, seen.date) else {
        return false;
    };
    let passed = seen.at.since(before.at);
    let explained = apart(seen.at.since(now), age) <= TWO_SECONDS;
    // It ran as long as ours, and long enough not to have stood still.
    let ran = passed > TWO_SECONDS && apart(now.since(then), passed) <= TWO_SECONDS;
    seen.hit != Some(true) && explained && ran
}

fn apart(one: Duration, other: Duration) -> Duration {
    one.abs_diff(other)
}

#[cfg(test)]
mod tests;
