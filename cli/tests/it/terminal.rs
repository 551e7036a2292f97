//! What a person at a terminal sees; `script`, which every Debian has, lends the terminal.

use std::{
    collections::HashMap,
    process::Stdio,
    time::{Duration, Instant},
};

use proto::v1::{Overall, SubmitCommandResponse};
use tokio::{io::AsyncWriteExt as _, process::Command};

use crate::{
    connection::silent,
    examples::{self, COMMAND, accepted, change, plan, standing, story},
    fedctl::{Run, finish},
    peer::{Peer, Watched},
};

/// Runs at a terminal of 120 columns and types `keys`.
async fn at_terminal(broker: &str, words: &str, keys: &str) -> Run {
    let line = format!(
        "stty cols 120 rows 40; exec {} {words}",
        env!("CARGO_BIN_EXE_fedctl")
    );
    let environment = HashMap::from([("FEDCTL_BROKER", broker), ("TERM", "xterm-256color")]);
    let mut child = Command::new("script")
        .args(["--quiet", "--return", "--command", &line, "/dev/null"])
        .envs(environment)
        .env_remove("NO_COLOR")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("script is installed");
    let mut keyboard = child.stdin.take().expect("is piped");
    keyboard
        .write_all(keys.as_bytes())
        .await
        .expect("the terminal listens");
    let run = finish(child).await;
    drop(keyboard);
    run
}

/// The live display has a line for every participant and server, in colour, and ends with the standing.
#[tokio::test]
async fn a_terminal_gets_a_live_display() {
    let peer = Peer::default()
        .shows(accepted())
        .watch(Watched::Ends(story()));
    let (_peer, broker) = peer.listen().await;
    let run = at_terminal(&broker, &format!("watch {COMMAND}"), "").await;
    let plain = anstream::adapter::strip_str(&run.stdout).to_string();
    for shown in [
        "varnish-2",
        "1 nothing held, 1 removed",
        "2/2 servers",
        "partial: 1 done",
    ] {
        assert!(plain.contains(shown), "{shown}: {plain}");
    }
    assert!(run.stdout.contains("\u{1b}[31mfailed"), "{}", run.stdout);
    assert_eq!(run.code, Some(3), "{plain}");
}

/// A wide purge is confirmed by a person who has seen how many servers are meant; anything but yes sends nothing.
#[tokio::test]
async fn a_wide_purge_is_confirmed_at_the_terminal() {
    for (key, code) in [("y\n", 0), ("\n", 1), ("no\n", 1)] {
        let planned = SubmitCommandResponse {
            plan: Some(plan()),
            ..SubmitCommandResponse::default()
        };
        let complete = standing(Overall::Complete, true, &[("done", 1)]);
        let peer = Peer::default()
            .submit(Ok(planned))
            .accepts(accepted())
            .watch(Watched::Ends(vec![change(
                complete,
                vec![examples::north_done()],
                "1",
            )]));
        let (peer, broker) = peer.listen().await;
        let run = at_terminal(&broker, "purge shop --everything", key).await;
        assert!(
            run.stdout.contains("4 servers of 3 participants"),
            "{}",
            run.stdout
        );
        assert_eq!(run.code, Some(code), "{}", run.stdout);
        let submitted = peer.submitted.lock().expect("nobody panicked");
        let sent = submitted
            .iter()
            .filter(|request| !request.validate_only)
            .count();
        assert_eq!(sent, usize::from(code == 0));
    }
}

/// The time is for all of it: what the plan took is not there for waiting.
#[tokio::test]
async fn the_plan_takes_of_the_time() {
    let planning = Duration::from_secs(3);
    let planned = SubmitCommandResponse {
        plan: Some(plan()),
        ..SubmitCommandResponse::default()
    };
    let peer = Peer {
        planning,
        ..Peer::default()
    };
    let peer = peer
        .submit(Ok(planned))
        .accepts(accepted())
        .watch(Watched::Hangs(story()[..1].to_vec()));
    let (_peer, broker) = peer.listen().await;
    let began = Instant::now();
    let run = at_terminal(&broker, "purge shop --everything --timeout 6s", "y\n").await;
    // With all of it anew it would be 9 s at least.
    assert!(began.elapsed() < planning + Duration::from_secs(6));
    assert!(run.stdout.contains("not settled in 6 s"), "{}", run.stdout);
    assert_eq!(run.code, Some(5), "{}", run.stdout);
}

/// Nobody is asked about a plan that does not come, and nothing is sent.
#[tokio::test]
async fn nobody_is_asked_without_a_plan() {
    let (_silent, broker) = silent().await;
    let run = at_terminal(&broker, "purge shop --everything --timeout 1s", "y\n").await;
    assert!(run.stdout.contains("nothing was sent"), "{}", run.stdout);
    assert!(!run.stdout.contains("Go on?"), "{}", run.stdout);
    assert_eq!(run.code, Some(1), "{}", run.stdout);
}
