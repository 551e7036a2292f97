//! The same request again and again, at both replicas at the same time: one command, and the same answer to all.
//!
//! Invariant: every answer counts; a second command shows in the ledger as a contradiction.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use futures::{StreamExt, stream};
use proto::v1::{self, submit_commands_response::Result as Answer};
use tokio::time::timeout;
use uuid::Uuid;

use super::{
    ledger::Ledger,
    traffic::{self, ORIGINATORS, PARTICIPANTS},
};
use crate::federation::client;

/// How long all answers may take.
const LIMIT: Duration = Duration::from_mins(1);

/// Submits one request so many times in all; how long that took.
pub(super) async fn repeat(
    brokers: [SocketAddr; 2],
    ledger: &Arc<Ledger>,
    times: usize,
) -> Result<Duration> {
    let request = Uuid::now_v7();
    ledger.ask(request, true);
    let began = Instant::now();
    let each = brokers.map(|broker| at(broker, ledger, request, times / 2));
    let answers = timeout(LIMIT, futures::future::try_join_all(each)).await??;
    let answers: usize = answers.into_iter().sum();
    ensure!(answers == times, "{answers} answers to {times} submits");
    Ok(began.elapsed())
}

async fn at(
    broker: SocketAddr,
    ledger: &Arc<Ledger>,
    request: Uuid,
    times: usize,
) -> Result<usize> {
    let mut client = client(broker, &format!("participant/{}", ORIGINATORS[0]))?.commands;
    let draft = traffic::probe(PARTICIPANTS[0], u64::MAX);
    let message = v1::SubmitCommandsRequest {
        tag: request.to_string(),
        draft: Some(draft),
        request_id: request.to_string(),
    };
    let requests = stream::repeat(message).take(times);
    let mut answers = client.submit_commands(requests).await?.into_inner();
    let mut count = 0;
    while let Some(answer) = answers.message().await? {
        match answer.result.context("an answer says something")? {
            Answer::CommandId(command) => ledger.acknowledge(request, &command),
            Answer::Failure(failure) => anyhow::bail!("refused: {}", failure.message),
        }
        count += 1;
    }
    Ok(count)
}
