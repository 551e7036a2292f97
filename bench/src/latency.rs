//! How long a command takes from the call that submits it to the moment at which a watcher sees it settled.
//!
//! Invariant: under load commands come at times that were fixed before (open loop), and the time counts from there: a
//! broker that makes its callers wait does not hide that by being asked less.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use hdrhistogram::Histogram;
use proto::v1;
use tests::federation::Client;
use tokio::{task::JoinSet, time::sleep_until};

use crate::stage::{Reach, Stage};

/// Connections that an open loop spreads its calls over.
const CONNECTIONS: usize = 16;

/// Submits by a unary call, and watches until it has settled.
pub(crate) async fn settle(client: &mut Client, draft: v1::CommandDraft) -> Result<()> {
    let command = client.submit(draft).await?;
    watch(client, command.id).await
}

/// Watches until it has settled.
pub(crate) async fn watch(client: &mut Client, command_id: String) -> Result<()> {
    let request = v1::WatchCommandRequest {
        command_id,
        resume_token: String::new(),
    };
    let mut answers = client.commands.watch_command(request).await?.into_inner();
    while let Some(answer) = answers.message().await? {
        let standing = answer.standing.context("an answer has a standing")?;
        if standing.settled {
            return Ok(());
        }
    }
    bail!("the watch ended before the command had settled")
}

/// One command with nothing else under way.
pub(crate) async fn one(client: &mut Client, draft: v1::CommandDraft) -> Result<Duration> {
    let began = Instant::now();
    settle(client, draft).await?;
    Ok(began.elapsed())
}

/// So many commands a second for a while, whatever becomes of the ones before.
pub(crate) async fn open_loop(
    stage: &Stage,
    per_second: f64,
    time: Duration,
    first: u64,
) -> Result<Histogram<u64>> {
    let clients: Vec<_> = (0..CONNECTIONS)
        .map(|_| stage.client())
        .collect::<Result<_>>()?;
    let (began, mut under_way) = (tokio::time::Instant::now(), JoinSet::new());
    let mut number = 0_u32;
    loop {
        let due = began + Duration::from_secs_f64(f64::from(number) / per_second);
        if due >= began + time {
            break;
        }
        sleep_until(due).await;
        let mut client = clients[number as usize % CONNECTIONS].clone();
        let draft = Reach::One.draft(first + u64::from(number), 1);
        under_way.spawn(async move {
            settle(&mut client, draft).await?;
            anyhow::Ok(due.elapsed())
        });
        number += 1;
    }
    let mut histogram = Histogram::new(3)?;
    while let Some(took) = under_way.join_next().await {
        histogram.record(micros(took??))?;
    }
    Ok(histogram)
}

/// Whole microseconds, as histograms hold them.
pub(crate) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
