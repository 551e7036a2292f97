//! An adapter that is killed while it looks.

use tests::{http, wait};

use super::*;

/// Looking is begun anew after a crash: what is said at the end was seen by who says it. A cache that only says that it
/// purged is found out, and one that did purge is proven, by looks that came after the restart.
#[tokio::test]
async fn a_proof_that_was_interrupted_is_made_anew() -> Result<()> {
    let mut stage = Stage::new().await?;
    // Once it has told the cache again it waits for as long as this test takes.
    stage.join_deaf_with("[probes]\nsettle = \"90s\"").await?;
    let honest = Cache::start(Kind::Nginx, stage.origin.address()).await?;
    stage.join("nginx", honest).await?;
    stage.warm("/a", Object::new("old")).await?;
    stage.origin.set("/a", Object::new("new"));
    let deaf = &stage.programs[1];
    let metrics = format!("http://{}/metrics", deaf.signals);
    let command = stage
        .owner
        .submit(verified(purge(&[&url("/a")]), &[]))
        .await?;
    // It has looked, was not convinced, and has told the cache again: the proof is in its midst.
    wait::until(SETTLES, "it is told again", async || {
        let text = http().get(&metrics).send().await.ok()?.text().await.ok()?;
        let mut lines = text.lines().filter(|line| !line.starts_with('#'));
        lines.find(|line| {
            line.starts_with("adapter_probe_repeats_total") && !line.ends_with(" 0")
        })?;
        Some(())
    })
    .await?;
    stage.programs[1].process.kill9();
    let under_way = stage.owner.get(&command.id).await?;
    let settled = servers(&under_way);
    assert!(!settled.contains_key("deaf-1"), "{settled:#?}");
    let restarted = std::time::SystemTime::now();
    let adapter = stage.federation.adapter("adapter-deaf", "deaf", "");
    stage.programs[1] = adapter.await?;

    let command = stage.owner.settled(&command.id, SETTLES).await?;
    assert_verified(&command, "nginx-1");
    let (result, proof) = servers(&command)["deaf-1"];
    assert_eq!(
        (result.state(), proof.verdict()),
        (ExecutionState::Failed, ProofVerdict::NotVerified),
        "{result:#?}"
    );
    assert_ne!(result.evidence(), Evidence::Verified);
    for seen in &proof.probes[0].seen {
        let at: std::time::SystemTime = seen.time.context("it has a time")?.try_into()?;
        assert!(at >= restarted, "{seen:#?}");
    }
    Ok(())
}
