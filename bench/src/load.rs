//! As many commands as go through: by streams, or by unary calls.
//!
//! Invariant: a command counts when its executions have settled durably and a watcher has seen it: every hundredth command
//! and the last ones are watched by `WatchCommand`, and the broker's own count of settled executions must say the same of
//! all the others before the clock stops.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use proto::v1::{self, submit_commands_response::Result as Answer};
use tests::federation::Client;
use tokio::{
    sync::{Semaphore, mpsc},
    task::JoinSet,
    time::sleep,
};
use tokio_stream::wrappers::ReceiverStream;

use crate::{
    latency::watch,
    raw::per_second,
    stage::{Reach, Stage},
};

/// Every so many commands one is watched.
const WATCHED: u64 = 100;
/// Commands of a stream that wait for an answer.
const WINDOW: usize = 2_000;
/// How long the last executions may take to be counted.
const COUNTED: Duration = Duration::from_mins(2);
/// Between two looks at the broker's count: asking takes time of the processors, too.
const LOOK: Duration = Duration::from_millis(50);

/// How commands are submitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// By so many streams at once.
    Streams(u64),
    /// By unary calls of so many clients, each with one call at a time.
    Unary(u64),
    /// The same, each client waiting until it has seen its command settled.
    Watched(u64),
}

/// Which commands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Commands {
    pub(crate) reach: Reach,
    /// The number of the first; no command of one run has another's.
    pub(crate) first: u64,
    pub(crate) count: u64,
    /// Objects that each of them names.
    pub(crate) urls: u64,
}

/// What a load came to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Speed {
    /// Commands settled in a second.
    pub(crate) commands: f64,
    /// Executions settled in a second.
    pub(crate) executions: f64,
}

/// Submits commands, and waits until all have settled.
pub(crate) async fn run(stage: &Stage, way: Way, commands: Commands) -> Result<Speed> {
    let before = stage.settled().await?;
    let began = Instant::now();
    let mut sources = JoinSet::new();
    let number = match way {
        Way::Streams(number) | Way::Unary(number) | Way::Watched(number) => number,
    };
    let (first, count) = (commands.first, commands.count);
    for source in 0..number {
        let client = stage.client()?;
        let numbers = (first + source..first + count).step_by(usize::try_from(number)?);
        let numbers = numbers.collect();
        match way {
            Way::Streams(_) => sources.spawn(stream(client, commands, numbers, true)),
            Way::Unary(_) => sources.spawn(unary(client, commands, numbers, false)),
            Way::Watched(_) => sources.spawn(unary(client, commands, numbers, true)),
        };
    }
    while let Some(source) = sources.join_next().await {
        source??;
    }
    let seen = began.elapsed();
    let executions = count * commands.reach.participants() as u64;
    let counted = all_settled(stage, before + executions, began).await?;
    let time = seen.max(counted);
    Ok(Speed {
        commands: per_second(usize::try_from(count)?, time),
        executions: per_second(usize::try_from(executions)?, time),
    })
}

/// Submits commands by a stream, and waits only until all are accepted.
pub(crate) async fn submit(stage: &Stage, commands: Commands) -> Result<()> {
    let numbers = commands.first..commands.first + commands.count;
    stream(stage.client()?, commands, numbers.collect(), false).await
}

/// Waits until so many executions have settled since the broker started.
pub(crate) async fn settled(stage: &Stage, target: u64) -> Result<()> {
    all_settled(stage, target, Instant::now()).await.map(drop)
}

/// Waits until the broker has counted them; when that was, from the beginning, or zero where it had been so at once.
async fn all_settled(stage: &Stage, target: u64, began: Instant) -> Result<Duration> {
    let mut at_once = true;
    loop {
        let settled = stage.settled().await?;
        if settled >= target {
            return Ok(if at_once {
                Duration::ZERO
            } else {
                began.elapsed()
            });
        }
        at_once = false;
        ensure!(
            began.elapsed() < COUNTED,
            "{} executions did not settle",
            target - settled
        );
        sleep(LOOK).await;
    }
}

/// One stream; it ends when all that it watches have settled.
async fn stream(
    mut client: Client,
    commands: Commands,
    numbers: Vec<u64>,
    watched: bool,
) -> Result<()> {
    let last = numbers.last().copied().unwrap_or_default();
    let room = Arc::new(Semaphore::new(WINDOW));
    let (sender, requests) = mpsc::channel(WINDOW);
    let (sending_room, count) = (Arc::clone(&room), numbers.len());
    let sending = tokio::spawn(async move {
        for number in numbers {
            sending_room.acquire().await?.forget();
            let request = v1::SubmitCommandsRequest {
                tag: number.to_string(),
                draft: Some(commands.reach.draft(number, commands.urls)),
                request_id: String::new(),
            };
            sender.send(request).await?;
        }
        anyhow::Ok(())
    });
    let mut watching = JoinSet::new();
    let answers = client
        .commands
        .submit_commands(ReceiverStream::new(requests));
    let mut answers = answers.await?.into_inner();
    for _ in 0..count {
        let answer = answers.message().await?.context("the stream goes on")?;
        room.add_permits(1);
        let number: u64 = answer.tag.parse()?;
        match answer.result {
            Some(Answer::CommandId(id))
                if watched && (number.is_multiple_of(WATCHED) || number + 64 > last) =>
            {
                let mut client = client.clone();
                watching.spawn(async move { watch(&mut client, id).await });
            }
            Some(Answer::CommandId(_)) => {}
            other => anyhow::bail!("a command was refused: {other:?}"),
        }
    }
    sending.await??;
    while let Some(watched) = watching.join_next().await {
        watched??;
    }
    Ok(())
}

/// One client with one call at a time.
async fn unary(
    mut client: Client,
    commands: Commands,
    numbers: Vec<u64>,
    watched: bool,
) -> Result<()> {
    let last = numbers.last().copied().unwrap_or_default();
    let mut watching = JoinSet::new();
    for number in numbers {
        let command = client
            .submit(commands.reach.draft(number, commands.urls))
            .await?;
        if watched {
            watch(&mut client, command.id).await?;
        } else if number.is_multiple_of(WATCHED) || number == last {
            let mut client = client.clone();
            watching.spawn(async move { watch(&mut client, command.id).await });
        }
    }
    while let Some(watched) = watching.join_next().await {
        watched??;
    }
    Ok(())
}
