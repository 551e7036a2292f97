//! The main road: a command from its originator to real caches of several participants and back.

use std::time::Duration;

use anyhow::Result;
use proto::v1;
use tests::{
    caches::{Cache, Kind},
    federation::{Client, Federation, Program, load, purge},
    origin::{Object, Origin},
    shared,
};

/// How long a command on this machine may take.
const SETTLES: Duration = Duration::from_secs(30);

/// Three participants: `a` owns the configuration and has a Varnish, `b` an nginx and a Squid, `c` a Traffic Server.
struct Road {
    owner: Client,
    origin: Origin,
    caches: Vec<Cache>,
    _programs: Vec<Program>,
    _federation: Federation,
}

const PLACES: [(&str, Kind); 4] = [
    ("a", Kind::Varnish),
    ("b", Kind::Nginx),
    ("b", Kind::Squid),
    ("c", Kind::TrafficServer),
];

async fn road() -> Result<Road> {
    // Nobody may do more at RabbitMQ and Redis than he must.
    let federation = Federation::restricted(shared()?, "").await?;
    let origin = Origin::start().await?;
    let broker = federation.broker("broker").await?;
    let mut operator = federation.client(&broker, "operator/ops")?;
    for participant in ["a", "b", "c"] {
        operator.create_participant(participant).await?;
    }
    operator
        .create_configuration("shop", "a", &["www.shop.example"])
        .await?;
    let mut caches = Vec::new();
    for (participant, kind) in PLACES {
        let cache = Cache::start(kind, origin.address()).await?;
        operator
            .create_server(
                &format!("{participant}-{}", kind.dialect()),
                participant,
                kind.dialect(),
                cache.address(),
            )
            .await?;
        caches.push(cache);
    }
    let owner = federation.client(&broker, "participant/a")?;
    let mut programs = vec![broker];
    for participant in ["a", "b", "c"] {
        operator.deploy("shop", participant).await?;
        programs.push(
            federation
                .adapter(&format!("adapter-{participant}"), participant, "")
                .await?,
        );
    }
    Ok(Road {
        owner,
        origin,
        caches,
        _programs: programs,
        _federation: federation,
    })
}

/// The whole product in one test: load everywhere, hold it, change it at the origin, purge it, and see it fresh.
#[tokio::test]
async fn a_purge_reaches_every_cache_of_every_participant() -> Result<()> {
    let mut road = road().await?;
    let url = "http://www.shop.example/logo.svg";
    road.origin.set("/logo.svg", Object::new("old"));

    let loaded = road.owner.submit(load(&[url])).await?;
    let loaded = road.owner.settled(&loaded.id, SETTLES).await?;
    // nginx and Squid do not say that they stored what they fetched, so a load is `processed` and not `complete`.
    assert_eq!(overall(&loaded), v1::Overall::Processed, "{loaded:#?}");
    for cache in &road.caches {
        let probe = cache.probe("www.shop.example", "/logo.svg").await?;
        assert!(
            probe.hit && probe.body == "old",
            "{:?}: {probe:?}",
            cache.kind()
        );
    }

    road.origin.set("/logo.svg", Object::new("new"));
    let purged = road.owner.submit(purge(&[url])).await?;
    let purged = road.owner.settled(&purged.id, SETTLES).await?;
    assert_eq!(overall(&purged), v1::Overall::Complete, "{purged:#?}");
    assert_eq!(purged.executions.len(), 3);
    for cache in &road.caches {
        let probe = cache.probe("www.shop.example", "/logo.svg").await?;
        assert!(
            !probe.hit && probe.body == "new",
            "{:?}: {probe:?}",
            cache.kind()
        );
    }
    Ok(())
}

fn overall(command: &v1::Command) -> v1::Overall {
    command
        .standing
        .as_ref()
        .map(v1::Standing::overall)
        .unwrap_or_default()
}
