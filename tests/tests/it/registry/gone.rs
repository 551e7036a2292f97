//! A participant goes only when nothing waits for it; what slipped in all the same ends, and is told to nobody.

use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use broker::store::{Keys, Put, RecordKind, Store};
use proto::v1;
use tests::{
    federation::{Client, Federation, purge},
    rabbitmq::Management,
    shared, wait,
};
use tonic::Code;

const SOON: Duration = Duration::from_secs(20);
/// Long enough for everything that comes before it.
const LATER: Duration = Duration::from_secs(10);
/// How often one replica creates what another deletes.
const ROUNDS: usize = 12;

async fn delete(operator: &mut Client, id: &str) -> Code {
    let request = v1::DeleteParticipantRequest {
        participant_id: id.to_owned(),
    };
    let deleted = operator.registry.delete_participant(request).await;
    deleted.map_or_else(|status| status.code(), |_| Code::Ok)
}

async fn free(operator: &mut Client) -> Result<()> {
    let deployment = v1::DeleteDeploymentRequest {
        deployment_id: "shop-host".to_owned(),
    };
    operator.registry.delete_deployment(deployment).await?;
    let server = v1::DeleteServerRequest {
        server_id: "host-1".to_owned(),
    };
    operator.registry.delete_server(server).await?;
    Ok(())
}

/// What waits for its time is on its way too.
#[tokio::test]
async fn a_participant_stays_while_something_waits_for_it() -> Result<()> {
    let settings = "[deadlines]\nsweep_every = \"100ms\"";
    let federation = Federation::with_settings(shared()?, settings).await?;
    let broker = federation.broker("broker").await?;
    let mut operator = federation.client(&broker, "operator/ops")?;
    for id in ["owner", "host"] {
        operator.create_participant(id).await?;
    }
    operator
        .create_server("host-1", "host", "varnish", ([127, 0, 0, 1], 1).into())
        .await?;
    operator
        .create_configuration("shop", "owner", &["www.shop.example"])
        .await?;
    operator.deploy("shop", "host").await?;
    let mut owner = federation.client(&broker, "participant/owner")?;
    let command = owner
        .submit(v1::CommandDraft {
            not_before: Some((SystemTime::now() + LATER).into()),
            ..purge(&["http://www.shop.example/x"])
        })
        .await?;
    free(&mut operator).await?;
    assert_eq!(
        delete(&mut operator, "host").await,
        Code::FailedPrecondition
    );

    // As if another replica had accepted the command a moment after the check.
    let url = toml::Value::String(federation.shared().redis.clone()).try_into()?;
    let store = Store::connect(&url, Keys::new(federation.prefix(), 1)).await?;
    let edition = store.edition().await?;
    let deleted = store
        .delete_record(RecordKind::Participant, "host", &edition)
        .await?;
    ensure!(matches!(deleted, Put::Written(_)), "{deleted:?}");
    // A new one of that name is not told what was meant for the old one.
    wait::until(SOON, "the broker has heard of it", async || {
        let created = operator.clone().create_participant("host").await;
        let refused = created.err().and_then(|error| {
            let status = error.downcast_ref::<tonic::Status>()?;
            status.message().contains("have not ended").then_some(())
        });
        refused.context("it may be created")
    })
    .await?;
    let ended = owner.settled(&command.id, LATER + SOON).await?;
    let execution = ended.executions.first().context("an execution")?;
    assert_eq!(execution.state(), v1::ExecutionState::Failed);
    let fault = execution.fault.as_ref().context("a fault")?;
    assert!(fault.message.contains("no longer"), "{fault:?}");
    // What has ended leaves the outbox a moment later.
    wait::until(SOON, "it may be created", async || {
        operator.clone().create_participant("host").await
    })
    .await?;
    assert_eq!(delete(&mut operator, "host").await, Code::Ok);
    // Repeating it finds nothing, and does no harm.
    assert_eq!(delete(&mut operator, "host").await, Code::NotFound);
    Ok(())
}

/// One replica deletes a participant, and again for what a deletion before left behind, while another creates it. Whoever comes
/// last: a participant that is registered has its queue, and one that is not has none.
#[tokio::test]
async fn queues_stand_exactly_for_those_that_are_registered() -> Result<()> {
    let federation = Federation::start(shared()?).await?;
    let (first, second) = (
        federation.broker("first").await?,
        federation.broker("second").await?,
    );
    let mut creating = federation.client(&first, "operator/ops")?;
    let mut deleting = federation.client(&second, "operator/ops")?;
    let url = toml::Value::String(federation.shared().redis.clone()).try_into()?;
    let store = Store::connect(&url, Keys::new(federation.prefix(), 1)).await?;
    let management = Management::new(&federation.shared().management)?;
    let queue = format!("{}commands.host", federation.prefix());
    for round in 0..ROUNDS {
        let (created, _) = tokio::join!(creating.create_participant("host"), async {
            delete(&mut deleting, "host").await;
            delete(&mut deleting, "host").await
        });
        if let Err(error) = created {
            let status = error.downcast::<tonic::Status>()?;
            ensure!(status.code() == Code::AlreadyExists, "{status}");
        }
        let registered = store.is_registered(RecordKind::Participant, "host").await?;
        let stands = management.queue(&queue).await.is_ok();
        ensure!(
            registered == stands,
            "round {round}: registered {registered}, its queue stands {stands}"
        );
    }
    Ok(())
}
