//! What answers in a provider's place, and is no answer: in the command's result it is a fault in its own words.

use super::*;
use domain::limits;
use tests::vendors::Front;

/// A page instead of JSON, half of an answer, one of another type, a redirect to sign in, ten megabytes of an error page: nothing
/// of it is taken for done or followed, and everybody who asks for the command reads what was said, and not all of it.
#[tokio::test]
async fn what_is_no_answer_is_a_fault_in_its_own_words() -> Result<()> {
    let (mut stage, peers) = stage().await?;
    let long = format!(
        "<html><title>Bad Gateway at edge 7</title>{}",
        "<p>sorry".repeat(1_300_000)
    );
    let sign_in = Some("https://login.example/?from=api");
    for (status, location, body, words) in [
        (200, None, "<html>Sign in first", "<html>Sign in first"),
        (201, None, "{\"status\":\"o", "{\"status\":\"o"),
        (200, None, "[17]", "[17]"),
        (
            302,
            sign_in,
            "",
            "302 and sent us to https://login.example/?from=api",
        ),
        (502, None, long.as_str(), "502: Bad Gateway at edge 7"),
    ] {
        for peer in &peers {
            let body = body.to_owned();
            peer.stand_behind(Front {
                status,
                location,
                body,
            });
        }
        let command = stage
            .settled(purge(&["https://www.shop.example/a"]))
            .await?;
        for execution in &command.executions {
            assert_eq!(execution.state(), ExecutionState::Failed, "{execution:#?}");
            let fault = execution.fault.clone().unwrap_or_default();
            assert!(fault.message.contains(words), "{words}: {fault:?}");
            let length = fault.message.chars().count();
            assert!(length <= limits::FAULT_MESSAGE_LENGTH, "{fault:?}");
        }
    }
    for peer in &peers {
        assert_eq!(peer.taken().len(), 0, "nobody came through");
    }
    Ok(())
}

/// A zone that carries one configuration and nothing else, as the registry and the adapter both say, is purged as a whole.
#[tokio::test]
async fn everything_of_a_zone_of_its_own_is_the_zone() -> Result<()> {
    let peer = Peer::start(cloudflare()).await?;
    let mut stage = Stage::new(None).await?;
    let zone = Provider::new(
        "z",
        "cloudflare-zone",
        &peer,
        "cloudflare-token",
        "zone = \"Z1\"",
    );
    stage.add(zone).await?;
    let everything = v1::CommandDraft {
        configuration_id: "shop".to_owned(),
        selectors: vec![selector(Kind::Everything(v1::Everything {}))],
        ..purge(&[])
    };
    let command = stage.settled(everything).await?;
    assert_eq!(
        told(&command),
        [("z", ExecutionState::Done, Evidence::Acknowledged)]
    );
    let taken = peer.taken();
    let said: Vec<_> = taken
        .iter()
        .map(|(request, status)| (request.body.as_str(), *status))
        .collect();
    assert_eq!(said, [(r#"{"purge_everything":true}"#, 200)]);
    Ok(())
}
