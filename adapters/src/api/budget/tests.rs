//! Buckets by the second, over restarts, and shared.

use tempfile::TempDir;

use super::*;

fn rates() -> Rates {
    let second = Duration::from_secs(1);
    [
        ("calls".to_owned(), Rate::new(5, second, 3, 1)),
        ("urls".to_owned(), Rate::new(100, second, 50, 1)),
        (
            "a-day".to_owned(),
            Rate::new(100, Duration::from_hours(24), 100, 1),
        ),
    ]
    .into()
}

fn draw(unit: &'static str, amount: u32) -> Draw {
    Draw { unit, amount }
}

/// The moments, in milliseconds from `now`, at which each of so many draws can be made.
fn waits(levels: &mut Levels, now: Moment, draws: &[Draw], times: usize) -> Vec<u128> {
    let mut at = now;
    let mut waits = Vec::new();
    for _ in 0..times {
        if let Some((turn, _)) = levels.lacks(&rates(), draws, at) {
            at = turn;
        }
        levels.draw(&rates(), draws, at);
        waits.push(at.since(now).as_millis());
    }
    waits
}

/// A quiet account has its burst at once, and then as much as comes back.
#[test]
fn after_the_burst_calls_come_at_the_rate() {
    let now = Moment::now();
    let mut levels = Levels::default();
    assert_eq!(
        waits(&mut levels, now, &[draw("calls", 1)], 6),
        [0, 0, 0, 200, 400, 600]
    );
    let later = now.plus(Duration::from_secs(10));
    assert_eq!(
        waits(&mut levels, later, &[draw("calls", 1)], 4),
        [0, 0, 0, 200]
    );
}

/// What takes several units waits for the scarcest; what is not counted waits for nothing.
#[test]
fn a_draw_waits_for_all_its_units() {
    let now = Moment::now();
    let mut levels = Levels::default();
    let both = [draw("calls", 1), draw("urls", 50), draw("moons", 7)];
    assert_eq!(waits(&mut levels, now, &both, 3), [0, 500, 1_000]);
    let (_, lacking) = levels
        .lacks(&rates(), &both, now.plus(Duration::from_secs(1)))
        .unwrap();
    assert_eq!(lacking, ["urls"]);
}

/// A call with more items than the bucket holds goes out when it is full, and is paid back.
#[test]
fn more_than_the_bucket_holds_is_paid_back() {
    let now = Moment::now();
    let mut levels = Levels::default();
    assert_eq!(waits(&mut levels, now, &[draw("urls", 200)], 2), [0, 2_000]);
}

/// Who does not know what was drawn before him begins without: a successor does not double what the provider gets. A day's
/// quota, which the provider counts itself, begins full.
#[test]
fn a_successor_begins_without() {
    let now = Moment::now();
    let mut levels = Levels::begin(&rates(), now);
    assert_eq!(waits(&mut levels, now, &[draw("calls", 1)], 2), [200, 400]);
    assert_eq!(levels.lacks(&rates(), &[draw("a-day", 100)], now), None);
}

/// The provider's own wish and its own count hold, where they say less than we do.
#[test]
fn what_the_provider_says_holds() {
    let now = Moment::now();
    let mut levels = Levels::default();
    levels.at_most(&rates(), &draw("calls", 1), now);
    assert_eq!(waits(&mut levels, now, &[draw("calls", 1)], 2), [0, 200]);
    levels.at_most(&rates(), &draw("calls", 3), now);
    assert_eq!(waits(&mut levels, now, &[draw("calls", 1)], 1), [400]);
    levels.hold(now.plus(Duration::from_secs(7)));
    levels.hold(now.plus(Duration::from_secs(3)));
    assert_eq!(levels.held(now), Some(now.plus(Duration::from_secs(7))));
    assert_eq!(levels.held(now.plus(Duration::from_secs(7))), None);
}

/// A clock that was set back by a day makes nobody wait for a day.
#[test]
fn a_clock_that_was_set_back_is_survived() {
    let now = Moment::now();
    let mut levels = Levels::default();
    let tomorrow = now.plus(Duration::from_hours(24));
    levels.draw(&rates(), &[draw("calls", 3)], tomorrow);
    levels.hold(tomorrow);
    levels.correct(&rates(), now);
    let (at, _) = levels.lacks(&rates(), &[draw("calls", 3)], now).unwrap();
    assert!(at <= now.plus(QUOTA), "{at:?}");
    assert!(levels.held_until <= now.plus(HOLD_LIMIT));
}

/// Two replicas with one folder have one bucket between them, and a restart goes on with it.
#[test]
fn who_shares_a_file_shares_the_bucket() {
    let folder = TempDir::new().unwrap();
    let file = Some(folder.path().join("deep").join("account"));
    let slow: Rates = [(
        "calls".to_owned(),
        Rate::new(1, Duration::from_mins(10), 3, 1),
    )]
    .into();
    let take = |purse: &mut Purse| {
        let now = Moment::now();
        purse.with(|levels, rates| {
            let lacks = levels.lacks(rates, &[draw("calls", 1)], now).is_some();
            if !lacks {
                levels.draw(rates, &[draw("calls", 1)], now);
            }
            !lacks
        })
    };
    let mut one = Purse::open(slow.clone(), file.clone());
    one.with(|levels, _| levels.full_at.insert("calls".to_owned(), Moment::now()));
    let mut other = Purse::open(slow.clone(), file.clone());
    let taken = [&mut one, &mut other].map(|purse| [take(purse), take(purse)]);
    assert_eq!(taken, [[true, true], [true, false]]);
    assert!(!take(&mut Purse::open(slow, file)));
}

/// A bucket that begins empty fills, however often somebody looks.
#[test]
fn an_empty_bucket_fills() {
    let folder = TempDir::new().unwrap();
    let file = Some(folder.path().join("account"));
    let one: Rates = [(
        "calls".to_owned(),
        Rate::new(1, Duration::from_hours(1), 1, 1),
    )]
    .into();
    let mut purse = Purse::open(one, file);
    let mut is_empty = |at: Moment| {
        purse.with(|levels, rates| levels.lacks(rates, &[draw("calls", 1)], at).is_some())
    };
    assert!(is_empty(Moment::now()));
    let looked = Moment::now();
    for _ in 0..3 {
        assert!(is_empty(looked));
    }
    assert!(!is_empty(looked.plus(Duration::from_hours(1))));
}

/// Adapters without a common folder divide what there is.
#[test]
fn who_cannot_share_divides() {
    let rate = Rate::new(10, Duration::from_secs(1), 10, 2);
    assert_eq!(rate.time_of(5), nanos(Duration::from_secs(1)));
}

/// What was drawn while the file could not be used was drawn, for all who have it.
#[test]
fn a_file_that_comes_back_gives_nothing_back() {
    let folder = TempDir::new().unwrap();
    let (way, file) = (folder.path().join("way"), folder.path().join("way/account"));
    std::fs::write(&way, "no folder").unwrap();
    let mut apart = Purse::open(rates(), Some(file.clone()));
    let day = [draw("a-day", 100)];
    apart.with(|levels, rates| levels.draw(rates, &day, Moment::now()));
    std::fs::remove_file(&way).unwrap();
    let mut other = Purse::open(rates(), Some(file));
    let is_left = |purse: &mut Purse| {
        purse.with(|levels, rates| levels.lacks(rates, &day, Moment::now()).is_none())
    };
    assert!(is_left(&mut other));
    assert!(!is_left(&mut apart));
    assert!(!is_left(&mut other));
}

/// A file that cannot be used leaves what the process knows itself.
#[test]
fn a_broken_file_is_done_without() {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("account"), "no json").unwrap();
    let mut purse = Purse::open(rates(), Some(folder.path().join("account")));
    assert!(purse.with(|levels, _| levels.full_at.contains_key("calls")));
    let file = Some(folder.path().join("account").join("below"));
    let mut purse = Purse::open(rates(), file);
    purse.with(|levels, rates| levels.draw(rates, &[draw("calls", 3)], Moment::now()));
    let lacks = purse.with(|levels, rates| levels.lacks(rates, &[draw("calls", 1)], Moment::now()));
    assert!(lacks.is_some());
}
