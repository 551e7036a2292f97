//! Signatures hold the time: an adapter whose clock is off from its provider's is refused, and the fault says so.

use std::time::Duration;

use super::*;

/// Each provider allows what its documentation says and no more: within that the command is done, past it the fault is the clock.
#[tokio::test]
async fn a_clock_that_is_off_is_named_in_the_commands_result() -> Result<()> {
    let peers = [
        Peer::start(akamai()).await?,
        Peer::start(polled::alibaba()).await?,
        Peer::start(cloudfront()).await?,
    ];
    let mut stage = Stage::new(None).await?;
    for provider in [
        Provider::new("akamai", "akamai", &peers[0], EDGEGRID, ""),
        Provider::new(
            "alibaba",
            "alibaba-cloud-cdn",
            &peers[1],
            polled::ALIBABA,
            "",
        ),
        Provider::new(
            "cloudfront",
            "cloudfront",
            &peers[2],
            AWS,
            "distribution = \"D1\"",
        ),
    ] {
        stage.add(provider).await?;
    }
    // A command takes some of the seconds that are allowed.
    let allowed = [1, 14 * 60, 4 * 60];
    let too_much = [120, 17 * 60, 7 * 60];
    for (ahead, expected) in [
        (allowed, ExecutionState::Done),
        (too_much, ExecutionState::Failed),
    ] {
        for (peer, seconds) in peers.iter().zip(ahead) {
            peer.set_clock_ahead(Duration::from_secs(seconds));
        }
        let command = stage
            .settled(purge(&["https://www.shop.example/a"]))
            .await?;
        for execution in &command.executions {
            assert_eq!(execution.state(), expected, "{execution:#?}");
            let fault = execution.fault.as_ref().map(|fault| fault.code.as_str());
            let clock = (expected == ExecutionState::Failed).then_some("clock_off");
            assert_eq!(fault, clock, "{execution:#?}");
        }
    }
    Ok(())
}
