//! After a command was accepted: watched, taken back, listed.

use amqp::envelope::ReportedOutcome;
use anyhow::{Context, Result};
use domain::Evidence;
use proto::v1;
use tests::federation::purge;

use super::{SOON, URL, listed, stage, states};

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
    // What was taken back is never sent: the next orders are those of a third command, behind the question about the first.
    let third = stage.owner.submit(purge(&[URL])).await?;
    let mut told = Vec::new();
    while told.is_empty() {
        let orders = stage.b.carry_out().await?.into_iter();
        told.extend(orders.map(|order| order.execution.command.to_string()));
    }
    assert_eq!(told, [third.id]);
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

/// Commands with much to say make a page shorter, and never an answer that nobody can read.
#[tokio::test]
async fn a_list_of_large_commands_is_told_in_many_pages() -> Result<()> {
    let mut stage = stage("").await?;
    let (mut ids, long) = (Vec::new(), "a".repeat(3_000));
    for number in 0..4 {
        let urls = (0..300).map(|url| format!("{URL}/{number}/{url}/{long}"));
        let urls = urls.collect::<Vec<_>>();
        let urls = urls.iter().map(String::as_str).collect::<Vec<_>>();
        ids.push(stage.owner.submit(purge(&urls)).await?.id);
    }
    ids.reverse();
    let (mut found, mut token, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let request = v1::ListCommandsRequest {
            page_token: token,
            ..v1::ListCommandsRequest::default()
        };
        let page = stage.owner.commands.list_commands(request).await?;
        let page = page.into_inner();
        found.extend(page.commands.into_iter().map(|command| command.id));
        pages += 1;
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(found, ids);
    assert!(pages > 1, "{pages}");
    Ok(())
}
