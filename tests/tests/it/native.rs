//! A participant that keeps sending what it sends to its provider today, on a real broker.

use anyhow::{Context, Result};
use proto::v1::{self, selector::Kind};
use tests::{
    federation::{Client, Federation, Program, draft, purge, selector},
    shared,
};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

const URLS: [&str; 2] = [
    "https://www.shop.example/a?x=1",
    "https://www.shop.example/b",
];

/// `a` owns `shop`, which two participants carry.
async fn stage() -> Result<(Federation, Program, Client)> {
    let federation = Federation::start(shared()?).await?;
    let broker = federation.broker("broker").await?;
    let mut operator = federation.client(&broker, "operator/ops")?;
    for (participant, dialect) in [("a", "varnish"), ("b", "nginx")] {
        operator.create_participant(participant).await?;
        let id = format!("{participant}1");
        let nowhere = ([127, 0, 0, 1], 1).into();
        operator
            .create_server(&id, participant, dialect, nowhere)
            .await?;
    }
    operator
        .create_configuration("shop", "a", &["www.shop.example"])
        .await?;
    operator
        .create_configuration("news", "b", &["www.news.example"])
        .await?;
    operator.deploy("shop", "a").await?;
    operator.deploy("shop", "b").await?;
    let owner = federation.client(&broker, "participant/a")?;
    Ok((federation, broker, owner))
}

/// Akamai's call to invalidate these.
fn akamai(objects: &[&str]) -> v1::NativeCommand {
    v1::NativeCommand {
        dialect: "akamai".to_owned(),
        method: "POST".to_owned(),
        path: "/ccu/v3/invalidate/url/production".to_owned(),
        body: serde_json::json!({ "objects": objects }).to_string(),
        ..v1::NativeCommand::default()
    }
}

fn native(native: v1::NativeCommand) -> v1::CommandDraft {
    v1::CommandDraft {
        native: Some(native),
        ..v1::CommandDraft::default()
    }
}

fn plain() -> v1::CommandDraft {
    let invalidate = v1::Purge {
        mode: v1::PurgeMode::Invalidate.into(),
    };
    draft(v1::operation::Kind::Purge(invalidate), &URLS)
}

/// The plan; a URL means both schemes, so it is told as one of `https`.
async fn plan(owner: &mut Client, draft: v1::CommandDraft) -> Result<v1::Plan, Status> {
    let request = v1::SubmitCommandRequest {
        draft: Some(draft),
        validate_only: true,
        ..v1::SubmitCommandRequest::default()
    };
    let answer = owner.commands.submit_command(request).await?.into_inner();
    let mut plan = answer.plan.unwrap_or_default();
    for selector in &mut plan.selectors {
        if let Some(Kind::Url(url)) = &mut selector.kind {
            *url = url.replacen("http://", "https://", 1);
        }
    }
    Ok(plan)
}

fn field(status: &Status) -> Option<String> {
    let details = status.get_error_details();
    let violations = &details.bad_request()?.field_violations;
    Some(violations.first()?.field.clone())
}

/// What Akamai is told today is planned for every participant just as the command that it means, and kept as that.
#[tokio::test]
async fn an_akamai_body_is_the_command_that_it_means() -> Result<()> {
    let (_federation, _broker, mut owner) = stage().await?;
    let meant = plan(&mut owner, plain()).await?;
    assert_eq!(meant.executions.len(), 2);
    assert_eq!(plan(&mut owner, native(akamai(&URLS))).await?, meant);
    let accepted = owner.submit(native(akamai(&URLS))).await?;
    let kept = accepted.draft.context("it is shown")?;
    let expected = plain();
    assert_eq!(
        (kept.operation, kept.selectors, kept.native),
        (expected.operation, expected.selectors, None)
    );
    Ok(())
}

/// What providers are told today, and a cache itself, to purge that URL.
fn shapes() -> [v1::NativeCommand; 7] {
    let of = |dialect: &str, method: &str, path: &str, body: &str| v1::NativeCommand {
        dialect: dialect.to_owned(),
        method: method.to_owned(),
        path: path.to_owned(),
        body: body.to_owned(),
        ..v1::NativeCommand::default()
    };
    let invalidation = "<InvalidationBatch><Paths><Quantity>1</Quantity><Items><Path>/a?x=1</Path></Items></Paths>\
                        <CallerReference>r-1</CallerReference></InvalidationBatch>";
    let files = r#"{"files":["http://www.shop.example/a?x=1","https://www.shop.example/a?x=1"]}"#;
    [
        of("fastly", "POST", "/purge/www.shop.example/a?x=1", ""),
        of(
            "cloudflare",
            "POST",
            "/client/v4/zones/z1/purge_cache",
            files,
        ),
        of(
            "cloudfront",
            "POST",
            "/2020-05-31/distribution/D1/invalidation",
            invalidation,
        ),
        of(
            "bunny",
            "POST",
            "/purge?url=https%3A%2F%2Fwww.shop.example%2Fa%3Fx%3D1&async=false",
            "",
        ),
        of(
            "edgecast",
            "PUT",
            "/v2/mcc/customers/0001/edge/bulkpurge",
            r#"{"MediaPath":["https:\/\/www.shop.example\/a?x=1"],"MediaType":3}"#,
        ),
        of(
            "alibaba-cloud-cdn",
            "POST",
            "/?Action=RefreshObjectCaches&Version=2018-05-10",
            "ObjectType=File&ObjectPath=https%3A%2F%2Fwww.shop.example%2Fa%3Fx%3D1",
        ),
        of("varnish", "PURGE", URLS[0], ""),
    ]
}

/// What says something else than that URL: a path of Google's is all its queries, and its directory all below.
fn other_shapes() -> [(v1::NativeCommand, v1::CommandDraft); 4] {
    let of = |dialect: &str, path: &str, body: &str| v1::NativeCommand {
        dialect: dialect.to_owned(),
        method: "POST".to_owned(),
        path: path.to_owned(),
        body: body.to_owned(),
        ..v1::NativeCommand::default()
    };
    let meant = |kind: Kind| v1::CommandDraft {
        configuration_id: "shop".to_owned(),
        selectors: vec![selector(kind)],
        ..purge(&[])
    };
    let map = "/compute/v1/projects/p/global/urlMaps/m/invalidateCache";
    let service = "/v1/projects/p/locations/global/edgeCacheServices/s:invalidateCache";
    let path = r#"{"host":"www.shop.example","path":"/a"}"#;
    let below = r#"{"host":"www.shop.example","path":"/img/*"}"#;
    let push = "ObjectPath=www.shop.example%2Fa";
    [
        (
            of("google-cloud-cdn", map, path),
            meant(Kind::Wildcard("www.shop.example/a".to_owned())),
        ),
        (
            of("google-media-cdn", service, below),
            meant(Kind::Prefix("www.shop.example/img/".to_owned())),
        ),
        (
            of("bunny", "/pullzone/7/purgeCache", r#"{"CacheTag":"red"}"#),
            meant(Kind::Tag("red".to_owned())),
        ),
        (
            of("alibaba-cloud-cdn", "/?Action=PushObjectCache", push),
            draft(
                v1::operation::Kind::Load(v1::Load {}),
                &["https://www.shop.example/a"],
            ),
        ),
    ]
}

/// Each of them is planned just as the purge of that URL. `CloudFront` names no host name, so the command says whose path it is.
#[tokio::test]
async fn every_shape_is_the_command_that_it_means() -> Result<()> {
    let (_federation, _broker, mut owner) = stage().await?;
    let draft = purge(&URLS[..1]);
    let (operation, selectors) = (draft.operation.clone(), draft.selectors.clone());
    let meant = plan(&mut owner, draft).await?;
    assert_eq!(meant.executions.len(), 2);
    assert!(operation.is_some() && !selectors.is_empty());
    assert_eq!(
        (&meant.operation, &meant.selectors),
        (&operation, &selectors)
    );
    for shape in shapes() {
        let dialect = shape.dialect.clone();
        let said = v1::CommandDraft {
            configuration_id: "shop".to_owned(),
            ..native(shape)
        };
        assert_eq!(plan(&mut owner, said).await?, meant, "{dialect}");
    }
    for (shape, meant) in other_shapes() {
        let dialect = shape.dialect.clone();
        let skip = v1::WhenImpossible::Skip.into();
        let said = v1::CommandDraft {
            configuration_id: "shop".to_owned(),
            when_impossible: skip,
            ..native(shape)
        };
        let meant = v1::CommandDraft {
            when_impossible: skip,
            ..meant
        };
        let meant = plan(&mut owner, meant).await?;
        assert_eq!(meant.executions.len(), 2);
        assert_eq!(plan(&mut owner, said).await?, meant, "{dialect}");
    }
    Ok(())
}

/// It is checked as any other, and the mistake is named where the caller made it.
#[tokio::test]
async fn a_native_command_is_checked_as_any_other() -> Result<()> {
    let (_federation, _broker, mut owner) = stage().await?;
    let of = |configuration: &str, objects: &[&str]| v1::CommandDraft {
        configuration_id: configuration.to_owned(),
        ..native(akamai(objects))
    };
    let foreign = [URLS[0], "https://www.news.example/"];
    let both = v1::CommandDraft {
        native: Some(akamai(&URLS)),
        ..plain()
    };
    let unknown = v1::NativeCommand {
        dialect: "acme".to_owned(),
        ..akamai(&URLS)
    };
    for (draft, expected) in [
        (of("shop", &foreign), "draft.native.body"),
        (of("", &foreign), "draft.native.body"),
        (of("", &foreign[1..]), "draft.native.body"),
        (of("", &["/a"]), "draft.native.body"),
        (both, "draft.native"),
        (native(unknown), "draft.native.dialect"),
    ] {
        let refused = owner.submit(draft).await.expect_err("it is refused");
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
        assert_eq!(field(&refused).as_deref(), Some(expected), "{refused:?}");
    }
    let refused = owner.submit(of("news", &URLS)).await;
    assert_eq!(refused.expect_err("it is b's").code(), Code::NotFound);
    Ok(())
}

/// From the command line it is the same: `curl`'s words, and a plan of what each participant would be told.
#[tokio::test]
async fn fedctl_sends_what_curl_would() -> Result<()> {
    let (federation, broker, _owner) = stage().await?;
    let run = async |words: &[&str]| {
        let words = [&["--as", "a", "--json"], words].concat();
        let output = federation.fedctl(&broker, &words).await?;
        let both = [output.stdout, output.stderr].concat();
        anyhow::Ok((
            output.status.code(),
            String::from_utf8_lossy(&both).into_owned(),
        ))
    };
    let words = ["native", "varnish", "-X", "PURGE", URLS[0], "--plan"];
    let (code, said) = run(&words).await?;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("PURGE") && said.contains("/a?x=1"), "{said}");
    let words = ["--as", "a", "native", "akamai", "/ccu/v3/delete/url"];
    let objects = r#"{"objects":["https://www.shop.example/a","https://www.shop.example/b"]}"#;
    let words = [&words[..], &["--data", objects, "--plan"]].concat();
    let said = String::from_utf8(federation.fedctl(&broker, &words).await?.stdout)?;
    let read = "Plan: a request to akamai, read as: purge (delete) of 2 selectors of shop\n  \
                https://www.shop.example/a\n  https://www.shop.example/b\n";
    assert!(said.starts_with(read), "{said}");
    let path = [r#"{"objects":["/a"]}"#, "--yes"];
    let (code, said) = run(&[
        &["native", "akamai", "/ccu/v3/delete/url", "--data"],
        &path[..],
    ]
    .concat())
    .await?;
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("draft.native.body"), "{said}");
    Ok(())
}
