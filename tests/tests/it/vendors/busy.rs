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
