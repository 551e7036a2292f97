//! Taking a command back: what is certain, what was only asked for, and which won.

use proto::v1::{CancelCommandResponse, Command, Execution, ExecutionState, Overall};

use crate::{
    examples::{COMMAND, accepted, change, in_state, north_done, standing, waiting},
    fedctl::{Run, run},
    peer::{Peer, Watched},
};

/// Three participants, each where the test says.
fn answer(states: [(&str, ExecutionState); 3], lists: [&[&str]; 3]) -> CancelCommandResponse {
    let executions = states.map(|(id, state)| in_state(waiting(id), state));
    let ids = |list: &[&str]| list.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>();
    let [cancelled, sent, settled] = lists;
    CancelCommandResponse {
        command: Some(Command {
            standing: Some(standing(Overall::Active, false, &[("cancelled", 1)])),
            executions: executions.to_vec(),
            ..accepted()
        }),
        cancelled_participant_ids: ids(cancelled),
        sent_participant_ids: ids(sent),
        settled_participant_ids: ids(settled),
    }
}

async fn cancel(answer: CancelCommandResponse, watched: Option<Watched>, flags: &str) -> Run {
    let peer = Peer::default();
    peer.cancels
        .lock()
        .expect("nobody panicked")
        .push_back(Ok(answer));
    let peer = match watched {
        Some(watched) => peer.watch(watched),
        None => peer,
    };
    let (_peer, broker) = peer.listen().await;
    run(&broker, format!("cancel {COMMAND} {flags}").trim()).await
}

/// Taken back here, asked there, ended elsewhere: each is named, and as long as one was only asked it is exit code 5.
#[tokio::test]
async fn a_cancel_says_what_is_certain_and_what_was_asked() {
    use ExecutionState::{Cancelled, Dispatched, Done};
    let states = [("north", Dispatched), ("south", Cancelled), ("west", Done)];
    let answer = answer(states, [&["south"], &["north"], &["west"]]);
    insta::assert_snapshot!(cancel(answer, None, "").await.transcript());
}

/// `--watch` waits for those who were asked and says which won: one had begun, so it was taken back at some only.
#[tokio::test]
async fn watching_a_cancel_shows_which_won() {
    use ExecutionState::{Cancelled, Dispatched, Running};
    let states = [
        ("north", Running),
        ("south", Cancelled),
        ("west", Dispatched),
    ];
    let answer = answer(states, [&["south"], &["north", "west"], &[]]);
    let active = standing(Overall::Active, false, &[("cancelled", 2), ("running", 1)]);
    let west = in_state(waiting("west"), Cancelled);
    let partly = standing(Overall::Partial, true, &[("cancelled", 2), ("done", 1)]);
    let story = vec![
        change(active, vec![west], "1"),
        change(partly, vec![north_done()], "2"),
    ];
    let run = cancel(answer, Some(Watched::Ends(story)), "--watch").await;
    insta::assert_snapshot!(without_times(&run.transcript()));
}

/// Times differ from run to run.
fn without_times(text: &str) -> String {
    let lines = text.lines().map(|line| match line.split_once(" s  ") {
        Some((time, rest)) if time.trim().parse::<f64>().is_ok() => format!("0.00 s  {rest}\n"),
        _ => format!("{line}\n"),
    });
    lines.collect()
}

/// A script asks only the number.
#[tokio::test]
async fn every_end_of_a_cancel_has_its_exit_code() {
    use ExecutionState::{Cancelled, Done, Expired, Running, Unanswered, Unsupported};
    let ends = [
        ([Cancelled, Cancelled, Cancelled], 0),
        ([Cancelled, Expired, Cancelled], 0),
        ([Cancelled, Done, Cancelled], 3),
        ([Cancelled, Unanswered, Cancelled], 3),
        ([Done, Done, Unanswered], 1),
        ([Done, Unsupported, Unsupported], 1),
        ([Cancelled, Unsupported, Cancelled], 0),
        ([Cancelled, Running, Done], 5),
    ];
    for ([north, south, west], code) in ends {
        let states = [("north", north), ("south", south), ("west", west)];
        let run = cancel(answer(states, [&[], &[], &[]]), None, "").await;
        assert_eq!(run.code, Some(code), "{}", run.transcript());
    }
}

/// Who was asked does not answer: the time is up, and nobody claims to know.
#[tokio::test]
async fn a_cancel_that_nobody_answers_is_still_running() {
    use ExecutionState::{Cancelled, Dispatched};
    let states = [
        ("north", Dispatched),
        ("south", Cancelled),
        ("west", Cancelled),
    ];
    let asked = answer(states, [&["south", "west"], &["north"], &[]]);
    let run = cancel(
        asked,
        Some(Watched::Hangs(Vec::new())),
        "--watch --timeout 1s",
    )
    .await;
    assert_eq!(run.code, Some(5), "{}", run.transcript());
    let told = run.stdout.matches("still to be seen").count();
    assert_eq!(told, 1, "{}", run.transcript());
    assert!(
        run.stderr.contains("not settled in 1 s"),
        "{}",
        run.transcript()
    );
}

/// For scripts: what became of the cancel on the first line, then each change on one.
#[tokio::test]
async fn watching_a_cancel_for_scripts_is_a_document_per_line() {
    use ExecutionState::{Cancelled, Dispatched};
    let states = [
        ("north", Dispatched),
        ("south", Cancelled),
        ("west", Cancelled),
    ];
    let asked = answer(states, [&["south", "west"], &["north"], &[]]);
    let north: Execution = in_state(waiting("north"), Cancelled);
    let all = standing(Overall::Cancelled, true, &[("cancelled", 3)]);
    let watched = Watched::Ends(vec![change(all, vec![north], "1")]);
    let run = cancel(asked, Some(watched), "--watch --json").await;
    assert_eq!(run.code, Some(0), "{}", run.transcript());
    let lines: Vec<serde_json::Value> = run
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).expect("is a document"))
        .collect();
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0]["sent_participant_ids"][0], "north");
    assert_eq!(lines[1]["executions"][0]["state"], "cancelled");
}
