//! The adapter for CloudFront against a server that others wrote, and that checks its signatures.

use super::*;
use tests::vendors::moto::Moto;

fn provider(moto: &Moto, secret: &str) -> Provider {
    let key = &moto.prepared.access_key;
    let values = format!("distribution = \"{}\"", moto.prepared.distribution);
    Provider {
        participant: "cloudfront",
        dialect: "cloudfront",
        url: moto.url.clone(),
        secret: format!("aws_access_key_id = {key}\naws_secret_access_key = {secret}\n"),
        values,
        settings: "",
    }
}

/// An invalidation is made and asked after until it is complete; every call's signature is found right, and one with
/// another key is not.
#[tokio::test]
async fn cloudfront_as_moto_plays_it_finds_every_signature_right() -> Result<()> {
    let moto = Moto::start().await?;
    let mut stage = Stage::new(None).await?;
    stage
        .add(provider(&moto, &moto.prepared.secret_key))
        .await?;
    let mut draft = purge(&["https://www.shop.example/a?x=1&y='é'"]);
    draft
        .selectors
        .push(selector(Kind::Prefix("www.shop.example/img/".to_owned())));
    let command = stage.settled(draft).await?;
    assert_eq!(
        told(&command),
        [("cloudfront", ExecutionState::Done, Evidence::Reported)]
    );

    let mut other = Stage::new(None).await?;
    other.add(provider(&moto, "not-the-secret")).await?;
    let draft = purge(&["https://www.shop.example/a"]);
    let command = other.settled(draft).await?;
    let fault = command.executions[0]
        .fault
        .as_ref()
        .map(|fault| (fault.code.as_str(), fault.message.as_str()));
    assert!(
        matches!(fault, Some(("unauthorized", words)) if words.contains("SignatureDoesNotMatch")),
        "{command:#?}"
    );
    Ok(())
}
