//! What every tool expects of a gRPC service.

use anyhow::{Context, Result};

use super::stage;

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
