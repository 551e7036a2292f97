//! Redis is away: a clean `UNAVAILABLE`, and nothing half-written.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use proto::v1;
use tests::{relay::Weather, wait};
use tonic::{Code, Status};
use uuid::Uuid;

use super::{LIMIT, Scene, purge_of, retry_after};

/// Tries of one request while the link is reset again and again.
const REQUESTS: usize = 30;

async fn submit(scene: &Scene, number: usize, request: Uuid) -> Result<v1::Command, Status> {
    let asked = v1::SubmitCommandRequest {
        draft: Some(purge_of(number)),
        request_id: request.to_string(),
        validate_only: false,
    };
    let answer = scene.owner.clone().commands.submit_command(asked).await?;
    let command = answer.into_inner().command;
    command.ok_or_else(|| Status::internal("the answer holds no command"))
}

async fn listed(scene: &Scene) -> Result<Vec<v1::Command>> {
    let asked = v1::ListCommandsRequest {
        page_size: 500,
        ..v1::ListCommandsRequest::default()
    };
    let answer = scene.owner.clone().commands.list_commands(asked).await?;
    Ok(answer.into_inner().commands)
}

/// Refused with the time to try again, in seconds and not after minutes; the same request is accepted once Redis is back,
/// and is one command.
#[tokio::test]
async fn without_redis_a_submit_is_unavailable_and_leaves_nothing() -> Result<()> {
    let mut scene = Scene::shared("").await?;
    scene.redis.cut();
    let request = Uuid::now_v7();
    let refused = submit(&scene, 1, request).await;
    let refused = refused.err().context("it cannot have been written")?;
    assert_eq!(refused.code(), Code::Unavailable, "{refused}");
    assert!(retry_after(&refused).is_some(), "{refused:?}");
    scene.redis.heal();
    let command = wait::until(LIMIT, "it is accepted", async || {
        submit(&scene, 1, request).await
    })
    .await?;
    let listed = listed(&scene).await?;
    ensure!(listed.len() == 1, "{listed:?}");
    scene.carry_out(&[command]).await
}

/// Links that break in the middle of a call leave the question open whether it was written. Asked again with the same
/// request id the answer is one command for each request, and each of them is whole.
#[tokio::test]
async fn an_interrupted_submit_is_written_whole_or_not_at_all() -> Result<()> {
    let mut scene = Scene::shared("").await?;
    let mut commands = Vec::new();
    for number in 0..REQUESTS {
        let request = Uuid::now_v7();
        let first = submit(&scene, number, request);
        scene.redis.reset();
        let _ = first.await;
        commands.push(
            wait::until(LIMIT, "there is an answer", async || {
                submit(&scene, number, request).await
            })
            .await?,
        );
    }
    let listed = listed(&scene).await?;
    let ids = |commands: &[v1::Command]| -> BTreeSet<_> {
        commands.iter().map(|command| command.id.clone()).collect()
    };
    assert_eq!(ids(&listed), ids(&commands));
    assert_eq!(listed.len(), REQUESTS);
    assert!(listed.iter().all(|command| command.executions.len() == 1));
    scene.carry_out(&commands).await
}

/// A caller who waits as long as a call may take learns that it may have been done, and what to do; the same request is one
/// command.
#[tokio::test]
async fn a_call_that_takes_too_long_says_so_and_can_be_repeated() -> Result<()> {
    let scene = Scene::shared("[limits]\ncall_time = \"3s\"\n").await?;
    scene.redis.set(Weather {
        stalled: true,
        ..Weather::default()
    });
    let request = Uuid::now_v7();
    let late = submit(&scene, 1, request).await;
    let late = late.err().context("nothing comes from Redis")?;
    assert_eq!(late.code(), Code::DeadlineExceeded, "{late}");
    assert!(late.message().contains("limits.call_time"), "{late}");
    assert!(late.message().contains("request_id"), "{late}");
    assert!(retry_after(&late).is_some(), "{late:?}");
    scene.redis.heal();
    wait::until(LIMIT, "it is accepted", async || {
        submit(&scene, 1, request).await
    })
    .await?;
    assert_eq!(listed(&scene).await?.len(), 1);
    Ok(())
}
