//! Redis comes back without what it had acknowledged last, as after a failover or with a backup.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Result, ensure};
use broker::store::{Edition, Keys, Put, Record, Store};
use domain::Server;
use proto::v1;
use tests::{
    Shared,
    federation::{Client, Federation, Program},
    redis::Redis,
    relay::Relay,
    shared, wait,
};

/// How long anything may take here, on a machine that does other things too.
const LIMIT: Duration = Duration::from_mins(1);

/// Two replicas that reach a Redis of their own through a link.
struct Scene {
    redis: Redis,
    link: Relay,
    federation: Federation,
    replicas: [Program; 2],
    operators: [Client; 2],
}

impl Scene {
    async fn new() -> Result<Self> {
        let redis = Redis::start().await?;
        let address = redis.url().replace("redis://", "").parse()?;
        let link = Relay::start(address).await?;
        let servers = Shared {
            redis: format!("redis://{}", link.address()),
            ..shared()?
        };
        let federation = Federation::start(servers).await?;
        let replicas = [
            federation.broker("first").await?,
            federation.broker("second").await?,
        ];
        let operators = [
            federation.client(&replicas[0], "operator/ops")?,
            federation.client(&replicas[1], "operator/ops")?,
        ];
        Ok(Self {
            redis,
            link,
            federation,
            replicas,
            operators,
        })
    }

    /// By the first replica.
    async fn create(&mut self, server: &str) -> Result<()> {
        let address = ([127, 0, 0, 1], 1).into();
        self.operators[0]
            .create_server(server, "a", "varnish", address)
            .await
    }

    /// The registry itself, past the replicas and their link.
    async fn store(&self) -> Result<Store> {
        let url = toml::Value::String(self.redis.url()).try_into()?;
        Ok(Store::connect(&url, Keys::new(self.federation.prefix(), 1)).await?)
    }

    /// Both replicas know these servers and no others.
    async fn both_know(&self, servers: &[&str]) -> Result<()> {
        let expected: BTreeSet<_> = servers.iter().map(|&id| id.to_owned()).collect();
        for (operator, replica) in self.operators.iter().zip(["first", "second"]) {
            let what = format!("the {replica} replica knows {expected:?}");
            wait::until(LIMIT, &what, async || {
                let known = known(operator.clone()).await?;
                ensure!(known == expected, "it knows {known:?}");
                Ok(())
            })
            .await?;
        }
        Ok(())
    }
}

async fn known(mut operator: Client) -> Result<BTreeSet<String>> {
    let request = v1::ListServersRequest::default();
    let listed = operator.registry.list_servers(request).await?.into_inner();
    Ok(listed.servers.into_iter().map(|server| server.id).collect())
}

/// A server as another replica writes it.
async fn write(store: &Store, id: &str, seen: &Edition) -> Result<Put> {
    let server = Server {
        id: id.parse()?,
        participant: "a".parse()?,
        dialect: "varnish".parse()?,
        address: "127.0.0.1:1".parse()?,
        place: domain::Place::default(),
    };
    Ok(store.put(&Record::Server(server), seen).await?)
}

/// Replicas that had taken in what Redis lost forget it: whether nothing stands in its place, another change under the same
/// version, or more changes than were lost.
#[tokio::test]
async fn what_redis_lost_is_forgotten() -> Result<()> {
    let mut scene = Scene::new().await?;
    scene.operators[0].create_participant("a").await?;
    scene.create("kept").await?;
    scene.both_know(&["kept"]).await?;
    let backup = scene.redis.back_up()?;
    for instead in [&[][..], &["other"], &["other", "another"]] {
        scene.create("lost").await?;
        scene.both_know(&["kept", "lost"]).await?;
        let lost = scene.store().await?.edition().await?;

        scene.link.cut();
        scene.redis.go_back(&backup).await?;
        let store = scene.store().await?;
        for id in instead {
            let now = store.edition().await?;
            ensure!(matches!(write(&store, id, &now).await?, Put::Written(_)));
        }
        // Whoever checked against what was lost has not seen what is there.
        ensure!(write(&store, "blind", &lost).await? == Put::Behind);
        scene.link.heal();
        scene.both_know(&[&["kept"], instead].concat()).await?;

        // And they follow again: what is written now reaches both.
        scene.create("later").await?;
        scene
            .both_know(&[&["kept", "later"], instead].concat())
            .await?;
        scene.redis.go_back(&backup).await?;
        scene.both_know(&["kept"]).await?;
    }
    let alive = scene
        .replicas
        .iter_mut()
        .all(|one| one.process.is_running());
    ensure!(alive, "a replica ended");
    Ok(())
}
