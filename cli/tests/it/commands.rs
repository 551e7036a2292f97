//! Submitting, planning, listing and cancelling: what is printed, and the exit code.

use proto::v1::{ListCommandsResponse, Overall, SubmitCommandResponse, operation, selector};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::{
    examples::{self, accepted, change, plan, settled, standing, story},
    fedctl::{fedctl, run, run_with},
    peer::{Peer, Watched},
};

const PURGE: &str = "purge https://www.example.com/a https://www.example.com/b";

fn complete(evidence: Overall) -> Watched {
    let standing = standing(evidence, true, &[("done", 1)]);
    Watched::Ends(vec![change(standing, vec![examples::north_done()], "1")])
}

fn only_north() -> proto::v1::Command {
    proto::v1::Command {
        executions: vec![examples::waiting("north")],
        ..accepted()
    }
}

/// The main road for a person: a purge waits until all have answered, and a table says what each server did.
#[tokio::test]
async fn a_purge_waits_and_shows_what_every_server_did() {
    let peer = Peer::default()
        .accepts(accepted())
        .watch(Watched::Ends(story()));
    let (peer, broker) = peer.listen().await;
    let run = run(&broker, PURGE).await;
    insta::assert_snapshot!(run.transcript());
    let submitted = peer.submitted.lock().expect("nobody panicked");
    let draft = submitted[0].draft.clone().expect("was sent");
    let first = draft.selectors[0].kind.clone();
    assert_eq!(
        first,
        Some(selector::Kind::Url("https://www.example.com/a".to_owned()))
    );
    assert!(!submitted[0].request_id.is_empty());
}

/// A script reads one document, whose names are stable.
#[tokio::test]
async fn a_purge_prints_one_document_for_scripts() {
    let peer = Peer::default()
        .accepts(accepted())
        .watch(Watched::Ends(story()));
    let (_peer, broker) = peer.listen().await;
    insta::assert_snapshot!(run(&broker, &format!("{PURGE} --json")).await.transcript());
}

/// Everybody did it: exit code 0. As far as anybody can know: also 0, and the text says so.
#[tokio::test]
async fn done_everywhere_is_exit_code_0_and_processed_says_what_it_is() {
    for (overall, said) in [
        (Overall::Complete, "complete: 1 done"),
        (Overall::Processed, "as far as anybody can know"),
    ] {
        let peer = Peer::default()
            .accepts(only_north())
            .watch(complete(overall));
        let (_peer, broker) = peer.listen().await;
        let run = run(&broker, PURGE).await;
        assert_eq!(run.code, Some(0), "{}", run.transcript());
        assert!(run.stdout.contains(said), "{}", run.transcript());
    }
}

/// `--no-wait` prints the id alone on stdout, and on stderr what to type next.
#[tokio::test]
async fn without_waiting_the_id_is_printed_and_how_to_come_back() {
    let (_peer, broker) = Peer::default().accepts(accepted()).listen().await;
    insta::assert_snapshot!(
        run(&broker, &format!("{PURGE} --no-wait"))
            .await
            .transcript()
    );
}

/// The broker refuses two of the fields: each is named with its rule and the text that was typed for it.
#[tokio::test]
async fn a_malformed_command_is_exit_code_2_with_field_and_rule() {
    let mut details = ErrorDetails::with_bad_request_violation(
        "draft.selectors[1].url",
        "must have a host name of the configuration",
    );
    details.add_bad_request_violation("draft.scope.participants.ids[0]", "is unknown");
    details.set_error_info(
        "MALFORMED",
        "federation.v1",
        [("limit".to_owned(), "1000".to_owned())],
    );
    let refused = Status::with_error_details(Code::InvalidArgument, "2 fields are wrong", details);
    let (_peer, broker) = Peer::default().submit(Err(refused)).listen().await;
    insta::assert_snapshot!(
        run(&broker, &format!("{PURGE} --participant nobody"))
            .await
            .transcript()
    );
}

/// The caller may not command this configuration: exit code 4; an unknown command: 2; a broker out of order: 1.
#[tokio::test]
async fn every_refusal_has_its_exit_code() {
    let codes = [
        (Code::PermissionDenied, 4),
        (Code::Unauthenticated, 4),
        (Code::NotFound, 2),
        (Code::FailedPrecondition, 1),
    ];
    for (code, exit) in codes {
        let peer = Peer::default().submit(Err(Status::new(code, "no")));
        let (_peer, broker) = peer.listen().await;
        assert_eq!(run(&broker, PURGE).await.code, Some(exit), "{code:?}");
    }
}

/// A broker restarts while a command is submitted: the next tries carry the same request id, so it is one command.
#[tokio::test]
async fn another_try_carries_the_same_request_id() {
    let peer = Peer::default()
        .submit(Err(Status::unavailable("starting")))
        .submit(Err(Status::unavailable("starting")))
        .accepts(accepted());
    let (peer, broker) = peer.listen().await;
    assert_eq!(
        run(&broker, &format!("{PURGE} --no-wait")).await.code,
        Some(0)
    );
    let submitted = peer.submitted.lock().expect("nobody panicked");
    assert_eq!(submitted.len(), 3);
    assert!(
        submitted
            .iter()
            .all(|request| request.request_id == submitted[0].request_id)
    );
}

/// A plan names who cannot say it, why, and the calls that the others would get.
#[tokio::test]
async fn a_plan_names_who_cannot_say_it_and_why() {
    let answer = SubmitCommandResponse {
        command: None,
        plan: Some(plan()),
        participants_without_servers: vec!["east".to_owned()],
    };
    let peer = Peer::default()
        .submit(Ok(answer.clone()))
        .submit(Ok(answer));
    let (peer, broker) = peer.listen().await;
    insta::assert_snapshot!(run(&broker, "plan purge shop --tag red").await.transcript());
    assert_eq!(
        run(&broker, "purge shop --everything --plan").await.code,
        Some(0)
    );
    let submitted = peer.submitted.lock().expect("nobody panicked");
    assert!(submitted.iter().all(|request| request.validate_only));
}

/// A whole configuration, from a script that did not say `--yes`: refused before anything reaches the broker.
#[tokio::test]
async fn a_wide_purge_needs_a_person_or_a_yes() {
    let peer = Peer::default()
        .accepts(only_north())
        .watch(complete(Overall::Complete));
    let (peer, broker) = peer.listen().await;
    for wide in [
        "shop --everything",
        "--host www.example.com",
        "--wildcard www.example.com/*",
        "--regex www.example.com .*",
    ] {
        let run = run(&broker, &format!("purge {wide}")).await;
        assert_eq!(run.code, Some(2), "{}", run.transcript());
        assert!(run.stderr.contains("--yes"), "{}", run.transcript());
    }
    assert!(peer.submitted.lock().expect("nobody panicked").is_empty());
    assert_eq!(
        run(&broker, "purge shop --everything --yes").await.code,
        Some(0)
    );
}

/// URLs come from a file; comments and empty lines do not.
#[tokio::test]
async fn urls_are_read_from_a_file() {
    let file = tempfile::NamedTempFile::new().expect("there is room");
    std::fs::write(
        file.path(),
        "# launch\nhttps://a.example/1\n\nhttps://a.example/2\n",
    )
    .expect("there is room");
    let (peer, broker) = Peer::default().accepts(accepted()).listen().await;
    let mut fedctl = fedctl(&broker);
    fedctl
        .args(["load", "--no-wait", "--file"])
        .arg(file.path());
    assert_eq!(run_with(&mut fedctl).await.code, Some(0));
    let submitted = peer.submitted.lock().expect("nobody panicked");
    assert_eq!(
        submitted[0]
            .draft
            .as_ref()
            .map(|draft| draft.selectors.len()),
        Some(2)
    );
}

/// A list goes over pages up to its limit, and says when there is more.
#[tokio::test]
async fn a_list_goes_over_pages() {
    let peer = Peer::default();
    let page = |token: &str| ListCommandsResponse {
        commands: vec![settled(), accepted()],
        next_page_token: token.to_owned(),
    };
    peer.lists
        .lock()
        .expect("nobody panicked")
        .extend([Ok(page("2")), Ok(page("3"))]);
    let (peer, broker) = peer.listen().await;
    insta::assert_snapshot!(run(&broker, "list --limit 4").await.transcript());
    let listed = peer.listed.lock().expect("nobody panicked");
    assert_eq!(
        (listed[1].page_size, listed[1].page_token.as_str()),
        (2, "2")
    );
}

/// What the operator of the federation registered is asked for by name, with its parameters, of any selectors.
#[tokio::test]
async fn a_registered_operation_carries_its_parameters() {
    let (peer, broker) = Peer::default().accepts(accepted()).listen().await;
    let words = "run reindex shop --tag red --param depth=2 --param note=a=b --no-wait";
    assert_eq!(run(&broker, words).await.code, Some(0));
    let submitted = peer.submitted.lock().expect("nobody panicked");
    let operation = submitted[0].draft.clone().and_then(|draft| draft.operation);
    let Some(operation::Kind::Custom(custom)) = operation.and_then(|operation| operation.kind)
    else {
        panic!("not a registered operation");
    };
    assert_eq!(custom.name, "reindex");
    let parameters: Vec<_> = ["depth", "note"]
        .map(|name| custom.parameters[name].clone())
        .into();
    assert_eq!(parameters, ["2", "a=b"]);
}

/// A parameter without its name, one that is given twice, everything without a yes: nothing reaches the broker.
#[tokio::test]
async fn a_registered_operation_is_checked_like_a_purge() {
    let (peer, broker) = Peer::default().listen().await;
    for wrong in [
        "run reindex shop --tag red --param =2",
        "run reindex shop --tag red --param a=1 --param a=2",
        "run reindex shop --everything",
        "run reindex shop",
    ] {
        let run = run(&broker, wrong).await;
        assert_eq!(run.code, Some(2), "{wrong}: {}", run.transcript());
    }
    assert!(peer.submitted.lock().expect("nobody panicked").is_empty());
}

/// What is sent to a provider today goes to the broker as it is, but for what proves who calls; a wide one is confirmed.
#[tokio::test]
async fn a_native_request_is_sent_as_it_is() {
    let peer = Peer::default()
        .accepts(accepted())
        .watch(Watched::Ends(story()));
    let (peer, broker) = peer.listen().await;
    let words = "native fastly https://api.fastly.com/service/S1/purge/red -X POST --header Fastly-Key:secret --header Fastly-Soft-Purge:1 --configuration shop --no-wait";
    let sent = run(&broker, words).await;
    assert_eq!(sent.code, Some(0), "{}", sent.transcript());
    let draft = peer.submitted.lock().expect("nobody panicked")[0]
        .draft
        .clone();
    let draft = draft.expect("was sent");
    let native = draft.native.expect("it is native");
    assert_eq!(
        (
            native.dialect.as_str(),
            native.method.as_str(),
            native.path.as_str()
        ),
        ("fastly", "POST", "/service/S1/purge/red")
    );
    let headers: Vec<_> = native
        .headers
        .iter()
        .map(|header| header.name.as_str())
        .collect();
    assert_eq!(
        (headers.as_slice(), draft.configuration_id.as_str()),
        (&["fastly-soft-purge"][..], "shop")
    );
    assert_eq!((draft.operation, draft.selectors.len()), (None, 0));
    let wide = run(
        &broker,
        "native fastly /service/S1/purge_all -X POST --configuration shop",
    )
    .await;
    assert_eq!(wide.code, Some(2), "{}", wide.transcript());
    assert!(wide.stderr.contains("--yes"), "{}", wide.transcript());
}

/// Only the broker knows mappings, and it finds a slip in a format that it knows: that is told as the slip that it is, and nobody
/// is advised to force it. What the broker can read is not sent without a word all the same.
#[tokio::test]
async fn a_request_that_only_the_broker_reads_is_shown_to_it_first() {
    let rule = "must be one of akamai, varnish, or the mapping by which the caller is told";
    let details = ErrorDetails::with_bad_request_violation("draft.native.dialect", rule);
    let refused = Status::with_error_details(Code::InvalidArgument, "is malformed", details);
    let planned = SubmitCommandResponse {
        plan: Some(plan()),
        ..SubmitCommandResponse::default()
    };
    let peer = Peer::default().submit(Err(refused)).submit(Ok(planned));
    let (peer, broker) = peer.listen().await;
    let native = "native nosuch /x --configuration shop";
    let slip = run(&broker, native).await;
    assert_eq!(slip.code, Some(2), "{}", slip.transcript());
    assert!(slip.stderr.contains(rule), "{}", slip.stderr);
    assert!(!slip.stderr.contains("--yes"), "{}", slip.stderr);
    let mapped = run(&broker, native).await;
    assert_eq!(mapped.code, Some(2), "{}", mapped.transcript());
    assert!(
        mapped.stderr.contains("--plan shows what"),
        "{}",
        mapped.stderr
    );
    let submitted = peer.submitted.lock().expect("nobody panicked");
    assert_eq!(submitted.len(), 2);
    assert!(submitted.iter().all(|request| request.validate_only));
}

/// Who may not have the receipts gets no file that looks like the beginning of them.
#[tokio::test]
async fn a_refused_export_writes_nothing() {
    // The peer has no receipts at all.
    let (_peer, broker) = Peer::default().listen().await;
    let run = run(&broker, "receipts export shop").await;
    assert_eq!((run.code, run.stdout.as_str()), (Some(1), ""));
}

/// A script tells a bundle that somebody cut from one that it could not even open.
#[tokio::test]
async fn a_cut_bundle_is_not_a_missing_one() {
    let folder = tempfile::tempdir().expect("there is room");
    let file = folder.path().join("shop.jsonl");
    let opening = r#"{"bundle":"federation.receipts.v1","configuration":"shop"}"#;
    std::fs::write(&file, format!("{opening}\n{{\"sequ")).expect("there is room");
    let verify = format!("receipts verify {}", file.display());
    let cut = run("http://127.0.0.1:9", &verify).await;
    assert_eq!(cut.code, Some(2), "{}", cut.transcript());
    assert!(cut.stderr.contains("the end is missing"), "{}", cut.stderr);
    std::fs::write(&file, [opening.as_bytes(), &[0xff]].concat()).expect("there is room");
    let no_text = run("http://127.0.0.1:9", &verify).await;
    assert_eq!(no_text.code, Some(2), "{}", no_text.transcript());
    let missing = run("http://127.0.0.1:9", &format!("{verify}.gone")).await;
    assert_eq!(missing.code, Some(1), "{}", missing.transcript());
}
