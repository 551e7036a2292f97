//! An adapter that cannot write its journal: it reports nothing that is not written down, says why, and ends.

use std::{
    net::SocketAddr,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use anyhow::{Result, ensure};
use axum::{Router, http::StatusCode};
use proto::v1::{self, ExecutionState};
use tests::{
    binaries,
    federation::{Federation, purge},
    process::Process,
    shared, wait,
};
use tokio::net::TcpListener;

use super::LIMIT;

/// Files of the adapter grow to this size and no further: some more than a new journal takes.
const DISK_KIBIBYTES: &str = "512";
/// Commands in one step, until the disk is full.
const STEP: usize = 100;

/// A server that does what it is told, and counts.
async fn server() -> Result<(SocketAddr, Arc<AtomicUsize>)> {
    let told = Arc::new(AtomicUsize::new(0));
    let heard = Arc::clone(&told);
    let router = Router::new().fallback(move || {
        heard.fetch_add(1, Ordering::Relaxed);
        async { StatusCode::OK }
    });
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok((address, told))
}

/// The adapter `name`, on a disk with no room.
fn without_room(federation: &Federation, name: &str) -> Result<Process> {
    // Beyond the limit a write fails with an error, as on a full disk, instead of a signal.
    let script = format!("trap '' XFSZ; ulimit -f {DISK_KIBIBYTES}; exec \"$@\"");
    let mut command = Command::new("/bin/bash");
    command.args(["-c", &script, "limited"]);
    command.arg(binaries::adapter()?).arg("--config");
    command.arg(federation.folder().join(format!("{name}.toml")));
    Process::start("limited", federation.folder(), command)
}

/// Nothing is acknowledged that was not done; what is left is done by the next one that has room.
#[tokio::test]
async fn without_room_for_its_journal_an_adapter_says_so_and_ends() -> Result<()> {
    let (address, told) = server().await?;
    let federation = Federation::start(shared()?).await?;
    let broker = federation.broker("broker").await?;
    let mut operator = federation.client(&broker, "operator/ops")?;
    operator.create_participant("a").await?;
    operator.open_shop("a", ("agent", address)).await?;
    let mut owner = federation.client(&broker, "participant/a")?;
    // Once with room, so that its configuration and its journal are there.
    let quiet = "[logs]\nfilter = \"warn\"";
    drop(
        federation
            .adapter("adapter", "a", &format!("{quiet}\n"))
            .await?,
    );

    let mut limited = without_room(&federation, "adapter")?;
    let mut commands = Vec::new();
    let status = loop {
        for _ in 0..STEP {
            let draft = purge(&[&format!("http://www.shop.example/{}", commands.len())]);
            commands.push(owner.submit(draft).await?.id);
        }
        if let Some(status) = limited.exit_status() {
            break status;
        }
        ensure!(commands.len() < 100 * STEP, "the disk never fills");
    };
    ensure!(!status.success(), "it ended as if all were well");
    let log = std::fs::read_to_string(limited.log())?;
    ensure!(log.contains("journal"), "it does not say why: {log}");
    let done = done(&owner, &commands).await?;
    let told = told.load(Ordering::Relaxed);
    ensure!(done <= told, "{done} are done, and {told} were told");
    ensure!(done < commands.len(), "the disk never was full");

    let _adapter = federation.adapter("adapter", "a", quiet).await?;
    wait::until(LIMIT, "all are done", async || {
        let done = self::done(&owner, &commands).await?;
        ensure!(done == commands.len(), "{done} of {}", commands.len());
        anyhow::Ok(())
    })
    .await
}

/// How many of these are done.
async fn done(owner: &tests::federation::Client, commands: &[String]) -> Result<usize> {
    let mut done = 0;
    let mut asked = v1::ListCommandsRequest {
        page_size: 500,
        ..v1::ListCommandsRequest::default()
    };
    loop {
        let page = owner.clone().commands.list_commands(asked.clone()).await?;
        let page = page.into_inner();
        let is_done = |command: &&v1::Command| {
            commands.contains(&command.id)
                && command
                    .executions
                    .iter()
                    .all(|execution| execution.state() == ExecutionState::Done)
        };
        done += page.commands.iter().filter(is_done).count();
        asked.page_token = page.next_page_token;
        if asked.page_token.is_empty() {
            return Ok(done);
        }
    }
}
