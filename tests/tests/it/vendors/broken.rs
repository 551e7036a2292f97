//! What answers in a provider's place, and is no answer: in the command's result it is a fault in its own words.

use std::time::Duration;

use super::*;
use domain::limits;
use tests::{vendors::Front, wait};

/// How long a command on this machine may take.
const SETTLES: Duration = Duration::from_mins(1);

/// Status, where it sends us, what it says, and the words of it that the fault has.
type Broken = (u16, Option<&'static str>, String, &'static str);

/// A page instead of JSON, half of an answer, one of another type, a redirect to sign in, ten megabytes of an error page.
fn broken() -> Vec<Broken> {
    let long = format!(
        "<html><title>Bad Gateway at edge 7</title>{}",
        "<p>sorry".repeat(1_300_000)
    );
    let page = "<html>Sign in first";
    let half = "{\"status\":\"o";
    vec![
        (200, None, page.to_owned(), page),
        (201, None, half.to_owned(), half),
        (200, None, "[17]".to_owned(), "[17]"),
        (
            302,
            Some("https://login.example/?from=api"),
            String::new(),
            "302 and sent us to https://login.example/?from=api",
        ),
        (502, None, long, "502: Bad Gateway at edge 7"),
    ]
}

fn stand_behind(peer: &Peer, (status, location, body, _): &Broken, method: Option<&'static str>) {
    peer.stand_behind(Front {
        status: *status,
        location: *location,
        body: body.clone(),
        method,
    });
}

/// Nothing of it is taken for done or followed, and everybody who asks for the command reads what was said, and not all of it.
async fn all_are_faults(mut stage: Stage, peers: &[&Peer]) -> Result<()> {
    for broken in broken() {
        for peer in peers {
            stand_behind(peer, &broken, None);
        }
        let words = broken.3;
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
    for peer in peers {
        assert_eq!(peer.taken().len(), 0, "nobody came through");
    }
    Ok(())
}

/// Akamai, Cloudflare, CloudFront and Fastly.
#[tokio::test]
async fn what_is_no_answer_is_a_fault_in_its_own_words() -> Result<()> {
    let (stage, peers) = stage().await?;
    all_are_faults(stage, &peers.iter().collect::<Vec<_>>()).await
}

/// Alibaba, Edgecast and Google, whose answers name a job. bunny.net's says nothing but its status.
#[tokio::test]
async fn what_names_no_job_is_a_fault_in_its_own_words() -> Result<()> {
    let (stage, peers) = polled::stage_with_jobs().await?;
    all_are_faults(stage, &peers.iter().collect::<Vec<_>>()).await
}

/// An answer about the question says nothing of the job: whatever it is, the job is neither done nor failed by it, and is asked after
/// again until it says itself how it ended.
#[tokio::test]
async fn a_question_without_an_answer_ends_no_job() -> Result<()> {
    let (mut stage, mut peers) = polled::stage_with_jobs().await?;
    let cloudfront = Peer::start(cloudfront()).await?;
    let values = "distribution = \"D1\"";
    stage
        .add(Provider::new(
            "cloudfront",
            "cloudfront",
            &cloudfront,
            AWS,
            values,
        ))
        .await?;
    peers.push(cloudfront);
    for broken in broken() {
        for peer in &peers {
            stand_behind(peer, &broken, Some("GET"));
        }
        let draft = purge(&["https://www.shop.example/a"]);
        let id = stage.owner.submit(draft).await?.id;
        wait::until(SETTLES, "all have a job", async || {
            let command = stage.owner.clone().get(&id).await.ok()?;
            let told = told(&command);
            let has_job =
                |(_, state, _): &(_, ExecutionState, _)| *state == ExecutionState::Running;
            told.iter().all(has_job).then_some(())
        })
        .await?;
        // The first questions may be older than the word of the job. An answer to the last of these may still be under way, those
        // to the others have been read.
        let asked: Vec<_> = peers.iter().map(Peer::fronted).collect();
        wait::until(SETTLES, "three more questions to everybody", async || {
            let mut each = peers.iter().zip(&asked);
            each.all(|(peer, asked)| peer.fronted() >= asked + 3)
        })
        .await?;
        for (participant, state, _) in told(&stage.owner.get(&id).await?) {
            assert_eq!(
                state,
                ExecutionState::Running,
                "{participant}: {}",
                broken.0
            );
        }
        for peer in &peers {
            peer.stand_alone();
        }
        let command = stage.owner.settled(&id, SETTLES).await?;
        for (participant, state, evidence) in told(&command) {
            let done = (ExecutionState::Done, Evidence::Reported);
            assert_eq!((state, evidence), done, "{participant}: {}", broken.0);
        }
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
