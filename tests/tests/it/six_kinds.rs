//! One command at participants of many kinds: one plan, one watch, an outcome of each with its evidence, and on each wire
//! the requests of its own language.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context, Result};
use proto::v1::{self, Breadth, Evidence, ExecutionState, Fidelity, selector::Kind as By};
use tests::{
    caches::{Cache, Kind},
    federation::{Client, Federation, OwnServer, Program, purge, selector},
    origin::{Object, Origin},
    shared,
    vendors::{
        Answer, Peer, Request, Vendor, akamai::Akamai, cloudflare::Cloudflare,
        cloudfront::CloudFront,
    },
};

/// How long a command on this machine may take.
const SETTLES: Duration = Duration::from_mins(1);
const HOST: &str = "www.shop.example";
const MAPPING: &str = include_str!("../../../dialects/src/mapped/example.yaml");

/// A control agent beside a cache (`docs/agent.openapi.yaml`).
struct Agent;

impl Vendor for Agent {
    fn answer(&mut self, request: &Request) -> Answer {
        let known = request.path.starts_with("/federation/v1/executions/");
        match (request.method.as_str(), known) {
            ("POST", true) => (200, "{}".to_owned()),
            _ => (404, String::new()),
        }
    }

    fn busy(&self) -> Answer {
        (429, String::new())
    }
}

/// A participant with an API of its own, as the mapping `acme` describes it: what it does with URLs is a job.
struct Acme;

impl Vendor for Acme {
    fn answer(&mut self, request: &Request) -> Answer {
        let answer = |status, body: &str| (status, body.to_owned());
        match (request.method.as_str(), request.path.as_str()) {
            ("POST", "/v2/properties/customer/delete") => answer(202, r#"{"job": {"id": "7"}}"#),
            ("GET", "/v2/jobs/7") => answer(200, r#"{"state": "finished"}"#),
            ("DELETE", "/v2/tags/shoes" | "/v2/hosts/www.shop.example") => answer(204, ""),
            _ => answer(404, ""),
        }
    }

    fn busy(&self) -> Answer {
        (503, String::new())
    }
}

/// One participant of each kind, named after it.
struct Stage {
    owner: Client,
    origin: Origin,
    caches: BTreeMap<&'static str, Cache>,
    peers: BTreeMap<&'static str, Peer>,
    _programs: Vec<Program>,
    _federation: Federation,
}

impl Stage {
    async fn new() -> Result<Self> {
        let federation = Federation::start(shared()?).await?;
        let broker = federation.broker("broker").await?;
        let operator = federation.client(&broker, "operator/ops")?;
        let owner = federation.client(&broker, "participant/a")?;
        let origin = Origin::start().await?;
        let mut making = Making {
            operator,
            federation: &federation,
            programs: Vec::new(),
        };
        making.begin().await?;
        let caches = making.caches(&origin).await?;
        let peers = making.peers().await?;
        let mut programs = making.programs;
        programs.push(broker);
        Ok(Self {
            owner,
            origin,
            caches,
            peers,
            _programs: programs,
            _federation: federation,
        })
    }

    fn lines(&self, peer: &str) -> Vec<String> {
        let taken = self.peers[peer].taken().into_iter();
        taken.map(|(request, _)| request.line()).collect()
    }

    fn bodies(&self, peer: &str) -> Vec<serde_json::Value> {
        let taken = self.peers[peer].taken().into_iter();
        taken
            .filter_map(|(request, _)| serde_json::from_str(&request.body).ok())
            .collect()
    }
}

/// The stage while it is set up.
struct Making<'a> {
    operator: Client,
    federation: &'a Federation,
    programs: Vec<Program>,
}

impl Making<'_> {
    async fn begin(&mut self) -> Result<()> {
        let mapping = Some(v1::Mapping {
            document: MAPPING.to_owned(),
            ..v1::Mapping::default()
        });
        let request = v1::PutMappingRequest { mapping };
        self.operator.registry.put_mapping(request).await?;
        self.operator.create_participant("a").await?;
        let operator = &mut self.operator;
        operator.create_configuration("shop", "a", &[HOST]).await
    }

    /// A participant whose system is named, with one server, and the configuration on it.
    async fn join(
        &mut self,
        id: &str,
        system: &str,
        server: (&str, std::net::SocketAddr),
    ) -> Result<()> {
        let participant = v1::Participant {
            id: id.to_owned(),
            invocation_system: system.to_owned(),
            ..v1::Participant::default()
        };
        let operator = &mut self.operator;
        operator.put_participant(participant).await?;
        let name = format!("{id}-1");
        operator
            .create_server(&name, id, server.0, server.1)
            .await?;
        operator.deploy("shop", id).await
    }

    async fn adapter(&mut self, id: &str, settings: &str) -> Result<()> {
        let name = format!("adapter-{id}");
        self.programs
            .push(self.federation.adapter(&name, id, settings).await?);
        Ok(())
    }

    /// Told directly: a Varnish and an nginx. Told through its own system: another Varnish.
    async fn caches(&mut self, origin: &Origin) -> Result<BTreeMap<&'static str, Cache>> {
        let mut caches = BTreeMap::new();
        for (id, kind, system) in [
            ("varnish", Kind::Varnish, ""),
            ("nginx", Kind::Nginx, ""),
            ("system", Kind::Varnish, "canonical"),
        ] {
            let cache = Cache::start(kind, origin.address()).await?;
            self.join(id, system, (kind.dialect(), cache.address()))
                .await?;
            if system.is_empty() {
                self.adapter(id, "").await?;
            } else {
                let own = OwnServer {
                    id: "system-1",
                    dialect: kind.dialect(),
                    address: cache.address(),
                };
                let system = self.federation.invocation_system("own", &[own]).await?;
                let adapter = self
                    .federation
                    .adapter_of("adapter-system", id, &system)
                    .await?;
                self.programs.extend([system, adapter]);
            }
            caches.insert(id, cache);
        }
        Ok(caches)
    }

    async fn peers(&mut self) -> Result<BTreeMap<&'static str, Peer>> {
        let akamai = Akamai {
            client_token: "ct",
            client_secret: "cs",
            access_token: "at",
            nonces: Vec::new(),
        };
        let cloudflare = Cloudflare {
            token: "token",
            zone: "Z1",
        };
        let cloudfront = CloudFront {
            distribution: "D1",
            access_key: "AK",
            secret_key: "SK",
            questions: 1,
            known: Vec::new(),
        };
        let peers = [
            ("akamai", Peer::start(akamai).await?),
            ("cloudflare", Peer::start(cloudflare).await?),
            ("cloudfront", Peer::start(cloudfront).await?),
            ("acme", Peer::start(Acme).await?),
            ("agent", Peer::start(Agent).await?),
        ];
        for (id, peer) in &peers {
            let secret = match *id {
                "akamai" => "client_token = ct\nclient_secret = cs\naccess_token = at\n",
                "cloudfront" => "aws_access_key_id = AK\naws_secret_access_key = SK\n",
                "agent" => {
                    self.join(id, "", ("agent", peer.address())).await?;
                    self.adapter(id, "").await?;
                    continue;
                }
                _ => "token",
            };
            let nowhere = ([192, 0, 2, 1], 80).into();
            self.join(id, id, ("varnish", nowhere)).await?;
            let file = self.federation.folder().join(format!("{id}-credentials"));
            std::fs::write(&file, secret)?;
            let settings = format!(
                "kind = \"api\"\n[api]\nbase_url = \"{}\"\ncredentials = \"{}\"\npoll_every = \"50ms\"\n\
                 [api.accounts.shop]\nvalues = {{ zone = \"Z1\", alone = \"Z1\", distribution = \"D1\", tagheader = \"Cache-Tag\" }}\n",
                peer.url(),
                file.display()
            );
            self.adapter(id, &settings).await?;
        }
        Ok(peers.into())
    }
}

async fn plan(owner: &mut Client, draft: &v1::CommandDraft) -> Result<v1::Plan> {
    let request = v1::SubmitCommandRequest {
        draft: Some(draft.clone()),
        validate_only: true,
        ..v1::SubmitCommandRequest::default()
    };
    let answer = owner.commands.submit_command(request).await?.into_inner();
    answer.plan.context("a plan")
}

/// Follows the command to its end: the last that was said of each participant.
async fn watch(owner: &mut Client, id: &str) -> Result<BTreeMap<String, v1::Execution>> {
    let request = v1::WatchCommandRequest {
        command_id: id.to_owned(),
        ..v1::WatchCommandRequest::default()
    };
    let following = async {
        let mut changes = owner.commands.watch_command(request).await?.into_inner();
        let mut seen = BTreeMap::new();
        while let Some(change) = changes.message().await? {
            let executions = change.executions.into_iter();
            seen.extend(executions.map(|one| (one.participant_id.clone(), one)));
        }
        Ok(seen)
    };
    tokio::time::timeout(SETTLES, following)
        .await
        .context("the watch does not end")?
}

fn fidelity(report: Option<&v1::FidelityReport>) -> (Fidelity, Breadth) {
    report.map_or_else(Default::default, |report| {
        (report.fidelity(), report.widened_to())
    })
}

/// What each made of it: state, evidence and fidelity.
fn outcomes(
    seen: &BTreeMap<String, v1::Execution>,
) -> Vec<(&str, ExecutionState, Evidence, (Fidelity, Breadth))> {
    let each = seen.values().map(|one| {
        let said = fidelity(one.fidelity.as_ref());
        (
            one.participant_id.as_str(),
            one.state(),
            one.evidence(),
            said,
        )
    });
    each.collect()
}

/// A URL, a prefix and a tag: six of eight participants can say that, each in its own words; the plan says of each how
/// well before anything is sent, and the outcome repeats it. The two that cannot are never called.
#[tokio::test]
async fn one_command_is_told_in_every_language() -> Result<()> {
    let mut stage = Stage::new().await?;
    let paths = ["/a", "/img/1.png", "/shoe"];
    for path in paths {
        let object = Object::new("old");
        stage.origin.set(
            path,
            if path == "/shoe" {
                object.tagged(&["shoes"])
            } else {
                object
            },
        );
        for cache in stage.caches.values() {
            cache.probe(HOST, path).await?;
        }
        stage.origin.set(path, Object::new("new"));
    }
    let mut draft = purge(&["http://www.shop.example/a"]);
    draft.selectors.extend([
        selector(By::Prefix(format!("{HOST}/img/"))),
        selector(By::Tag("shoes".to_owned())),
    ]);
    let exact = (Fidelity::Exact, Breadth::Unspecified);
    let never = (Fidelity::Impossible, Breadth::Unspecified);
    let wide = |breadth| (Fidelity::Widened, breadth);
    let said = [
        ("acme", wide(Breadth::Host)),
        ("agent", exact),
        ("akamai", never),
        ("cloudflare", wide(Breadth::Configuration)),
        ("cloudfront", wide(Breadth::Configuration)),
        ("nginx", never),
        ("system", exact),
        ("varnish", exact),
    ];
    let planned = plan(&mut stage.owner, &draft).await?;
    let mut fidelities: Vec<_> = planned
        .executions
        .iter()
        .map(|one| (one.participant_id.as_str(), fidelity(one.fidelity.as_ref())))
        .collect();
    fidelities.sort_unstable_by_key(|(participant, _)| *participant);
    assert_eq!(fidelities, said);
    let reasons = planned
        .executions
        .iter()
        .filter_map(|one| one.fidelity.as_ref());
    assert!(
        reasons
            .clone()
            .all(|one| one.why.is_empty() == (one.fidelity() == Fidelity::Exact))
    );
    assert!(
        stage.peers.values().all(|peer| peer.taken().is_empty()),
        "a plan sends nothing"
    );

    let command = stage.owner.submit(draft.clone()).await?;
    let seen = watch(&mut stage.owner, &command.id).await?;
    let (done, unsupported) = (ExecutionState::Done, ExecutionState::Unsupported);
    let evidence = [
        (done, Evidence::Reported),
        (done, Evidence::Reported),
        (unsupported, Evidence::Unspecified),
        (done, Evidence::Acknowledged),
        (done, Evidence::Reported),
        (unsupported, Evidence::Unspecified),
        (done, Evidence::Reported),
        (done, Evidence::Reported),
    ];
    let expected: Vec<_> = said
        .iter()
        .zip(evidence)
        .map(|((participant, fidelity), (state, evidence))| {
            (*participant, state, evidence, *fidelity)
        })
        .collect();
    assert_eq!(outcomes(&seen), expected, "{seen:#?}");
    for participant in ["varnish", "system"] {
        for path in paths {
            let fresh = stage.caches[participant].probe(HOST, path).await?;
            assert_eq!(fresh.body, "new", "{participant} {path}: {fresh:?}");
        }
    }
    let kept = stage.caches["nginx"].probe(HOST, "/a").await?;
    assert_eq!(kept.body, "old", "who cannot say it is not told: {kept:?}");
    check_wires(&stage);
    one_url(&mut stage).await
}

/// The requests as they arrived.
fn check_wires(stage: &Stage) {
    let zone = "POST /client/v4/zones/Z1/purge_cache";
    assert_eq!(stage.lines("cloudflare"), [zone; 3]);
    let mut kinds: Vec<_> = stage.bodies("cloudflare");
    kinds.sort_by_key(ToString::to_string);
    assert_eq!(
        kinds[1],
        serde_json::json!({ "prefixes": ["www.shop.example/img/"] })
    );
    assert_eq!(kinds[2], serde_json::json!({ "tags": ["shoes"] }));
    let invalidation = "/2020-05-31/distribution/D1/invalidation";
    let cloudfront = stage.lines("cloudfront");
    assert_eq!(
        cloudfront[0],
        format!("POST {invalidation}"),
        "{cloudfront:?}"
    );
    let told: String = stage.peers["cloudfront"]
        .taken()
        .iter()
        .map(|(request, _)| request.body.clone())
        .collect();
    for path in ["<Path>/a", "<Path>/img/*</Path>", "shoes"] {
        assert!(told.contains(path), "{path}: {told}");
    }
    let mut acme = stage.lines("acme");
    acme.sort_unstable();
    acme.dedup();
    assert_eq!(
        acme,
        [
            "DELETE /v2/hosts/www.shop.example",
            "DELETE /v2/tags/shoes",
            "GET /v2/jobs/7",
            "POST /v2/properties/customer/delete",
        ]
    );
    let [order] = &stage.bodies("agent")[..] else {
        panic!("one order: {:?}", stage.lines("agent"))
    };
    assert_eq!(
        order["selectors"][1],
        serde_json::json!({ "prefix": "www.shop.example/img/" })
    );
    assert!(stage.lines("akamai").is_empty());
}

/// What all can say, all are told; each says how sure it is, and Akamai when it should be done.
async fn one_url(stage: &mut Stage) -> Result<()> {
    let command = stage
        .owner
        .submit(purge(&["http://www.shop.example/a"]))
        .await?;
    let seen = watch(&mut stage.owner, &command.id).await?;
    let evidence: Vec<_> = seen
        .values()
        .map(|one| (one.participant_id.as_str(), one.state(), one.evidence()))
        .collect();
    let done = ExecutionState::Done;
    assert_eq!(
        evidence,
        [
            ("acme", done, Evidence::Reported),
            ("agent", done, Evidence::Reported),
            ("akamai", done, Evidence::Estimated),
            ("cloudflare", done, Evidence::Acknowledged),
            ("cloudfront", done, Evidence::Reported),
            ("nginx", done, Evidence::Reported),
            ("system", done, Evidence::Reported),
            ("varnish", done, Evidence::Reported),
        ],
        "{seen:#?}"
    );
    assert!(seen["akamai"].estimated_time.is_some());
    assert_eq!(
        stage.lines("akamai"),
        ["POST /ccu/v3/delete/url/production"]
    );
    let fresh = stage.caches["nginx"].probe(HOST, "/a").await?;
    assert_eq!(fresh.body, "new");
    Ok(())
}
