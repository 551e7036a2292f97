//! Participants that are told by their providers' APIs, each provider played as its documentation describes it.

use std::time::Duration;

use anyhow::Result;
use proto::v1::{self, Evidence, ExecutionState, selector::Kind};
use tests::{
    federation::{Client, Federation, Program, purge, selector},
    shared,
    vendors::{
        Peer, akamai::Akamai, cloudflare::Cloudflare, cloudfront::CloudFront, fastly::Fastly,
    },
};

/// How long a command on this machine may take.
const SETTLES: Duration = Duration::from_secs(30);

/// One participant for each provider.
struct Stage {
    owner: Client,
    peers: Vec<Peer>,
    _programs: Vec<Program>,
    _federation: Federation,
}

const PARTICIPANTS: [&str; 4] = ["akamai", "cloudflare", "cloudfront", "fastly"];

const SECRETS: [&str; 4] = [
    "client_token = ct\nclient_secret = cs\naccess_token = at\n",
    "cloudflare-token",
    "[default]\naws_access_key_id = AK\naws_secret_access_key = SK\n",
    "fastly-token",
];

async fn peers() -> Result<Vec<Peer>> {
    let akamai = Akamai {
        client_token: "ct",
        client_secret: "cs",
        access_token: "at",
    };
    let cloudflare = Cloudflare {
        token: "cloudflare-token",
        zone: "Z1",
    };
    let cloudfront = CloudFront {
        distribution: "D1",
        access_key: "AK",
        secret_key: "SK",
        questions: 2,
        known: Vec::new(),
    };
    let fastly = Fastly {
        token: "fastly-token",
        service: "S1",
    };
    Ok(vec![
        Peer::start(akamai).await?,
        Peer::start(cloudflare).await?,
        Peer::start(cloudfront).await?,
        Peer::start(fastly).await?,
    ])
}

async fn stage() -> Result<Stage> {
    let federation = Federation::start(shared()?).await?;
    let broker = federation.broker("broker").await?;
    let mut operator = federation.client(&broker, "operator/ops")?;
    operator.create_participant("a").await?;
    operator
        .create_configuration("shop", "a", &["www.shop.example"])
        .await?;
    let (peers, mut programs) = (peers().await?, Vec::new());
    for ((id, peer), secret) in PARTICIPANTS.into_iter().zip(&peers).zip(SECRETS) {
        let participant = v1::Participant {
            id: id.to_owned(),
            invocation_system: id.to_owned(),
            ..v1::Participant::default()
        };
        operator.put_participant(participant).await?;
        for server in 1..=2 {
            let address = format!("192.0.2.{server}:80").parse()?;
            operator
                .create_server(&format!("{id}-{server}"), id, "varnish", address)
                .await?;
        }
        operator.deploy("shop", id).await?;
        let secrets = federation.folder().join(format!("{id}-credentials"));
        std::fs::write(&secrets, secret)?;
        let settings = format!(
            "kind = \"api\"\n[api]\nbase_url = \"{}\"\ncredentials = \"{}\"\npoll_every = \"50ms\"\n\
             [api.accounts.shop]\nvalues = {{ zone = \"Z1\", service = \"S1\", distribution = \"D1\" }}\n",
            peer.url(),
            secrets.display()
        );
        programs.push(
            federation
                .adapter(&format!("adapter-{id}"), id, &settings)
                .await?,
        );
    }
    let owner = federation.client(&broker, "participant/a")?;
    programs.push(broker);
    Ok(Stage {
        owner,
        peers,
        _programs: programs,
        _federation: federation,
    })
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
    let taken = peer.taken().into_iter();
    taken
        .map(|(request, status)| (request.line(), status))
        .collect()
}

/// One command at four providers: each is called in its own language, with its own proof, and says what it can say. The
/// two that know no prefixes say so in the plan and in the outcome, and are not called.
#[tokio::test]
async fn one_command_reaches_every_provider_in_its_own_language() -> Result<()> {
    use Evidence::{Acknowledged, Estimated, Reported, Unspecified};
    let mut stage = stage().await?;
    let url = "http://www.shop.example/a";
    let mut draft = purge(&[url]);
    draft
        .selectors
        .push(selector(Kind::Tag("shoes".to_owned())));
    let command = stage.owner.submit(draft.clone()).await?;
    let command = stage.owner.settled(&command.id, SETTLES).await?;
    let done = ExecutionState::Done;
    assert_eq!(
        told(&command),
        [
            ("akamai", done, Estimated),
            ("cloudflare", done, Acknowledged),
            ("cloudfront", done, Reported),
            ("fastly", done, Acknowledged),
        ],
        "{command:#?}"
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
    let [akamai, cloudflare, cloudfront, fastly] = &stage.peers[..] else {
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
    let invalidation = "/2020-05-31/distribution/D1/invalidation";
    let asked = ok(&format!("GET {invalidation}/I0"), 200);
    let began = ok(&format!("POST {invalidation}"), 201);
    assert_eq!(
        lines(cloudfront),
        [began, asked.clone(), asked.clone(), asked]
    );
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
    let command = stage.owner.submit(draft).await?;
    let command = stage.owner.settled(&command.id, SETTLES).await?;
    let unsupported = ExecutionState::Unsupported;
    assert_eq!(
        told(&command),
        [
            ("akamai", unsupported, Unspecified),
            ("cloudflare", done, Acknowledged),
            ("cloudfront", done, Reported),
            ("fastly", unsupported, Unspecified),
        ],
        "{command:#?}"
    );
    assert_eq!((lines(akamai).len(), lines(fastly).len()), (2, 2));
    Ok(())
}
