//! What one caller may ask: past it comes an answer with a time, and the others do not notice.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use proto::v1;
use tests::{
    federation::{Client, Federation, purge, selector},
    shared, wait,
};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

const SOON: Duration = Duration::from_secs(20);
/// Nobody reads the queues here, so what is accepted stays open. `a` may purge so little that no machine is too slow to ask for too
/// much; the others may do what the defaults say.
const SETTINGS: &str = "[quotas]\nburst = \"1s\"\n[quotas.participants.a]\ncalls = 1000\nselectors = 1\nopen_commands = 30\n\
                        [quotas.participants.a.operations]\nload = 20\n";

async fn owner(operator: &mut Client, id: &str) -> Result<()> {
    operator.create_participant(id).await?;
    let address = ([127, 0, 0, 1], 1).into();
    operator
        .create_server(&format!("{id}-1"), id, "varnish", address)
        .await?;
    let (shop, host) = (format!("{id}-shop"), format!("www.{id}.example"));
    operator.create_configuration(&shop, id, &[&host]).await?;
    operator.deploy(&shop, id).await?;
    Ok(())
}

fn of(id: &str) -> v1::CommandDraft {
    purge(&[&format!("http://www.{id}.example/x")])
}

fn retry(status: &Status) -> Option<Duration> {
    assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
    status.get_details_retry_info()?.retry_delay
}

/// `a` asks for two hundred times what it may: what is too much is refused with the quota and the time of the next try, what it may is
/// accepted, and all that `b` asks for meanwhile is.
#[tokio::test]
async fn a_storm_is_refused_and_leaves_the_others_alone() -> Result<()> {
    // Where the storm lasts long, more than a burst of it is accepted, and all of that stays open.
    let settings = SETTINGS.replace("open_commands = 30", "open_commands = 1000");
    let federation = Federation::with_settings(shared()?, &settings).await?;
    let broker = federation.broker("broker").await?;
    let mut operator = federation.client(&broker, "operator/ops")?;
    for id in ["a", "b"] {
        owner(&mut operator, id).await?;
    }
    let a = federation.client(&broker, "participant/a")?;
    let b = federation.client(&broker, "participant/b")?;
    let storm = (0..200).map(|_| {
        let mut a = a.clone();
        async move { a.submit(of("a")).await }
    });
    let calm = (0..50).map(|_| {
        let mut b = b.clone();
        async move { b.submit(of("b")).await }
    });
    let began = Instant::now();
    let (stormed, calm) = tokio::join!(
        futures::future::join_all(storm),
        futures::future::join_all(calm)
    );
    let took = began.elapsed();
    for answer in calm {
        answer?;
    }
    let refused: Vec<_> = stormed
        .iter()
        .filter_map(|one| one.as_ref().err())
        .collect();
    assert!(refused.len() >= 100, "only {} were refused", refused.len());
    assert!(refused.len() < 200, "its share was not accepted");
    // One at once, and one more in every second.
    let accepted = u32::try_from(200 - refused.len())?;
    assert!(
        f64::from(accepted) <= 1.0 + took.as_secs_f64(),
        "{accepted} in {took:?}"
    );
    for status in &refused {
        let after = retry(status).context("the answer says when to try again")?;
        assert!(after <= Duration::from_secs(5), "{after:?}");
        let details = status.get_error_details();
        assert!(details.quota_failure().is_some(), "{status:?}");
    }
    // Who waits as told gets in.
    wait::until(SOON, "the next try is accepted", async || {
        a.clone().submit(of("a")).await.ok()
    })
    .await?;
    Ok(())
}

/// A command costs by its breadth, an operation may have its own allowance, and a participant may have so many commands open.
#[tokio::test]
async fn breadth_costs_and_what_is_open_counts() -> Result<()> {
    let federation = Federation::with_settings(shared()?, SETTINGS).await?;
    let broker = federation.broker("broker").await?;
    let mut operator = federation.client(&broker, "operator/ops")?;
    owner(&mut operator, "a").await?;
    let mut a = federation.client(&broker, "participant/a")?;
    let everything = v1::CommandDraft {
        configuration_id: "a-shop".to_owned(),
        selectors: vec![selector(v1::selector::Kind::Everything(v1::Everything {}))],
        ..purge(&[])
    };
    // It costs 100, a hundred times what the bucket holds: let through once, and paid back in a hundred seconds.
    a.submit(everything.clone()).await?;
    let again = a
        .submit(everything)
        .await
        .expect_err("it was just paid for");
    let after = retry(&again).context("says when")?;
    assert!(after > Duration::from_mins(1), "{after:?}");
    // Loads have their own bucket.
    let load = || tests::federation::load(&["http://www.a.example/x"]);
    a.submit(load()).await?;

    let open = wait::until(4 * SOON, "too many are open", async || {
        match a.clone().submit(load()).await {
            Err(status) if status.message().contains("open") => Some(status),
            _ => None,
        }
    })
    .await?;
    assert!(retry(&open).is_some());
    // What has settled is not open.
    let mut adapter = federation.scripted("a")?;
    adapter.carry_out().await?;
    wait::until(4 * SOON, "there is room again", async || {
        a.clone().submit(load()).await.ok()
    })
    .await?;
    Ok(())
}
