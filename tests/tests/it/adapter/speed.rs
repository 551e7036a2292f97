//! Throwaway.
use super::*;
use anyhow::Result;

#[tokio::test(flavor = "multi_thread")]
async fn speed() -> Result<()> {
    let mut stage = Stage::new().await?;
    let server = Server::start().await?;
    let mut dispatches = Vec::new();
    for d in 0..20 {
        let orders: Result<Vec<_>> = (0..500).map(|n| server.order(&format!("c{}", (d * 500 + n) % 700), "/a")).collect();
        dispatches.push(json_of(&orders?)?);
    }
    for d in &dispatches { stage.dispatch(d).await?; }
    let _adapter = stage.adapter_with(&[("ALLOWED_ADDRESSES", "[\"127.0.0.0/8\"]"), ("LOGS__FILTER", "warn")])?;
    let mut n = 0; let mut start = None;
    while n < 10000 {
        let delivery = timeout(LIMIT, stage.replies.next()).await?.context("end")?;
        let report: Report = serde_json::from_slice(&delivery.message.body)?;
        start.get_or_insert_with(std::time::Instant::now);
        n += report.executions.len();
        eprintln!("{n} after {:?}", start.unwrap().elapsed());
        delivery.ack().await?;
    }
    Ok(())
}
