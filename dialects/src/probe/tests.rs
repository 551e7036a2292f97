//! What sightings prove, and what they do not.

use proptest::prelude::*;

use super::*;
use crate::fixture::answer;

/// When the command was told, in seconds of our clock.
const TOLD: u64 = 1_000_000;

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_millis(seconds * 1_000)
}

fn told() -> Told {
    Told {
        began: at(TOLD),
        ended: at(TOLD),
    }
}

/// Seen so many seconds after the command.
fn seen(after: u64) -> Sighting {
    Sighting {
        at: at(TOLD + after),
        before: false,
        status: 200,
        etag: None,
        last_modified: None,
        age: None,
        date: None,
        hit: None,
        vary: None,
        hash: "old".to_owned(),
    }
}

/// Seen so many seconds before the command.
fn seen_before(seconds: u64) -> Sighting {
    Sighting {
        at: at(TOLD - seconds),
        before: true,
        ..seen(0)
    }
}

fn gone(earlier: &[Sighting], after: &Sighting) -> Judgement {
    judge(Expect::Gone, told(), earlier, [after, after])
}

fn is_refuted(judgement: &Judgement) -> bool {
    matches!(judgement, Judgement::Refuted(_))
}

fn is_undecided(judgement: &Judgement) -> bool {
    matches!(judgement, Judgement::Undecided(_))
}

/// Older than the command is stale, even where the cache says that it asked: then its parent has the old one still.
#[test]
fn an_age_beyond_the_command_refutes() {
    for hit in [None, Some(true), Some(false)] {
        let old = Sighting {
            age: Some(60),
            hit,
            ..seen(3)
        };
        assert!(is_refuted(&gone(&[], &old)), "{hit:?}");
        let young = Sighting {
            age: Some(0),
            hit,
            ..seen(3)
        };
        assert_eq!(gone(&[], &young), Judgement::Proven, "{hit:?}");
    }
    // Whole seconds of two clocks: this may have been stored right before or right after.
    let between = Sighting {
        age: Some(3),
        hit: Some(true),
        ..seen(3)
    };
    assert!(is_undecided(&gone(&[seen_before(0)], &between)));
}

/// What was stored while many calls were made may be of a visitor who came after the one that mattered.
#[test]
fn what_was_stored_while_the_command_was_told_is_not_stale() {
    let long = Told {
        began: at(TOLD),
        ended: at(TOLD + 30),
    };
    let while_told = Sighting {
        age: Some(20),
        ..seen(33)
    };
    let judged = judge(Expect::Gone, long, &[], [&while_told, &while_told]);
    assert!(is_undecided(&judged), "{judged:?}");
}

/// Without an age the cache's word counts, or that it is another object than before.
#[test]
fn without_an_age_the_word_or_another_object_proves() {
    let before = [seen_before(10)];
    let word = |hit| Sighting { hit, ..seen(3) };
    assert_eq!(gone(&before, &word(Some(false))), Judgement::Proven);
    assert!(is_undecided(&gone(&before, &word(Some(true)))));
    assert!(is_undecided(&gone(&before, &word(None))));
    let other = Sighting {
        hash: "new".to_owned(),
        hit: Some(true),
        ..seen(3)
    };
    assert_eq!(gone(&before, &other), Judgement::Proven);
    assert!(
        is_undecided(&gone(&[], &other)),
        "nothing to compare it with"
    );
}

/// A later look of an earlier round is no look from before the command.
#[test]
fn only_what_was_seen_before_the_command_is_compared() {
    let round_before = Sighting {
        hash: "other".to_owned(),
        ..seen(0)
    };
    let held = Sighting {
        hit: Some(true),
        ..seen(5)
    };
    assert!(is_undecided(&gone(&[seen_before(10), round_before], &held)));
}

/// A stored answer keeps its date; a new one of a minute later cannot have it.
#[test]
fn the_same_date_long_after_refutes() {
    let dated = |sighting: Sighting| Sighting {
        date: Some(at(7)),
        ..sighting
    };
    assert!(is_refuted(&gone(
        &[dated(seen_before(60))],
        &dated(seen(3))
    )));
    // Within the same second a new answer has the same date.
    assert!(is_undecided(&gone(
        &[dated(seen_before(1))],
        &dated(seen(0))
    )));
}

/// A clock that is an hour off either way proves nothing by itself, and refutes nothing.
#[test]
fn a_clock_that_is_off_decides_nothing() {
    let hour = 3_600;
    for date in [TOLD - hour, TOLD + hour] {
        let skewed = Sighting {
            date: Some(at(date)),
            ..seen(3)
        };
        assert!(is_undecided(&gone(&[], &skewed)));
    }
    // A slow origin makes a cache say a great age of what it has just fetched (RFC 9111, 4.2.3).
    let fetched = |after: u64| Sighting {
        date: Some(at(TOLD + after - hour)),
        age: Some(hour),
        hit: Some(false),
        ..seen(after)
    };
    assert!(
        is_refuted(&gone(&[], &fetched(3))),
        "not known yet to be the clock"
    );
    assert_eq!(gone(&[fetched(0)], &fetched(4)), Judgement::Proven);
    // The same from a parent that has kept it: its date stands still.
    let kept = |after: u64| Sighting {
        date: Some(at(TOLD - hour)),
        age: Some(hour + after),
        ..fetched(after)
    };
    assert!(is_refuted(&gone(&[kept(0)], &kept(4))));
}

/// A cache that compresses weakens the validator, and another one may compress otherwise: it is the same object.
#[test]
fn weak_validators_are_compared_weakly() {
    let tagged = |etag: &str, hash: &str, sighting: Sighting| Sighting {
        etag: Some(etag.to_owned()),
        hash: hash.to_owned(),
        hit: Some(true),
        ..sighting
    };
    let before = [tagged("\"1\"", "plain", seen_before(9))];
    let same = tagged("W/\"1\"", "compressed", seen(3));
    assert!(is_undecided(&gone(&before, &same)));
    let other = tagged("W/\"2\"", "plain", seen(3));
    assert_eq!(gone(&before, &other), Judgement::Proven);
    let modified = Sighting {
        last_modified: Some("later".to_owned()),
        hit: Some(true),
        ..seen(3)
    };
    assert_eq!(gone(&[seen_before(9)], &modified), Judgement::Proven);
}

/// The second look must not bring the old one back, as one of several processes behind one address may.
#[test]
fn both_looks_count() {
    let fresh = Sighting {
        hit: Some(false),
        hash: "new".to_owned(),
        ..seen(3)
    };
    let old = Sighting {
        age: Some(100),
        hit: Some(true),
        ..seen(3)
    };
    let judged = |first: &Sighting, second: &Sighting| {
        judge(Expect::Gone, told(), &[seen_before(5)], [first, second])
    };
    assert!(is_refuted(&judged(&fresh, &old)));
    let held = Sighting {
        hit: Some(true),
        age: Some(0),
        ..fresh.clone()
    };
    assert_eq!(judged(&fresh, &held), Judgement::Proven);
}

/// Marked stale may serve once more, and no more than once.
#[test]
fn an_invalidated_object_may_serve_once_more() {
    let old = Sighting {
        age: Some(100),
        hit: Some(true),
        ..seen(3)
    };
    let new = Sighting {
        age: Some(1),
        hit: Some(true),
        ..seen(4)
    };
    let judged = |second: &Sighting| judge(Expect::Refreshed, told(), &[], [&old, second]);
    assert_eq!(judged(&new), Judgement::Proven);
    assert!(is_refuted(&judged(&old)));
}

/// A load is proven by the cache's word; the same validators twice are what an origin alone would send, too.
#[test]
fn a_load_is_proven_by_a_hit() {
    let judged = |second: &Sighting| judge(Expect::Held, told(), &[], [&seen(1), second]);
    let word = |hit| Sighting { hit, ..seen(1) };
    assert_eq!(judged(&word(Some(true))), Judgement::Proven);
    assert!(is_refuted(&judged(&word(Some(false)))));
    assert!(is_undecided(&judged(&word(None))));
    let missing = Sighting {
        status: 404,
        ..word(Some(true))
    };
    assert!(is_refuted(&judged(&missing)));
    let aged = Sighting {
        age: Some(1),
        date: Some(at(5)),
        ..seen(1)
    };
    assert_eq!(
        judge(Expect::Held, told(), &[], [&aged, &aged]),
        Judgement::Proven
    );
}

/// An error page, a redirect or a closed door show nothing of the content; that it is not there any more does.
#[test]
fn what_is_not_the_content_shows_nothing() {
    for status in [301, 304, 401, 403, 429, 500, 503] {
        let judged = gone(&[], &Sighting { status, ..seen(3) });
        assert!(
            matches!(judged, Judgement::Unseen(_)),
            "{status} {judged:?}"
        );
    }
    let removed = Sighting {
        status: 404,
        ..seen(3)
    };
    assert_eq!(gone(&[seen_before(3)], &removed), Judgement::Proven);
}

/// The head of an answer as it is kept. What is no number and no date is not there.
#[test]
fn an_answer_becomes_a_sighting() {
    let headers = [
        ("age", " 12 "),
        ("date", "Sun, 06 Nov 1994 08:49:37 GMT"),
        ("etag", "W/\"1\""),
        ("vary", "Accept-Encoding"),
        ("x-cache", "MISS"),
    ];
    let seen = sighting(&answer(200, &headers), at(1), "h".to_owned());
    assert_eq!(seen.age, Some(12));
    assert_eq!(seen.date, Some(at(784_111_777)));
    assert_eq!(
        (seen.hit, seen.vary.as_deref()),
        (Some(false), Some("Accept-Encoding"))
    );
    let long = "e".repeat(500);
    let broken = [
        ("age", "-1"),
        ("date", "yesterday"),
        ("etag", long.as_str()),
    ];
    let seen = sighting(&answer(200, &broken), at(1), "h".to_owned());
    assert_eq!((seen.age, seen.date), (None, None));
    assert_eq!(seen.etag.map(|etag| etag.len()), Some(HEADER_LENGTH));
}

fn any_sighting() -> impl Strategy<Value = Sighting> {
    let header = || prop::option::of("W?/?\"[ab]\"");
    let age = prop::option::of(0_u64..200);
    let date = prop::option::of((TOLD - 100..TOLD + 100).prop_map(at));
    let word = prop::option::of(any::<bool>());
    (header(), age, date, word, "[ab]", 0_u64..60).prop_map(
        |(etag, age, date, hit, hash, after)| Sighting {
            etag,
            age,
            date,
            hit,
            hash,
            ..seen(after)
        },
    )
}

proptest! {
    /// However the headers lie: an age that is surely beyond the command is never proof of a purge, unless the origin's
    /// clock explains it; and without any word, age or earlier look there is no proof at all.
    #[test]
    fn there_is_no_proof_without_a_sign(after in any_sighting()) {
        let judged = gone(&[], &after);
        let since = after.at.since(at(TOLD)).as_secs();
        if after.age.is_some_and(|age| age > since) {
            prop_assert!(is_refuted(&judged), "{judged:?}");
        }
        if after.age.is_none() && after.hit != Some(false) {
            prop_assert!(is_undecided(&judged), "{judged:?}");
        }
    }

    /// An object that was stored before the command and is served after it, by a cache that counts right, is never taken
    /// for purged, whatever its word is.
    #[test]
    fn a_kept_object_is_never_proven_gone(
        stored in 2_u64..100, first in 0_u64..30, hit in Just(Some(true)), with_age in any::<bool>(),
        off in 0_u64..10_000,
    ) {
        let stored_at = TOLD - stored;
        let kept = |seen: Sighting| Sighting {
            age: with_age.then(|| seen.at.since(at(stored_at)).as_secs()),
            date: Some(at(stored_at - off)),
            hit,
            ..seen
        };
        let (before, after) = (kept(seen_before(1)), kept(seen(first)));
        let judged = gone(&[before], &after);
        prop_assert_ne!(judged, Judgement::Proven);
    }
}

/// Where a sample is missing before and after, nothing is shown; where it went away, or came, something is.
#[test]
fn a_sample_that_is_nowhere_shows_nothing() {
    let with = |status, seen: Sighting| Sighting { status, ..seen };
    let (before, after) = (with(404, seen_before(5)), with(404, seen(5)));
    let gone = with(410, seen(6));
    let why = nothing_there(std::slice::from_ref(&before), [&after, &gone]).unwrap();
    assert!(why.starts_with("it answers 410, before and after"), "{why}");
    let why = nothing_there(&[], [&after, &gone]).unwrap();
    assert!(why.contains("nobody looked before"), "{why}");
    assert!(nothing_there(&[seen_before(5)], [&after, &gone]).is_none());
    assert!(nothing_there(&[before], [&after, &seen(6)]).is_none());
}
