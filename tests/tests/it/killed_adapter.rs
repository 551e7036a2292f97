//! An adapter that is killed in the middle of a purge and started again: the command completes, and nothing is lost.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Result, ensure};
use axum::{Router, extract::Request, http::StatusCode};
use proto::v1;
use tests::{
    caches::{Cache, Kind},
    federation::{Client, Federation, Program, load, purge},
    origin::{Object, Origin},
    shared, wait,
};
use tokio::{net::TcpListener, sync::Semaphore};

/// How long anything may take here, on a machine that does other things too.
const LIMIT: Duration = Duration::from_mins(1);

/// The content that is purged.
const HOST: &str = "www.shop.example";

/// The URLs of one purge.
const URLS: usize = 200;

/// Participant `a` owns the content, and `b` has the one server that carries it.
struct Scene {
    federation: Federation,
    _broker: Program,
    owner: Client,
}

impl Scene {
    async fn new(server: SocketAddr) -> Result<Self> {
        let federation = Federation::start(shared()?).await?;
        let broker = federation.broker("broker").await?;
        let mut operator = federation.client(&broker, "operator/ops")?;
        operator.create_participant("a").await?;
        operator.create_participant("b").await?;
        operator.create_configuration("shop", "a", &[HOST]).await?;
        operator
            .create_server("b-1", "b", "varnish", server)
            .await?;
        operator.deploy("shop", "b").await?;
        let owner = federation.client(&broker, "participant/a")?;
        Ok(Self {
            federation,
            _broker: broker,
            owner,
        })
    }

    /// Under one name it keeps one journal, as an adapter that is started again does.
    async fn adapter(&self) -> Result<Program> {
        self.federation.adapter("adapter-b", "b", "").await
    }

    async fn submit(&mut self, draft: v1::CommandDraft) -> Result<String> {
        Ok(self.owner.submit(draft).await?.id)
    }

    async fn completes(&mut self, id: &str) -> Result<v1::Command> {
        let command = self.owner.settled(id, LIMIT).await?;
        let standing = command.standing.as_ref();
        let overall = standing.map(v1::Standing::overall);
        ensure!(overall == Some(v1::Overall::Complete), "{standing:?}");
        Ok(command)
    }
}

/// A server that counts what it is told, and answers only so many calls before it is released.
struct SlowServer {
    address: SocketAddr,
    told: Arc<Mutex<HashMap<String, usize>>>,
    answers: Arc<Semaphore>,
}

impl SlowServer {
    async fn start(answers: usize) -> Result<Self> {
        let told = Arc::new(Mutex::new(HashMap::<String, usize>::new()));
        let answers = Arc::new(Semaphore::new(answers));
        let (heard, free) = (Arc::clone(&told), Arc::clone(&answers));
        let router = Router::new().fallback(move |request: Request| {
            let path = request.uri().path().to_owned();
            let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
            *heard.entry(path).or_default() += 1;
            let free = Arc::clone(&free);
            async move {
                // An error means that the test is over.
                if let Ok(answer) = free.acquire().await {
                    answer.forget();
                }
                // As `config/caches/varnish.vcl` says how many objects it was.
                (StatusCode::OK, [("x-purged", "1")])
            }
        });
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(Self {
            address,
            told,
            answers,
        })
    }

    fn told(&self) -> HashMap<String, usize> {
        let told = self.told.lock();
        told.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn path(number: usize) -> String {
    format!("/images/{number}.jpg")
}

fn urls() -> Vec<String> {
    (0..URLS)
        .map(|number| format!("http://{HOST}{}", path(number)))
        .collect()
}

fn texts(urls: &[String]) -> Vec<&str> {
    urls.iter().map(String::as_str).collect()
}

/// Killed when some of the URLs are purged, one is under way and many are still to come. A later purge waits behind it.
/// The one that is started again has the journal of the one that was killed: every URL is told, and both commands settle.
#[tokio::test]
async fn a_purge_of_many_urls_completes_although_its_adapter_is_killed_half_way() -> Result<()> {
    let server = SlowServer::start(URLS / 4).await?;
    let mut scene = Scene::new(server.address).await?;
    let mut adapter = scene.adapter().await?;
    let many = scene.submit(purge(&texts(&urls()))).await?;
    let later = scene
        .submit(purge(&[&format!("http://{HOST}/later.jpg")]))
        .await?;
    wait::until(LIMIT, "a quarter is purged and no more", async || {
        server.answers.available_permits() == 0 && server.told().len() > URLS / 4
    })
    .await?;
    adapter.process.kill9();
    ensure!(server.told().len() < URLS, "the purge was not under way");
    ensure!(
        !server.told().contains_key("/later.jpg"),
        "it came before its turn"
    );

    server.answers.add_permits(10 * URLS);
    let _adapter = scene.adapter().await?;
    let command = scene.completes(&many).await?;
    scene.completes(&later).await?;
    let told = server.told();
    for number in 0..URLS {
        ensure!(told.contains_key(&path(number)), "{} is lost", path(number));
    }
    let findings = &command.executions[0].servers[0].findings;
    ensure!(findings.len() == URLS, "{} findings", findings.len());
    Ok(())
}

/// The same with a real Varnish that hangs: what it held before the kill is gone from it after the restart.
#[tokio::test]
async fn a_varnish_that_hung_when_its_adapter_was_killed_is_purged_in_the_end() -> Result<()> {
    let origin = Origin::start().await?;
    let mut cache = Cache::start(Kind::Varnish, origin.address()).await?;
    let mut scene = Scene::new(cache.address()).await?;
    let mut adapter = scene.adapter().await?;
    let urls: Vec<String> = urls().into_iter().take(50).collect();
    for number in 0..urls.len() {
        origin.set(&path(number), Object::new("old"));
    }
    let loaded = scene.submit(load(&texts(&urls))).await?;
    scene.completes(&loaded).await?;
    adapter
        .shows(LIMIT, "adapter_executions_in_flight 0")
        .await?;
    for number in 0..urls.len() {
        origin.set(&path(number), Object::new("new"));
    }

    cache.process().pause()?;
    let purged = scene.submit(purge(&texts(&urls))).await?;
    // The adapter has the purge; the broker's word that it is dispatched comes before that.
    adapter
        .shows(LIMIT, "adapter_executions_in_flight 1")
        .await?;
    adapter.process.kill9();
    cache.process().resume()?;
    let _adapter = scene.adapter().await?;
    scene.completes(&purged).await?;
    for number in 0..urls.len() {
        let probe = cache.probe(HOST, &path(number)).await?;
        ensure!(
            !probe.hit && probe.body == "new",
            "{}: {probe:?}",
            path(number)
        );
    }
    Ok(())
}
