//! Messages and orders that cannot be read, among good ones.

use anyhow::{Result, ensure};
use domain::fault::FaultCode;

use super::*;

/// One order that a newer or broken broker wrote does not take its neighbours with it; and it is answered for.
#[tokio::test]
async fn an_unreadable_order_leaves_its_neighbours_unharmed() -> Result<()> {
    let mut stage = Stage::new().await?;
    let server = Server::start().await?;
    let _adapter = stage.adapter()?;
    let mut orders = json_of(&[
        server.order("shop", "/1")?,
        server.order("shop", "/broken")?,
        server.order("shop", "/2")?,
    ])?;
    orders[1]["native"] = json!("not a list");
    orders.insert(2, json!({ "nobody": "knows what this is" }));
    stage.dispatch(&orders).await?;
    let reports = stage.reports(3).await?;
    let failed: Vec<_> = reports.iter().filter(|report| !is_done(report)).collect();
    let [failed] = failed.as_slice() else {
        anyhow::bail!("{reports:?}")
    };
    ensure!(orders[1]["execution"] == failed.execution.to_string());
    ensure!(
        matches!(&failed.outcome, ReportedOutcome::Failed(fault) if fault.code == FaultCode::UnreadableOrder),
        "{failed:?}"
    );
    ensure!(server.told() == ["/1", "/2"], "{:?}", server.told());
    stage.settled().await
}

/// What is no dispatch at all goes where an operator finds it, and the adapter goes on.
#[tokio::test]
async fn a_message_that_is_no_dispatch_goes_to_the_dead_letters() -> Result<()> {
    let mut stage = Stage::new().await?;
    let server = Server::start().await?;
    let _adapter = stage.adapter()?;
    stage.publish(DISPATCH_TYPE, b"hello".to_vec()).await?;
    stage.publish("somebody.else.v1", b"{}".to_vec()).await?;
    let foreign = json!({ "participant": "c", "executions": [] });
    stage
        .publish(DISPATCH_TYPE, serde_json::to_vec(&foreign)?)
        .await?;
    stage.dispatch(&[]).await?;
    stage
        .dispatch(&json_of(&[server.order("shop", "/1")?])?)
        .await?;
    ensure!(is_done(&stage.reports(1).await?[0]));
    stage.settled().await?;
    stage
        .holds(&stage.topology.dead_letters_queue(&stage.participant), 3)
        .await
}
