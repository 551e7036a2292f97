//! Varnishes behind a broadcaster: one call of ours, and every node does it.

use super::*;
use tests::{
    caches::{Cache, Kind as Of},
    origin::{Object, Origin},
    vendors::broadcaster::Broadcaster,
};

const HOST: &str = "www.shop.example";

async fn warm(cache: &Cache) -> Result<()> {
    cache.probe(HOST, "/a").await?;
    assert!(cache.probe(HOST, "/a").await?.hit);
    Ok(())
}

/// Both nodes drop the page, and nobody says more than that it was taken; where one of them is away it is named, and the command
/// has failed although the other one did it.
#[tokio::test]
async fn every_node_behind_a_broadcaster_purges() -> Result<()> {
    let origin = Origin::start().await?;
    origin.set("/a", Object::new("old"));
    let one = Cache::start(Of::Varnish, origin.address()).await?;
    let two = Cache::start(Of::Varnish, origin.address()).await?;
    let mut nodes = vec![("one", one.address()), ("two", two.address())];
    let peer = |nodes| {
        Peer::start(Broadcaster {
            group: "shops",
            nodes,
        })
    };
    let whole = peer(nodes.clone()).await?;
    nodes.push(("three", ([127, 0, 0, 1], 1).into()));
    let broken = peer(nodes).await?;
    let mut stage = Stage::new(None).await?;
    let group = "group = \"shops\"";
    let provider = |id, peer| Provider::new(id, "varnish-broadcaster", peer, "", group);
    stage.add(provider("b", &whole)).await?;

    warm(&one).await?;
    warm(&two).await?;
    let page = || purge(&["https://www.shop.example/a"]);
    let command = stage.settled(page()).await?;
    assert_eq!(
        told(&command),
        [("b", ExecutionState::Done, Evidence::Acknowledged)]
    );
    for node in [&one, &two] {
        assert!(!node.probe(HOST, "/a").await?.hit);
    }

    stage.add(provider("c", &broken)).await?;
    warm(&one).await?;
    let command = stage.settled(page()).await?;
    assert!(!one.probe(HOST, "/a").await?.hit);
    let failed = command.executions.iter();
    let failed: Vec<_> = failed.filter_map(|one| one.fault.as_ref()).collect();
    let [fault] = failed[..] else {
        panic!("{command:#?}")
    };
    assert!(
        fault.message.contains("three answered 503"),
        "{}",
        fault.message
    );
    Ok(())
}
