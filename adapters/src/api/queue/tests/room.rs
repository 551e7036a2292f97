//! What may be under way at a time, and where.

use super::*;
use crate::api::desk::key_of;

/// However many wait for room or for time in one place, what goes elsewhere is found.
#[test]
fn who_waits_in_one_place_hides_nobody_behind() {
    let mut stage = Stage::new();
    let call = |scope: &str, number: usize| Wish {
        draws: vec![draw("paths", 2)],
        scope: scope.to_owned(),
        ..wish("a", &format!("{scope} {number}"))
    };
    stage.push("first", call("/full", 0));
    let going = stage.next().unwrap().1;
    stage.queue.under_way.begin("job".to_owned(), going.takes);
    stage
        .levels
        .hold_in("/held", stage.now.plus(Duration::from_mins(1)));
    for number in 1..=LOOK_AT {
        stage.push("full", call("/full", number));
        stage.push("held", call("/held", number));
    }
    stage.push("elsewhere", call("/d2", 0));
    assert_eq!(stage.names(), ["elsewhere"]);
}

/// Whoever takes more of what is under way has fewer turns, though it comes back with no time.
#[test]
fn who_takes_more_room_has_fewer_turns() {
    let mut stage = Stage::new();
    let takes = |flow, same, amount| Wish {
        draws: vec![draw("files", amount)],
        ..wish(flow, same)
    };
    for (name, wish) in [
        ("large", takes("a", "1", 3)),
        ("large", takes("a", "2", 3)),
        ("small", takes("b", "3", 1)),
        ("small", takes("b", "4", 1)),
        ("small", takes("b", "5", 1)),
    ] {
        stage.push(name, wish);
    }
    let order = [(); 5].map(|()| stage.names()[0]);
    assert_eq!(order, ["large", "small", "small", "small", "large"]);
}

/// Room is given back when nobody asks after a job any more, and not when one of several leaves it.
#[test]
fn room_is_held_as_long_as_somebody_asks_after_its_job() {
    let known = [("paths".to_owned(), 1)].into();
    let mut under_way = UnderWay::new(known, &BTreeMap::new());
    let begin = |under_way: &mut UnderWay| {
        let mut takes = Takes::default();
        under_way.add(&mut takes, &[draw("paths", 1)]);
        under_way.begin("J".to_owned(), takes);
        under_way.ask_after("J");
    };
    let is_full = |under_way: &UnderWay| {
        let lacks = under_way.lacks("", &[draw("paths", 1)], &Takes::default());
        !lacks.is_empty()
    };
    begin(&mut under_way);
    // The same job once more, for who was told of it again.
    begin(&mut under_way);
    assert!(!under_way.leave("J") && is_full(&under_way));
    assert!(under_way.leave("J") && !is_full(&under_way));
    begin(&mut under_way);
    begin(&mut under_way);
    under_way.end("J");
    assert!(!is_full(&under_way));
}

/// What would be too much under way waits until something has ended, and holds nobody else up.
#[test]
fn what_is_under_way_is_limited() {
    let mut stage = Stage::new();
    let path = |scope: &str, same: &str, amount| Wish {
        draws: vec![draw("paths", amount)],
        scope: scope.to_owned(),
        ..wish("a", same)
    };
    stage.push("two", path("/d1", "1", 2));
    stage.push("one", path("/d1", "2", 1));
    stage.push("elsewhere", path("/d2", "3", 1));
    let (served, going) = stage.next().unwrap();
    assert_eq!(served, ["two"]);
    stage.queue.under_way.begin("job".to_owned(), going.takes);
    assert_eq!(stage.names(), ["elsewhere"]);
    assert_eq!(stage.next().unwrap_err(), None);
    assert!(stage.queue.under_way.end("job").is_some());
    assert_eq!(stage.names(), ["one"]);
}

/// A large call waits until there is room for it; small ones that came later do not take what becomes free bit by bit, be they of
/// the same originator or of another. Elsewhere, and of what is not counted, they go on.
#[test]
fn nobody_overtakes_where_another_waits_for_room() {
    let mut stage = Stage::new();
    stage.rates = Rates::default();
    let path = |flow: &str, scope: &str, same: &str, amount| Wish {
        draws: vec![draw("calls", 1), draw("paths", amount)],
        scope: scope.to_owned(),
        ..wish(flow, same)
    };
    let begun = |stage: &mut Stage, job: &str| {
        let (served, going) = stage.next().unwrap();
        stage.queue.under_way.begin(job.to_owned(), going.takes);
        served
    };
    stage.push("first", path("a", "/d1", "1", 1));
    assert_eq!(begun(&mut stage, "J1"), ["first"]);
    stage.push("large", path("b", "/d1", "2", 2));
    stage.push("small", path("b", "/d1", "3", 1));
    stage.push("another", path("a", "/d1", "4", 1));
    stage.push("elsewhere", path("a", "/d2", "5", 1));
    stage.push("question", wish("a", "6"));
    assert_eq!(stage.names(), ["elsewhere"]);
    assert_eq!(stage.names(), ["question"]);
    assert_eq!(stage.next().unwrap_err(), None);
    stage.queue.under_way.end("J1");
    assert_eq!(begun(&mut stage, "J2"), ["large"]);
    assert_eq!(stage.next().unwrap_err(), None);
    stage.queue.under_way.end("J2");
    let mut rest = [stage.names(), stage.names()].concat();
    rest.sort_unstable();
    assert_eq!(rest, ["another", "small"]);
}

/// What the operator lets nobody have is refused, and the fault says where to write what makes plans smaller.
#[test]
fn what_never_fits_is_refused_with_what_helps() {
    let own = BTreeMap::from([("paths".to_owned(), 30)]);
    let known = BTreeMap::from([("paths".to_owned(), 50), ("patterns".to_owned(), 15)]);
    let under_way = UnderWay::new(known, &own);
    let fault = under_way
        .never_fits(&[draw("calls", 1), draw("paths", 31)])
        .unwrap();
    let words = "`api.outstanding.paths`): calls are planned small enough where the participant's record has \
                 `native_limits` with `paths=30`";
    assert!(fault.message.ends_with(words), "{fault:?}");
    assert!(under_way.never_fits(&[draw("paths", 30)]).is_none());
    assert!(under_way.never_fits(&[draw("patterns", 16)]).is_none());
}

/// What is refused because of what is under way in one place is waited for there, and nowhere else: not by what asks after jobs.
#[test]
fn a_hold_of_one_scope_holds_nobody_else() {
    let mut stage = Stage::new();
    let call = |scope: &str| Wish {
        draws: Vec::new(),
        scope: scope.to_owned(),
        ..wish("a", scope)
    };
    stage
        .levels
        .hold_in("/d1", stage.now.plus(Duration::from_mins(1)));
    stage.push("held", call("/d1"));
    stage.push("elsewhere", call("/d2"));
    stage.push("question", call("/d1/job"));
    assert_eq!(stage.names(), ["elsewhere"]);
    assert_eq!(stage.names(), ["question"]);
    assert_eq!(stage.next().unwrap_err(), Some(60_000));
    stage.later(60_000);
    assert_eq!(stage.names(), ["held"]);
}

/// Where somebody waits for room is known, whoever before him waits for time.
#[test]
fn who_waits_for_room_is_known_whatever_others_lack() {
    let mut stage = Stage::new();
    let path = |flow: &str, same: &str| Wish {
        draws: vec![draw("calls", 1), draw("paths", 2)],
        scope: "/d1".to_owned(),
        ..wish(flow, same)
    };
    stage.push("first", path("c", "1"));
    let going = stage.next().unwrap().1;
    stage.queue.under_way.begin("job".to_owned(), going.takes);
    stage.push("call", wish("a", "2"));
    stage.push("room", path("b", "3"));
    assert_eq!(stage.next().unwrap_err(), Some(1_000));
    assert!(stage.queue.is_full("/d1") && !stage.queue.is_full("/d2"));
    let until = stage.now.plus(Duration::from_mins(1));
    stage.levels.hold_in("/d1", until);
    assert!(stage.next().is_err());
    assert!(stage.queue.is_full("/d1"));
    stage.queue.under_way.end("job");
    assert!(stage.next().is_err());
    assert!(!stage.queue.is_full("/d1"));
}

/// Whoever does not have his turn in time keeps no room, and hides nobody, however many there are of him.
#[test]
fn who_never_has_his_turn_keeps_no_room() {
    let mut stage = Stage::new();
    let spent = [draw("urls", 5)];
    stage.levels.draw(&stage.rates, &spent, stage.now);
    let until = stage.now.plus(Duration::from_millis(900));
    let late = |number: usize| Wish {
        draws: vec![draw("urls", 5), draw("paths", 2)],
        until,
        ..wish("a", &number.to_string())
    };
    stage.push(
        "first",
        Wish {
            draws: vec![draw("paths", 1)],
            ..wish("a", "first")
        },
    );
    let going = stage.next().unwrap().1;
    stage.queue.under_way.begin("job".to_owned(), going.takes);
    for number in 0..=LOOK_AT {
        stage.push("late", late(number));
    }
    stage.push(
        "small",
        Wish {
            draws: vec![draw("paths", 1)],
            ..wish("a", "small")
        },
    );
    assert_eq!(stage.names(), ["small"]);
    assert_eq!(stage.next().unwrap_err(), Some(1_000));
}

/// The same name in two places is two jobs.
#[test]
fn a_name_holds_where_it_was_given() {
    let keys = ["/sites/1/purge", "/sites/2/purge"].map(|scope| key_of(scope, "7"));
    let known = [("paths".to_owned(), 1)].into();
    let mut under_way = UnderWay::new(known, &BTreeMap::new());
    for (key, scope) in keys.iter().zip(["/sites/1/purge", "/sites/2/purge"]) {
        let mut takes = Takes {
            scope: scope.to_owned(),
            ..Takes::default()
        };
        under_way.add(&mut takes, &[draw("paths", 1)]);
        under_way.begin(key.clone(), takes);
    }
    under_way.end(&keys[0]);
    let is_full = |scope| {
        let lacks = under_way.lacks(scope, &[draw("paths", 1)], &Takes::default());
        !lacks.is_empty()
    };
    assert_eq!(
        ["/sites/1/purge", "/sites/2/purge"].map(is_full),
        [false, true]
    );
}
