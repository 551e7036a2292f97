//! What comes back: reports, silence, foreign and unreadable reports, and replicas that die.

use std::time::Duration;

use amqp::envelope::{ExecutionReport, Report, ReportedOutcome};
use anyhow::{Context, Result};
use domain::{
    Evidence, ExecutionId, Fault, Timestamp,
    fault::{Again, FaultCode},
};
use proto::v1;
use serde_json::json;
use tests::{
    federation::{Client, purge},
    rabbitmq::Management,
    wait,
};

use crate::stage::{Stage, stage};

const SOON: Duration = Duration::from_secs(20);
const URL: &str = "http://www.shop.example/x";
const OTHER: &str = "http://www.shop.example/y";

fn state(command: &v1::Command) -> v1::ExecutionState {
    command
        .executions
        .first()
        .map(v1::Execution::state)
        .unwrap_or_default()
}

async fn becomes(owner: &Client, id: &str, expected: v1::ExecutionState) -> Result<v1::Command> {
    wait::until(
        SOON,
        &format!("the execution is {expected:?}"),
        async || {
            let command = owner.clone().get(id).await.ok()?;
            (state(&command) == expected).then_some(command)
        },
    )
    .await
}

/// Silence ends as `unanswered`, which is not `failed`; the report that comes at last replaces it.
#[tokio::test]
async fn a_late_report_replaces_silence() -> Result<()> {
    let mut stage = stage("[deadlines]\nreport = \"500ms\"\nsweep_every = \"100ms\"").await?;
    let command = stage.owner.submit(purge(&[URL])).await?;
    let (delivery, orders) = stage.a.next().await?;
    let silent = becomes(&stage.owner, &command.id, v1::ExecutionState::Unanswered).await?;
    assert_eq!(
        silent.standing.context("a standing")?.overall(),
        v1::Overall::Failed
    );
    stage
        .a
        .report(&orders[0], ReportedOutcome::Done(Evidence::Reported))
        .await?;
    delivery.ack().await?;
    becomes(&stage.owner, &command.id, v1::ExecutionState::Done).await?;
    Ok(())
}

/// A settled execution does not move; a second report of the same changes nothing, and evidence only rises.
#[tokio::test]
async fn a_settled_execution_stays() -> Result<()> {
    let mut stage = stage("").await?;
    let command = stage.owner.submit(purge(&[URL])).await?;
    let (delivery, orders) = stage.a.next().await?;
    let fault = Fault::participant(FaultCode::Refused, Again::Never, "no");
    let running = || ReportedOutcome::Running {
        job: "j1".to_owned(),
    };
    stage.a.report(&orders[0], running()).await?;
    becomes(&stage.owner, &command.id, v1::ExecutionState::Running).await?;
    stage
        .a
        .report(&orders[0], ReportedOutcome::Done(Evidence::Acknowledged))
        .await?;
    becomes(&stage.owner, &command.id, v1::ExecutionState::Done).await?;
    for outcome in [
        ReportedOutcome::Failed(fault),
        running(),
        ReportedOutcome::Done(Evidence::Verified),
        ReportedOutcome::Done(Evidence::Reported),
        ReportedOutcome::Unknown,
    ] {
        stage.a.report(&orders[0], outcome).await?;
    }
    delivery.ack().await?;
    // Reports are taken side by side, so nothing else shows that all of them have been.
    let all = "broker_reports_total{result=\"applied\"} 7";
    stage.broker.shows(SOON, all).await?;
    let settled = stage.owner.get(&command.id).await?;
    assert_eq!(state(&settled), v1::ExecutionState::Done);
    assert_eq!(settled.executions[0].evidence(), v1::Evidence::Verified);
    Ok(())
}

/// A newer adapter may say what this broker does not know; what it says beside that counts.
#[tokio::test]
async fn one_execution_that_cannot_be_read_leaves_its_neighbours_unharmed() -> Result<()> {
    let mut stage = stage("").await?;
    let command = stage.owner.submit(purge(&[URL])).await?;
    let (delivery, orders) = stage.a.next().await?;
    let execution = &orders[0].execution;
    let unreadable = json!({"execution": execution, "outcome": "of_tomorrow", "reported_at": 0});
    let readable =
        json!({"execution": execution, "outcome": {"done": "verified"}, "reported_at": 0});
    let report = json!({"participant": "a", "executions": [unreadable, readable]});
    stage.a.send(serde_json::to_vec(&report)?).await?;
    let settled = stage.owner.settled(&command.id, SOON).await?;
    assert_eq!(state(&settled), v1::ExecutionState::Done);
    delivery.ack().await?;
    Ok(())
}

/// What is no report, speaks for somebody else, or of nothing that is there, is dead-lettered; the next one is taken.
#[tokio::test]
async fn a_bad_report_is_dead_lettered_and_the_next_one_taken() -> Result<()> {
    let mut stage = stage("").await?;
    let command = stage.owner.submit(purge(&[URL])).await?;
    let (delivery, orders) = stage.a.next().await?;
    let report = |participant: &str, execution: ExecutionId| Report {
        progress: Vec::new(),
        participant: participant.parse().unwrap(),
        executions: vec![ExecutionReport {
            execution,
            outcome: ReportedOutcome::Done(Evidence::Verified),
            results: Vec::new(),
            reported_at: Timestamp::from_millis(0),
            traceparent: None,
            absorbed_by: None,
            told: None,
        }],
        receipts: None,
    };
    let real = orders[0].execution.clone();
    let foreign = ExecutionId {
        participant: "b".parse()?,
        ..real.clone()
    };
    let absent = ExecutionId {
        command: "01890a5d-ac96-774b-bcce-b30209990000".parse()?,
        ..real.clone()
    };
    stage.a.send(b"{ no report".to_vec()).await?;
    stage
        .a
        .send(serde_json::to_vec(&report("b", real))?)
        .await?;
    stage
        .a
        .send(serde_json::to_vec(&report("a", foreign))?)
        .await?;
    stage
        .a
        .send(serde_json::to_vec(&report("a", absent))?)
        .await?;
    let management = Management::new(&stage.federation.shared().management)?;
    let queue = format!("{}dead-letters.replies", stage.federation.prefix());
    wait::until(SOON, "four dead letters", async || {
        management.depth(&queue).await.is_ok_and(|depth| depth == 4)
    })
    .await?;
    assert_eq!(
        state(&stage.owner.get(&command.id).await?),
        v1::ExecutionState::Dispatched
    );
    stage
        .a
        .report(&orders[0], ReportedOutcome::Done(Evidence::Reported))
        .await?;
    delivery.ack().await?;
    becomes(&stage.owner, &command.id, v1::ExecutionState::Done).await?;
    Ok(())
}

/// Whoever dispatched is killed; another replica takes its outboxes over and commands go on.
#[tokio::test]
async fn another_replica_takes_over() -> Result<()> {
    let mut stage = stage("[outbox]\nlease = \"2s\"").await?;
    let second = stage.federation.broker("second").await?;
    let mut elsewhere = stage.federation.client(&second, "participant/a")?;
    for round in 0..6 {
        let command = elsewhere.submit(purge(&[URL])).await?;
        if round == 3 {
            stage.broker.process.kill9();
        }
        // What the killed one had published without removing it comes once more.
        let mut told = Vec::new();
        while !told.contains(&command.id) {
            let orders = stage.a.carry_out().await?.into_iter();
            told.extend(orders.map(|order| order.execution.command.to_string()));
        }
        elsewhere.settled(&command.id, SOON).await?;
    }
    Ok(())
}

/// Four shards behave as one: commands of many configurations are sent, reported and found again.
#[tokio::test]
async fn shards_do_not_show() -> Result<()> {
    let mut stage = stage("[store]\nshards = 4").await?;
    let mut operator = stage.federation.client(&stage.broker, "operator/ops")?;
    let mut ids = Vec::new();
    for index in 0..8 {
        let (configuration, host) = (format!("shop-{index}"), format!("{index}.shop.example"));
        operator
            .create_configuration(&configuration, "a", &[&host])
            .await?;
        operator.deploy(&configuration, "a").await?;
        ids.push(
            stage
                .owner
                .submit(purge(&[&format!("http://{host}/")]))
                .await?
                .id,
        );
    }
    let mut sent = 0;
    while sent < ids.len() {
        sent += stage.a.carry_out().await?.len();
    }
    for id in ids {
        assert_eq!(
            state(&stage.owner.settled(&id, SOON).await?),
            v1::ExecutionState::Done
        );
    }
    Ok(())
}

/// A settled command is deleted when its retention has passed, and its request id may be used again, for anything.
#[tokio::test]
async fn a_command_is_deleted_after_its_retention() -> Result<()> {
    let mut stage =
        stage("[store]\nretention = \"1s\"\n[deadlines]\nsweep_every = \"100ms\"").await?;
    let request_id = uuid::Uuid::now_v7().to_string();
    let mut commands = stage.owner.commands.clone();
    let mut submit = async |url: &str| {
        let request = v1::SubmitCommandRequest {
            draft: Some(purge(&[url])),
            request_id: request_id.clone(),
            validate_only: false,
        };
        let answer = commands.submit_command(request).await?.into_inner();
        answer.command.context("a command")
    };
    let command = submit(URL).await?;
    submit(OTHER).await.expect_err("it is used");
    stage.a.carry_out().await?;
    wait::until(SOON, "the command is gone", async || {
        stage
            .owner
            .clone()
            .get(&command.id)
            .await
            .is_err_and(|status| status.code() == tonic::Code::NotFound)
    })
    .await?;
    let answer = stage
        .owner
        .commands
        .list_commands(v1::ListCommandsRequest::default())
        .await?
        .into_inner();
    assert!(answer.commands.is_empty());
    let other = submit(OTHER).await?;
    assert_ne!(other.id, command.id);
    Ok(())
}

/// A trace that a command came with is the trace of its order and stands in the message's header; metrics speak.
#[tokio::test]
async fn a_trace_and_the_metrics_follow_a_command() -> Result<()> {
    let mut stage = stage("").await?;
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let draft = v1::SubmitCommandRequest {
        draft: Some(purge(&[URL])),
        ..v1::SubmitCommandRequest::default()
    };
    let mut request = tonic::Request::new(draft);
    request.metadata_mut().insert(
        "traceparent",
        format!("00-{trace}-00f067aa0ba902b7-01").parse()?,
    );
    let answer = stage
        .owner
        .commands
        .submit_command(request)
        .await?
        .into_inner();
    let (delivery, orders) = stage.a.next().await?;
    assert!(
        orders[0]
            .traceparent
            .as_ref()
            .is_some_and(|text| text.contains(trace))
    );
    assert!(
        delivery
            .message
            .text(amqp::header::TRACEPARENT)
            .is_some_and(|text| text.contains(trace))
    );
    stage
        .a
        .report(&orders[0], ReportedOutcome::Done(Evidence::Reported))
        .await?;
    delivery.ack().await?;
    stage
        .owner
        .settled(&answer.command.context("a command")?.id, SOON)
        .await?;
    for line in [
        "broker_commands_total{operation=\"purge\",result=\"accepted\"} 1",
        "broker_executions_total{participant=\"a\",state=\"done\"} 1",
        "broker_dispatches_total{participant=\"a\",result=\"confirmed\"} 1",
        "broker_reports_total{result=\"applied\"} 1",
    ] {
        stage.broker.shows(SOON, line).await?;
    }
    Ok(())
}

/// Puts something else in the place of a command, once its dispatch has left the outbox for good.
async fn spoil(stage: &Stage, id: &str) -> Result<()> {
    let connection = tests::redis::connect(&stage.federation.shared().redis).await?;
    let mut find = redis::cmd("KEYS");
    find.arg(format!("*:command:{id}"));
    let keys: Vec<String> = find.query_async(&mut connection.clone()).await?;
    let [command] = &keys[..] else {
        anyhow::bail!("{keys:?} should be one key")
    };
    let outbox = command.replace(&format!(":command:{id}"), ":outbox:a");
    wait::until(SOON, "the dispatch is confirmed", async || {
        let mut length = redis::cmd("XLEN");
        let length: Result<u64, _> = length
            .arg(&outbox)
            .query_async(&mut connection.clone())
            .await;
        length.is_ok_and(|length| length == 0)
    })
    .await?;
    let mut put = redis::cmd("SET");
    put.arg(command).arg("spoiled");
    Ok(put.query_async(&mut connection.clone()).await?)
}

/// Tried again for ever, such reports would take every place in the prefetch, and no other would be heard.
#[tokio::test]
async fn a_report_that_the_store_can_never_take_is_dead_lettered() -> Result<()> {
    let mut stage = stage("").await?;
    let command = stage.owner.submit(purge(&[URL])).await?;
    let (delivery, orders) = stage.a.next().await?;
    spoil(&stage, &command.id).await?;
    let refused = stage.owner.get(&command.id).await;
    let refused = refused.expect_err("it is no command any more");
    assert_eq!(refused.code(), tonic::Code::Internal, "{refused}");
    stage
        .a
        .report(&orders[0], ReportedOutcome::Done(Evidence::Reported))
        .await?;
    delivery.ack().await?;
    let management = Management::new(&stage.federation.shared().management)?;
    let queue = format!("{}dead-letters.replies", stage.federation.prefix());
    wait::until(SOON, "a dead letter", async || {
        management.depth(&queue).await.is_ok_and(|depth| depth == 1)
    })
    .await?;
    let next = stage.owner.submit(purge(&[URL])).await?;
    stage.a.carry_out().await?;
    stage.owner.settled(&next.id, SOON).await?;
    Ok(())
}
