//! The providers whose purges are jobs that are asked after, and the one that answers when it is done.

use super::*;
use tests::{
    federation::draft,
    vendors::{
        alibaba::Alibaba, bunny::Bunny, cloudfront::TENANT, edgecast::Edgecast, google::Google,
        media_cdn::MediaCdn,
    },
};

pub(super) const ALIBABA: &str = "access_key_id = AK\naccess_key_secret = SK\n";

pub(super) fn alibaba() -> Alibaba {
    Alibaba {
        access_key_id: "AK",
        access_key_secret: "SK",
        questions: 1,
        nonces: Vec::new(),
        tasks: Vec::new(),
    }
}

fn edgecast() -> Edgecast {
    Edgecast {
        token: "edgecast-token",
        customer: "0001",
        questions: 1,
        known: Vec::new(),
    }
}

fn google() -> Google {
    Google {
        token: "google-token",
        project: "p-1",
        url_map: "map",
        questions: 1,
        known: Vec::new(),
    }
}

pub(super) fn bunny() -> Bunny {
    Bunny {
        key: "bunny-key",
        zone: "7",
    }
}

/// Alibaba, bunny.net, Edgecast and Google with their participants.
pub(super) async fn stage() -> Result<(Stage, Vec<Peer>)> {
    let (mut stage, mut peers) = stage_with_jobs().await?;
    let peer = Peer::start(bunny()).await?;
    stage
        .add(Provider::new(
            "bunny",
            "bunny",
            &peer,
            "bunny-key",
            "zone = \"7\"",
        ))
        .await?;
    peers.insert(1, peer);
    Ok((stage, peers))
}

/// Those of them that are asked after: Alibaba, Edgecast and Google.
pub(super) async fn stage_with_jobs() -> Result<(Stage, Vec<Peer>)> {
    let peers = vec![
        Peer::start(alibaba()).await?,
        Peer::start(edgecast()).await?,
        Peer::start(google()).await?,
    ];
    let map = "project = \"p-1\", urlmap = \"map\"";
    let providers = [
        Provider::new("alibaba", "alibaba-cloud-cdn", &peers[0], ALIBABA, ""),
        Provider::new(
            "edgecast",
            "edgecast",
            &peers[1],
            "edgecast-token",
            "customer = \"0001\"",
        ),
        Provider::new("google", "google-cloud-cdn", &peers[2], "google-token", map),
    ];
    let mut stage = Stage::new(None).await?;
    for provider in providers {
        stage.add(provider).await?;
    }
    Ok((stage, peers))
}

fn all(evidence: Evidence) -> [(&'static str, ExecutionState, Evidence); 4] {
    ["alibaba", "bunny", "edgecast", "google"].map(|id| (id, ExecutionState::Done, evidence))
}

/// A URL and a prefix at four providers: each is called in its own language with its own proof, and those with jobs are
/// asked until they are done.
#[tokio::test]
async fn a_purge_reaches_providers_with_jobs() -> Result<()> {
    let (mut stage, peers) = stage().await?;
    let mut draft = purge(&["https://www.shop.example/a?x=1"]);
    draft
        .selectors
        .push(selector(Kind::Prefix("www.shop.example/img/".to_owned())));
    let command = stage.settled(draft).await?;
    assert_eq!(told(&command), all(Evidence::Reported));
    let [alibaba, bunny, edgecast, google] = &peers[..] else {
        unreachable!("there are four")
    };
    let ok = |line: &str, status| (line.to_owned(), status);
    let asked = lines(alibaba)
        .into_iter()
        .filter(|line| *line == ok("GET /", 200))
        .count();
    assert!(
        asked >= 3,
        "two tasks, and one of them asked after twice: {:?}",
        lines(alibaba)
    );
    assert!(lines(alibaba).iter().all(|(_, status)| *status == 200));
    assert_eq!(
        lines(bunny),
        [ok("POST /purge", 200), ok("POST /purge", 200)]
    );
    let edge = "/v2/mcc/customers/0001/edge/bulkpurge";
    assert_eq!(
        lines(edgecast),
        [
            ok(&format!("PUT {edge}"), 200),
            ok(&format!("GET {edge}/b-0"), 200),
            ok(&format!("GET {edge}/b-0"), 200)
        ]
    );
    let map = ok(
        "POST /compute/v1/projects/p-1/global/urlMaps/map/invalidateCache",
        200,
    );
    // What the first began may be asked after before the second goes.
    let began = lines(google).into_iter().filter(|line| *line == map);
    assert_eq!(began.count(), 2, "{:?}", lines(google));
    assert!(lines(google).len() >= 5, "{:?}", lines(google));
    Ok(())
}

/// A tag for the two that know tags, and a load for the two that load; the others say that they cannot, and are not called.
#[tokio::test]
async fn each_provider_does_what_it_can() -> Result<()> {
    let (mut stage, peers) = stage().await?;
    let tag = v1::CommandDraft {
        configuration_id: "shop".to_owned(),
        selectors: vec![selector(Kind::Tag("red".to_owned()))],
        when_impossible: v1::WhenImpossible::Skip.into(),
        ..purge(&[])
    };
    let command = stage.settled(tag).await?;
    let states = |command: &v1::Command| {
        let told = told(command).into_iter();
        told.map(|(_, state, _)| state).collect::<Vec<_>>()
    };
    let (done, not) = (ExecutionState::Done, ExecutionState::Unsupported);
    assert_eq!(states(&command), [not, done, not, done]);
    assert_eq!(
        lines(&peers[1]),
        [("POST /pullzone/7/purgeCache".to_owned(), 204)]
    );
    assert_eq!((lines(&peers[0]).len(), lines(&peers[2]).len()), (0, 0));

    let load = v1::CommandDraft {
        when_impossible: v1::WhenImpossible::Skip.into(),
        ..draft(
            v1::operation::Kind::Load(v1::Load {}),
            &["https://www.shop.example/a"],
        )
    };
    let command = stage.settled(load).await?;
    assert_eq!(states(&command), [done, not, done, not]);
    let edge = "/v2/mcc/customers/0001/edge/bulkload";
    assert_eq!(lines(&peers[2])[0], (format!("PUT {edge}"), 200));
    Ok(())
}

/// A tenant of a distribution that many share, and an edge cache service: each is told at its own address, and the one that works on
/// it is asked there until it is done.
#[tokio::test]
async fn a_tenant_and_an_edge_cache_service_are_told_at_their_own_address() -> Result<()> {
    let media = MediaCdn {
        token: "google-token",
        project: "p-1",
        service: "video",
    };
    let peers = [Peer::start(cloudfront()).await?, Peer::start(media).await?];
    let tenant = format!("tenant = \"{TENANT}\", tagheader = \"cache-tag\"");
    let service = "project = \"p-1\", service = \"video\"";
    let mut stage = Stage::new(None).await?;
    for provider in [
        Provider::new("tenant", "cloudfront-tenant", &peers[0], AWS, &tenant),
        Provider::new(
            "video",
            "google-media-cdn",
            &peers[1],
            "google-token",
            service,
        ),
    ] {
        stage.add(provider).await?;
    }
    let mut draft = purge(&["https://www.shop.example/a"]);
    draft
        .selectors
        .push(selector(Kind::Tag("shoes".to_owned())));
    let command = stage.settled(draft).await?;
    let done = ExecutionState::Done;
    assert_eq!(
        told(&command),
        [
            ("tenant", done, Evidence::Reported),
            ("video", done, Evidence::Acknowledged),
        ]
    );
    let invalidation = format!("/2020-05-31/distribution-tenant/{TENANT}/invalidation");
    let (asked, began) = (
        |number| (format!("GET {invalidation}/I{number}"), 200),
        (format!("POST {invalidation}"), 201),
    );
    // The URL and the tag, and the first is asked after three times, perhaps before the second goes.
    let mut expected = [began.clone(), began, asked(0), asked(0), asked(0), asked(1)];
    let mut seen = lines(&peers[0]);
    expected.sort();
    seen.sort();
    assert_eq!(seen, expected);
    let line = "POST /v1/projects/p-1/locations/global/edgeCacheServices/video:invalidateCache";
    let taken = (line.to_owned(), 200);
    assert_eq!(lines(&peers[1]), [taken.clone(), taken]);
    Ok(())
}
