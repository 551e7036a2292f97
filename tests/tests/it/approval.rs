//! Wide purges that wait for a second person: who may approve, that nothing goes before, and that nothing else can happen to one
//! that was approved.

use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use proto::v1::{self, ApprovalState, ExecutionState, selector::Kind};
use tests::{
    adapter::ScriptedAdapter,
    federation::{Client, Federation, Program, purge, selector},
    shared, wait,
};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

const SOON: Duration = Duration::from_secs(20);
const HOST: &str = "www.shop.example";

/// Two replicas, and a configuration of `a` that is carried by `b`.
struct Stage {
    federation: Federation,
    brokers: [Program; 2],
    b: ScriptedAdapter,
}

async fn stage(settings: &str) -> Result<Stage> {
    let federation = Federation::with_settings(shared()?, settings).await?;
    let one = federation.broker("one").await?;
    let mut operator = federation.client(&one, "operator/ops")?;
    for id in ["a", "b", "c"] {
        operator.create_participant(id).await?;
    }
    operator
        .create_server("b1", "b", "varnish", ([127, 0, 0, 1], 1).into())
        .await?;
    operator
        .create_configuration("a-shop", "a", &[HOST])
        .await?;
    operator.deploy("a-shop", "b").await?;
    let mut owner = federation.client(&one, "participant/a")?;
    ask_for_approval(&mut owner, true).await?;
    let b = federation.scripted("b")?;
    Ok(Stage {
        brokers: [one, federation.broker("two").await?],
        federation,
        b,
    })
}

async fn ask_for_approval(client: &mut Client, wanted: bool) -> Result<(), Status> {
    update(client, Some(wanted)).await.map(drop)
}

async fn update(client: &mut Client, wanted: Option<bool>) -> Result<v1::Configuration, Status> {
    let configuration = v1::Configuration {
        id: "a-shop".to_owned(),
        customer_id: "customer".to_owned(),
        owner_id: "a".to_owned(),
        hosts: vec![HOST.to_owned()],
        wide_purges_need_approval: wanted,
    };
    let request = v1::UpdateConfigurationRequest {
        configuration: Some(configuration),
    };
    let answer = client.registry.update_configuration(request).await?;
    Ok(answer.into_inner().configuration.unwrap_or_default())
}

impl Stage {
    fn client(&self, identity: &str) -> Result<Client> {
        self.federation.client(&self.brokers[0], identity)
    }

    /// A wide purge of one person.
    async fn submitted(&self) -> Result<v1::Command> {
        Ok(self
            .client("participant/a/person/ann")?
            .submit(wide())
            .await?)
    }

    /// One URL goes through, so whatever was put in the outbox before has gone, too.
    async fn carries_out_only(&mut self, wide: &[&str]) -> Result<()> {
        let mut owner = self.client("participant/a")?;
        let url = owner.submit(purge(&["http://www.shop.example/x"])).await?;
        let mut told = Vec::new();
        while !told.contains(&url.id) {
            let orders = self.b.carry_out().await?;
            told.extend(
                orders
                    .iter()
                    .map(|order| order.execution.command.to_string()),
            );
        }
        told.retain(|id| *id != url.id);
        assert_eq!(told, wide, "who was told");
        Ok(())
    }
}

fn wide() -> v1::CommandDraft {
    v1::CommandDraft {
        configuration_id: "a-shop".to_owned(),
        selectors: vec![selector(Kind::Host(HOST.to_owned()))],
        ..purge(&[])
    }
}

async fn approve(mut client: Client, id: &str) -> Result<v1::Command, Status> {
    let request = v1::ApproveCommandRequest {
        command_id: id.to_owned(),
        reason: "the price list is wrong".to_owned(),
    };
    let answer = client.commands.approve_command(request).await?.into_inner();
    answer.command.ok_or_else(|| Status::internal("no command"))
}

fn approval(command: &v1::Command) -> Result<&v1::Approval> {
    command.approval.as_ref().context("it has an approval")
}

fn states(command: &v1::Command) -> Vec<ExecutionState> {
    command
        .executions
        .iter()
        .map(v1::Execution::state)
        .collect()
}

/// Nobody is told before; neither the one who submitted it, nor a system, nor a stranger approves; then another person does.
#[tokio::test]
async fn a_wide_purge_waits_for_another_person() -> Result<()> {
    let mut stage = stage("").await?;
    let command = stage.submitted().await?;
    assert_eq!(approval(&command)?.state(), ApprovalState::Waiting);
    assert_eq!(approval(&command)?.submitted_by, "participant/a/person/ann");
    stage.carries_out_only(&[]).await?;
    for (caller, code) in [
        ("participant/a/person/ann", Code::PermissionDenied),
        ("participant/a", Code::PermissionDenied),
        ("participant/b/person/bob", Code::PermissionDenied),
        ("participant/c/person/cid", Code::NotFound),
    ] {
        let refused = approve(stage.client(caller)?, &command.id).await;
        assert_eq!(refused.unwrap_err().code(), code, "{caller}");
    }
    stage.carries_out_only(&[]).await?;
    let approved = approve(stage.client("participant/a/person/ben")?, &command.id).await?;
    assert_eq!(approval(&approved)?.state(), ApprovalState::Given);
    assert_eq!(approval(&approved)?.approved_by, "participant/a/person/ben");
    assert_eq!(approval(&approved)?.reason, "the price list is wrong");
    stage.carries_out_only(&[&command.id]).await?;
    let mut owner = stage.client("participant/a")?;
    let settled = owner.settled(&command.id, SOON).await?;
    assert_eq!(states(&settled), [ExecutionState::Done]);
    // The same answer again; another one comes too late. Who only carries it out does not see who they are.
    let again = approve(stage.client("participant/a/person/ben")?, &command.id).await?;
    assert_eq!(again.approval, approved.approval);
    let late = approve(stage.client("operator/ops")?, &command.id).await;
    let late = late.unwrap_err();
    assert_eq!(late.code(), Code::FailedPrecondition);
    let details = late.get_error_details();
    let details = details.precondition_failure().context("details")?;
    let violation = details.violations.first().context("a violation")?;
    assert_eq!(
        (violation.r#type.as_str(), violation.subject.as_str()),
        ("NOTHING_TO_APPROVE", command.id.as_str())
    );
    assert!(violation.description.contains("person/ben"), "{late:?}");
    let seen = stage.client("participant/b")?.get(&command.id).await?;
    assert_eq!(approval(&seen)?.state(), ApprovalState::Given);
    assert_eq!(approval(&seen)?.approved_by, "");
    Ok(())
}

/// What counts is how much is purged, and only where the configuration asks for it; a plan says so before.
#[tokio::test]
async fn what_is_wide_needs_approval_however_it_is_said() -> Result<()> {
    let stage = stage("").await?;
    let mut owner = stage.client("participant/a")?;
    let regex = |pattern: &str| {
        Kind::Regex(v1::HostRegex {
            host: HOST.to_owned(),
            pattern: pattern.to_owned(),
        })
    };
    for (kind, expected) in [
        (Kind::Host(HOST.to_owned()), true),
        (Kind::Everything(v1::Everything {}), true),
        (Kind::Prefix(format!("{HOST}/")), true),
        (Kind::Wildcard(format!("{HOST}/*")), true),
        (Kind::Wildcard(format!("{HOST}/*.*")), true),
        (regex("^/"), true),
        (regex("^/a?"), true),
        (regex("^/images/[0-9]+"), false),
        (Kind::Prefix(format!("{HOST}/images/")), false),
        (Kind::Url(format!("http://{HOST}/x")), false),
        (Kind::Tag("news".to_owned()), false),
    ] {
        let request = v1::SubmitCommandRequest {
            draft: Some(v1::CommandDraft {
                selectors: vec![selector(kind.clone())],
                ..wide()
            }),
            validate_only: true,
            ..v1::SubmitCommandRequest::default()
        };
        let answer = owner.commands.submit_command(request).await?.into_inner();
        let plan = answer.plan.context("a plan")?;
        assert_eq!(plan.needs_approval, expected, "{kind:?}");
    }
    // One person cannot end it, purge, and ask for it again.
    let mut ann = stage.client("participant/a/person/ann")?;
    let refused = ask_for_approval(&mut ann, false).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(
        refused.message().contains("only an operator"),
        "{refused:?}"
    );
    ask_for_approval(&mut stage.client("operator/ops")?, false).await?;
    let mut seen = owner.submit(wide()).await?;
    assert_eq!(seen.approval.take(), None);
    Ok(())
}

/// Of an approval and a cancel at the same moment, and of two persons at two replicas, one wins, and what was said is what happens.
#[tokio::test]
async fn one_word_counts() -> Result<()> {
    let mut stage = stage("").await?;
    let mut went = Vec::new();
    for round in 0..10 {
        let command = stage.submitted().await?;
        let ben = stage.client("participant/a/person/ben")?;
        let ops = stage.federation.client(&stage.brokers[1], "operator/ops")?;
        if round % 2 == 0 {
            let (one, other) = tokio::join!(approve(ben, &command.id), approve(ops, &command.id));
            assert!(one.is_ok() != other.is_ok(), "{one:?} and {other:?}");
            went.push(command.id);
            continue;
        }
        let mut owner = stage
            .federation
            .client(&stage.brokers[1], "participant/a")?;
        let cancel = v1::CancelCommandRequest {
            command_id: command.id.clone(),
        };
        let (approved, cancelled) = tokio::join!(
            approve(ben, &command.id),
            owner.commands.cancel_command(cancel)
        );
        let taken_back = !cancelled?.into_inner().cancelled_participant_ids.is_empty();
        let after = owner.get(&command.id).await?;
        if taken_back {
            assert_eq!(states(&after), [ExecutionState::Cancelled]);
        } else {
            approved?;
            went.push(command.id);
        }
    }
    let went: Vec<_> = went.iter().map(String::as_str).collect();
    stage.carries_out_only(&went).await
}

/// Nobody approves: it ends as expired, its approval as not given, and nothing waits for it any more.
#[tokio::test]
async fn what_nobody_approves_expires() -> Result<()> {
    let mut stage = stage("[deadlines]\napproval = \"1s\"").await?;
    let command = stage.submitted().await?;
    let mut owner = stage.client("participant/a")?;
    let settled = owner.settled(&command.id, SOON).await?;
    assert_eq!(states(&settled), [ExecutionState::Expired]);
    assert_eq!(approval(&settled)?.state(), ApprovalState::NotGiven);
    let fault = settled.executions[0].fault.as_ref().context("a reason")?;
    assert_eq!(
        (fault.code.as_str(), fault.side.as_str()),
        ("not_approved", "originator")
    );
    let late = approve(stage.client("operator/ops")?, &command.id).await;
    assert_eq!(late.unwrap_err().code(), Code::FailedPrecondition);
    stage.carries_out_only(&[]).await?;
    // A participant for whom something waited could not go.
    let undeployed = v1::DeleteDeploymentRequest {
        deployment_id: "a-shop-b".to_owned(),
    };
    let mut operator = stage.client("operator/ops")?;
    operator.registry.delete_deployment(undeployed).await?;
    let server = v1::DeleteServerRequest {
        server_id: "b1".to_owned(),
    };
    operator.registry.delete_server(server).await?;
    wait::until(SOON, "the participant can go", async || {
        let request = v1::DeleteParticipantRequest {
            participant_id: "b".to_owned(),
        };
        let mut operator = operator.clone();
        operator.registry.delete_participant(request).await.ok()
    })
    .await?;
    Ok(())
}

/// What waits is on disk, and its own time still counts after it was approved.
#[tokio::test]
async fn a_broker_may_die_and_the_time_still_counts() -> Result<()> {
    let mut stage = stage("").await?;
    let later = SystemTime::now() + Duration::from_secs(10);
    let draft = v1::CommandDraft {
        not_before: Some(later.into()),
        ..wide()
    };
    let mut ann = stage.client("participant/a/person/ann")?;
    let command = ann.submit(draft).await?;
    stage.brokers[0].process.kill9();
    let ops = stage.federation.client(&stage.brokers[1], "operator/ops")?;
    let approved = approve(ops.clone(), &command.id).await?;
    assert_eq!(states(&approved), [ExecutionState::Accepted]);
    let orders = stage.b.carry_out().await?;
    assert!(SystemTime::now() >= later, "it was told before its time");
    assert_eq!(orders.len(), 1);
    let mut owner = stage
        .federation
        .client(&stage.brokers[1], "participant/a")?;
    owner.settled(&command.id, SOON).await?;
    Ok(())
}

/// Who does not speak of it, such as an older client, ends it as little as one person does by deleting the configuration to create
/// it anew.
#[tokio::test]
async fn nobody_ends_it_by_leaving_it_out_or_by_deleting() -> Result<()> {
    let stage = stage("").await?;
    for caller in ["operator/ops", "participant/a"] {
        let kept = update(&mut stage.client(caller)?, None).await?;
        assert_eq!(kept.wide_purges_need_approval, Some(true), "{caller}");
    }
    let mut ann = stage.client("participant/a/person/ann")?;
    let deployment = v1::DeleteDeploymentRequest {
        deployment_id: "a-shop-b".to_owned(),
    };
    ann.registry.delete_deployment(deployment).await?;
    let configuration = v1::DeleteConfigurationRequest {
        configuration_id: "a-shop".to_owned(),
    };
    let refused = ann
        .registry
        .delete_configuration(configuration.clone())
        .await;
    let refused = refused.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition, "{refused:?}");
    let mut operator = stage.client("operator/ops")?;
    operator
        .registry
        .delete_configuration(configuration)
        .await?;
    Ok(())
}

/// Whoever watches sees that it waits, and that it waits no more, without an execution having moved; so does whoever carries out
/// a part of it, without names.
#[tokio::test]
async fn a_watcher_sees_the_approval() -> Result<()> {
    let stage = stage("").await?;
    let later = SystemTime::now() + Duration::from_hours(1);
    let draft = v1::CommandDraft {
        not_before: Some(later.into()),
        ..wide()
    };
    let mut ann = stage.client("participant/a/person/ann")?;
    let command = ann.submit(draft).await?;
    let mut watches = Vec::new();
    for (watcher, name) in [
        ("participant/a/person/ann", "operator/ops"),
        ("participant/b", ""),
    ] {
        let request = v1::WatchCommandRequest {
            command_id: command.id.clone(),
            ..v1::WatchCommandRequest::default()
        };
        let mut client = stage.client(watcher)?;
        let mut watch = client.commands.watch_command(request).await?.into_inner();
        let first = watch.message().await?.context("it begins")?;
        let seen = first.approval.context("an approval")?;
        assert_eq!(seen.state(), ApprovalState::Waiting);
        watches.push((watch, name));
    }
    approve(stage.client("operator/ops")?, &command.id).await?;
    for (mut watch, name) in watches {
        let next = tokio::time::timeout(SOON, watch.message()).await??;
        let next = next.context("it goes on")?;
        assert!(next.executions.is_empty(), "{next:?}");
        let seen = next.approval.context("an approval")?;
        assert_eq!(seen.state(), ApprovalState::Given);
        assert_eq!(seen.approved_by, name);
    }
    Ok(())
}

/// A participant sees in the audit log what its people did, each by name, with what was refused.
#[tokio::test]
async fn a_participant_sees_the_acts_of_its_people() -> Result<()> {
    let stage = stage("").await?;
    let command = stage.submitted().await?;
    let own = approve(stage.client("participant/a/person/ann")?, &command.id).await;
    assert_eq!(own.unwrap_err().code(), Code::PermissionDenied);
    approve(stage.client("participant/a/person/ben")?, &command.id).await?;
    let owner = stage.client("participant/a")?;
    wait::until(SOON, "all is in the log", async || {
        let request = v1::ListAuditRequest {
            page_size: 1_000,
            ..v1::ListAuditRequest::default()
        };
        let listed = owner.clone().audit.list_audit(request).await?.into_inner();
        for (name, call, result) in [
            ("ann", "SubmitCommand", "OK"),
            ("ann", "ApproveCommand", "NOT_ALLOWED"),
            ("ben", "ApproveCommand", "OK"),
        ] {
            let caller = format!("participant/a/person/{name}");
            let is_it = |record: &&v1::AuditRecord| {
                record.resource.contains(&command.id)
                    && (
                        record.caller.as_str(),
                        record.call.as_str(),
                        record.result.as_str(),
                    ) == (caller.as_str(), call, result)
            };
            let count = listed.records.iter().filter(is_it).count();
            anyhow::ensure!(count == 1, "{count} of {name} {call} {result}: {listed:?}");
        }
        anyhow::Ok(())
    })
    .await
}

/// What waits is open, as far as quotas go, and its people share what a participant may; taken back, it makes room.
#[tokio::test]
async fn what_waits_counts_as_open() -> Result<()> {
    let settings = "[quotas.each]\nopen_commands = 2\ncalls = 20000\nselectors = 200000";
    let stage = stage(settings).await?;
    let first = stage.submitted().await?;
    stage.client("participant/a")?.submit(wide()).await?;
    let mut ben = stage.client("participant/a/person/ben")?;
    let refused = ben.submit(purge(&["http://www.shop.example/x"])).await;
    assert_eq!(refused.unwrap_err().code(), Code::ResourceExhausted);
    let cancel = v1::CancelCommandRequest {
        command_id: first.id.clone(),
    };
    let taken = ben.commands.cancel_command(cancel).await?.into_inner();
    assert_eq!(taken.cancelled_participant_ids, ["b"]);
    let late = approve(ben.clone(), &first.id).await;
    assert_eq!(late.unwrap_err().code(), Code::FailedPrecondition);
    ben.submit(purge(&["http://www.shop.example/x"])).await?;
    Ok(())
}
