//! Each call of the contract, about what a test names.

use anyhow::Result;
use proto::v1;
use tests::federation::{Client, purge};
use tonic::Status;

use super::{Answer, stage::About};

/// Whether what it does must be put back.
pub(super) fn changes(name: &str) -> bool {
    ["Delete", "Revoke"]
        .iter()
        .any(|change| name.starts_with(change))
}

/// Makes the call; a list answers whether the thing is in it.
pub(super) async fn call(name: &str, client: &mut Client, about: &About) -> Result<Answer, Status> {
    if name.ends_with("Participant")
        || name.ends_with("Participants")
        || name.ends_with("Progress")
        || name == "IssueCredentials"
    {
        participants(name, client, about).await
    } else if name.ends_with("Server") || name.ends_with("Servers") {
        servers(name, client, about).await
    } else if name.contains("Configuration") {
        configurations(name, client, about).await
    } else if name.contains("Deployment") {
        deployments(name, client, about).await
    } else if name.contains("Mapping") {
        mappings(name, client, about).await
    } else if name.contains("DeadLetter") {
        dead_letters(name, client, about).await
    } else {
        commands(name, client, about).await
    }
}

fn whole<T>(_: T) -> Answer {
    Answer::Whole
}

fn listed(is_there: bool) -> Answer {
    if is_there {
        Answer::Whole
    } else {
        Answer::Absent
    }
}

/// Who creates, as far as its id matters: a participant's own id is in front. The broker says who that is by what it refuses.
fn creator(about: &About) -> &str {
    &about.owner
}

fn draft(about: &About) -> v1::CommandDraft {
    let url = format!("http://{}/x", about.host_name);
    v1::CommandDraft {
        configuration_id: about.configuration.clone(),
        ..purge(&[&url])
    }
}

async fn commands(name: &str, client: &mut Client, about: &About) -> Result<Answer, Status> {
    let command_id = about.command.clone();
    match name {
        "SubmitCommand" => client.submit(draft(about)).await.map(whole),
        "SubmitCommands" => {
            let request = v1::SubmitCommandsRequest {
                draft: Some(draft(about)),
                ..v1::SubmitCommandsRequest::default()
            };
            let requests = futures::stream::iter([request]);
            let mut answers = client
                .commands
                .submit_commands(requests)
                .await?
                .into_inner();
            let answer = answers.message().await?.unwrap_or_default();
            match answer.result {
                Some(v1::submit_commands_response::Result::Failure(failure)) => {
                    Err(Status::new(failure.code.into(), failure.message))
                }
                _ => Ok(Answer::Whole),
            }
        }
        "GetCommand" => Ok(seen(&client.get(&command_id).await?)),
        "WatchCommand" => {
            let request = v1::WatchCommandRequest {
                command_id,
                ..v1::WatchCommandRequest::default()
            };
            let mut watch = client.commands.watch_command(request).await?.into_inner();
            watch.message().await?;
            // What a watch shows is what a look shows.
            Ok(seen(&client.get(&about.command).await?))
        }
        "ListCommands" => {
            let request = v1::ListCommandsRequest {
                originator_id: about.owner.clone(),
                ..v1::ListCommandsRequest::default()
            };
            client.commands.list_commands(request).await.map(whole)
        }
        "CancelCommand" => {
            let request = v1::CancelCommandRequest { command_id };
            client.commands.cancel_command(request).await.map(whole)
        }
        // What does not wait for anybody is told so, to whoever may approve.
        "ApproveCommand" => {
            let request = v1::ApproveCommandRequest {
                command_id,
                ..v1::ApproveCommandRequest::default()
            };
            client.commands.approve_command(request).await.map(whole)
        }
        "ListAudit" => {
            let request = v1::ListAuditRequest {
                caller: format!("participant/{}", about.owner),
                ..v1::ListAuditRequest::default()
            };
            client.audit.list_audit(request).await.map(whole)
        }
        "ListReceipts" => {
            let request = v1::ListReceiptsRequest {
                configuration_id: about.configuration.clone(),
                ..v1::ListReceiptsRequest::default()
            };
            client.receipts.list_receipts(request).await.map(whole)
        }
        name => Err(Status::unimplemented(format!(
            "the test cannot call {name}"
        ))),
    }
}

/// Who sees its part does not see where else the command goes.
fn seen(command: &v1::Command) -> Answer {
    let scope = command
        .draft
        .as_ref()
        .and_then(|draft| draft.scope.as_ref());
    match scope.and_then(|scope| scope.kind.as_ref()) {
        Some(v1::scope::Kind::Participants(_)) => Answer::Part,
        _ => Answer::Whole,
    }
}

async fn participants(name: &str, client: &mut Client, about: &About) -> Result<Answer, Status> {
    let registry = &mut client.registry;
    let participant_id = about.owner.clone();
    let record = |id: String| {
        Some(v1::Participant {
            id,
            ..v1::Participant::default()
        })
    };
    match name {
        "CreateParticipant" => {
            let participant = record(About::new_id("new"));
            let request = v1::CreateParticipantRequest { participant };
            registry.create_participant(request).await.map(whole)
        }
        "GetParticipant" => {
            let request = v1::GetParticipantRequest { participant_id };
            registry.get_participant(request).await.map(whole)
        }
        "ListParticipants" => {
            let request = v1::ListParticipantsRequest::default();
            let page = registry.list_participants(request).await?.into_inner();
            let mut ids = page.participants.iter().map(|one| &one.id);
            Ok(listed(ids.any(|id| *id == participant_id)))
        }
        "ListParticipantProgress" => {
            let request = v1::ListParticipantProgressRequest::default();
            let page = registry.list_participant_progress(request).await?;
            let page = page.into_inner();
            let mut ids = page.progress.iter().map(|one| &one.participant_id);
            Ok(listed(ids.any(|id| *id == participant_id)))
        }
        "IssueCredentials" => {
            let request = v1::IssueCredentialsRequest { participant_id };
            registry.issue_credentials(request).await.map(whole)
        }
        "UpdateParticipant" => {
            let participant = record(participant_id);
            let request = v1::UpdateParticipantRequest {
                participant,
                ..v1::UpdateParticipantRequest::default()
            };
            registry.update_participant(request).await.map(whole)
        }
        _ => {
            let request = v1::DeleteParticipantRequest { participant_id };
            registry.delete_participant(request).await.map(whole)
        }
    }
}

async fn servers(name: &str, client: &mut Client, about: &About) -> Result<Answer, Status> {
    let registry = &mut client.registry;
    let server_id = about.server.clone();
    let record = |id: String| {
        Some(v1::Server {
            id,
            participant_id: about.owner.clone(),
            dialect: "varnish".to_owned(),
            address: "127.0.0.1:2".to_owned(),
            place: None,
        })
    };
    match name {
        "CreateServer" => {
            let server = record(About::new_id(creator(about)));
            let request = v1::CreateServerRequest { server };
            registry.create_server(request).await.map(whole)
        }
        "GetServer" => {
            let request = v1::GetServerRequest { server_id };
            registry.get_server(request).await.map(whole)
        }
        "ListServers" => {
            let request = v1::ListServersRequest {
                participant_id: about.owner.clone(),
                ..v1::ListServersRequest::default()
            };
            let page = registry.list_servers(request).await?.into_inner();
            Ok(listed(!page.servers.is_empty()))
        }
        "UpdateServer" => {
            let server = record(server_id);
            let request = v1::UpdateServerRequest { server };
            registry.update_server(request).await.map(whole)
        }
        _ => {
            let request = v1::DeleteServerRequest { server_id };
            registry.delete_server(request).await.map(whole)
        }
    }
}

async fn configurations(name: &str, client: &mut Client, about: &About) -> Result<Answer, Status> {
    let registry = &mut client.registry;
    let configuration_id = about.configuration.clone();
    let record = |id: String, host: String| {
        Some(v1::Configuration {
            id,
            customer_id: "customer".to_owned(),
            owner_id: about.owner.clone(),
            hosts: vec![host],
            wide_purges_need_approval: None,
        })
    };
    let part = |shown: &v1::Configuration| match shown.customer_id.as_str() {
        "" => Answer::Part,
        _ => Answer::Whole,
    };
    match name {
        "CreateConfiguration" => {
            let id = About::new_id(creator(about));
            let host = format!("{id}.example");
            let configuration = record(id, host);
            let request = v1::CreateConfigurationRequest { configuration };
            registry.create_configuration(request).await.map(whole)
        }
        "GetConfiguration" => {
            let request = v1::GetConfigurationRequest { configuration_id };
            let answer = registry.get_configuration(request).await?.into_inner();
            Ok(part(&answer.configuration.unwrap_or_default()))
        }
        "ListConfigurations" => {
            let request = v1::ListConfigurationsRequest {
                host: about.host_name.clone(),
                ..v1::ListConfigurationsRequest::default()
            };
            let page = registry.list_configurations(request).await?.into_inner();
            Ok(page.configurations.first().map_or(Answer::Absent, part))
        }
        "UpdateConfiguration" => {
            let configuration = record(configuration_id, about.host_name.clone());
            let request = v1::UpdateConfigurationRequest { configuration };
            registry.update_configuration(request).await.map(whole)
        }
        _ => {
            let request = v1::DeleteConfigurationRequest { configuration_id };
            registry.delete_configuration(request).await.map(whole)
        }
    }
}

async fn deployments(name: &str, client: &mut Client, about: &About) -> Result<Answer, Status> {
    let registry = &mut client.registry;
    let deployment_id = about.deployment.clone();
    let record = |id: String| {
        Some(v1::Deployment {
            id,
            configuration_id: about.configuration.clone(),
            participant_id: about.host.clone(),
            ..v1::Deployment::default()
        })
    };
    match name {
        "CreateDeployment" => {
            let deployment = record(About::new_id(creator(about)));
            let request = v1::CreateDeploymentRequest { deployment };
            registry.create_deployment(request).await.map(whole)
        }
        "GetDeployment" => {
            let request = v1::GetDeploymentRequest { deployment_id };
            registry.get_deployment(request).await.map(whole)
        }
        "ListDeployments" => {
            let request = v1::ListDeploymentsRequest {
                configuration_id: about.configuration.clone(),
                ..v1::ListDeploymentsRequest::default()
            };
            let page = registry.list_deployments(request).await?.into_inner();
            Ok(listed(!page.deployments.is_empty()))
        }
        "UpdateDeployment" => {
            let deployment = record(deployment_id);
            let request = v1::UpdateDeploymentRequest { deployment };
            registry.update_deployment(request).await.map(whole)
        }
        "GrantDeployment" => {
            let request = v1::GrantDeploymentRequest {
                deployment_id,
                server_ids: Vec::new(),
            };
            registry.grant_deployment(request).await.map(whole)
        }
        "RevokeDeployment" => {
            let request = v1::RevokeDeploymentRequest { deployment_id };
            registry.revoke_deployment(request).await.map(whole)
        }
        _ => {
            let request = v1::DeleteDeploymentRequest { deployment_id };
            registry.delete_deployment(request).await.map(whole)
        }
    }
}

async fn mappings(name: &str, client: &mut Client, about: &About) -> Result<Answer, Status> {
    let registry = &mut client.registry;
    let mapping_name = about.mapping.clone();
    match name {
        "PutMapping" => {
            let mapping = v1::Mapping {
                document: super::stage::document(&mapping_name),
                ..v1::Mapping::default()
            };
            let request = v1::PutMappingRequest {
                mapping: Some(mapping),
            };
            registry.put_mapping(request).await.map(whole)
        }
        "GetMapping" => {
            let request = v1::GetMappingRequest {
                mapping_name,
                version: 0,
            };
            registry.get_mapping(request).await.map(whole)
        }
        "ListMappings" => {
            let request = v1::ListMappingsRequest::default();
            let page = registry.list_mappings(request).await?.into_inner();
            let mut names = page.mappings.iter().map(|mapping| &mapping.name);
            Ok(listed(names.any(|name| *name == mapping_name)))
        }
        _ => {
            let request = v1::DeleteMappingRequest { mapping_name };
            registry.delete_mapping(request).await.map(whole)
        }
    }
}

async fn dead_letters(name: &str, client: &mut Client, about: &About) -> Result<Answer, Status> {
    let service = &mut client.dead_letters;
    let participant_id = about.owner.clone();
    let ids = v1::MessageIds {
        ids: vec!["none".to_owned()],
    };
    let selection = Some(v1::DeadLetterSelection {
        kind: Some(v1::dead_letter_selection::Kind::MessageIds(ids)),
    });
    match name {
        "ListDeadLetters" => {
            let request = v1::ListDeadLettersRequest {
                participant_id,
                ..v1::ListDeadLettersRequest::default()
            };
            service.list_dead_letters(request).await.map(whole)
        }
        "GetDeadLetter" => {
            let request = v1::GetDeadLetterRequest {
                participant_id,
                message_id: "none".to_owned(),
            };
            service.get_dead_letter(request).await.map(whole)
        }
        "RetryDeadLetters" => {
            let request = v1::RetryDeadLettersRequest {
                participant_id,
                selection,
            };
            service.retry_dead_letters(request).await.map(whole)
        }
        _ => {
            let request = v1::DiscardDeadLettersRequest {
                participant_id,
                selection,
            };
            service.discard_dead_letters(request).await.map(whole)
        }
    }
}
