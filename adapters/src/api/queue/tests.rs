//! Who goes next, and who waits.

mod room;
mod together;

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
