//! Waiting for a command: what is shown, and that nothing is missed or waited for in vain.

use std::process::Stdio;

use proto::v1::WatchCommandResponse;
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tonic::{Code, Status};

use crate::{
    examples::{COMMAND, accepted, story},
    fedctl::{Run, fedctl, finish, run},
    peer::{Peer, Watched},
};

/// Times differ from run to run; the rest of every line does not.
fn without_times(run: &Run) -> String {
    let stripped = run
        .stdout
        .lines()
        .map(|line| match line.split_once(" s  ") {
            Some((time, rest)) if time.trim().parse::<f64>().is_ok() => format!("0.00 s  {rest}\n"),
            _ => format!("{line}\n"),
        });
    stripped.collect()
}

fn part(of: std::ops::Range<usize>) -> Vec<WatchCommandResponse> {
    story()[of].to_vec()
}

/// In a log there is no live display: each change is a line of its own, told once.
#[tokio::test]
async fn watching_without_a_terminal_prints_a_line_per_change() {
    let peer = Peer::default()
        .accepts(accepted())
        .watch(Watched::Ends(story()));
    let (_peer, broker) = peer.listen().await;
    let run = run(&broker, "purge https://www.example.com/a --watch").await;
    insta::assert_snapshot!(without_times(&run));
    assert_eq!(run.code, Some(3));
}

/// A replica goes down twice in the middle: the watch goes on from its token, and the lines are the same.
#[tokio::test]
async fn a_broken_watch_resumes_where_it_stood() {
    let whole = Peer::default()
        .shows(accepted())
        .watch(Watched::Ends(story()));
    let broken = Peer::default()
        .shows(accepted())
        .watch(Watched::Breaks(part(0..1)))
        .watch(Watched::Ends(part(1..3)))
        .watch(Watched::Ends(part(3..4)));
    let (_whole, unbroken) = whole.listen().await;
    let (peer, resumed) = broken.listen().await;
    let words = format!("watch {COMMAND}");
    let (unbroken, resumed) = (run(&unbroken, &words).await, run(&resumed, &words).await);
    assert_eq!(without_times(&unbroken), without_times(&resumed));
    assert!(
        resumed.stderr.contains("the replica is going down"),
        "{}",
        resumed.stderr
    );
    assert_eq!(
        *peer.resumed.lock().expect("nobody panicked"),
        ["", "1", "3"]
    );
}

/// For a script every change is one document on one line, each with a token to resume from.
#[tokio::test]
async fn watching_for_scripts_prints_a_document_per_change() {
    let peer = Peer::default()
        .shows(accepted())
        .watch(Watched::Ends(story()));
    let (_peer, broker) = peer.listen().await;
    let run = run(&broker, &format!("watch {COMMAND} --json")).await;
    let tokens = run.stdout.lines().map(|line| {
        let document: serde_json::Value = serde_json::from_str(line).expect("is a document");
        document["resume_token"].as_str().map(ToOwned::to_owned)
    });
    let expected = ["1", "2", "3", "4"].map(|token| Some(token.to_owned()));
    assert_eq!(tokens.collect::<Vec<_>>(), expected);
}

/// The time is up: exit code 5, the state so far, and how to come back.
#[tokio::test]
async fn when_the_time_is_up_the_command_goes_on() {
    let peer = Peer::default()
        .accepts(accepted())
        .watch(Watched::Hangs(part(0..3)));
    let (_peer, broker) = peer.listen().await;
    let run = run(&broker, "purge https://www.example.com/a --timeout 2s").await;
    insta::assert_snapshot!(run.transcript());
}

/// Ctrl-C ends the waiting and not the command: exit code 5, and the command to type next.
#[tokio::test]
async fn ctrl_c_leaves_the_command_running_and_says_how_to_come_back() {
    let peer = Peer::default()
        .shows(accepted())
        .watch(Watched::Hangs(part(0..2)));
    let (_peer, broker) = peer.listen().await;
    let mut child = fedctl(&broker)
        .args(["watch", COMMAND])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let mut lines = BufReader::new(child.stdout.take().expect("is piped")).lines();
    while let Some(line) = lines.next_line().await.expect("prints text") {
        if line.contains("dispatched") {
            break;
        }
    }
    let id = child
        .id()
        .and_then(|id| i32::try_from(id).ok())
        .and_then(Pid::from_raw);
    kill_process(id.expect("still runs"), Signal::INT).expect("is ours");
    let run = finish(child).await;
    assert_eq!(run.code, Some(5), "{}", run.stderr);
    assert!(
        run.stderr.contains(&format!("fedctl watch {COMMAND}")),
        "{}",
        run.stderr
    );
}

/// The broker forgets the caller's right in the middle: that does not pass, so nobody tries again.
#[tokio::test]
async fn a_watch_that_is_refused_is_not_tried_again() {
    let peer = Peer::default().get(Err(Status::new(Code::NotFound, "no such command")));
    let (peer, broker) = peer.listen().await;
    let run = run(&broker, &format!("watch {COMMAND}")).await;
    assert_eq!(run.code, Some(2));
    assert!(peer.resumed.lock().expect("nobody panicked").is_empty());
}
