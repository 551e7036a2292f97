//! Participants that are told by their providers' APIs, each provider played as its documentation describes it.

mod broadcast;
mod broken;
mod busy;
mod by_document;
mod clocks;
mod moto;
mod polled;

use anyhow::Result;
use proto::v1::{self, Evidence, ExecutionState, selector::Kind};
use tests::{
    federation::{purge, selector},
    vendors::{
        Peer, Provider, Stage, akamai::Akamai, cloudflare::Cloudflare, cloudfront::CloudFront,
        fastly::Fastly,
    },
};

const EDGEGRID: &str = "client_token = ct\nclient_secret = cs\naccess_token = at\n";
const AWS: &str = "[default]\naws_access_key_id = AK\naws_secret_access_key = SK\n";

fn akamai() -> Akamai {
    Akamai {
        client_token: "ct",
        client_secret: "cs",
        access_token: "at",
        nonces: Vec::new(),
    }
}

fn cloudflare() -> Cloudflare {
    Cloudflare {
        token: "cloudflare-token",
        zone: "Z1",
    }
}

fn cloudfront() -> CloudFront {
    CloudFront {
        distribution: "D1",
        access_key: "AK",
        secret_key: "SK",
        questions: 2,
        known: Vec::new(),
    }
}

fn fastly() -> Fastly {
    Fastly {
        token: "fastly-token",
        service: "S1",
    }
}

/// The four that answer at once, or are asked after, with their participants.
async fn stage() -> Result<(Stage, Vec<Peer>)> {
    let peers = vec![
        Peer::start(akamai()).await?,
        Peer::start(cloudflare()).await?,
        Peer::start(cloudfront()).await?,
        Peer::start(fastly()).await?,
    ];
    let providers = [
        Provider::new(
            "akamai",
            "akamai",
            &peers[0],
            EDGEGRID,
            "client = \"purge-shop\"",
        ),
        Provider::new(
            "cloudflare",
            "cloudflare",
            &peers[1],
            "cloudflare-token",
            "zone = \"Z1\", alone = \"Z1\"",
        ),
        Provider::new(
            "cloudfront",
            "cloudfront",
            &peers[2],
            AWS,
            "distribution = \"D1\", tagheader = \"Cache-Tag\"",
        ),
        Provider::new(
            "fastly",
            "fastly",
            &peers[3],
            "fastly-token",
            "service = \"S1\"",
        ),
    ];
    let mut stage = Stage::new(None).await?;
    for provider in providers {
        stage.add(provider).await?;
    }
    Ok((stage, peers))
}

fn told(command: &v1::Command) -> Vec<(&str, ExecutionState, Evidence)> {
    let executions = command.executions.iter();
    let mut told: Vec<_> = executions
        .map(|one| (one.participant_id.as_str(), one.state(), one.evidence()))
        .collect();
    told.sort_unstable_by_key(|(participant, ..)| *participant);
    told
}

fn lines(peer: &Peer) -> Vec<(String, u16)> {
    peer.lines()
}

/// One command at four providers: each is called in its own language, with its own proof, and says what it can say. The
/// two that know no prefixes say so in the plan and in the outcome, and are not called.
#[tokio::test]
async fn one_command_reaches_every_provider_in_its_own_language() -> Result<()> {
    use Evidence::{Acknowledged, Estimated, Reported, Unspecified};
    let (mut stage, peers) = stage().await?;
    let url = "http://www.shop.example/a";
    let mut draft = purge(&[url]);
    draft
        .selectors
        .push(selector(Kind::Tag("shoes".to_owned())));
    let command = stage.settled(draft.clone()).await?;
    let done = ExecutionState::Done;
    assert_eq!(
        told(&command),
        [
            ("akamai", done, Estimated),
            ("cloudflare", done, Acknowledged),
            ("cloudfront", done, Reported),
            ("fastly", done, Acknowledged),
        ]
    );
    let estimated = command.executions.iter();
    let estimated = estimated.filter(|one| one.estimated_time.is_some());
    let estimated: Vec<_> = estimated.map(|one| one.participant_id.as_str()).collect();
    assert_eq!(
        estimated,
        ["akamai"],
        "its time is told, and nobody else's is made up"
    );
    let ok = |line: &str, status| (line.to_owned(), status);
    let [akamai, cloudflare, cloudfront, fastly] = &peers[..] else {
        unreachable!("there are four")
    };
    let ccu = "POST /ccu/v3/delete";
    assert_eq!(
        lines(akamai),
        [
            ok(&format!("{ccu}/url/production"), 201),
            ok(&format!("{ccu}/tag/production"), 201)
        ]
    );
    let zone = ok("POST /client/v4/zones/Z1/purge_cache", 200);
    assert_eq!(lines(cloudflare), [zone.clone(), zone]);
    // The path and the tag are an invalidation each; both are asked after until they are completed.
    let invalidation = "/2020-05-31/distribution/D1/invalidation";
    let mut kinds = lines(cloudfront);
    kinds.sort_unstable();
    kinds.dedup();
    assert_eq!(
        kinds,
        [
            ok(&format!("GET {invalidation}/I0"), 200),
            ok(&format!("GET {invalidation}/I1"), 200),
            ok(&format!("POST {invalidation}"), 201)
        ]
    );
    let taken = cloudfront.taken();
    let posted: Vec<_> = taken
        .iter()
        .filter(|(one, _)| one.method == "POST")
        .collect();
    assert_eq!(posted.len(), 2);
    for path in ["<Path>/a</Path>", "<Path>#shoes</Path>"] {
        assert!(
            posted.iter().any(|(one, _)| one.body.contains(path)),
            "{path}"
        );
    }
    assert_eq!(
        lines(fastly),
        [
            ok("POST /purge/www.shop.example/a", 200),
            ok("POST /service/S1/purge/shoes", 200)
        ]
    );

    let prefix = Kind::Prefix("www.shop.example/img/".to_owned());
    draft.selectors.push(selector(prefix));
    draft.when_impossible = v1::WhenImpossible::Skip.into();
    let command = stage.settled(draft).await?;
    let unsupported = ExecutionState::Unsupported;
    assert_eq!(
        told(&command),
        [
            ("akamai", unsupported, Unspecified),
            ("cloudflare", done, Acknowledged),
            ("cloudfront", done, Reported),
            ("fastly", unsupported, Unspecified),
        ]
    );
    assert_eq!((lines(akamai).len(), lines(fastly).len()), (2, 2));
    Ok(())
}
