//! `CommandService` on a real broker: what is refused and how, what is planned, repeated, watched, listed, taken back.

mod following;
mod refused;
mod served;
mod submitting;

use std::time::Duration;

use anyhow::Result;
use proto::v1::{self, selector::Kind};
use tests::{
    adapter::ScriptedAdapter,
    federation::{Client, Federation, Program, purge, selector},
    shared,
};

const SOON: Duration = Duration::from_secs(20);
const URL: &str = "http://www.shop.example/x";

/// Participants `a` (owner, a Varnish) and `b` (an nginx), with scripted adapters; nobody connects to the servers.
struct Stage {
    federation: Federation,
    broker: Program,
    owner: Client,
    a: ScriptedAdapter,
    b: ScriptedAdapter,
}

async fn stage(settings: &str) -> Result<Stage> {
    let federation = Federation::with_settings(shared()?, settings).await?;
    let broker = federation.broker("broker").await?;
    let mut operator = federation.client(&broker, "operator/ops")?;
    for (participant, dialect) in [("a", "varnish"), ("b", "nginx")] {
        operator.create_participant(participant).await?;
        operator
            .create_server(
                &format!("{participant}1"),
                participant,
                dialect,
                ([127, 0, 0, 1], 1).into(),
            )
            .await?;
    }
    operator
        .create_configuration("shop", "a", &["www.shop.example"])
        .await?;
    operator
        .create_configuration("news", "b", &["www.news.example"])
        .await?;
    operator.deploy("shop", "a").await?;
    operator.deploy("shop", "b").await?;
    let owner = federation.client(&broker, "participant/a")?;
    let (a, b) = (federation.scripted("a")?, federation.scripted("b")?);
    Ok(Stage {
        federation,
        broker,
        owner,
        a,
        b,
    })
}

fn of(kind: Kind) -> v1::CommandDraft {
    v1::CommandDraft {
        selectors: vec![selector(kind)],
        configuration_id: "shop".to_owned(),
        ..purge(&[])
    }
}

fn custom(name: &str) -> v1::CommandDraft {
    let custom = v1::CustomOperation {
        name: name.to_owned(),
        ..v1::CustomOperation::default()
    };
    v1::CommandDraft {
        operation: Some(v1::Operation {
            kind: Some(v1::operation::Kind::Custom(custom)),
        }),
        ..purge(&[URL])
    }
}

async fn listed(owner: &mut Client) -> Result<usize> {
    let answer = owner
        .commands
        .list_commands(v1::ListCommandsRequest::default())
        .await?
        .into_inner();
    Ok(answer.commands.len())
}

fn states(command: &v1::Command) -> Vec<(&str, v1::ExecutionState)> {
    command
        .executions
        .iter()
        .map(|execution| (execution.participant_id.as_str(), execution.state()))
        .collect()
}
