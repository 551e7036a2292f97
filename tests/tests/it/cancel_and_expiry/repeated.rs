//! The same request again: one command and one answer, whoever is asked and whatever happened meanwhile.

use futures::StreamExt as _;

use super::*;

const REQUEST: &str = "0191d2f0-7c1e-7b3a-9d7e-0a1b2c3d4e5f";

fn request(draft: &v1::CommandDraft) -> v1::SubmitCommandRequest {
    v1::SubmitCommandRequest {
        draft: Some(draft.clone()),
        request_id: REQUEST.to_owned(),
        validate_only: false,
    }
}

/// 10,000 submits of one request, spread over two replicas and over time: one command, and one answer, although the
/// command is dispatched and done meanwhile.
#[tokio::test]
async fn ten_thousand_repeated_submits_are_one_command() -> Result<()> {
    const SUBMITS: usize = 10_000;
    let mut stage = stage("").await?;
    let second = stage.federation.broker("second").await?;
    let owners = [
        stage.owner.clone(),
        stage.federation.client(&second, "participant/a")?,
    ];
    let draft = purge(&[URL]);
    let submits = (0..SUBMITS).map(|index| {
        let (mut owner, request) = (owners[index % 2].clone(), request(&draft));
        async move {
            let answer = owner.commands.submit_command(request).await?;
            Ok::<_, tonic::Status>(answer.into_inner())
        }
    });
    let submitting = futures::stream::iter(submits).buffer_unordered(200);
    let carrying_out = async {
        let orders = stage.a.carry_out().await?;
        assert_eq!(orders.len(), 1);
        anyhow::Ok(())
    };
    let (answers, carried_out) = tokio::join!(submitting.collect::<Vec<_>>(), carrying_out);
    carried_out?;
    let answers = answers.into_iter().collect::<Result<Vec<_>, _>>()?;
    assert_eq!(answers.len(), SUBMITS);
    let different = answers.iter().filter(|answer| **answer != answers[0]);
    assert_eq!(different.count(), 0);
    let list = v1::ListCommandsRequest::default();
    let listed = stage.owner.commands.list_commands(list).await?;
    assert_eq!(listed.into_inner().commands.len(), 1);
    stage.nothing_is_left().await
}

/// The same request is answered the same when its time is over and its deployment is gone, with or without the name of its
/// configuration; another one with its name is a conflict, even for a configuration in another shard.
#[tokio::test]
async fn a_repeated_request_outlives_its_deployment() -> Result<()> {
    let mut stage = stage("[store]\nshards = 4").await?;
    let mut operator = stage.federation.client(&stage.broker, "operator/ops")?;
    let draft = timed(
        Some(Duration::from_millis(500)),
        Some(Duration::from_secs(1)),
    );
    let first = stage.owner.commands.submit_command(request(&draft)).await?;
    let first = first.into_inner();
    let id = first.command.clone().context("a command")?.id;
    // On a busy machine its time is over before it is sent: then the broker says so itself.
    if let Ok((delivery, orders)) = stage.a.next().await {
        stage.a.report(&orders[0], ReportedOutcome::Expired).await?;
        delivery.ack().await?;
    }
    stage.becomes(&id, v1::ExecutionState::Expired).await?;
    let gone = v1::DeleteDeploymentRequest {
        deployment_id: "shop-a".to_owned(),
    };
    operator.registry.delete_deployment(gone).await?;
    let refused = stage.owner.submit(purge(&[URL])).await;
    assert!(refused.is_err(), "there is no deployment any more");
    let named = v1::CommandDraft {
        configuration_id: "shop".to_owned(),
        ..draft.clone()
    };
    for draft in [&draft, &named] {
        let again = stage.owner.commands.submit_command(request(draft)).await?;
        assert_eq!(again.into_inner(), first);
    }
    let another = purge(&["http://www.shop.example/y"]);
    for index in 0..8 {
        let draft = v1::CommandDraft {
            configuration_id: format!("other-{index}"),
            ..draft.clone()
        };
        for draft in [draft, another.clone()] {
            let answer = stage.owner.commands.submit_command(request(&draft)).await;
            let status = answer.expect_err("it is another request");
            assert_eq!(status.code(), tonic::Code::AlreadyExists, "{status:?}");
        }
    }
    Ok(())
}
