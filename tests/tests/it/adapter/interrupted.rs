//! Adapters that die, stop, or lose RabbitMQ in the middle.

use anyhow::{Result, ensure};

use super::*;

/// Killed between the second and the third of three: all three are reported, what was finished is not done again, and
/// what was under way is. The first may not be repeated, so it stood on disk before it was reported.
#[tokio::test]
async fn a_killed_adapter_completes_after_its_start() -> Result<()> {
    let mut stage = Stage::new().await?;
    let server = Server::start().await?;
    let orders = ["/1", "/held/2", "/3"].map(|path| server.order("shop", path));
    let mut orders = orders.into_iter().collect::<Result<Vec<_>>>()?;
    orders[0].repeatable = false;
    let mut adapter = stage.adapter()?;
    stage.dispatch(&json_of(&orders)?).await?;
    let first = stage.reports(1).await?;
    server.is_told("/held/2").await?;
    adapter.kill9();

    server.release();
    let _adapter = stage.adapter()?;
    let reports = stage.reports(3).await?;
    ensure!(reports.iter().all(is_done), "{reports:?}");
    // Told again beside the others, in no order.
    ensure!(reports.contains(&first[0]), "{reports:?}");
    ensure!(server.count("/1") == 1 && server.count("/held/2") == 2 && server.count("/3") == 1);
    stage.settled().await
}

/// What may not be repeated is told at most once. When it was interrupted nobody knows, and that is what is said.
#[tokio::test]
async fn an_interrupted_order_that_may_not_be_repeated_is_unknown() -> Result<()> {
    let mut stage = Stage::new().await?;
    let server = Server::start().await?;
    let order = Order {
        repeatable: false,
        ..server.order("shop", "/held/1")?
    };
    let mut adapter = stage.adapter()?;
    stage.dispatch(&json_of(&[order])?).await?;
    server.is_told("/held/1").await?;
    adapter.kill9();

    server.release();
    let _adapter = stage.adapter()?;
    let reports = stage.reports(1).await?;
    ensure!(
        reports[0].outcome == ReportedOutcome::Unknown,
        "{reports:?}"
    );
    ensure!(server.count("/held/1") == 1);
    stage.settled().await
}

/// Another adapter of the participant has not the first one's journal: it does not guess.
#[tokio::test]
async fn a_stand_by_without_the_journal_does_not_repeat_what_may_not_be() -> Result<()> {
    let mut stage = Stage::new().await?;
    let server = Server::start().await?;
    let once = Order {
        repeatable: false,
        ..server.order("shop", "/held/1")?
    };
    let orders = [once, server.order("news", "/held/2")?];
    let mut adapter = stage.adapter()?;
    stage.dispatch(&json_of(&orders)?).await?;
    server.is_told("/held/1").await?;
    server.is_told("/held/2").await?;
    let elsewhere = stage.folder.path().join("another-journal");
    let keys = [
        ("ALLOWED_ADDRESSES", "[\"127.0.0.1\"]"),
        ("JOURNAL__FOLDER", path(&elsewhere)?),
    ];
    let _stand_by = stage.adapter_with(&keys)?;
    adapter.kill9();

    server.release();
    let mut reports = stage.reports(2).await?;
    reports.sort_by_key(is_done);
    ensure!(
        reports[0].outcome == ReportedOutcome::Unknown && is_done(&reports[1]),
        "{reports:?}"
    );
    ensure!(server.count("/held/1") == 1 && server.count("/held/2") == 2);
    stage.settled().await
}

/// SIGTERM: what is under way is finished and reported, what has not begun goes back, and the exit code is 0.
#[tokio::test]
async fn a_stopped_adapter_finishes_what_it_began_and_gives_back_the_rest() -> Result<()> {
    let mut stage = Stage::new().await?;
    let server = Server::start().await?;
    let mut adapter = stage.adapter()?;
    stage
        .dispatch(&json_of(&[server.order("shop", "/held/1")?])?)
        .await?;
    stage
        .dispatch(&json_of(&[server.order("shop", "/2")?])?)
        .await?;
    server.is_told("/held/1").await?;
    let descriptor =
        rustix::process::pidfd_open(pid(&adapter)?, rustix::process::PidfdFlags::empty())?;
    rustix::process::pidfd_send_signal(&descriptor, rustix::process::Signal::TERM)?;
    let log = adapter.log().to_owned();
    let said =
        async || std::fs::read_to_string(&log).is_ok_and(|log| log.contains("shutting down"));
    wait::until(LIMIT, "the adapter shuts down", said).await?;
    server.release();
    let first = stage.reports(1).await?;
    ensure!(is_done(&first[0]), "{first:?}");
    let status = wait::until(LIMIT, "the adapter has ended", async || {
        adapter.exit_status()
    })
    .await?;
    ensure!(status.code() == Some(0), "{status}\n{}", adapter.log_tail());
    ensure!(server.told() == ["/held/1"], "{:?}", server.told());

    let _adapter = stage.adapter()?;
    let second = stage.reports(1).await?;
    ensure!(
        is_done(&second[0]) && server.told() == ["/held/1", "/2"],
        "{:?}",
        server.told()
    );
    stage.settled().await
}

/// A stopped link: the connection is cut while an order is under way. Its delivery comes again and is answered.
#[tokio::test]
async fn a_cut_connection_loses_no_report() -> Result<()> {
    let mut stage = Stage::new().await?;
    let server = Server::start().await?;
    let _adapter = stage.adapter()?;
    stage
        .dispatch(&json_of(&[server.order("shop", "/held/1")?])?)
        .await?;
    server.is_told("/held/1").await?;
    ensure!(stage.cut_connections().await? > 0);
    server.release();
    let report = stage.reports(1).await?;
    ensure!(
        is_done(&report[0]) && server.count("/held/1") == 1,
        "{report:?}"
    );
    stage.settled().await
}

impl Stage {
    /// Has RabbitMQ close all connections of the adapter's user, and says how many.
    async fn cut_connections(&self) -> Result<usize> {
        let user = self.user();
        let own = async || -> Result<Vec<String>> {
            let connections = self.management.get("connections").await?;
            let connections = connections.as_array().context("a list")?;
            let own = connections
                .iter()
                .filter(|one| one["user"] == user.as_str());
            let names: Vec<_> = own
                .filter_map(|one| one["name"].as_str().map(str::to_owned))
                .collect();
            ensure!(names.len() == 2, "{} connections are listed", names.len());
            Ok(names)
        };
        let names = wait::until(LIMIT, "both connections are listed", own).await?;
        for name in &names {
            let name = name.replace(' ', "%20").replace('>', "%3E");
            self.management
                .call(
                    reqwest::Method::DELETE,
                    &format!("connections/{name}"),
                    None,
                )
                .await?;
        }
        Ok(names.len())
    }
}

fn pid(process: &Process) -> Result<rustix::process::Pid> {
    let pid = i32::try_from(process.pid())?;
    rustix::process::Pid::from_raw(pid).context("a child's pid is not 0")
}
