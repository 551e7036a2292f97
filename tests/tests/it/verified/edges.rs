//! Looking at edges of providers, whose word is all that is known otherwise.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use tests::{
    federation::OwnServer,
    front::Front,
    pki::Pki,
    vendors::{self, Peer, Request, Vendor, cloudflare::Cloudflare, cloudfront::CloudFront},
    wait,
};

use super::*;

fn cloudflare() -> Cloudflare {
    Cloudflare {
        token: "token",
        zone: "Z1",
    }
}

/// A participant whose provider is told, with its adapter; `api` stands at the end of its configuration.
async fn join_provider(
    stage: &mut Stage,
    (id, dialect, credentials): (&str, &str, &str),
    peer: &Peer,
    api: &str,
) -> Result<()> {
    join_system(stage, id, dialect, ([192, 0, 2, 1], 80).into()).await?;
    let file = stage.federation.folder().join(format!("{id}-credentials"));
    std::fs::write(&file, credentials)?;
    let adapter = start_provider(stage, id, peer, &file, api).await?;
    stage.programs.push(adapter);
    Ok(())
}

/// Its adapter; started again it has its journal.
async fn start_provider(
    stage: &Stage,
    id: &str,
    peer: &Peer,
    credentials: &Path,
    api: &str,
) -> Result<Program> {
    let settings = format!(
        "kind = \"api\"\n[probes]\nrepeats = 1\n[api]\nbase_url = \"{}\"\ncredentials = \"{}\"\n\
         poll_every = \"100ms\"\n{api}",
        peer.url(),
        credentials.display()
    );
    let name = format!("adapter-{id}");
    stage.federation.adapter(&name, id, &settings).await
}

async fn join_system(
    stage: &mut Stage,
    id: &str,
    system: &str,
    address: std::net::SocketAddr,
) -> Result<()> {
    let participant = v1::Participant {
        id: id.to_owned(),
        invocation_system: system.to_owned(),
        ..v1::Participant::default()
    };
    let operator = &mut stage.operator;
    operator.put_participant(participant).await?;
    operator
        .create_server(&format!("{id}-1"), id, "varnish", address)
        .await?;
    operator.deploy("shop", id).await
}

/// A provider says 200, and one of its edges keeps the old object; another provider has no edge that one could look at. A
/// participant's own system looks for itself.
#[tokio::test]
async fn a_providers_word_is_compared_with_what_its_edges_serve() -> Result<()> {
    let mut stage = Stage::new().await?;
    let edge = Cache::start(Kind::Varnish, stage.origin.address()).await?;
    let own = Cache::start(Kind::TrafficServer, stage.origin.address()).await?;
    let (edge_address, own_address) = (edge.address(), own.address());
    stage
        .caches
        .extend([("edge".to_owned(), edge), ("own".to_owned(), own)]);
    stage.warm("/a", Object::new("old")).await?;
    stage.origin.set("/a", Object::new("new"));
    let mut peers = Vec::new();
    for (id, probe) in [
        ("looked", format!("[\"{edge_address}\"]")),
        ("blind", "[]".to_owned()),
    ] {
        let peer = Peer::start(cloudflare()).await?;
        let api = format!("[api.accounts.shop]\nvalues = {{ zone = \"Z1\" }}\nprobe = {probe}\n");
        join_provider(&mut stage, (id, "cloudflare", "token"), &peer, &api).await?;
        peers.push(peer);
    }
    join_system(&mut stage, "system", "canonical", own_address).await?;
    let server = OwnServer {
        id: "system-1",
        dialect: "traffic-server",
        address: own_address,
    };
    let system = stage.federation.invocation_system("own", &[server]).await?;
    let adapter = stage
        .federation
        .adapter_of("adapter-system", "system", &system)
        .await?;
    stage.programs.extend([system, adapter]);

    let command = stage.settled(verified(purge(&[&url("/a")]), &[])).await?;
    let proven = servers(&command);
    let (blind, proof) = proven["blind-1"];
    assert_eq!(
        (blind.evidence(), proof.verdict()),
        (Evidence::Acknowledged, ProofVerdict::Unprobed),
        "{blind:#?}"
    );
    let (looked, proof) = proven["looked-1"];
    assert_eq!(
        (looked.state(), proof.verdict(), proof.repeats),
        (ExecutionState::Failed, ProofVerdict::NotVerified, 1),
        "{looked:#?}"
    );
    assert_eq!(proof.probes[0].address, edge_address.to_string());
    assert_eq!(
        (peers[0].taken().len(), peers[1].taken().len()),
        (2, 1),
        "told again once"
    );
    assert_verified(&command, "system-1");
    assert_ne!(overall(&command), Overall::Complete);
    Ok(())
}

/// What most edges speak. The one that serves the configuration's host name is believed, and only where somebody vouches for it
/// whom the operator named; what it serves is seen as it is.
#[tokio::test]
async fn an_edge_by_https_proves_that_it_is_the_host() -> Result<()> {
    let mut stage = Stage::new().await?;
    let edge = Cache::start(Kind::Varnish, stage.origin.address()).await?;
    let pki = Pki::new(stage.federation.folder())?;
    let (own, other) = (
        pki.issue_server(HOST)?,
        pki.issue_server("www.other.example")?,
    );
    let cached = Front::start(HOST, &own, edge.address()).await?;
    let fresh = Front::start(HOST, &own, stage.origin.address()).await?;
    let stranger = Front::start(HOST, &other, stage.origin.address()).await?;
    stage.caches.insert("edge".to_owned(), edge);
    stage.warm("/a", Object::new("old")).await?;
    stage.origin.set("/a", Object::new("new"));
    let authority = pki.path("authority.pem");
    let trust = format!(
        "probe_certificate_authority = {{ file = \"{}\" }}\n",
        authority.display()
    );
    let mut peers = Vec::new();
    for (id, front, trust) in [
        ("stale", &cached, trust.as_str()),
        ("fresh", &fresh, &trust),
        ("stranger", &stranger, &trust),
        ("unknown", &fresh, ""),
    ] {
        let peer = Peer::start(cloudflare()).await?;
        let address = front.address();
        let api = format!(
            "{trust}probe = [\"https://{address}\"]\n[api.accounts.shop]\nvalues = {{ zone = \"Z1\" }}\n"
        );
        join_provider(&mut stage, (id, "cloudflare", "token"), &peer, &api).await?;
        peers.push(peer);
    }

    let command = stage.settled(verified(purge(&[&url("/a")]), &[])).await?;
    let proven = servers(&command);
    assert_verified(&command, "fresh-1");
    let (_, proof) = proven["fresh-1"];
    assert_eq!(proof.probes[0].address, fresh.address().to_string());
    let (result, proof) = proven["stale-1"];
    assert_eq!(
        (result.state(), proof.verdict()),
        (ExecutionState::Failed, ProofVerdict::NotVerified),
        "{result:#?}"
    );
    for id in ["stranger-1", "unknown-1"] {
        let (result, proof) = proven[id];
        assert_eq!(
            (result.evidence(), proof.verdict()),
            (Evidence::Acknowledged, ProofVerdict::Unprobed),
            "{result:#?}"
        );
        let why = &proof.probes[0].why;
        assert!(why.contains("certificate"), "{id}: {why}");
    }
    assert_eq!(stranger.hits()?, 0, "nothing is asked of whom nobody knows");
    Ok(())
}

/// CloudFront whose edges do what the second invalidation says, and not the first: that one ends when they have.
struct Racy {
    provider: CloudFront,
    edges_are_done: Arc<AtomicBool>,
}

impl Vendor for Racy {
    fn answer(&mut self, request: &Request) -> vendors::Answer {
        let is_second = request.method == "GET" && request.path.ends_with("/I1");
        if is_second && !self.edges_are_done.load(Ordering::SeqCst) {
            self.provider.questions = 1;
        }
        self.provider.answer(request)
    }

    fn busy(&self) -> vendors::Answer {
        self.provider.busy()
    }
}

/// An invalidation completes, and an edge serves what is older: it is told again, under a name of its own, and looked at when
/// that has completed too. The adapter that is killed meanwhile asks on after its restart, and tells nobody a third time.
#[tokio::test]
async fn what_ran_as_a_job_is_told_again_as_a_job() -> Result<()> {
    const KEYS: &str = "[default]\naws_access_key_id = AK\naws_secret_access_key = SK\n";
    let mut stage = Stage::new().await?;
    let edge = Cache::start(Kind::Varnish, stage.origin.address()).await?;
    let edge_address = edge.address();
    stage.caches.insert("edge".to_owned(), edge);
    stage.warm("/a", Object::new("old")).await?;
    stage.origin.set("/a", Object::new("new"));
    let edges_are_done = Arc::new(AtomicBool::new(false));
    let racy = Racy {
        provider: CloudFront {
            distribution: "D1",
            access_key: "AK",
            secret_key: "SK",
            questions: 1,
            known: Vec::new(),
        },
        edges_are_done: Arc::clone(&edges_are_done),
    };
    let peer = Peer::start(racy).await?;
    let api = format!(
        "[api.accounts.shop]\nvalues = {{ distribution = \"D1\" }}\nprobe = [\"{edge_address}\"]\n"
    );
    join_provider(&mut stage, ("front", "cloudfront", KEYS), &peer, &api).await?;

    let command = stage
        .owner
        .submit(verified(purge(&[&url("/a")]), &[]))
        .await?;
    let asked = |line: &str| {
        let lines = peer.lines();
        lines
            .iter()
            .filter(|(asked, _)| asked.ends_with(line))
            .count()
    };
    wait::until(SETTLES, "the second one is asked after", async || {
        asked("/I1") > 0
    })
    .await?;
    let mut killed = stage.programs.pop().context("the adapter runs")?;
    killed.process.kill9();
    let before = asked("/I1");
    let file = stage.federation.folder().join("front-credentials");
    let adapter = start_provider(&stage, "front", &peer, &file, &api).await?;
    stage.programs.push(adapter);
    wait::until(SETTLES, "it is asked after again", async || {
        asked("/I1") > before
    })
    .await?;
    stage.caches["edge"].send("PURGE", HOST, "/a", &[]).await?;
    edges_are_done.store(true, Ordering::SeqCst);

    let command = stage.owner.settled(&command.id, SETTLES).await?;
    assert_verified(&command, "front-1");
    assert_eq!(servers(&command)["front-1"].1.repeats, 1);
    let references: Vec<_> = peer
        .taken()
        .into_iter()
        .filter(|(request, _)| request.method == "POST")
        .map(|(request, _)| {
            let rest = request.body.split_once("<CallerReference>");
            rest.map(|(_, rest)| rest.split('<').next().unwrap_or_default().to_owned())
        })
        .collect();
    let execution = &command.executions[0].id;
    let reference = |number| Some(format!("{execution}-{number}"));
    assert_eq!(references, [reference(0), reference(1)]);
    Ok(())
}
