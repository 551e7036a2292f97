//! Looking at a command: where it stands, and how it came there.

use proto::v1::{
    Command, CommandDraft, Execution,
    ExecutionState::{Accepted, Dispatched, Done, Failed},
    Ids, Overall, Scope, scope,
};

use crate::{
    examples::{self, accepted, after, in_state, settled, standing, through},
    fedctl::run,
    peer::Peer,
};

/// Looking at a settled command tells its standing by the exit code too.
#[tokio::test]
async fn status_shows_the_command_and_tells_its_standing() {
    let peer = Peer::default().shows(settled()).shows(accepted());
    let (_peer, broker) = peer.listen().await;
    let words = format!("status {}", examples::COMMAND);
    assert_eq!(run(&broker, &words).await.code, Some(3));
    let running = run(&broker, &words).await;
    insta::assert_snapshot!(running.transcript());
}

/// South failed after three tries, and west is asked to leave it: the history says when each state began.
fn eventful() -> Command {
    let north = Execution {
        absorbed_by_command_id: "0198c5a2-9999-7c3e-9d54-3b1f0c7d2e11".to_owned(),
        ..through(
            examples::north_done(),
            &[(Accepted, 0), (Dispatched, 40), (Done, 310)],
        )
    };
    let south = through(
        examples::south_tried(),
        &[(Accepted, 0), (Dispatched, 41), (Failed, 15_100)],
    );
    let west = Execution {
        deadline: Some(after(300_000)),
        cancel_request_time: Some(after(9_750)),
        ..through(
            in_state(examples::waiting("west"), Dispatched),
            &[(Accepted, 0), (Dispatched, 44)],
        )
    };
    let draft = accepted().draft.map(|draft| CommandDraft {
        not_before: Some(after(0)),
        expire_time: Some(after(60_000)),
        ..draft
    });
    let counts = [("done", 1), ("failed", 1), ("dispatched", 1)];
    Command {
        draft,
        standing: Some(standing(Overall::Active, false, &counts)),
        executions: vec![north, south, west],
        ..accepted()
    }
}

/// A person sees the states with their times, the tries with their pauses, until when it may begin and a report is due.
#[tokio::test]
async fn status_shows_how_it_came_there() {
    let (_peer, broker) = Peer::default().shows(eventful()).listen().await;
    let words = format!("status {} --history", examples::COMMAND);
    insta::assert_snapshot!(run(&broker, &words).await.transcript());
}

/// A participant that carries it out for another sees its own part, whose scope says nothing of what was asked of others.
#[tokio::test]
async fn a_host_is_told_that_it_sees_its_part_alone() {
    let part = || {
        let south = scope::Kind::Participants(Ids {
            ids: vec!["south".to_owned()],
        });
        let draft = accepted().draft.map(|draft| CommandDraft {
            scope: Some(Scope { kind: Some(south) }),
            ..draft
        });
        Command {
            draft,
            executions: vec![examples::waiting("south")],
            request_id: String::new(),
            ..accepted()
        }
    };
    let peer = Peer::default().shows(part()).shows(part()).shows(part());
    let (_peer, broker) = peer.listen().await;
    let words = format!("status {}", examples::COMMAND);
    let host = run(&broker, &format!("{words} --as south")).await;
    insta::assert_snapshot!(host.transcript());
    let document = run(&broker, &format!("{words} --as south --json")).await;
    let document: serde_json::Value = serde_json::from_str(&document.stdout).expect("a document");
    assert_eq!(document["part_of_participant_id"], "south");
    // Whoever asked for that alone is told so.
    let owner = run(&broker, &format!("{words} --as north")).await.stdout;
    assert!(owner.contains("of shop, only at south\n"), "{owner}");
    assert!(!owner.contains("Shown"), "{owner}");
}

/// A script gets all of it without asking.
#[tokio::test]
async fn a_status_for_scripts_has_history_and_tries() {
    let (_peer, broker) = Peer::default().shows(eventful()).listen().await;
    let words = format!("status {} --json", examples::COMMAND);
    let document = run(&broker, &words).await.stdout;
    let document: serde_json::Value = serde_json::from_str(&document).expect("is a document");
    let time = |value: &serde_json::Value| value.as_str().map(ToOwned::to_owned);
    assert_eq!(
        time(&document["expire_time"]).as_deref(),
        Some("2025-11-22T16:04:11.25Z")
    );
    assert_eq!(document["executions"][0]["history"][2]["state"], "done");
    let tries = &document["executions"][1]["servers"][1]["tries"];
    assert_eq!(
        (
            tries[1]["fault"]["code"].as_str(),
            tries[1]["pause_ms"].as_u64()
        ),
        (Some("unreachable"), Some(1_400))
    );
    let west = &document["executions"][2];
    assert_eq!(
        time(&west["deadline"]).as_deref(),
        Some("2025-11-22T16:08:11.25Z")
    );
    assert_eq!(
        time(&west["cancel_request_time"]).as_deref(),
        Some("2025-11-22T16:03:21Z")
    );
    assert!(document["executions"][0]["absorbed_by_command_id"].is_string());
}

/// What is left out, because it would not fit into one answer, is said to be left out; a script is told as well.
#[tokio::test]
async fn what_each_server_made_of_it_may_be_left_out_and_that_is_said() {
    let large = || Command {
        servers_omitted: true,
        ..settled()
    };
    let peer = Peer::default()
        .shows(large())
        .shows(large())
        .shows(settled());
    let (_peer, broker) = peer.listen().await;
    let words = format!("status {}", examples::COMMAND);
    let said = run(&broker, &words).await;
    assert!(said.stdout.contains("left out"), "{}", said.transcript());
    let document = run(&broker, &format!("{words} --json")).await.stdout;
    let document: serde_json::Value = serde_json::from_str(&document).expect("is a document");
    assert_eq!(document["servers_omitted"], true);
    let whole = run(&broker, &words).await;
    assert!(!whole.stdout.contains("left out"), "{}", whole.transcript());
}
