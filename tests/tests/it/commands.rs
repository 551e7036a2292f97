//! `CommandService` on a real broker: what is refused and how, what is planned, repeated, watched, listed, taken back.

use std::time::Duration;

use amqp::envelope::ReportedOutcome;
use anyhow::{Context, Result};
use domain::Evidence;
use futures::StreamExt as _;
use proto::v1::{self, selector::Kind};
use tests::{
    adapter::ScriptedAdapter,
    federation::{Client, Federation, Program, load, purge, selector},
    shared, wait,
};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

const SOON: Duration = Duration::from_secs(20);
const URL: &str = "http://www.shop.example/x";

/// Participants `a` (owner, a Varnish) and `b` (an nginx), with scripted adapters; nobody connects to the servers.
struct Stage {
    federation: Federation,
    broker: Program,
    owner: Client,
    a: ScriptedAdapter,
    b: ScriptedAdapter,
}

async fn stage(settings: &str) -> Result<Stage> {
    let federation = Federation::with_settings(shared()?, settings).await?;
    let broker = federation.broker("broker").await?;
    let mut operator = federation.client(&broker, "operator/ops")?;
    for (participant, dialect) in [("a", "varnish"), ("b", "nginx")] {
        operator.create_participant(participant).await?;
        operator
            .create_server(
                &format!("{participant}1"),
                participant,
                dialect,
                ([127, 0, 0, 1], 1).into(),
            )
            .await?;
    }
    operator
        .create_configuration("shop", "a", &["www.shop.example"])
        .await?;
    operator
        .create_configuration("news", "b", &["www.news.example"])
        .await?;
    operator.deploy("shop", "a").await?;
    operator.deploy("shop", "b").await?;
    let owner = federation.client(&broker, "participant/a")?;
    let (a, b) = (federation.scripted("a")?, federation.scripted("b")?);
    Ok(Stage {
        federation,
        broker,
        owner,
        a,
        b,
    })
}

fn of(kind: Kind) -> v1::CommandDraft {
    v1::CommandDraft {
        selectors: vec![selector(kind)],
        configuration_id: "shop".to_owned(),
        ..purge(&[])
    }
}

async fn listed(owner: &mut Client) -> Result<usize> {
    let answer = owner
        .commands
        .list_commands(v1::ListCommandsRequest::default())
        .await?
        .into_inner();
    Ok(answer.commands.len())
}

fn fields(status: &Status) -> Vec<String> {
    let details = status.get_error_details();
    let violations = details
        .bad_request()
        .map(|request| request.field_violations.clone())
        .unwrap_or_default();
    violations
        .into_iter()
        .map(|violation| violation.field)
        .collect()
}

/// Each mistake is answered with the field and the rule, and leaves nothing in the store.
#[tokio::test]
async fn a_malformed_draft_names_its_fields_and_stores_nothing() -> Result<()> {
    let mut stage = stage("").await?;
    let many = vec![selector(Kind::Url(URL.to_owned())); 1_001];
    let cases = [
        (v1::CommandDraft::default(), "draft.operation"),
        (purge(&[]), "draft.selectors"),
        (purge(&["not a url"]), "draft.selectors[0].url"),
        (
            purge(&[URL, "http://www.evil.example/"]),
            "draft.selectors[1].url",
        ),
        (
            v1::CommandDraft {
                selectors: many,
                ..purge(&[])
            },
            "draft.selectors",
        ),
        (of(Kind::Tag("a b".to_owned())), "draft.selectors[0].tag"),
        (
            of(Kind::Prefix("www.news.example/".to_owned())),
            "draft.selectors[0].prefix",
        ),
        (
            v1::CommandDraft {
                configuration_id: "Shop!".to_owned(),
                ..purge(&[URL])
            },
            "draft.configuration_id",
        ),
        (
            v1::CommandDraft {
                when_impossible: 77,
                ..purge(&[URL])
            },
            "draft.when_impossible",
        ),
        (load_of_prefix(), "draft.selectors[0].prefix"),
        (custom("reindex"), "draft.operation.custom.name"),
        (
            of(Kind::Regex(v1::HostRegex {
                host: "www.shop.example".to_owned(),
                pattern: "(".to_owned(),
            })),
            "draft.selectors[0].regex.pattern",
        ),
    ];
    for (draft, field) in cases {
        let status = stage
            .owner
            .submit(draft.clone())
            .await
            .expect_err("it is malformed");
        assert_eq!(status.code(), Code::InvalidArgument, "{field}: {status:?}");
        assert!(
            fields(&status).contains(&field.to_owned()),
            "{field}: {status:?}"
        );
    }
    assert_eq!(listed(&mut stage.owner).await?, 0);
    Ok(())
}

fn load_of_prefix() -> v1::CommandDraft {
    v1::CommandDraft {
        selectors: vec![selector(Kind::Prefix("www.shop.example/".to_owned()))],
        ..load(&[])
    }
}

fn custom(name: &str) -> v1::CommandDraft {
    let custom = v1::CustomOperation {
        name: name.to_owned(),
        ..v1::CustomOperation::default()
    };
    v1::CommandDraft {
        operation: Some(v1::Operation {
            kind: Some(v1::operation::Kind::Custom(custom)),
        }),
        ..purge(&[URL])
    }
}

/// A configuration of somebody else is answered like one that is not there, word for word.
#[tokio::test]
async fn what_is_anothers_does_not_exist() -> Result<()> {
    let mut stage = stage("").await?;
    let of = |id: &str| v1::CommandDraft {
        configuration_id: id.to_owned(),
        ..purge(&["http://www.news.example/"])
    };
    let foreign = stage.owner.submit(of("news")).await.expect_err("it is b's");
    let absent = stage
        .owner
        .submit(of("nowhere"))
        .await
        .expect_err("there is none");
    assert_eq!(
        (foreign.code(), absent.code()),
        (Code::NotFound, Code::NotFound)
    );
    assert_eq!(
        foreign.message().replace("news", "nowhere"),
        absent.message()
    );
    let mine = stage.owner.submit(purge(&[URL])).await?;
    let mut other = stage.federation.client(&stage.broker, "participant/b")?;
    assert_eq!(
        other.get(&mine.id).await.expect_err("it is a's").code(),
        Code::NotFound
    );
    let mut nobody = stage.federation.client(&stage.broker, "nobody")?;
    assert_eq!(
        nobody.get(&mine.id).await.expect_err("nobody").code(),
        Code::Unauthenticated
    );
    Ok(())
}

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
        .submit_command(request("http://www.shop.example/y"))
        .await
        .expect_err("another draft");
    assert_eq!(other.code(), Code::AlreadyExists);
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

fn states(command: &v1::Command) -> Vec<(&str, v1::ExecutionState)> {
    command
        .executions
        .iter()
        .map(|execution| (execution.participant_id.as_str(), execution.state()))
        .collect()
}

/// Many commands in one stream are answered in order, and one that is refused does not end it.
#[tokio::test]
async fn a_stream_answers_each_in_order() -> Result<()> {
    let mut stage = stage("").await?;
    let request = |index: usize| v1::SubmitCommandsRequest {
        tag: index.to_string(),
        draft: Some(purge(&[if index == 7 {
            "http://www.evil.example/"
        } else {
            URL
        }])),
        request_id: String::new(),
    };
    let requests = futures::stream::iter((0..100).map(request));
    let answers = stage
        .owner
        .commands
        .submit_commands(requests)
        .await?
        .into_inner();
    let answers = answers
        .map(|answer| answer.expect("the stream goes on"))
        .collect::<Vec<_>>()
        .await;
    let tags = answers
        .iter()
        .map(|answer| answer.tag.parse::<usize>().unwrap())
        .collect::<Vec<_>>();
    assert_eq!(tags, (0..100).collect::<Vec<_>>());
    for answer in &answers {
        match answer.result.as_ref().context("a result")? {
            v1::submit_commands_response::Result::CommandId(_) => assert_ne!(answer.tag, "7"),
            v1::submit_commands_response::Result::Failure(failure) => {
                assert_eq!(
                    (answer.tag.as_str(), failure.violations[0].field.as_str()),
                    ("7", "draft.selectors[0].url")
                );
            }
        }
    }
    Ok(())
}

/// A watcher on another replica sees each change once, resumes where it was, and is let go when all has settled.
#[tokio::test]
async fn a_watch_on_another_replica_resumes_and_ends() -> Result<()> {
    let mut stage = stage("").await?;
    let second = stage.federation.broker("second").await?;
    let mut elsewhere = stage.federation.client(&second, "participant/a")?;
    let command = stage.owner.submit(purge(&[URL])).await?;
    let watch = |token: &str| v1::WatchCommandRequest {
        command_id: command.id.clone(),
        resume_token: token.to_owned(),
    };
    let mut first = elsewhere
        .commands
        .watch_command(watch(""))
        .await?
        .into_inner();
    let snapshot = first.message().await?.context("a snapshot")?;
    assert_eq!(snapshot.executions.len(), 2);
    stage.a.carry_out().await?;
    let mut token = snapshot.resume_token;
    while !done(&mut first, "a", &mut token).await? {}
    drop(first);
    stage.b.carry_out().await?;
    let mut resumed = elsewhere
        .commands
        .watch_command(watch(&token))
        .await?
        .into_inner();
    let mut seen = Vec::new();
    while let Some(change) = resumed.message().await? {
        seen.extend(
            change
                .executions
                .into_iter()
                .map(|execution| execution.participant_id),
        );
    }
    assert!(
        !seen.is_empty() && seen.iter().all(|id| id == "b"),
        "{seen:?}"
    );
    Ok(())
}

async fn done(
    watch: &mut tonic::Streaming<v1::WatchCommandResponse>,
    participant: &str,
    token: &mut String,
) -> Result<bool> {
    let change = watch.message().await?.context("the watch goes on")?;
    *token = change.resume_token;
    let is_done = |execution: &v1::Execution| {
        execution.participant_id == participant && execution.state() == v1::ExecutionState::Done
    };
    Ok(change.executions.iter().any(is_done))
}

/// What is in the outbox is taken back for certain; what is out goes on, and the answer says which is which.
#[tokio::test]
async fn a_cancel_says_what_it_took_back() -> Result<()> {
    let mut stage = stage("[outbox]\nwindow = 1").await?;
    let scope = v1::Scope {
        kind: Some(v1::scope::Kind::Participants(v1::Ids {
            ids: vec!["b".to_owned()],
        })),
    };
    let draft = v1::CommandDraft {
        scope: Some(scope),
        ..purge(&[URL])
    };
    let first = stage.owner.submit(draft.clone()).await?;
    let (delivery, orders) = stage.b.next().await?;
    let second = stage.owner.submit(draft).await?;
    let cancel = |id: &str| v1::CancelCommandRequest {
        command_id: id.to_owned(),
    };
    let sent = stage
        .owner
        .commands
        .cancel_command(cancel(&first.id))
        .await?
        .into_inner();
    assert_eq!(
        (
            sent.cancelled_participant_ids.len(),
            sent.sent_participant_ids.len()
        ),
        (0, 1)
    );
    let taken = stage
        .owner
        .commands
        .cancel_command(cancel(&second.id))
        .await?
        .into_inner();
    assert_eq!(
        (
            taken.cancelled_participant_ids.len(),
            taken.sent_participant_ids.len()
        ),
        (1, 0)
    );
    stage
        .b
        .report(&orders[0], ReportedOutcome::Done(Evidence::Reported))
        .await?;
    delivery.ack().await?;
    let settled = stage.owner.settled(&first.id, SOON).await?;
    assert_eq!(states(&settled), [("b", v1::ExecutionState::Done)]);
    // What was taken back is never sent: the next dispatch is that of a third command.
    let third = stage.owner.submit(purge(&[URL])).await?;
    assert!(
        stage
            .b
            .carry_out()
            .await?
            .iter()
            .all(|order| order.execution.command.to_string() == third.id)
    );
    Ok(())
}

/// Pages follow each other without gap or repetition, newest first, and only the caller's own.
#[tokio::test]
async fn a_list_goes_page_by_page() -> Result<()> {
    for shards in [1, 4] {
        let mut stage = stage(&format!("[store]\nshards = {shards}")).await?;
        let mut ids = Vec::new();
        for _ in 0..7 {
            ids.push(stage.owner.submit(purge(&[URL])).await?.id);
        }
        ids.reverse();
        let (mut found, mut token) = (Vec::new(), String::new());
        loop {
            let request = v1::ListCommandsRequest {
                page_size: 3,
                page_token: token,
                ..v1::ListCommandsRequest::default()
            };
            let page = stage
                .owner
                .commands
                .list_commands(request)
                .await?
                .into_inner();
            assert!(page.commands.len() <= 3);
            found.extend(page.commands.into_iter().map(|command| command.id));
            token = page.next_page_token;
            if token.is_empty() {
                break;
            }
        }
        assert_eq!(found, ids);
        let mut other = stage.federation.client(&stage.broker, "participant/b")?;
        assert_eq!(listed(&mut other).await?, 0);
    }
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

/// Tools that know nothing of us find out what is served, and whether it is well.
#[tokio::test]
async fn health_and_reflection_are_served() -> Result<()> {
    use tonic_health::pb::{
        HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
    };
    use tonic_reflection::pb::v1::{
        ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
        server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
    };
    let stage = stage("").await?;
    let address = format!("http://{}", stage.broker.address);
    let channel = tonic::transport::Channel::from_shared(address)?
        .connect()
        .await?;
    let request = HealthCheckRequest {
        service: "federation.v1.CommandService".to_owned(),
    };
    let health = HealthClient::new(channel.clone())
        .check(request)
        .await?
        .into_inner();
    assert_eq!(health.status(), ServingStatus::Serving);
    let list = MessageRequest::ListServices(String::new());
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(list),
    };
    let mut reflection = ServerReflectionClient::new(channel);
    let mut answers = reflection
        .server_reflection_info(futures::stream::iter([request]))
        .await?
        .into_inner();
    let answer = answers
        .message()
        .await?
        .and_then(|answer| answer.message_response)
        .context("an answer")?;
    let MessageResponse::ListServicesResponse(services) = answer else {
        anyhow::bail!("another answer")
    };
    let names = services
        .service
        .into_iter()
        .map(|service| service.name)
        .collect::<Vec<_>>();
    assert!(
        [
            "federation.v1.CommandService",
            "federation.v1.RegistryService"
        ]
        .iter()
        .all(|name| names.contains(&(*name).to_owned()))
    );
    Ok(())
}
