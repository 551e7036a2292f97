//! What operators and participants do with dead letters, through the broker and `fedctl`.

use amqp::{envelope::ReportedOutcome, header};
use anyhow::{Context, Result};
use domain::Evidence;
use proto::v1::{self, DeadLetterReason, ExecutionState, dead_letter_selection::Kind};
use reqwest::Method;
use tests::federation::Client;
use tonic::{Code, Status};

use super::{Stage, ids, selected};

async fn retry(
    client: &Client,
    participant: &str,
    selection: impl Into<Option<v1::DeadLetterSelection>>,
) -> Result<v1::RetryDeadLettersResponse, Status> {
    let request = v1::RetryDeadLettersRequest {
        participant_id: participant.to_owned(),
        selection: selection.into(),
    };
    let mut client = client.clone();
    let answer = client.dead_letters.retry_dead_letters(request).await?;
    Ok(answer.into_inner())
}

/// A dispatch kills whoever takes it. After the limit it is a dead letter, its neighbours are carried out, and its own
/// execution ends in silence. An operator looks at it, more than once, and sends it again: the same message with the same
/// execution, whose late report replaces the silence.
#[tokio::test]
async fn a_poison_message_is_sent_again_and_its_late_report_replaces_silence() -> Result<()> {
    let settings = "[amqp]\ndelivery_limit = 2\n\
                    [deadlines]\nreport = \"1s\"\nsweep_every = \"100ms\"";
    let mut stage = Stage::new(settings).await?;
    let poison = stage.dispatch("poison").await?;
    let neighbour = stage.dispatch("neighbour").await?;
    stage.die_of_the_first(3).await?;
    stage.depth("dead-letters.a", 1).await?;

    let mut adapter = stage.federation.scripted("a")?;
    let (delivery, orders) = adapter.next().await?;
    assert_eq!(orders[0].execution.command.to_string(), neighbour.id);
    assert!(!delivery.redelivered, "nothing happened to the neighbour");
    let done = || ReportedOutcome::Done(Evidence::Reported);
    adapter.report(&orders[0], done()).await?;
    delivery.ack().await?;
    stage.becomes(&neighbour.id, ExecutionState::Done).await?;
    stage
        .becomes(&poison.id, ExecutionState::Unanswered)
        .await?;

    for _ in 0..3 {
        let letters = stage.list("a").await?;
        assert_eq!(letters.len(), 1, "a look takes nothing away");
        assert_eq!(letters[0].reason(), DeadLetterReason::DeliveryLimit);
        assert_eq!((letters[0].execution_count, letters[0].retries), (1, 0));
        assert!(letters[0].death_time.is_some() && letters[0].create_time.is_some());
    }
    stage
        .metric("broker_dead_letters{participant=\"a\"} 1")
        .await?;
    let message_id = stage.list("a").await?.remove(0).message_id;

    let show = ["--as-operator", "ops", "dead-letters", "show", &message_id];
    let shown = stage.federation.fedctl(&stage.broker, &show).await?;
    let text = String::from_utf8_lossy(&shown.stdout);
    let execution = format!("{}_a", poison.id);
    for expected in [
        "delivery limit",
        &execution,
        "unanswered",
        "PURGE",
        "x-first-death-queue",
    ] {
        assert!(text.contains(expected), "{expected} is not in\n{text}");
    }
    let retry = ["--as-operator", "ops", "dead-letters", "retry", &message_id];
    let retried = stage.federation.fedctl(&stage.broker, &retry).await?;
    assert_eq!(retried.status.code(), Some(0), "{retried:?}");

    let (delivery, orders) = adapter.next().await?;
    assert_eq!(delivery.message.message_id, message_id);
    assert_eq!(delivery.message.number(header::RETRIES), Some(1));
    assert_eq!(orders[0].execution.to_string(), execution);
    adapter.report(&orders[0], done()).await?;
    delivery.ack().await?;
    stage.becomes(&poison.id, ExecutionState::Done).await?;
    assert!(stage.list("a").await?.is_empty());
    stage
        .metric("broker_dead_letters_worked_total{work=\"retried\"} 1")
        .await?;
    stage
        .metric("broker_dead_letters{participant=\"a\"} 0")
        .await
}

/// What was sent again and dies again says so, for another reason too; the first death is forgotten, the count is not.
#[tokio::test]
async fn a_letter_that_dies_again_counts_its_retries() -> Result<()> {
    let mut stage = Stage::new("[amqp]\ndelivery_limit = 1").await?;
    stage.dispatch("x").await?;
    stage.reject(1).await?;
    let first = stage.list("a").await?.remove(0);
    assert_eq!(first.reason(), DeadLetterReason::Rejected);
    retry(&stage.operator, "a", selected(Kind::Reason(first.reason))).await?;
    stage.die_of_the_first(2).await?;
    stage.depth("dead-letters.a", 1).await?;
    let second = stage.list("a").await?.remove(0);
    assert_eq!(second.message_id, first.message_id);
    assert_eq!(second.reason(), DeadLetterReason::DeliveryLimit);
    assert_eq!(second.retries, 1);
    Ok(())
}

/// A participant works on its own. The letters of others, and the reports that nobody could read, do not exist for it; an
/// operator sees all, and throws reports away, for nobody could vouch for one that is sent again.
#[tokio::test]
async fn everybody_works_on_what_is_theirs() -> Result<()> {
    let mut stage = Stage::new("").await?;
    stage.dispatch("x").await?;
    stage.dispatch("y").await?;
    stage.reject(2).await?;
    let adapter = stage.federation.scripted("a")?;
    adapter.send(b"{ no report".to_vec()).await?;
    stage.depth("dead-letters.replies", 1).await?;

    let mut stranger = stage.federation.client(&stage.broker, "participant/b")?;
    let empty = stranger
        .dead_letters
        .list_dead_letters(v1::ListDeadLettersRequest::default())
        .await?
        .into_inner();
    assert!(empty.letters.is_empty());
    for box_name in ["a", "replies", "nobody"] {
        let answer = retry(
            &stranger,
            box_name,
            selected(Kind::All(v1::AllDeadLetters {})),
        )
        .await;
        assert_eq!(answer.unwrap_err().code(), Code::NotFound, "{box_name}");
    }
    let all = stage.list("").await?;
    let owners: Vec<_> = all.iter().map(|letter| &*letter.participant_id).collect();
    assert_eq!(owners, ["a", "a", "replies"]);
    let foreign = v1::GetDeadLetterRequest {
        participant_id: String::new(),
        message_id: all[0].message_id.clone(),
    };
    let answer = stranger.dead_letters.get_dead_letter(foreign).await;
    assert_eq!(answer.unwrap_err().code(), Code::NotFound);

    let everything = || selected(Kind::All(v1::AllDeadLetters {}));
    let answer = retry(&stage.operator, "replies", everything()).await;
    assert_eq!(answer.unwrap_err().code(), Code::FailedPrecondition);
    for wrong in [
        None,
        Some(ids(&[])),
        Some(ids(&[""])),
        Some(selected(Kind::Reason(0))),
        Some(selected(Kind::Reason(9))),
    ] {
        let answer = retry(&stage.operator, "a", wrong.clone()).await;
        assert_eq!(
            answer.unwrap_err().code(),
            Code::InvalidArgument,
            "{wrong:?}"
        );
    }
    // Its own letter, by its own hand; the neighbour in the same queue stays.
    let retried = retry(&stage.owner, "", ids(&[&all[1].message_id])).await?;
    assert_eq!(retried.message_ids, [&*all[1].message_id]);
    let discard = [
        "--as-operator",
        "ops",
        "--json",
        "dead-letters",
        "discard",
        "--reason",
        "rejected",
    ];
    let discarded = stage.federation.fedctl(&stage.broker, &discard).await?;
    let document: serde_json::Value = serde_json::from_slice(&discarded.stdout)?;
    let done = document["message_ids"].as_array().context("ids")?;
    assert_eq!(done.len(), 2, "{document}");
    assert_eq!(done[0], all[0].message_id);
    assert!(stage.list("").await?.is_empty());
    let log = std::fs::read_to_string(stage.federation.folder().join("broker.log"))?;
    let audited: Vec<_> = log.lines().filter(|line| line.contains("audit")).collect();
    assert_eq!(audited.len(), 3, "{log}");
    assert!(
        audited[0].contains("participant/a") && audited[0].contains("retried"),
        "{audited:?}"
    );
    assert!(
        audited[2].contains("operator/ops") && audited[2].contains("discarded"),
        "{audited:?}"
    );
    Ok(())
}

/// What cannot be sent stays where it is: the queue is gone, or it is full. The caller hears which.
#[tokio::test]
async fn a_letter_that_cannot_be_sent_stays() -> Result<()> {
    let mut stage = Stage::new("[amqp]\ncommands_length = 3\n[outbox]\nbatch = 1").await?;
    stage.dispatch("x").await?;
    stage.reject(1).await?;
    let everything = || selected(Kind::All(v1::AllDeadLetters {}));
    let queue = stage.queue("commands.a");
    for number in 0..12 {
        let url = format!("http://www.shop.example/{number}");
        let draft = tests::federation::purge(&[&url]);
        stage.owner.submit(draft).await?;
    }
    stage
        .metric("broker_dispatches_total{participant=\"a\",result=\"refused\"}")
        .await?;
    let refused = retry(&stage.operator, "a", everything()).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused:?}");
    assert_eq!(stage.list("a").await?.len(), 1);
    stage
        .management
        .call(Method::DELETE, &format!("queues/%2f/{queue}"), None)
        .await?;
    let gone = retry(&stage.operator, "a", everything()).await.unwrap_err();
    assert_eq!(gone.code(), Code::FailedPrecondition, "{gone:?}");
    assert_eq!(stage.list("a").await?.len(), 1);
    Ok(())
}

/// A full queue refuses, the outbox keeps what was refused, and all of it is carried out when there is room.
#[tokio::test]
async fn what_a_full_queue_refuses_is_sent_when_there_is_room() -> Result<()> {
    let mut stage = Stage::new("[amqp]\ncommands_length = 2\n[outbox]\nbatch = 1").await?;
    let mut commands = Vec::new();
    for number in 0..12 {
        let url = format!("http://www.shop.example/{number}");
        commands.push(
            stage
                .owner
                .submit(tests::federation::purge(&[&url]))
                .await?
                .id,
        );
    }
    stage
        .metric("broker_dispatches_total{participant=\"a\",result=\"refused\"}")
        .await?;
    let mut adapter = stage.federation.scripted("a")?;
    let mut orders = Vec::new();
    while orders.len() < commands.len() {
        orders.extend(adapter.carry_out().await?);
    }
    let carried_out: Vec<_> = orders
        .iter()
        .map(|order| order.execution.command.to_string())
        .collect();
    assert_eq!(carried_out, commands, "all, once, in order");
    for id in commands {
        stage.becomes(&id, ExecutionState::Done).await?;
    }
    Ok(())
}
