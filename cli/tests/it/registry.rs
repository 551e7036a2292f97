//! The registry's commands, against a directory in memory.

use prost_types::Timestamp;
use proto::v1::{AdapterCredentials, ParticipantProgress};
use tonic::Status;

use crate::{
    fedctl::{fedctl, run, run_with},
    peer::Peer,
};

/// Runs one line after the other and keeps all that was said.
async fn session(lines: &[&str]) -> String {
    let (_peer, broker) = Peer::default().listen().await;
    let mut said = Vec::new();
    for line in lines {
        let run = run(&broker, line).await;
        let code = run.code.unwrap_or(-1);
        let (stdout, stderr) = (run.stdout, run.stderr);
        said.push(format!(
            "$ fedctl {line}\n{stdout}{stderr}exit code {code}\n"
        ));
    }
    said.join("\n")
}

/// An operator builds a small federation by hand and looks at it; a bare noun lists, over all pages.
#[tokio::test]
async fn records_are_created_and_listed() {
    let text = session(&[
        "participants",
        "participants create north --display-name North",
        "participants create south --excludes-own-servers",
        "participants create west --invocation-system canonical",
        "servers create varnish-1 --participant north --dialect varnish --address 10.0.0.7:80 --place eu/de/berlin",
        "servers create nginx-1 --participant south --dialect nginx --address 10.1.0.7:80",
        "configurations create shop --customer acme --owner north --host www.example.com,img.example.com",
        "deployments create shop-at-north --configuration shop --participant north",
        "deployments create shop-at-south --configuration shop --participant south --server nginx-1",
        "participants",
        "servers",
        "servers list --participant south",
        "configurations",
        "deployments",
        "deployments grant shop-at-south --server nginx-1",
        "deployments list --participant south --json",
        "deployments revoke shop-at-south",
        "participants update west --can purge:url,purge:tag,load:url",
        "participants get west --json",
        "participants update west --can-everything",
        "participants create east --invocation-system canonical --can purge",
        "participants update west --invocation-system cloudflare --native-limits urls=500,tags=30",
        "participants get west",
        "participants get west --json",
        "participants update west --usual-native-limits",
        "participants get west",
        "participants update west --native-limits urls",
    ])
    .await;
    insta::assert_snapshot!(text);
}

/// An update replaces the record at the broker, but what was not typed stays as it was.
#[tokio::test]
async fn an_update_keeps_what_was_not_typed() {
    let text = session(&[
        "servers create varnish-1 --participant north --dialect varnish --address 10.0.0.7:80 --place eu/de/berlin",
        "servers update varnish-1 --address 10.0.0.8:80",
        "servers update varnish-1",
        "deployments create shop-at-south --configuration shop --participant south --server nginx-1",
        "deployments update shop-at-south --all-servers",
        "servers get varnish-1 --json",
        "servers delete varnish-1",
        "servers get varnish-1",
    ])
    .await;
    insta::assert_snapshot!(text);
}

/// The answers to a create and to a delete get lost: both were carried out, and the tries that follow say so.
#[tokio::test]
async fn a_lost_answer_is_no_failure_of_what_was_done() {
    let (peer, broker) = Peer::default().listen().await;
    let create =
        "servers create varnish-1 --participant north --dialect varnish --address 10.0.0.7:80";
    peer.directory
        .lose_answer(Status::unavailable("going down"));
    let created = run(&broker, create).await;
    assert_eq!(created.code, Some(0), "{}", created.transcript());
    assert!(
        created.stdout.contains("10.0.0.7:80"),
        "{}",
        created.transcript()
    );
    assert!(
        created.stderr.contains("an answer was lost"),
        "{}",
        created.transcript()
    );

    peer.directory
        .lose_answer(Status::unavailable("going down"));
    let deleted = run(&broker, "servers delete varnish-1").await;
    assert_eq!(deleted.code, Some(0), "{}", deleted.transcript());
    assert!(
        deleted.stderr.contains("an answer was lost"),
        "{}",
        deleted.transcript()
    );
}

/// What is there already and different, or was not there in the first place, is an error as ever.
#[tokio::test]
async fn what_was_there_before_is_not_taken_for_ones_own() {
    let (peer, broker) = Peer::default().listen().await;
    let create = |address: &str| {
        format!(
            "servers create varnish-1 --participant north --dialect varnish --address {address}"
        )
    };
    assert_eq!(run(&broker, &create("10.0.0.7:80")).await.code, Some(0));
    let again = run(&broker, &create("10.0.0.7:80")).await;
    assert_eq!(again.code, Some(1), "{}", again.transcript());
    assert!(!again.stderr.contains("lost"), "{}", again.transcript());
    assert_eq!(run(&broker, "servers delete nobody").await.code, Some(2));

    // The first try is refused before the directory is asked, so the record of somebody else is met by the second.
    peer.directory.refuse(Status::unavailable("starting"));
    let other = run(&broker, &create("10.0.0.8:80")).await;
    assert_eq!(other.code, Some(1), "{}", other.transcript());
    assert!(
        other.stderr.contains("see: fedctl servers get varnish-1"),
        "{}",
        other.transcript()
    );
}

/// An operator sees at a glance who is behind, by how many commands and since when; scripts get the figures.
#[tokio::test]
async fn who_is_behind_is_shown_with_how_many_and_how_long() {
    let (peer, broker) = Peer::default().listen().await;
    let now = std::time::SystemTime::now();
    let ago = |seconds| {
        Some(Timestamp::from(
            now - std::time::Duration::from_secs(seconds),
        ))
    };
    let progress = |id: &str, waiting, unreported| ParticipantProgress {
        participant_id: id.to_owned(),
        accepted_sequence: 40,
        read_sequence: 25,
        waiting,
        unreported,
        ..ParticipantProgress::default()
    };
    peer.directory.set_progress(&ParticipantProgress {
        read_sequence: 40,
        heard_time: ago(0),
        ..progress("north", 0, 0)
    });
    // Two days and three hours, and some room for a slow machine.
    peer.directory.set_progress(&ParticipantProgress {
        oldest_time: ago(183_700),
        heard_time: ago(183_700),
        ..progress("south", 12, 3)
    });
    peer.directory.set_progress(&progress("west", 40, 0));
    for id in ["north", "south", "west", "east"] {
        run(&broker, &format!("participants create {id}")).await;
    }
    let listed = run(&broker, "participants").await;
    let shown = run(&broker, "participants progress").await;
    insta::assert_snapshot!(listed.transcript() + &without_seconds(&shown.transcript()));
    let document = run(&broker, "participants progress --json").await.stdout;
    let document: serde_json::Value = serde_json::from_str(&document).expect("is a document");
    let south = &document["progress"][1];
    assert_eq!(
        (south["behind"].as_u64(), south["unreported"].as_u64()),
        (Some(15), Some(3))
    );
    assert!(south["behind_seconds"].as_u64() >= Some(183_700), "{south}");
}

/// A slow machine takes a second or two between the two calls.
fn without_seconds(text: &str) -> String {
    text.replace(" 1 s ago", " 0 s ago")
        .replace(" 2 s ago", " 0 s ago")
}

/// A participant asks, and may not see how far others are; or the broker is older: the records are shown all the same.
#[tokio::test]
async fn records_are_listed_where_the_progress_is_withheld() {
    for status in [
        Status::permission_denied("no"),
        Status::unimplemented("what"),
    ] {
        let (peer, broker) = Peer::default().listen().await;
        run(&broker, "participants create north").await;
        peer.directory.withhold(status);
        let listed = run(&broker, "participants").await;
        assert_eq!(listed.code, Some(0), "{}", listed.transcript());
        assert!(listed.stdout.contains("north"), "{}", listed.transcript());
    }
}

/// The password goes into a file that only its owner may read, and is seen nowhere else; what is there is not overwritten,
/// and then nothing is asked of the broker.
#[tokio::test]
async fn credentials_are_written_once_for_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let (peer, broker) = Peer::default().listen().await;
    peer.directory.set_credentials(AdapterCredentials {
        url: "amqps://rabbitmq.example:5671/%2f".to_owned(),
        user: "participant-north".to_owned(),
        password: "planted".to_owned(),
    });
    let folder = tempfile::tempdir().expect("a folder");
    let in_folder = async |line: &str| {
        let mut command = fedctl(&broker);
        command.current_dir(&folder).args(line.split(' '));
        run_with(&mut command).await
    };
    let created = in_folder("participants create north --json").await;
    assert_eq!(created.code, Some(0), "{}", created.transcript());
    assert!(!created.transcript().contains("planted"));
    let file = folder.path().join("north.credentials.json");
    let mode = file.metadata().expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let written = std::fs::read_to_string(&file).expect("it can be read");
    let written: serde_json::Value = serde_json::from_str(&written).expect("it is JSON");
    assert_eq!(written["password"], "planted");
    assert_eq!(written["user"], "participant-north");

    let again = in_folder("participants credentials north").await;
    assert_eq!(again.code, Some(2), "{}", again.transcript());
    let other = in_folder("participants credentials north --credentials other.json").await;
    assert_eq!(other.code, Some(0), "{}", other.transcript());
    assert!(folder.path().join("other.json").exists());
}
