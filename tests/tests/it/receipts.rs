//! Receipts on the whole road: a real adapter signs, the broker chains, `fedctl` takes away and checks.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use proto::v1::{self, ExecutionState};
use tests::{
    federation::{Client, Federation, Program, purge},
    shared, wait,
};

/// By when something that comes by itself has come.
const SOON: Duration = Duration::from_mins(1);

/// A cache that takes purges, as far as an adapter can see.
async fn cache() -> Result<std::net::SocketAddr> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let router = axum::Router::new().fallback(async || axum::http::StatusCode::OK);
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(address)
}

/// A federation with a real adapter, and what its receipts need.
struct Road {
    federation: Federation,
    broker: Program,
    owner: Client,
    _adapter: Program,
}

impl Road {
    async fn new(settings: &str) -> Result<Self> {
        let federation = Federation::signed(shared()?, settings).await?;
        let broker = federation.broker("broker").await?;
        let mut operator = federation.client(&broker, "operator/ops")?;
        federation.create_signing(&mut operator, "a").await?;
        operator.create_participant("b").await?;
        operator.open_shop("a", ("varnish", cache().await?)).await?;
        Ok(Self {
            owner: federation.client(&broker, "participant/a")?,
            _adapter: federation.adapter("adapter", "a", "").await?,
            federation,
            broker,
        })
    }

    async fn purge(&mut self, count: usize) -> Result<()> {
        let mut ids = Vec::new();
        for number in 0..count {
            let url = format!("http://www.shop.example/{number}");
            ids.push(self.owner.submit(purge(&[&url])).await?.id);
        }
        for id in ids {
            let settled = self.owner.settled(&id, SOON).await?;
            ensure!(
                settled.executions[0].state() == ExecutionState::Done,
                "{settled:?}"
            );
        }
        Ok(())
    }

    async fn fedctl(&self, arguments: &[&str]) -> Result<std::process::Output> {
        let arguments = [&["--as-operator", "ops"][..], arguments].concat();
        self.federation.fedctl(&self.broker, &arguments).await
    }

    /// The bundle, once the chain ends with this sequence.
    async fn bundle(&self, ends: u64) -> Result<Vec<String>> {
        wait::until(SOON, &format!("the chain ends with {ends}"), async || {
            let lines = self.export().await?;
            let head = lines.last().context("an end")?;
            let head: serde_json::Value = serde_json::from_str(head)?;
            ensure!(head["sequence"] == ends, "{head}");
            Ok(lines)
        })
        .await
    }

    async fn export(&self) -> Result<Vec<String>> {
        let exported = self.fedctl(&["receipts", "export", "shop"]).await?;
        ensure!(exported.status.success(), "{exported:?}");
        let text = String::from_utf8(exported.stdout)?;
        Ok(text.lines().map(str::to_owned).collect())
    }

    /// Whether it has no flaw, and what is said of it.
    async fn verify(&self, lines: &[String], more: &[&str]) -> Result<(Option<i32>, String)> {
        let file = self.federation.folder().join("bundle");
        std::fs::write(&file, lines.join("\n"))?;
        let file = file.to_str().context("a path")?;
        let arguments = [&["receipts", "verify", file][..], more].concat();
        let verified = self.fedctl(&arguments).await?;
        let said = [verified.stdout, verified.stderr].concat();
        Ok((verified.status.code(), String::from_utf8(said)?))
    }
}

/// Each execution has a receipt of its participant in the configuration's chain, of exactly what it was told. The bundle is
/// checked without the broker: a record that is changed, taken out or moved is found. For a stranger there is none.
#[tokio::test]
async fn receipts_are_taken_away_and_checked_by_anyone() -> Result<()> {
    const COUNT: usize = 7;
    let mut road = Road::new("").await?;
    road.purge(COUNT).await?;
    let lines = road.bundle(COUNT as u64).await?;
    ensure!(lines.len() == COUNT + 2, "{lines:?}");
    for line in &lines[1..=COUNT] {
        let record: serde_json::Value = serde_json::from_str(line)?;
        ensure!(record["as_told"] == true, "{line}");
        let statement = &record["receipt"]["statement"];
        ensure!(
            statement["outcome"] == "done" && statement["servers"][0] == "a1",
            "{line}"
        );
    }
    let keys = road.federation.folder().join("trusted");
    let (own, end) = (road.federation.key("a")?, road.federation.key("broker")?);
    std::fs::write(&keys, format!("a {}\n{}\n", own.public(), end.public()))?;
    let pinned = ["--keys", keys.to_str().context("a path")?];
    for more in [&[][..], &pinned] {
        let (code, said) = road.verify(&lines, more).await?;
        ensure!(
            code == Some(0) && said.contains("7 receipts, 1 to 7"),
            "{said}"
        );
    }
    let mut changed = lines.clone();
    changed[3] = changed[3].replacen("done", "lost", 1);
    let mut missing = lines.clone();
    missing.remove(4);
    let mut cut = lines.clone();
    cut.remove(COUNT);
    let mut moved = lines.clone();
    moved.swap(2, 3);
    for (what, lines) in [
        ("changed", changed),
        ("missing", missing),
        ("cut", cut),
        ("moved", moved),
    ] {
        let (code, said) = road.verify(&lines, &pinned).await?;
        ensure!(code == Some(2) && said.contains("line "), "{what}: {said}");
    }
    // Somebody else's key for the participant, and a bundle that the broker did not end.
    std::fs::write(&keys, format!("a {}\n{}\n", end.public(), end.public()))?;
    let (code, said) = road.verify(&lines, &pinned).await?;
    ensure!(code == Some(2) && said.contains("line 2"), "{said}");
    let mut stranger = road.federation.client(&road.broker, "participant/b")?;
    let request = v1::ListReceiptsRequest {
        configuration_id: "shop".to_owned(),
        ..v1::ListReceiptsRequest::default()
    };
    let refused = stranger.receipts.list_receipts(request.clone()).await;
    ensure!(refused.is_err_and(|status| status.code() == tonic::Code::NotFound));
    let own = road
        .owner
        .receipts
        .list_receipts(request)
        .await?
        .into_inner();
    ensure!(own.records.len() == COUNT && own.next_page_token.is_empty());
    Ok(())
}

/// Receipts whose time is over are forgotten, and what comes after them is checked from the hash of the last one.
#[tokio::test]
async fn a_chain_is_checked_from_where_it_is_kept() -> Result<()> {
    let mut road = Road::new("[store]\nreceipts = \"5s\"").await?;
    road.purge(3).await?;
    let full = road.bundle(3).await?;
    wait::until(SOON, "the first receipts are forgotten", async || {
        let lines = road.bundle(3).await?;
        ensure!(lines.len() == 2, "{}", lines.len());
        Ok(())
    })
    .await?;
    let lines = wait::until(SOON, "a later record is there", async || {
        road.purge(1).await?;
        let lines = road.export().await?;
        ensure!(lines.len() > 2, "none is kept");
        Ok(lines)
    })
    .await?;
    let (code, said) = road.verify(&full, &[]).await?;
    ensure!(code == Some(0), "{said}");
    let (code, said) = road.verify(&lines, &[]).await?;
    ensure!(
        code == Some(0) && said.contains("follows on the record"),
        "{said}"
    );
    Ok(())
}
