//! Who is served by whose call.

use super::*;

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
