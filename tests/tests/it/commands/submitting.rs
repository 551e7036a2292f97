//! What is accepted: once however often it is asked for, planned, in streams, to whom it can be said.

use anyhow::{Context, Result};
use futures::TryStreamExt as _;
use proto::v1::{self, selector::Kind};
use tests::{federation::purge, wait};
use tonic::Code;
use tonic_types::StatusExt as _;

use super::{SOON, URL, custom, listed, of, stage, states};

/// Another object of the same configuration.
const OTHER: &str = "http://www.shop.example/y";

/// A client that heard nothing asks again with the same request id, of any replica, and gets the same command.
#[tokio::test]
async fn a_repeated_request_is_one_command() -> Result<()> {
    let stage = stage("").await?;
    let second = stage.federation.broker("second").await?;
    let request = |url: &str| v1::SubmitCommandRequest {
        draft: Some(purge(&[url])),
        request_id: "0191d2f0-7c1e-7b3a-9d7e-0a1b2c3d4e5f".to_owned(),
        validate_only: false,
    };
    let mut ids = std::collections::BTreeSet::new();
    for broker in [&stage.broker, &second, &stage.broker] {
        let mut owner = stage.federation.client(broker, "participant/a")?;
        wait::until(SOON, "the replica knows the configuration", async || {
            owner
                .clone()
                .commands
                .submit_command(v1::SubmitCommandRequest {
                    validate_only: true,
                    ..request(URL)
                })
                .await
                .is_ok()
        })
        .await?;
        let answer = owner
            .commands
            .submit_command(request(URL))
            .await?
            .into_inner();
        ids.insert(answer.command.context("a command")?.id);
    }
    assert_eq!(ids.len(), 1);
    let mut owner = stage.owner.clone();
    let other = owner
        .commands
        .submit_command(request(OTHER))
        .await
        .expect_err("another draft");
    assert_eq!(other.code(), Code::AlreadyExists);
    Ok(())
}

/// Who asks at the same time as others shares a call to the store with them. Each is answered for itself: a request that
/// comes several times is one command, and one that means something else under its name is refused alone.
#[tokio::test]
async fn commands_that_come_together_are_decided_one_by_one() -> Result<()> {
    const NAMES: usize = 40;
    let stage = stage("").await?;
    let submit = async |number: usize| {
        // The last of four under one name asks for something else.
        let is_other = number >= 3 * NAMES;
        let url = if is_other { OTHER } else { URL };
        let request = v1::SubmitCommandRequest {
            draft: Some(purge(&[url])),
            request_id: format!("0191d2f0-7c1e-7b3a-9d7e-{:012x}", number % NAMES),
            validate_only: false,
        };
        let mut commands = stage.owner.clone().commands;
        (is_other, commands.submit_command(request).await)
    };
    let answers = futures::future::join_all((0..4 * NAMES).map(submit)).await;
    let mut all = std::collections::BTreeSet::new();
    for name in 0..NAMES {
        let mut ids = std::collections::BTreeSet::new();
        let mut accepted = Vec::new();
        for (is_other, answer) in answers.iter().skip(name).step_by(NAMES) {
            match answer {
                Ok(answer) => {
                    let command = answer.get_ref().command.as_ref().context("a command")?;
                    ids.insert(command.id.clone());
                    accepted.push(*is_other);
                }
                Err(status) => assert_eq!(status.code(), Code::AlreadyExists, "{status:?}"),
            }
        }
        assert!(
            accepted == [false; 3] || accepted == [true],
            "whoever came first under a name decides what it means: {accepted:?}"
        );
        assert_eq!(ids.len(), 1);
        all.extend(ids);
    }
    assert_eq!(all.len(), NAMES);
    Ok(())
}

/// The plan names who cannot say a tag and why, shows the native calls of who can, and stores nothing.
#[tokio::test]
async fn a_plan_names_who_cannot_say_it() -> Result<()> {
    let mut stage = stage("").await?;
    let request = v1::SubmitCommandRequest {
        draft: Some(of(Kind::Tag("sale".to_owned()))),
        validate_only: true,
        ..v1::SubmitCommandRequest::default()
    };
    let plan = stage
        .owner
        .commands
        .submit_command(request)
        .await?
        .into_inner()
        .plan
        .context("a plan")?;
    let fidelity = |id: &str| {
        let execution = plan
            .executions
            .iter()
            .find(|execution| execution.participant_id == id);
        execution
            .and_then(|execution| execution.fidelity.clone())
            .unwrap_or_default()
    };
    assert_eq!(fidelity("a").fidelity(), v1::Fidelity::Exact);
    assert_eq!(fidelity("b").fidelity(), v1::Fidelity::Impossible);
    assert!(fidelity("b").why.contains("nginx"), "{}", fidelity("b").why);
    assert!(
        plan.executions
            .iter()
            .any(|execution| !execution.native.is_empty())
    );
    assert_eq!(listed(&mut stage.owner).await?, 0);
    Ok(())
}

/// One participant cannot say it: the others are told and that one is `unsupported`, or nobody is, as was asked.
#[tokio::test]
async fn a_command_that_one_cannot_say_is_skipped_or_refused() -> Result<()> {
    let mut stage = stage("").await?;
    let draft = of(Kind::Tag("sale".to_owned()));
    let refused = v1::CommandDraft {
        when_impossible: v1::WhenImpossible::Refuse.into(),
        ..draft.clone()
    };
    let status = stage.owner.submit(refused).await.expect_err("b cannot");
    assert_eq!(status.code(), Code::FailedPrecondition);
    let details = status.get_error_details();
    let who = details
        .precondition_failure()
        .map(|failure| failure.violations.clone())
        .unwrap_or_default();
    assert_eq!(
        who.first().map(|violation| violation.subject.as_str()),
        Some("b")
    );
    let command = stage.owner.submit(draft).await?;
    assert_eq!(stage.a.carry_out().await?.len(), 1);
    let settled = stage.owner.settled(&command.id, SOON).await?;
    assert_eq!(
        states(&settled),
        [
            ("a", v1::ExecutionState::Done),
            ("b", v1::ExecutionState::Unsupported)
        ]
    );
    assert_eq!(
        settled.standing.context("a standing")?.overall(),
        v1::Overall::Partial
    );
    Ok(())
}

/// Many commands in one stream are answered in order, and one that is refused does not end it, nor one that names much. What comes
/// several times under one name is one command.
#[tokio::test]
async fn a_stream_answers_each_in_order() -> Result<()> {
    use v1::submit_commands_response::Result as Answer;
    let mut stage = stage("").await?;
    // What names much is taken in beside the others; those under one name come behind, and are taken in together or in their order.
    let much: Vec<_> = (0..300).map(|number| format!("{URL}{number}")).collect();
    let request = |index: usize| {
        let draft = match index {
            7 => purge(&["http://www.evil.example/"]),
            11 | 12 => purge(&much.iter().map(String::as_str).collect::<Vec<_>>()),
            23 => purge(&[OTHER]),
            _ => purge(&[URL]),
        };
        let has_name = (20..24).contains(&index);
        let name = has_name.then(|| "0191d2f0-7c1e-7b3a-9d7e-0a1b2c3d4e5f".to_owned());
        v1::SubmitCommandsRequest {
            tag: index.to_string(),
            draft: Some(draft),
            request_id: name.unwrap_or_default(),
        }
    };
    let requests: Vec<_> = (0..100).map(request).collect();
    let requests = futures::stream::iter(requests);
    let answers = stage.owner.commands.submit_commands(requests).await?;
    let answers: Vec<_> = answers.into_inner().try_collect().await?;
    let tags = answers.iter().map(|answer| answer.tag.clone());
    assert!(tags.eq((0..100).map(|index| index.to_string())));
    let (mut named, mut ids) = (Vec::new(), std::collections::BTreeSet::new());
    for (index, answer) in answers.into_iter().enumerate() {
        match (index, answer.result.context("a result")?) {
            (7, Answer::Failure(failure)) => {
                assert_eq!(failure.violations[0].field, "draft.selectors[0].url");
            }
            (23, Answer::Failure(failure)) => {
                assert_eq!(Code::from_i32(failure.code), Code::AlreadyExists);
            }
            (20..23, Answer::CommandId(id)) => named.push(id),
            (_, Answer::CommandId(id)) => assert!(ids.insert(id), "each is its own"),
            (index, other) => panic!("{index} was answered with {other:?}"),
        }
    }
    assert!(named.iter().all(|id| *id == named[0] && !ids.contains(id)));
    assert_eq!((named.len(), ids.len()), (3, 95));
    Ok(())
}

/// What the operator registered goes to who can take it, with its parameters, and says that it may not be repeated.
#[tokio::test]
async fn a_registered_operation_reaches_an_invocation_system() -> Result<()> {
    let mut stage = stage("[operations.reindex]\nrepeatable = false").await?;
    let mut operator = stage.federation.client(&stage.broker, "operator/ops")?;
    operator
        .put_participant(v1::Participant {
            id: "c".to_owned(),
            invocation_system: "canonical".to_owned(),
            ..v1::Participant::default()
        })
        .await?;
    operator
        .create_server("c1", "c", "squid", ([127, 0, 0, 1], 1).into())
        .await?;
    operator.deploy("shop", "c").await?;
    let mut c = stage.federation.scripted("c")?;
    let command = stage.owner.submit(custom("reindex")).await?;
    let orders = c.carry_out().await?;
    assert!(
        !orders[0].repeatable && orders[0].operation == "reindex",
        "{:?}",
        orders[0]
    );
    let settled = stage.owner.settled(&command.id, SOON).await?;
    let unsupported = v1::ExecutionState::Unsupported;
    assert_eq!(
        states(&settled),
        [
            ("a", unsupported),
            ("b", unsupported),
            ("c", v1::ExecutionState::Done)
        ]
    );
    Ok(())
}
