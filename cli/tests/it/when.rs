//! When a command may begin, and until when: what reaches the broker.

use proto::v1::CommandDraft;
use tonic::Status;

use crate::{examples::accepted, fedctl::run, peer::Peer};

const LOAD: &str = "load https://www.example.com/a --no-wait";

async fn drafted(words: &str) -> CommandDraft {
    let (peer, broker) = Peer::default().accepts(accepted()).listen().await;
    let run = run(&broker, words).await;
    assert_eq!(run.code, Some(0), "{}", run.transcript());
    let submitted = peer.submitted.lock().expect("nobody panicked");
    submitted[0].draft.clone().expect("was sent")
}

/// A purge at six in the morning that is worth nothing after seven.
#[tokio::test]
async fn times_reach_the_broker_as_they_were_typed() {
    let words = "purge https://www.example.com/a --no-wait \
                 --not-before 2031-01-31T06:00:00+01:00 --expire-in 1h";
    let draft = drafted(words).await;
    let seconds = |time: Option<prost_types::Timestamp>| time.map(|time| time.seconds);
    assert_eq!(
        (seconds(draft.not_before), seconds(draft.expire_time)),
        (Some(1_927_602_000), Some(1_927_605_600))
    );
    assert_eq!(drafted(LOAD).await.expire_time, None);
}

/// Nonsense is told at once, with the word that is wrong.
#[tokio::test]
async fn a_time_that_is_none_is_exit_code_2() {
    let (peer, broker) = Peer::default().listen().await;
    for (flags, said) in [
        ("--not-before tomorrow", "must be a time such as"),
        ("--expire-in soon", "--expire-in"),
        ("--expire-in 1h --expire-at 2h", "cannot be used with"),
        ("--not-before 2h --expire-at 1h", "before it may begin"),
    ] {
        for verb in [
            LOAD,
            "plan load https://www.example.com/a",
            "purge https://www.example.com/a",
        ] {
            let run = run(&broker, &format!("{verb} {flags}")).await;
            assert_eq!(run.code, Some(2), "{flags}: {}", run.transcript());
            assert!(run.stderr.contains(said), "{flags}: {}", run.stderr);
        }
    }
    assert!(peer.submitted.lock().expect("nobody panicked").is_empty());
}

/// After a lost answer the same attempt is named whole: a duration would mean another moment by then.
#[tokio::test]
async fn another_try_names_moments_instead_of_durations() {
    let peer = Peer::default().submit(Err(Status::unknown("lost")));
    let (_peer, broker) = peer.listen().await;
    let run = run(&broker, &format!("{LOAD} --expire-in 10m")).await;
    assert!(run.stderr.contains(" --expire-at 2"), "{}", run.stderr);
}
