//! A deployment needs two: the owner of the configuration wishes it, the participant that runs the servers grants it.

use std::time::Duration;

use ::amqp::envelope::ReportedOutcome;
use anyhow::Result;
use domain::Evidence;
use proto::v1::{self, DeploymentState as State};
use tests::{
    federation::{Client, Federation, Program, purge},
    shared,
};
use tonic::{Code, Status};

const SOON: Duration = Duration::from_secs(20);
const URL: &str = "http://www.shop.example/x";

/// Participants `a`, who owns `a-shop`, `b` and `c`, each with one server and a client of its own.
struct Stage {
    federation: Federation,
    broker: Program,
    a: Client,
    b: Client,
    c: Client,
    operator: Client,
}

async fn stage() -> Result<Stage> {
    let federation = Federation::start(shared()?).await?;
    let broker = federation.broker("broker").await?;
    let mut operator = federation.client(&broker, "operator/ops")?;
    for id in ["a", "b", "c"] {
        operator.create_participant(id).await?;
        let mut own = federation.client(&broker, &format!("participant/{id}"))?;
        let address = ([127, 0, 0, 1], 1).into();
        own.create_server(&format!("{id}-1"), id, "varnish", address)
            .await?;
    }
    let mut a = federation.client(&broker, "participant/a")?;
    a.create_configuration("a-shop", "a", &["www.shop.example"])
        .await?;
    Ok(Stage {
        a,
        b: federation.client(&broker, "participant/b")?,
        c: federation.client(&broker, "participant/c")?,
        operator,
        federation,
        broker,
    })
}

async fn wish(
    client: &mut Client,
    participant: &str,
    server_ids: &[&str],
) -> Result<State, Status> {
    let deployment = v1::Deployment {
        id: format!("a-shop-{participant}"),
        configuration_id: "a-shop".to_owned(),
        participant_id: participant.to_owned(),
        server_ids: server_ids.iter().map(|id| (*id).to_owned()).collect(),
        // Who writes it wins nothing by it.
        state: State::Granted.into(),
    };
    let request = v1::CreateDeploymentRequest {
        deployment: Some(deployment),
    };
    let answer = client.registry.create_deployment(request).await?;
    Ok(answer.into_inner().deployment.unwrap_or_default().state())
}

async fn grant(client: &mut Client, id: &str, server_ids: &[&str]) -> Result<State, Status> {
    let request = v1::GrantDeploymentRequest {
        deployment_id: id.to_owned(),
        server_ids: server_ids.iter().map(|id| (*id).to_owned()).collect(),
    };
    let answer = client.registry.grant_deployment(request).await?;
    Ok(answer.into_inner().deployment.unwrap_or_default().state())
}

async fn revoke(client: &mut Client, id: &str) -> Result<State, Status> {
    let request = v1::RevokeDeploymentRequest {
        deployment_id: id.to_owned(),
    };
    let answer = client.registry.revoke_deployment(request).await?;
    Ok(answer.into_inner().deployment.unwrap_or_default().state())
}

fn code<T: std::fmt::Debug>(result: Result<T, Status>) -> Code {
    result.expect_err("it is refused").code()
}

/// A wish targets nobody; a grant makes a target, on the servers that it names; a grant that is taken back ends that for what
/// comes, and what was out before still settles by its report.
#[tokio::test]
async fn only_what_both_sides_want_is_a_target() -> Result<()> {
    let mut stage = stage().await?;
    assert_eq!(wish(&mut stage.a, "b", &[]).await?, State::Wished);
    let status = stage.a.submit(purge(&[URL])).await.expect_err("a wish");
    assert_eq!(status.code(), Code::FailedPrecondition, "{status}");

    // The wish is the host's to grant: not the owner's, and to a third participant it does not exist.
    let id = "a-shop-b";
    assert_eq!(
        code(grant(&mut stage.a, id, &[]).await),
        Code::PermissionDenied
    );
    assert_eq!(code(grant(&mut stage.c, id, &[]).await), Code::NotFound);
    assert_eq!(
        code(grant(&mut stage.b, id, &["c-1"]).await),
        Code::InvalidArgument
    );
    assert_eq!(grant(&mut stage.b, id, &["b-1"]).await?, State::Granted);

    let mut adapter = stage.federation.scripted("b")?;
    let first = stage.a.submit(purge(&[URL])).await?;
    assert_eq!(first.executions.len(), 1);
    let (delivery, orders) = adapter.next().await?;
    assert_eq!(revoke(&mut stage.b, id).await?, State::Revoked);
    assert_eq!(
        stage
            .a
            .submit(purge(&[URL]))
            .await
            .expect_err("revoked")
            .code(),
        Code::FailedPrecondition
    );
    let done = ReportedOutcome::Done(Evidence::Reported);
    adapter.report(&orders[0], done).await?;
    delivery.ack().await?;
    let settled = stage.a.settled(&first.id, SOON).await?;
    assert_eq!(settled.executions[0].state(), v1::ExecutionState::Done);

    assert_eq!(grant(&mut stage.b, id, &[]).await?, State::Granted);
    let again = stage.a.submit(purge(&[URL])).await?;
    assert_eq!(adapter.carry_out().await?.len(), 1);
    stage.a.settled(&again.id, SOON).await?;
    Ok(())
}

/// At its own servers an owner needs nobody, and an operator speaks for both sides.
#[tokio::test]
async fn who_is_both_sides_needs_no_second_step() -> Result<()> {
    let mut stage = stage().await?;
    assert_eq!(wish(&mut stage.a, "a", &["a-1"]).await?, State::Granted);
    assert_eq!(wish(&mut stage.operator, "b", &[]).await?, State::Granted);
    let command = stage.a.submit(purge(&[URL])).await?;
    assert_eq!(command.executions.len(), 2);
    assert_eq!(
        revoke(&mut stage.operator, "a-shop-b").await?,
        State::Revoked
    );
    Ok(())
}

/// Who wishes learns nothing of the other: whether it is there, and which servers it has, are answered alike.
#[tokio::test]
async fn a_wish_tells_nothing_of_whom_it_names() -> Result<()> {
    let mut stage = stage().await?;
    assert_eq!(wish(&mut stage.a, "b", &[]).await?, State::Wished);
    assert_eq!(wish(&mut stage.a, "nobody", &[]).await?, State::Wished);
    let named = wish(&mut stage.a, "c", &["c-1"])
        .await
        .expect_err("names a server");
    let unknown = wish(&mut stage.a, "c", &["c-9"])
        .await
        .expect_err("names no server");
    assert_eq!(named.message(), unknown.message());
    // Nobody's configuration but one's own can be wished anywhere, and an id that is used is not told.
    let foreign = wish(&mut stage.b, "b", &[]).await.expect_err("it is a's");
    assert_eq!(foreign.code(), Code::NotFound);
    let taken = stage
        .b
        .create_server("c-1", "b", "varnish", ([127, 0, 0, 1], 1).into());
    let taken = taken.await.expect_err("it is c's").downcast::<Status>()?;
    let free = stage
        .b
        .create_server("c-9", "b", "varnish", ([127, 0, 0, 1], 1).into());
    let free = free
        .await
        .expect_err("the name is c's")
        .downcast::<Status>()?;
    assert_eq!(
        (taken.code(), taken.message()),
        (free.code(), free.message())
    );
    Ok(())
}

/// Who carries the configuration and has no server is named in the plan and in the answer, and is no smaller command where it is
/// named in the scope.
#[tokio::test]
async fn who_has_no_server_is_named() -> Result<()> {
    let mut stage = stage().await?;
    stage.operator.create_participant("d").await?;
    let mut d = stage.federation.client(&stage.broker, "participant/d")?;
    for (host, client) in [("b", &mut stage.b), ("d", &mut d)] {
        wish(&mut stage.a, host, &[]).await?;
        grant(client, &format!("a-shop-{host}"), &[]).await?;
    }
    for validate_only in [true, false] {
        let request = v1::SubmitCommandRequest {
            draft: Some(purge(&[URL])),
            validate_only,
            ..v1::SubmitCommandRequest::default()
        };
        let answer = stage.a.commands.submit_command(request).await?.into_inner();
        assert_eq!(answer.participants_without_servers, ["d"]);
    }
    let ids = ["b", "d"].map(str::to_owned).to_vec();
    let scope = v1::Scope {
        kind: Some(v1::scope::Kind::Participants(v1::Ids { ids })),
    };
    let draft = v1::CommandDraft {
        scope: Some(scope),
        ..purge(&[URL])
    };
    let refused = stage.a.submit(draft).await.expect_err("d is named");
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.message().contains("`d` carries"), "{refused}");
    Ok(())
}

/// A host sees the configuration that runs on its servers, and of a command its own execution, and neither the customer, nor
/// the other hosts, nor what the originator called it; it cannot take it back.
#[tokio::test]
async fn a_host_sees_its_part() -> Result<()> {
    let mut stage = stage().await?;
    wish(&mut stage.a, "b", &[]).await?;
    wish(&mut stage.a, "c", &[]).await?;
    grant(&mut stage.b, "a-shop-b", &[]).await?;
    grant(&mut stage.c, "a-shop-c", &[]).await?;
    let mut draft = purge(&[URL]);
    let both = ["b", "c"].map(str::to_owned).to_vec();
    draft.scope = Some(v1::Scope {
        kind: Some(v1::scope::Kind::Participants(v1::Ids { ids: both })),
    });
    let command = stage.a.submit(draft).await?;
    assert_eq!(command.executions.len(), 2);

    let seen = stage.b.get(&command.id).await?;
    let participants: Vec<_> = seen
        .executions
        .iter()
        .map(|one| &one.participant_id)
        .collect();
    assert_eq!(participants, ["b"]);
    assert!(!format!("{seen:?}").contains("\"c\""), "{seen:?}");
    let arguments = ["--as", "b", "status", &command.id];
    let output = stage.federation.fedctl(&stage.broker, &arguments).await?;
    let said = String::from_utf8(output.stdout)?;
    assert!(
        said.contains("the part of b alone; the rest is a's to see"),
        "{said}"
    );
    assert!(!said.contains("only at"), "{said}");
    let cancel = v1::CancelCommandRequest {
        command_id: command.id.clone(),
    };
    let cancelled = stage.b.commands.cancel_command(cancel.clone()).await;
    assert_eq!(code(cancelled), Code::PermissionDenied);
    let cancelled = stage.operator.commands.cancel_command(cancel).await;
    assert_eq!(code(cancelled), Code::PermissionDenied);

    let get = v1::GetConfigurationRequest {
        configuration_id: "a-shop".to_owned(),
    };
    let answer = stage.b.registry.get_configuration(get.clone()).await?;
    let shown = answer.into_inner().configuration.unwrap_or_default();
    assert_eq!(
        (shown.owner_id.as_str(), shown.customer_id.as_str()),
        ("a", "")
    );
    revoke(&mut stage.b, "a-shop-b").await?;
    assert_eq!(
        code(stage.b.registry.get_configuration(get).await),
        Code::NotFound
    );
    Ok(())
}

/// Whoever has a certificate and is in no registry does not take part: whatever it calls, it is refused alike.
#[tokio::test]
async fn who_does_not_take_part_is_refused_alike() -> Result<()> {
    let stage = stage().await?;
    let mut unknown = stage.federation.client(&stage.broker, "participant/z")?;
    let listed = unknown
        .registry
        .list_servers(v1::ListServersRequest::default())
        .await;
    let submitted = unknown.submit(purge(&[URL])).await;
    let (listed, submitted) = (listed.expect_err("z"), submitted.expect_err("z"));
    assert_eq!(
        (listed.code(), listed.message()),
        (submitted.code(), submitted.message())
    );
    assert_eq!(listed.code(), Code::PermissionDenied);
    Ok(())
}
