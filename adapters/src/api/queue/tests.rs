//! Who goes next, who is served by whom, and who waits.

use std::{cell::Cell, rc::Rc, time::Duration};

use dialects::Budget;
use service::configuration::load_with;

use super::*;
use crate::{api::budget::rates, config};

#[derive(Debug, Clone, Default)]
struct Guest(&'static str, Rc<Cell<bool>>);

impl Waits for Guest {
    fn is_gone(&self) -> bool {
        self.1.get()
    }
}

const SECOND: Duration = Duration::from_secs(1);

/// One call a second, five URLs a second; two paths under way.
struct Stage {
    queue: Queue<Guest>,
    levels: Levels,
    rates: Rates,
    now: Moment,
}

impl Stage {
    fn new() -> Self {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(
            file.path(),
            "participant = \"b\"\nallowed_addresses = [\"127.0.0.1\"]",
        )
        .unwrap();
        let loaded = load_with(
            config::DEFAULT,
            Some(file.path()),
            config::ENVIRONMENT_PREFIX,
            [],
        );
        let settings: config::Configuration = loaded.unwrap();
        let budget = |unit, amount, burst| Budget {
            unit,
            amount,
            per: SECOND,
            burst,
            source: "a test",
        };
        let rates = rates(
            &[budget("calls", 1, 1), budget("urls", 5, 5)],
            &settings.api,
        );
        let under_way = [Outstanding {
            unit: "paths",
            amount: 2,
            source: "a test",
        }];
        Self {
            queue: Queue::new(&under_way, &settings.api),
            levels: Levels::default(),
            rates,
            now: Moment::now(),
        }
    }

    fn push(&mut self, name: &'static str, wish: Wish) -> Rc<Cell<bool>> {
        let gone = Rc::new(Cell::new(false));
        self.queue.push(wish, Guest(name, Rc::clone(&gone)));
        gone
    }

    /// The next one with those that it serves, or in how many milliseconds to look again.
    fn next(&mut self) -> Result<(Vec<&'static str>, Going<Guest>), Option<u128>> {
        match self.queue.next(&mut self.levels, &self.rates, self.now) {
            Next::Go(going) => {
                let partners = going.partners.iter().map(|(guest, _)| guest.0);
                let served = std::iter::once(going.lead.0).chain(partners);
                Ok((served.collect(), going))
            }
            Next::Wait(at) => Err(at.map(|at| at.since(self.now).as_millis())),
        }
    }

    fn names(&mut self) -> Vec<&'static str> {
        self.next().unwrap().0
    }

    fn later(&mut self, millis: u64) {
        self.now = self.now.plus(Duration::from_millis(millis));
    }
}

fn draw(unit: &'static str, amount: u32) -> Draw {
    Draw { unit, amount }
}

fn wish(flow: &str, same: &str) -> Wish {
    Wish {
        flow: flow.to_owned(),
        draws: vec![draw("calls", 1)],
        same: Key::of(same),
        bulk: None,
        scope: "/".to_owned(),
        shares: true,
        asks: false,
        until: Moment::now().plus(Duration::from_hours(1)),
    }
}

/// A list of URLs, three in a call.
fn list(flow: &str, kind: &str, items: &[&str]) -> Wish {
    let items: Vec<_> = items.iter().map(|item| (*item).to_owned()).collect();
    let urls = draw("urls", u32::try_from(items.len()).unwrap());
    Wish {
        draws: vec![draw("calls", 1), urls],
        bulk: Some(Bulk {
            kind: kind.to_owned(),
            items: items.clone(),
            most: 3,
            bytes: 100,
        }),
        ..wish(flow, &format!("{kind} {items:?}"))
    }
}

/// Ten waiting calls of one originator do not hold up the one of another.
#[test]
fn a_storm_of_one_originator_does_not_starve_another() {
    let mut stage = Stage::new();
    for number in 0..10 {
        stage.push("storm", wish("storm", &number.to_string()));
    }
    let mut order = vec![stage.names()[0]];
    stage.push("quiet", wish("quiet", "q1"));
    stage.push("quiet", wish("quiet", "q2"));
    for _ in 0..4 {
        stage.later(1_000);
        order.push(stage.names()[0]);
    }
    assert_eq!(order, ["storm", "quiet", "quiet", "storm", "storm"]);
}

/// Who asks after many jobs has no more turns than others; his questions alternate with his calls, and go in their order.
#[test]
fn questions_are_of_their_originators_turns() {
    let mut stage = Stage::new();
    let question = |same| Wish {
        asks: true,
        shares: false,
        ..wish("storm", same)
    };
    stage.push("call", wish("storm", "call"));
    stage.push("one", question("1"));
    stage.push("two", question("2"));
    for name in ["a", "b", "c"] {
        stage.push(name, wish("quiet", name));
    }
    let mut order = vec![stage.names()[0]];
    for _ in 0..5 {
        stage.later(1_000);
        order.push(stage.names()[0]);
    }
    assert_eq!(order, ["a", "one", "b", "call", "c", "two"]);
}

/// However many questions an originator has, its calls go on.
#[test]
fn questions_do_not_starve_calls() {
    let mut stage = Stage::new();
    let question = |same| Wish {
        asks: true,
        shares: false,
        ..wish("storm", same)
    };
    for name in ["1", "2", "3"] {
        stage.push(name, question(name));
    }
    for name in ["a", "b"] {
        stage.push(name, wish("storm", name));
    }
    let mut order = vec![stage.names()[0]];
    for _ in 0..4 {
        stage.later(1_000);
        order.push(stage.names()[0]);
    }
    assert_eq!(order, ["1", "a", "2", "b", "3"]);
}

/// What a look remembers grows with what is lacking, and with nothing else.
#[test]
fn many_who_wait_are_looked_at_once_each() {
    const ORIGINATORS: [&str; 12] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"];
    let mut stage = Stage::new();
    for name in ORIGINATORS {
        stage.push(name, wish(name, name));
    }
    assert_eq!(stage.names(), ["a"]);
    let mut look = Look {
        levels: &mut stage.levels,
        rates: &stage.rates,
        now: stage.now,
        scarce: Vec::new(),
        full: Vec::new(),
        wake: None,
    };
    for name in ORIGINATORS {
        assert_eq!(stage.queue.first(name, &mut look), None);
        assert!(look.scarce.len() <= 1, "{:?}", look.scarce);
    }
    assert_eq!(stage.next().unwrap_err(), Some(1_000));
    stage.later(1_000);
    assert_eq!(stage.names(), ["b"]);
}

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

/// What does not come back before somebody's time is over is not kept for him.
#[test]
fn who_never_has_his_turn_keeps_nobody_from_his() {
    let mut stage = Stage::new();
    let spent = [draw("urls", 5)];
    stage.levels.draw(&stage.rates, &spent, stage.now);
    let urls = |amount, same, millis| Wish {
        draws: vec![draw("urls", amount)],
        until: stage.now.plus(Duration::from_millis(millis)),
        ..wish(same, same)
    };
    let (many, few) = (urls(5, "a", 900), urls(1, "b", 1_100));
    stage.push("many", many);
    stage.push("few", few);
    assert_eq!(stage.next().unwrap_err(), Some(200));
    stage.later(200);
    assert_eq!(stage.names(), ["few"]);
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

/// A call that waits for long for what no question needs keeps none back.
#[test]
fn a_call_that_waits_keeps_no_question_back() {
    let mut stage = Stage::new();
    stage.push(
        "1",
        Wish {
            asks: true,
            ..wish("storm", "1")
        },
    );
    assert_eq!(stage.names(), ["1"]);
    let spent = [draw("urls", 5)];
    stage.levels.draw(&stage.rates, &spent, stage.now);
    stage.later(200);
    // What came back meanwhile.
    let spent = [draw("urls", 1)];
    stage.levels.draw(&stage.rates, &spent, stage.now);
    let many = Wish {
        draws: vec![draw("calls", 1), draw("urls", 5)],
        ..wish("storm", "many")
    };
    stage.push("many", many);
    stage.push(
        "2",
        Wish {
            asks: true,
            ..wish("storm", "2")
        },
    );
    assert_eq!(stage.next().unwrap_err(), Some(800));
    stage.later(800);
    assert_eq!(stage.names(), ["2"]);
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

/// What one waits for nobody behind him takes away; what he does not need, others may have.
#[test]
fn nobody_overtakes_for_what_is_scarce() {
    let mut stage = Stage::new();
    stage
        .levels
        .draw(&stage.rates, &[draw("urls", 3)], stage.now);
    let urls = |amount, same| Wish {
        draws: vec![draw("urls", amount)],
        ..wish(same, same)
    };
    stage.push("many", urls(5, "a"));
    stage.push("few", urls(1, "b"));
    stage.push("call", wish("c", "c"));
    assert_eq!(stage.names(), ["call"]);
    assert_eq!(stage.next().unwrap_err(), Some(600));
    stage.later(600);
    assert_eq!(stage.names(), ["many"]);
}

/// Lists of the same kind become one call, as far as its limit allows; the same item is said and counted once.
#[test]
fn lists_are_said_together_up_to_the_limit() {
    let mut stage = Stage::new();
    stage.push("one", list("a", "files", &["u1"]));
    stage.push("two", list("b", "files", &["u2", "u1"]));
    stage.push("too-many", list("b", "files", &["u3", "u4"]));
    stage.push("tags", list("a", "tags", &["t"]));
    stage.push("three", list("c", "files", &["u3"]));
    let (served, going) = stage.next().unwrap();
    assert_eq!(served, ["one", "two", "three"]);
    assert_eq!(going.items.unwrap(), ["u1", "u2", "u3"]);
    // Three of five URLs are drawn, and the only call.
    assert_eq!(
        stage
            .levels
            .lacks(&stage.rates, &[draw("urls", 2)], stage.now),
        None
    );
    assert_eq!(stage.next().unwrap_err(), Some(1_000));
}

/// Orders may have been planned with other limits than their neighbours: what they say together holds to the narrowest.
#[test]
fn lists_are_said_together_within_the_limits_of_each() {
    let within = |most, bytes, list: Wish| Wish {
        bulk: list.bulk.map(|bulk| Bulk {
            most,
            bytes,
            ..bulk
        }),
        ..list
    };
    let mut stage = Stage::new();
    stage.push("wide", within(4, 100, list("a", "files", &["u1"])));
    stage.push("short", within(4, 5, list("a", "files", &["u2", "u3"])));
    stage.push("narrow", within(2, 100, list("a", "files", &["u4"])));
    stage.push("late", list("a", "files", &["u5"]));
    let (served, going) = stage.next().unwrap();
    assert_eq!(served, ["wide", "narrow"]);
    assert_eq!(going.items.unwrap(), ["u1", "u4"]);
}

/// What may not be repeated is neither said with others nor answered by another's call.
#[test]
fn what_may_not_be_repeated_goes_alone() {
    let mut stage = Stage::new();
    let once = || Wish {
        shares: false,
        ..wish("a", "same")
    };
    stage.push("first", once());
    stage.push("second", once());
    assert_eq!(stage.names(), ["first"]);
    stage.later(1_000);
    assert_eq!(stage.names(), ["second"]);
}

/// A purge that comes after an equal one was sent is sent again, because the content may have changed; those that wait for
/// that share one call, and none waits longer than the window.
#[test]
fn equal_calls_that_wait_together_are_made_once() {
    let mut stage = Stage::new();
    stage.push("first", wish("a", "same"));
    assert_eq!(stage.names(), ["first"]);
    stage.later(300);
    stage.push("second", wish("a", "same"));
    stage.later(300);
    stage.push("third", wish("b", "same"));
    stage.push("other", wish("b", "other"));
    stage.levels = Levels::default();
    assert_eq!(stage.names(), ["other"]);
    stage.levels = Levels::default();
    assert_eq!(stage.next().unwrap_err(), Some(400));
    stage.later(400);
    assert_eq!(stage.names(), ["second", "third"]);
}

/// Who was refused with others goes alone, though another one says the same again with others.
#[test]
fn who_goes_alone_is_served_by_no_list() {
    let mut stage = Stage::new();
    let alone = Wish {
        bulk: None,
        ..list("b", "files", &["u1"])
    };
    stage.push("list", list("a", "files", &["u1"]));
    stage.push("alone", alone);
    assert_eq!(stage.names(), ["list"]);
    stage.later(1_000);
    assert_eq!(stage.names(), ["alone"]);
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

/// Whoever has left is passed over, and takes nothing.
#[test]
fn who_has_left_is_passed_over() {
    let mut stage = Stage::new();
    let gone = stage.push("gone", wish("a", "1"));
    stage.push("here", wish("a", "2"));
    gone.set(true);
    assert_eq!(stage.names(), ["here"]);
    assert_eq!(stage.next().unwrap_err(), None);
}
