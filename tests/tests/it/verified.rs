//! Looking afterwards, on real caches: what was done is proven, and what only says that it was done is found out.

mod edges;
mod killed;

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context, Result};
use proto::v1::{self, Evidence, ExecutionState, Overall, ProofVerdict, selector::Kind as By};
use tests::{
    caches::{Cache, Kind},
    federation::{Client, Federation, Program, load, purge, selector},
    origin::{Object, Origin},
    shared,
};
use tonic::Code;
use tonic_types::StatusExt as _;

/// How long a command that is looked at several times may take on a busy machine.
const SETTLES: Duration = Duration::from_secs(90);
const HOST: &str = "www.shop.example";

/// The owner `a`, and the caches of others by their servers' ids.
struct Stage {
    federation: Federation,
    owner: Client,
    operator: Client,
    origin: Origin,
    caches: BTreeMap<String, Cache>,
    programs: Vec<Program>,
}

impl Stage {
    async fn new() -> Result<Self> {
        let federation = Federation::start(shared()?).await?;
        let broker = federation.broker("broker").await?;
        let mut operator = federation.client(&broker, "operator/ops")?;
        operator.create_participant("a").await?;
        operator.create_configuration("shop", "a", &[HOST]).await?;
        Ok(Self {
            owner: federation.client(&broker, "participant/a")?,
            operator,
            origin: Origin::start().await?,
            caches: BTreeMap::new(),
            programs: vec![broker],
            federation,
        })
    }

    /// A participant with one cache and its own adapter.
    async fn join(&mut self, id: &str, cache: Cache) -> Result<()> {
        self.join_with(id, cache, "").await
    }

    /// The same, with more lines for the adapter's configuration.
    async fn join_with(&mut self, id: &str, cache: Cache, settings: &str) -> Result<()> {
        let operator = &mut self.operator;
        operator.create_participant(id).await?;
        let server = format!("{id}-1");
        let dialect = cache.kind().dialect();
        operator
            .create_server(&server, id, dialect, cache.address())
            .await?;
        operator.deploy("shop", id).await?;
        let adapter = self
            .federation
            .adapter(&format!("adapter-{id}"), id, settings)
            .await?;
        self.programs.push(adapter);
        self.caches.insert(server, cache);
        Ok(())
    }

    /// One participant for each kind of cache.
    async fn join_all(&mut self) -> Result<()> {
        for kind in Kind::ALL {
            let cache = Cache::start(kind, self.origin.address()).await?;
            self.join(kind.dialect(), cache).await?;
        }
        Ok(())
    }

    /// A Varnish that says that it purged, and did not.
    async fn join_deaf(&mut self) -> Result<()> {
        self.join_deaf_with("").await
    }

    /// The same, with more lines for its adapter's configuration.
    async fn join_deaf_with(&mut self, settings: &str) -> Result<()> {
        let cache = Cache::start_deaf(self.origin.address()).await?;
        self.join_with("deaf", cache, settings).await
    }

    /// Every cache holds it as it is now.
    async fn warm(&self, path: &str, object: Object) -> Result<()> {
        self.origin.set(path, object);
        for cache in self.caches.values() {
            cache.probe(HOST, path).await?;
            let held = cache.probe(HOST, path).await?;
            assert!(held.hit, "{:?}: {held:?}", cache.kind());
        }
        Ok(())
    }

    async fn settled(&mut self, draft: v1::CommandDraft) -> Result<v1::Command> {
        let command = self.owner.submit(draft).await?;
        self.owner.settled(&command.id, SETTLES).await
    }
}

fn verified(draft: v1::CommandDraft, probe_urls: &[&str]) -> v1::CommandDraft {
    v1::CommandDraft {
        verify: true,
        probe_urls: probe_urls.iter().map(|&url| url.to_owned()).collect(),
        ..draft
    }
}

fn url(path: &str) -> String {
    format!("http://{HOST}{path}")
}

/// Each server's end and proof, by its id.
fn servers(command: &v1::Command) -> BTreeMap<&str, (&v1::ServerResult, &v1::Proof)> {
    let servers = command.executions.iter().flat_map(|one| &one.servers);
    let proven = servers.filter_map(|server| {
        let proof = server.proof.as_ref()?;
        Some((server.server_id.as_str(), (server, proof)))
    });
    proven.collect()
}

fn overall(command: &v1::Command) -> Overall {
    let standing = command.standing.as_ref();
    standing.map(v1::Standing::overall).unwrap_or_default()
}

fn assert_verified(command: &v1::Command, server: &str) {
    let proven = servers(command);
    let (result, proof) = proven[server];
    assert_eq!(
        (result.state(), result.evidence(), proof.verdict()),
        (
            ExecutionState::Done,
            Evidence::Verified,
            ProofVerdict::Verified
        ),
        "{server}: {result:#?}"
    );
    for probe in &proof.probes {
        let after = probe.seen.iter().filter(|seen| !seen.before);
        assert_eq!(after.count(), 2, "{server}: {probe:#?}");
    }
}

/// A Varnish answers 200 to every purge and keeps the object. It is found out, told again, and reported as what it is, with
/// what was seen; the real caches beside it are verified, and the whole is never complete.
#[tokio::test]
async fn a_purge_that_a_cache_ignores_is_not_verified() -> Result<()> {
    let mut stage = Stage::new().await?;
    stage.join_all().await?;
    stage.join_deaf().await?;
    stage.warm("/a", Object::new("old")).await?;
    stage.origin.set("/a", Object::new("new"));

    let plain = stage.settled(scoped(purge(&[&url("/a")]), "deaf")).await?;
    assert_eq!(
        overall(&plain),
        Overall::Complete,
        "without a look nobody knows better"
    );

    let command = stage.settled(verified(purge(&[&url("/a")]), &[])).await?;
    assert_eq!(overall(&command), Overall::Partial, "{command:#?}");
    for kind in Kind::ALL {
        assert_verified(&command, &format!("{}-1", kind.dialect()));
    }
    let proven = servers(&command);
    let (result, proof) = proven["deaf-1"];
    assert_eq!(result.state(), ExecutionState::Failed);
    let fault = result.fault.as_ref().context("a fault")?;
    assert_eq!(
        (fault.code.as_str(), fault.side.as_str()),
        ("not_verified", "participant")
    );
    assert_eq!(
        (proof.verdict(), proof.repeats),
        (ProofVerdict::NotVerified, 2)
    );
    assert_eq!(
        result.attempts, 3,
        "once, and twice more because of what was seen"
    );
    let [probe] = &proof.probes[..] else {
        panic!("one URL: {proof:#?}")
    };
    let [before, first, second] = &probe.seen[..] else {
        panic!("before, and twice after: {probe:#?}")
    };
    assert!(before.before && !first.before && !second.before);
    assert_eq!((first.status, first.hit), (200, Some(true)));
    assert!(
        first.age >= Some(3),
        "older than the last time it was told: {first:#?}"
    );
    assert_eq!((&before.hash, &before.etag), (&second.hash, &second.etag));
    let held = stage.caches["deaf-1"].probe(HOST, "/a").await?;
    assert_eq!(
        (held.hit, held.body.as_str()),
        (true, "old"),
        "it is as the proof says"
    );
    Ok(())
}

fn scoped(draft: v1::CommandDraft, participant: &str) -> v1::CommandDraft {
    let ids = vec![participant.to_owned()];
    v1::CommandDraft {
        scope: Some(v1::Scope {
            kind: Some(v1::scope::Kind::Participants(v1::Ids { ids })),
        }),
        ..draft
    }
}

/// The content has not changed, so only the caches' signs tell: of what was purged and fetched again, of what was marked
/// stale, and of what was loaded.
#[tokio::test]
async fn every_kind_of_cache_proves_what_it_did() -> Result<()> {
    let mut stage = Stage::new().await?;
    stage.join_all().await?;
    stage.origin.set("/a", Object::new("same"));
    let loaded = stage.settled(verified(load(&[&url("/a")]), &[])).await?;
    assert_eq!(overall(&loaded), Overall::Complete, "{loaded:#?}");
    let purged = stage.settled(verified(purge(&[&url("/a")]), &[])).await?;
    assert_eq!(overall(&purged), Overall::Complete, "{purged:#?}");
    let soft = v1::Purge {
        mode: v1::PurgeMode::Invalidate.into(),
    };
    let soft = tests::federation::draft(v1::operation::Kind::Purge(soft), &[&url("/a")]);
    let invalidated = stage.settled(verified(soft, &[])).await?;
    assert_eq!(overall(&invalidated), Overall::Complete, "{invalidated:#?}");
    for command in [&loaded, &purged, &invalidated] {
        for kind in Kind::ALL {
            assert_verified(command, &format!("{}-1", kind.dialect()));
        }
    }
    Ok(())
}

/// What names no URL is proven by samples, and where none stands for it the plan and the proof say so.
#[tokio::test]
async fn what_names_no_url_is_proven_by_samples() -> Result<()> {
    let mut stage = Stage::new().await?;
    let varnish = Cache::start(Kind::Varnish, stage.origin.address()).await?;
    stage.join("b", varnish).await?;
    stage.warm("/img/1.png", Object::new("old")).await?;
    stage
        .warm("/shoe", Object::new("old").tagged(&["shoes"]))
        .await?;
    let mut draft = purge(&[]);
    draft.configuration_id = "shop".to_owned();
    draft.selectors = vec![
        selector(By::Prefix(format!("{HOST}/img/"))),
        selector(By::Tag("shoes".to_owned())),
    ];
    let request = v1::SubmitCommandRequest {
        draft: Some(verified(draft.clone(), &[])),
        validate_only: true,
        ..v1::SubmitCommandRequest::default()
    };
    let plan = stage
        .owner
        .commands
        .submit_command(request)
        .await?
        .into_inner();
    let plan = plan.plan.context("a plan")?;
    assert_eq!(
        (plan.probes.len(), plan.unprobed_selectors),
        (0, vec![0, 1])
    );
    let unseen = stage.settled(verified(draft.clone(), &[])).await?;
    let (result, proof) = servers(&unseen)["b-1"];
    assert_eq!(
        (result.evidence(), proof.verdict()),
        (Evidence::Reported, ProofVerdict::Unprobed),
        "{unseen:#?}"
    );

    stage.warm("/img/1.png", Object::new("old")).await?;
    stage
        .warm("/shoe", Object::new("old").tagged(&["shoes"]))
        .await?;
    let samples = [url("/img/1.png"), url("/shoe")];
    let samples = samples.each_ref().map(String::as_str);
    let seen = stage.settled(verified(draft.clone(), &samples)).await?;
    assert_verified(&seen, "b-1");
    assert_eq!(servers(&seen)["b-1"].1.probes.len(), 2);
    refusals(&mut stage, draft).await
}

/// A sample that says nothing of the command, or is somebody else's, is a mistake of whoever names it.
async fn refusals(stage: &mut Stage, mut draft: v1::CommandDraft) -> Result<()> {
    draft.selectors.truncate(1);
    let elsewhere = verified(draft.clone(), &["http://www.other.example/img/1.png"]);
    let not_meant = verified(draft.clone(), &[&url("/css/1.css")]);
    let unasked = v1::CommandDraft {
        verify: false,
        ..verified(draft.clone(), &[&url("/img/1.png")])
    };
    for (draft, field) in [
        (elsewhere, "draft.probe_urls[0]"),
        (not_meant, "draft.probe_urls[0]"),
        (unasked, "draft.probe_urls"),
    ] {
        let refused = stage.owner.submit(draft).await.expect_err(field);
        assert_eq!(refused.code(), Code::InvalidArgument);
        let details = refused.get_error_details();
        let violations = &details.bad_request().context("fields")?.field_violations;
        assert_eq!(violations[0].field, field);
    }
    Ok(())
}
