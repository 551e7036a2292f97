//! The audit log: what was done and refused is in it, and whoever changes it is found out.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context, Result};
use proto::v1;
use tests::{
    federation::{Client, Federation, NOWHERE, Program, purge},
    shared, wait,
};

const SOON: Duration = Duration::from_secs(20);
const URL: &str = "http://www.shop.example/x";

struct Stage {
    federation: Federation,
    broker: Program,
    operator: Client,
    a: Client,
}

async fn stage(settings: &str) -> Result<Stage> {
    let federation = Federation::with_settings(shared()?, settings).await?;
    let broker = federation.broker("broker").await?;
    let mut operator = federation.client(&broker, "operator/ops")?;
    for id in ["a", "b"] {
        operator.create_participant(id).await?;
    }
    operator.open_shop("a", ("varnish", NOWHERE)).await?;
    let a = federation.client(&broker, "participant/a")?;
    Ok(Stage {
        federation,
        broker,
        operator,
        a,
    })
}

impl Stage {
    async fn verify(&self) -> Result<(Option<i32>, String)> {
        let arguments = ["--as-operator", "ops", "audit", "verify"];
        let output = self.federation.fedctl(&self.broker, &arguments).await?;
        let said = [output.stdout, output.stderr].concat();
        Ok((output.status.code(), String::from_utf8(said)?))
    }

    /// Waits until nothing is left to seal.
    async fn sealed(&self) -> Result<String> {
        wait::until(SOON, "all is sealed", async || {
            let (_, said) = self.verify().await?;
            anyhow::ensure!(said.contains(", 0 not sealed yet"), "{said}");
            anyhow::Ok(said)
        })
        .await
    }

    async fn redis(&self) -> Result<redis::aio::MultiplexedConnection> {
        Ok(tests::redis::connect(&self.federation.shared().redis).await?)
    }

    fn key(&self, name: &str) -> String {
        format!("{}{{s0}}:{name}", self.federation.prefix())
    }
}

async fn acts(client: &mut Client) -> Result<Vec<(String, String, String, u64)>> {
    let request = v1::ListAuditRequest {
        page_size: 1_000,
        ..v1::ListAuditRequest::default()
    };
    let page = client.audit.list_audit(request).await?.into_inner();
    let act = |one: v1::AuditRecord| (one.caller, one.call, one.result, one.count);
    Ok(page.records.into_iter().map(act).collect())
}

/// What was done is there when the answer is; refusals are counted together; each sees its own, and an operator all.
#[tokio::test]
async fn what_was_done_and_refused_is_written_down() -> Result<()> {
    let mut stage = stage("").await?;
    let command = stage.a.submit(purge(&[URL])).await?;
    let done = acts(&mut stage.a).await?;
    assert_eq!(
        done,
        [(
            "participant/a".into(),
            "SubmitCommand".into(),
            "OK".into(),
            1
        )]
    );
    let mut b = stage.federation.client(&stage.broker, "participant/b")?;
    for _ in 0..50 {
        b.get(&command.id).await.expect_err("it is a's");
    }
    let refused = wait::until(SOON, "all refusals are counted", async || {
        let of_b = acts(&mut b.clone()).await.ok()?;
        let sum: u64 = of_b.iter().map(|(.., count)| count).sum();
        (sum == 50).then_some(of_b)
    })
    .await?;
    assert!(refused.len() < 10, "{refused:?}");
    assert!(refused.iter().all(|(caller, call, result, _)| {
        caller == "participant/b" && call == "GetCommand" && result == "NOT_FOUND"
    }));
    let all = acts(&mut stage.operator).await?;
    for call in [
        "CreateParticipant",
        "CreateDeployment",
        "SubmitCommand",
        "GetCommand",
    ] {
        assert!(
            all.iter().any(|(_, name, ..)| name == call),
            "{call} in {all:?}"
        );
    }
    Ok(())
}

/// A document without a line that begins with its name.
const FLOWING: &str = r#"{"mapping": 1, "name": "flowing", "calls": [{"operation": "load", "selectors": ["url"], "method": "GET",
"path": "/warm"}], "answers": [{"status": 200, "means": "done", "evidence": "reported"}]}"#;
/// One with such a line in the midst of a text, before its name.
const MISLEADING: &str = r#"{mapping: 1, calls: [{operation: load, selectors: [url], method: POST, path: /warm,
headers: {content-type: text/plain}, body: "
name: acme
"}], answers: [{status: 200, means: done, evidence: reported}], name: misleading}"#;

/// A mapping that was put goes by the name that it has, however its document is written; what was refused, by what that claims.
#[tokio::test]
async fn a_mapping_is_named() -> Result<()> {
    let mut stage = stage("").await?;
    let put = |document: &str| v1::PutMappingRequest {
        mapping: Some(v1::Mapping {
            document: document.to_owned(),
            ..v1::Mapping::default()
        }),
    };
    let example = include_str!("../../../dialects/src/mapped/example.yaml");
    for document in [example, FLOWING, MISLEADING] {
        stage.operator.registry.put_mapping(put(document)).await?;
    }
    let refused = stage.a.registry.put_mapping(put(example)).await;
    assert_eq!(
        refused.expect_err("it is an operator's").code(),
        tonic::Code::PermissionDenied
    );
    let request = v1::ListAuditRequest {
        page_size: 1_000,
        ..v1::ListAuditRequest::default()
    };
    let named = wait::until(SOON, "all four are written down", async || {
        let mut audit = stage.operator.audit.clone();
        let records = audit
            .list_audit(request.clone())
            .await
            .ok()?
            .into_inner()
            .records;
        let puts = records.into_iter().filter(|one| one.call == "PutMapping");
        let named: Vec<_> = puts.map(|put| (put.result, put.resource)).collect();
        (named.len() == 4).then_some(named)
    })
    .await?;
    let expected = [
        ("OK", "mapping/acme"),
        ("OK", "mapping/flowing"),
        ("OK", "mapping/misleading"),
        ("NOT_ALLOWED", "mapping/acme"),
    ];
    let expected = expected.map(|(result, resource)| (result.to_owned(), resource.to_owned()));
    assert_eq!(BTreeSet::from_iter(named), BTreeSet::from(expected));
    Ok(())
}

/// A record that is changed, or taken away, or the last of all, is found by `fedctl audit verify`, which says where.
#[tokio::test]
async fn a_changed_or_deleted_record_is_found() -> Result<()> {
    let mut stage = stage("").await?;
    for _ in 0..3 {
        stage.a.submit(purge(&[URL])).await?;
    }
    let said = stage.sealed().await?;
    assert!(said.contains("the chain holds"), "{said}");
    let mut redis = stage.redis().await?;
    let log = stage.key("audit");
    let records: redis::streams::StreamRangeReply = redis::cmd("XRANGE")
        .arg(&log)
        .arg("-")
        .arg("+")
        .query_async(&mut redis)
        .await?;
    let last = records.ids.last().context("there are records")?;
    let text: String = last.get("r").context("with their text")?;
    // A stream takes no record in the place of one that was deleted, but a whole log can be written anew.
    let _: () = redis::cmd("DEL").arg(&log).query_async(&mut redis).await?;
    for record in &records.ids {
        let kept: String = record.get("r").context("with its text")?;
        let changed = kept.replace("participant/a", "participant/b");
        let _: () = redis::cmd("XADD")
            .arg(&log)
            .arg(&record.id)
            .arg("r")
            .arg(if record.id == last.id {
                &changed
            } else {
                &kept
            })
            .query_async(&mut redis)
            .await?;
    }
    // Who may not look is told so; it has seen no tampering.
    let arguments = ["--as", "a", "audit", "verify"];
    let output = stage.federation.fedctl(&stage.broker, &arguments).await?;
    let said = String::from_utf8(output.stderr)?;
    assert_eq!(output.status.code(), Some(4), "{said}");
    assert_eq!(said, "fedctl: not allowed: audit verify is for operators\n");
    let (code, said) = stage.verify().await?;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains(&last.id), "{said}");
    assert!(text.contains("participant/a"));
    let _: () = redis::cmd("XDEL")
        .arg(&log)
        .arg(&last.id)
        .query_async(&mut redis)
        .await?;
    let (code, said) = stage.verify().await?;
    assert_eq!(
        (code, said.contains("taken away")),
        (Some(1), true),
        "{said}"
    );
    Ok(())
}

/// What is past its retention goes, and the rest still verifies from where it begins.
#[tokio::test]
async fn a_log_that_was_trimmed_still_verifies() -> Result<()> {
    let mut stage = stage("[audit]\nrecords = 5\n").await?;
    // A log is cut at seals, so there must be more than one.
    for _ in 0..2 {
        for _ in 0..10 {
            stage.a.submit(purge(&[URL])).await?;
        }
        stage.sealed().await?;
    }
    let url = toml::Value::String(stage.federation.shared().redis.clone()).try_into()?;
    let keys = broker::store::Keys::new(stage.federation.prefix(), 1);
    let store = broker::store::Store::connect(&url, keys).await?;
    let shard = store.keys().shards().next().context("a shard")?;
    // As the broker does every minute.
    let long_ago = domain::Timestamp::from_millis(0);
    store.trim_audit(shard, long_ago, 5).await?;
    let left = acts(&mut stage.operator).await?.len();
    assert!(left < 20, "{left} records are left");
    stage.a.submit(purge(&[URL])).await?;
    let said = stage.sealed().await?;
    assert!(said.contains("the chain holds"), "{said}");
    Ok(())
}
