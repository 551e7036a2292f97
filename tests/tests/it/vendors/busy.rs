//! Providers that have too many calls for a moment, and say when to come again.

use std::time::Duration;

use super::*;
use tests::vendors::RETRY_AFTER_SECONDS;

/// The first call at each provider is one too many, in its own words and with `Retry-After`: it comes again, and not before.
async fn all_wait(mut stage: Stage, peers: Vec<Peer>, busy: &[u16]) -> Result<()> {
    for peer in &peers {
        peer.be_busy(1);
    }
    let command = stage
        .settled(purge(&["https://www.shop.example/a"]))
        .await?;
    for (participant, state, _) in told(&command) {
        assert_eq!(state, ExecutionState::Done, "{participant}: {command:#?}");
    }
    for (peer, status) in peers.iter().zip(busy) {
        let lines = lines(peer);
        assert_eq!(lines[0].1, *status, "{lines:?}");
        assert_eq!(lines[1].0, lines[0].0, "the same once more");
        assert!((200..300).contains(&lines[1].1), "{lines:?}");
        let pause = peer.pause().unwrap_or_default();
        assert!(
            pause >= Duration::from_secs(RETRY_AFTER_SECONDS),
            "{pause:?}: {lines:?}"
        );
    }
    Ok(())
}

fn pages(count: usize) -> v1::CommandDraft {
    let urls: Vec<_> = (0..count)
        .map(|number| format!("https://www.shop.example/{number}"))
        .collect();
    purge(&urls.iter().map(String::as_str).collect::<Vec<_>>())
}

/// bunny.net, whose buckets others use, too.
async fn shared_bunny(settings: &'static str) -> Result<(Stage, Peer)> {
    let peer = Peer::start(polled::bunny()).await?;
    let mut stage = Stage::new(None).await?;
    let provider = Provider::new("bunny", "bunny", &peer, "bunny-key", "zone = \"7\"");
    stage
        .add(Provider {
            settings,
            ..provider
        })
        .await?;
    Ok((stage, peer))
}

/// An adapter that knows nothing of what others drew keeps to what is documented from its first call on: no call is one too many.
#[tokio::test]
async fn documented_rates_are_never_exceeded() -> Result<()> {
    let (mut stage, peer) = shared_bunny("").await?;
    peer.be_used_up();
    let command = stage.settled(pages(12)).await?;
    assert_eq!(
        told(&command),
        [("bunny", ExecutionState::Done, Evidence::Reported)]
    );
    let lines = lines(&peer);
    assert_eq!(lines.len(), 12);
    assert!(lines.iter().all(|(_, status)| *status == 200), "{lines:?}");
    Ok(())
}

/// An adapter that was told of a rate that its provider does not give hears 429 again and again, and each page is purged nevertheless.
#[tokio::test]
async fn who_counts_wrongly_is_slowed_down_by_the_provider() -> Result<()> {
    let own = "budgets = { urls = { amount = 100_000, per = \"1s\", burst = 100_000 } }";
    let (mut stage, peer) = shared_bunny(own).await?;
    // However late the first call is, there is nothing for it.
    peer.be_used_up_by_then();
    let command = stage.settled(pages(12)).await?;
    assert_eq!(
        told(&command),
        [("bunny", ExecutionState::Done, Evidence::Reported)]
    );
    let statuses: Vec<_> = lines(&peer).into_iter().map(|(_, status)| status).collect();
    let of = |wanted: u16| statuses.iter().filter(|status| **status == wanted).count();
    assert_eq!(of(200), 12, "{statuses:?}");
    assert!(of(429) > 0, "{statuses:?}");
    Ok(())
}

/// What may be in progress for a distribution is kept: the sixteenth path with `*` waits until the others have ended, and nobody
/// has to say so.
#[tokio::test]
async fn what_may_be_in_progress_is_kept() -> Result<()> {
    let peer = Peer::start(cloudfront()).await?;
    let mut stage = Stage::new(None).await?;
    let values = "distribution = \"D1\"";
    stage
        .add(Provider::new(
            "cloudfront",
            "cloudfront",
            &peer,
            AWS,
            values,
        ))
        .await?;
    let prefixes = (0..16).map(|number| Kind::Prefix(format!("www.shop.example/{number}/")));
    let draft = |selectors| v1::CommandDraft {
        configuration_id: "shop".to_owned(),
        selectors,
        ..purge(&[])
    };
    let mut all: Vec<_> = prefixes.map(selector).collect();
    let last = all.split_off(15);
    let first = stage.owner.submit(draft(all)).await?;
    let command = stage.settled(draft(last)).await?;
    let settled = stage
        .owner
        .settled(&first.id, Duration::from_mins(1))
        .await?;
    let done = [("cloudfront", ExecutionState::Done, Evidence::Reported)];
    assert_eq!(
        (told(&settled), told(&command)),
        (done.to_vec(), done.to_vec())
    );
    let lines = lines(&peer);
    assert!(lines.iter().all(|(_, status)| *status < 300), "{lines:?}");
    let posts = lines.iter().filter(|(line, _)| line.starts_with("POST"));
    assert_eq!(posts.count(), 2);
    Ok(())
}

/// Akamai, Cloudflare, CloudFront and Fastly.
#[tokio::test]
async fn a_call_too_many_comes_again_when_it_may() -> Result<()> {
    let (stage, peers) = stage().await?;
    all_wait(stage, peers, &[429, 429, 429, 429]).await
}

/// Alibaba says 503, and Google 403 with a reason; bunny.net and Edgecast 429.
#[tokio::test]
async fn a_call_too_many_is_known_by_other_words() -> Result<()> {
    let (stage, peers) = polled::stage().await?;
    all_wait(stage, peers, &[503, 429, 429, 403]).await
}
