//! What every tool expects of a gRPC service.

use anyhow::{Context, Result};
use futures::StreamExt as _;
use proto::v1;
use tests::federation::purge;
use tonic::Code;
use tonic_types::StatusExt as _;

use super::{URL, stage};

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
    for service in [
        "",
        "federation.v1.CommandService",
        "federation.v1.RegistryService",
        "federation.v1.DeadLetterService",
        "federation.v1.AuditService",
    ] {
        let request = HealthCheckRequest {
            service: service.to_owned(),
        };
        let mut health = HealthClient::new(channel.clone());
        let health = health.check(request).await?.into_inner();
        assert_eq!(health.status(), ServingStatus::Serving, "{service}");
    }
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

/// A stream that just ended would say that everything was taken: the last word is the reason, and when to go on.
#[tokio::test]
async fn a_stream_of_submits_learns_that_the_broker_stops() -> Result<()> {
    let mut stage = stage("").await?;
    let request = v1::SubmitCommandsRequest {
        tag: "first".to_owned(),
        draft: Some(purge(&[URL])),
        ..v1::SubmitCommandsRequest::default()
    };
    let requests = futures::stream::iter([request]).chain(futures::stream::pending());
    let answers = stage.owner.commands.submit_commands(requests).await?;
    let mut answers = answers.into_inner();
    let first = answers.message().await?.context("an answer")?;
    assert_eq!(first.tag, "first");
    let mut broker = stage.broker;
    let ending = tokio::task::spawn_blocking(move || broker.process.terminate());
    let last = answers.message().await;
    let last = last.expect_err("it does not end as if all were well");
    assert_eq!(last.code(), Code::Unavailable, "{last}");
    assert!(last.message().contains("shutting down"), "{last}");
    assert!(last.get_details_retry_info().is_some(), "{last:?}");
    // The broker waits for nobody who keeps a connection open.
    drop((answers, stage.owner));
    ending.await?;
    Ok(())
}
