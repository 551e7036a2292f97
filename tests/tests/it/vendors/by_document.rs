//! A participant with an API of its own, told by a document and by no code: from the registry to the wire and back.

use super::*;
use tests::{
    federation::draft,
    vendors::{RETRY_AFTER_SECONDS, acme::Acme},
};

const DOCUMENT: &str = include_str!("../../../../dialects/src/mapped/example.yaml");

async fn stage() -> Result<(Stage, Peer)> {
    let peer = Peer::start(Acme {
        token: "acme-token",
        questions: 1,
    })
    .await?;
    let mut stage = Stage::new(Some(DOCUMENT)).await?;
    stage
        .add(Provider::new("b", "acme", &peer, "acme-token", ""))
        .await?;
    Ok((stage, peer))
}

/// URLs become one call that is a job, a tag another; what is too many comes again after the time that the document reads
/// from the body; the job is asked after until the document's rule says that it has ended.
#[tokio::test]
async fn a_mapping_is_all_that_an_api_needs() -> Result<()> {
    let (mut stage, peer) = stage().await?;
    peer.be_busy(1);
    let mut draft = purge(&["https://www.shop.example/a", "https://www.shop.example/b"]);
    draft.selectors.push(selector(Kind::Tag("a/b".to_owned())));
    let command = stage.settled(draft).await?;
    assert_eq!(
        told(&command),
        [("b", ExecutionState::Done, Evidence::Reported)]
    );
    let lines = lines(&peer);
    let of = |line: &str| {
        let statuses = lines.iter().filter(|(own, _)| own == line);
        statuses.map(|(_, status)| *status).collect::<Vec<_>>()
    };
    assert_eq!(
        of("POST /v2/properties/customer/delete"),
        [503, 202],
        "{lines:?}"
    );
    assert_eq!(of("DELETE /v2/tags/a%2Fb"), [204], "{lines:?}");
    assert_eq!(of("GET /v2/jobs/77"), [200, 200], "{lines:?}");
    let pause = peer.pause().unwrap_or_default();
    assert!(pause.as_secs() >= RETRY_AFTER_SECONDS, "{pause:?}");
    let (first, _) = &peer.taken()[0];
    let body: serde_json::Value = serde_json::from_str(&first.body)?;
    assert_eq!(body["urls"].as_array().map(Vec::len), Some(2));
    Ok(())
}

/// Whoever is told by a mapping may command by it, too; for others it is no format that they know.
#[tokio::test]
async fn a_participant_commands_by_its_own_mapping() -> Result<()> {
    let (mut stage, peer) = stage().await?;
    stage
        .operator
        .create_configuration("news", "b", &["www.news.example"])
        .await?;
    stage.operator.deploy("news", "b").await?;
    let url = "https://www.news.example/a";
    let native = |configuration: &str| v1::CommandDraft {
        configuration_id: configuration.to_owned(),
        native: Some(v1::NativeCommand {
            dialect: "acme".to_owned(),
            method: "POST".to_owned(),
            path: "/v2/properties/whoever/invalidate".to_owned(),
            headers: vec![v1::NativeHeader {
                name: "content-type".to_owned(),
                value: "application/json".to_owned(),
            }],
            body: serde_json::json!({ "urls": [url] }).to_string(),
            ..v1::NativeCommand::default()
        }),
        ..v1::CommandDraft::default()
    };
    let refused = stage.owner.submit(native("shop")).await;
    assert!(refused.is_err_and(|status| status.message().contains("dialect")));

    stage.owner = stage.federation.client(&stage.broker, "participant/b")?;
    let accepted = stage.owner.submit(native("news")).await?;
    let meant = accepted.draft.unwrap_or_default();
    let invalidate = v1::operation::Kind::Purge(v1::Purge {
        mode: v1::PurgeMode::Invalidate.into(),
    });
    let expected = draft(invalidate, &[url]);
    assert_eq!(
        (meant.operation, meant.selectors),
        (expected.operation, expected.selectors)
    );
    stage
        .owner
        .settled(&accepted.id, std::time::Duration::from_mins(1))
        .await?;
    let (request, status) = &peer.taken()[0];
    assert_eq!(
        (request.line().as_str(), *status),
        ("POST /v2/properties/customer/invalidate", 202)
    );
    Ok(())
}
