//! What the map must hold, whatever is added to it.

use super::*;

fn topology(prefix: &str) -> Topology {
    Topology::new(prefix, QueueLimits::default()).unwrap()
}

/// The broker asks the exchange who is speaking, so only an entry exchange may give an answer.
#[test]
fn only_an_entry_exchange_names_a_participant() {
    let participant: ParticipantId = "cdn-b".parse().unwrap();
    for prefix in ["", "test-7."] {
        let topology = topology(prefix);
        let entry = topology.entry_exchange(&participant);
        assert_eq!(topology.participant_of(&entry), Some(participant.clone()));
        for other in [
            topology.replies_exchange(),
            topology.commands_queue(&participant),
            format!("{entry}.x"),
            format!("other.{entry}"),
            String::new(),
        ] {
            assert_eq!(topology.participant_of(&other), None, "{other}");
        }
    }
}

/// Dead letters of a participant called `replies` would be mixed with unreadable reports.
#[test]
fn a_participant_called_replies_is_refused() {
    assert!(Topology::check_participant(&"replies".parse().unwrap()).is_err());
    assert!(Topology::check_participant(&"replies-b".parse().unwrap()).is_ok());
}

/// A prefix goes into names, permissions and consoles, so it holds nothing that means more than text.
#[test]
fn a_prefix_with_other_characters_is_refused() {
    for prefix in ["a b", "a*", "a#", "a/b", &"a".repeat(PREFIX_LENGTH + 1)] {
        assert!(
            Topology::new(prefix, QueueLimits::default()).is_err(),
            "{prefix}"
        );
    }
}

/// Without a limit RabbitMQ 3.10 puts what comes back at the end of the queue; with `drop-head` it dead-letters
/// at most once. Both happen in silence.
#[test]
fn every_queue_has_limits_and_one_for_work_refuses_when_full() {
    let topology = topology("");
    let parts = [
        topology.base(),
        topology.of_participant(&"b".parse().unwrap()),
    ]
    .concat();
    let queues: Vec<_> = parts
        .iter()
        .filter_map(|part| match part {
            Part::Queue { name, arguments } => Some((name, arguments)),
            _ => None,
        })
        .collect();
    assert_eq!(queues.len(), 4);
    for (name, arguments) in queues {
        assert!(arguments.contains_key("x-delivery-limit"), "{name}");
        assert!(arguments.contains_key("x-max-length"), "{name}");
        let work = arguments.contains_key("x-dead-letter-exchange");
        let expected = if work { "reject-publish" } else { "drop-head" };
        let overflow = arguments.inner().get("x-overflow");
        assert_eq!(
            overflow,
            Some(&AMQPValue::LongString(expected.into())),
            "{name}"
        );
    }
}
/// Whether a dispatch has reached its queue is asked of the exchange `commands`: no copy may give that answer.
#[test]
fn copies_are_bound_to_an_exchange_of_their_own() {
    let limits = QueueLimits {
        console_copies: 5,
        ..QueueLimits::default()
    };
    let (with, without) = (Topology::new("", limits).unwrap(), topology(""));
    let b = "b".parse().unwrap();
    let bound = |topology: &Topology| {
        let parts = topology.of_participant(&b);
        let to = parts.into_iter().filter_map(|part| match part {
            Part::QueueBinding {
                queue, exchange, ..
            } => Some((queue, exchange)),
            _ => None,
        });
        to.collect::<Vec<_>>()
    };
    let copies = ("recent.commands.b".to_owned(), "recent.commands".to_owned());
    assert!(!bound(&without).contains(&copies));
    assert_eq!(with.base().len(), without.base().len() + 1);
    let mut expected = bound(&without);
    expected.push(copies);
    assert_eq!(bound(&with), expected);
}
