//! One participant with a scripted adapter: as little as it takes to follow a command there and back.

use anyhow::Result;
use tests::{
    adapter::ScriptedAdapter,
    federation::{Client, Federation, NOWHERE, Program},
    shared,
};

/// A federation of one participant, `a`, with a broker.
pub(crate) struct Stage {
    pub(crate) federation: Federation,
    pub(crate) broker: Program,
    pub(crate) owner: Client,
    pub(crate) a: ScriptedAdapter,
}

/// With these settings of the broker.
pub(crate) async fn stage(settings: &str) -> Result<Stage> {
    let federation = Federation::with_settings(shared()?, settings).await?;
    let broker = federation.broker("broker").await?;
    let mut operator = federation.client(&broker, "operator/ops")?;
    operator.create_participant("a").await?;
    operator.open_shop("a", ("varnish", NOWHERE)).await?;
    let owner = federation.client(&broker, "participant/a")?;
    let a = federation.scripted("a")?;
    Ok(Stage {
        federation,
        broker,
        owner,
        a,
    })
}
