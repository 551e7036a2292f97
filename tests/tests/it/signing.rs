//! Signed messages between a real broker and whoever has RabbitMQ in their hands.

use std::{collections::BTreeMap, time::Duration};

use ::amqp::{
    HeaderValue, LinkSettings, Message, Publisher, PublisherSettings, QueueLimits, Topology,
    envelope::{ExecutionReport, Order, REPORT_TYPE, Report, ReportedOutcome, SignedStatements},
    header,
};
use anyhow::{Context, Result, ensure};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use domain::{
    Evidence, ParticipantId, Timestamp,
    receipt::{Told, Tree, order_digest, root_bytes},
    signing::{Direction, KeyRing, SigningKey, TimedKey, Window},
};
use proto::v1::{self, ExecutionState};
use tests::{
    adapter::ScriptedAdapter,
    federation::{Client, Federation, NOWHERE, Program, purge},
    http,
    rabbitmq::Management,
    shared, wait,
};

const SOON: Duration = Duration::from_mins(1);
const DAY: Duration = Duration::from_hours(24);
const URL: &str = "http://www.shop.example/x";

/// A federation that signs, with the participant `a`, whose key is registered.
struct Stage {
    federation: Federation,
    broker: Program,
    owner: Client,
    a: ScriptedAdapter,
    participant: ParticipantId,
    topology: Topology,
    publisher: Publisher,
    management: Management,
}

impl Stage {
    async fn new(settings: &str) -> Result<Self> {
        let federation = Federation::signed(shared()?, settings).await?;
        let broker = federation.broker("broker").await?;
        let mut operator = federation.client(&broker, "operator/ops")?;
        federation.create_signing(&mut operator, "a").await?;
        operator.open_shop("a", ("varnish", NOWHERE)).await?;
        let link = LinkSettings::new(federation.shared().amqp.clone().into(), "administrator");
        Ok(Self {
            owner: federation.client(&broker, "participant/a")?,
            a: federation.scripted("a")?,
            participant: "a".parse()?,
            topology: Topology::new(federation.prefix(), QueueLimits::default())?,
            publisher: Publisher::new(link, PublisherSettings::default()),
            management: Management::new(&federation.shared().management)?,
            federation,
            broker,
        })
    }

    /// A report that this order is done, not signed.
    fn report(&self, order: &Order, evidence: Evidence) -> Result<Message> {
        let body = Report {
            progress: Vec::new(),
            participant: self.participant.clone(),
            executions: vec![ExecutionReport {
                execution: order.execution.clone(),
                outcome: ReportedOutcome::Done(evidence),
                results: Vec::new(),
                reported_at: Timestamp::from_millis(0),
                traceparent: None,
                absorbed_by: None,
                told: None,
            }],
            receipts: None,
        };
        Ok(Message {
            message_id: uuid::Uuid::now_v7().to_string(),
            kind: REPORT_TYPE.to_owned(),
            app_id: "adapter".to_owned(),
            timestamp: Timestamp::from_millis(0),
            correlation_id: None,
            headers: BTreeMap::new(),
            body: serde_json::to_vec(&body)?,
        })
    }

    fn signed(&self, key: &SigningKey, message: &Message, at: Timestamp) -> Message {
        let mut message = message.clone();
        message.sign(key, Direction::Report, &self.participant, at, DAY);
        message
    }

    /// Publishes as RabbitMQ's administrator, who may write everywhere.
    async fn put(&self, message: &Message) -> Result<()> {
        let exchange = self.topology.entry_exchange(&self.participant);
        Ok(self.publisher.publish(&exchange, "", message).await?)
    }

    async fn counted(&self, result: &str, expected: usize) -> Result<()> {
        let line = format!("broker_reports_total{{result=\"{result}\"}} {expected}");
        let metrics = format!("http://{}/metrics", self.broker.signals);
        wait::until(SOON, &line, async || {
            let text = http().get(&metrics).send().await?.text().await?;
            ensure!(text.contains(&line), "{text}");
            Ok(())
        })
        .await
    }

    async fn becomes(&self, id: &str, expected: ExecutionState) -> Result<v1::Command> {
        wait::until(SOON, &format!("{expected:?}"), async || {
            let command = self.owner.clone().get(id).await.ok()?;
            (command.executions.first()?.state() == expected).then_some(command)
        })
        .await
    }

    async fn holds(&self, queue: &str, expected: u64) -> Result<()> {
        let queue = format!("{}{queue}", self.federation.prefix());
        wait::until(SOON, &format!("{queue} holds {expected}"), async || {
            let depth = self.management.depth(&queue).await?;
            ensure!(depth == expected, "{depth}");
            Ok(())
        })
        .await
    }
}

fn now() -> Timestamp {
    std::time::SystemTime::now().into()
}

fn new_key() -> Result<SigningKey> {
    Ok(SigningKey::from_pem(&SigningKey::generate()?)?)
}

/// RabbitMQ's administrator writes, changes and plays back reports in every way, and none is believed: each is counted by its
/// reason and dead-lettered, and the good one behind them is applied. That one played back moves nothing.
#[tokio::test]
async fn a_report_that_its_participant_did_not_sign_is_not_believed() -> Result<()> {
    let mut stage = Stage::new("").await?;
    let command = stage.owner.submit(purge(&[URL])).await?;
    let (delivery, orders) = stage.a.next().await?;
    let key = stage.federation.key("a")?;
    let bad = stage.report(&orders[0], Evidence::Verified)?;
    let genuine = stage.signed(&key, &bad, now());
    let with = |name: &str, value: HeaderValue| {
        let mut message = genuine.clone();
        message.headers.insert(name.to_owned(), value);
        message
    };
    let mut turned = genuine.clone();
    let place = turned.body.len() / 2;
    turned.body[place] ^= 1;
    let mut renamed = genuine.clone();
    renamed.message_id.push('x');
    let mut lacking = genuine.clone();
    lacking.headers.remove(header::SIGNATURE_NOT_AFTER);
    let mut of_b = bad.clone();
    of_b.sign(&key, Direction::Report, &"b".parse()?, now(), DAY);
    let mut back = bad.clone();
    back.sign(&key, Direction::Dispatch, &stage.participant, now(), DAY);
    let issued = genuine
        .number(header::SIGNATURE_ISSUED_AT)
        .context("a time")?;
    let end = genuine
        .number(header::SIGNATURE_NOT_AFTER)
        .context("a time")?;
    let yesterday: Timestamp = (std::time::SystemTime::now() - DAY).into();
    let cases = [
        ("unsigned", vec![bad.clone()]),
        (
            "malformed_signature",
            vec![with(header::SIGNATURE, "not base64".into()), lacking],
        ),
        (
            "forged",
            vec![
                turned,
                renamed,
                back,
                with(header::SIGNATURE, "AAAA".into()),
                with(header::SIGNATURE_PARTICIPANT, "b".into()),
                with(header::SIGNATURE_ISSUED_AT, (issued + 1).into()),
                with(header::SIGNATURE_NOT_AFTER, (end + 1).into()),
            ],
        ),
        (
            "unknown_key",
            vec![
                stage.signed(&new_key()?, &bad, now()),
                stage.signed(&stage.federation.key("broker")?, &bad, now()),
                with(header::SIGNATURE_KEY, "0011223344556677".into()),
            ],
        ),
        ("other_participant", vec![of_b]),
        ("too_old", vec![stage.signed(&key, &bad, yesterday)]),
        (
            "from_the_future",
            vec![stage.signed(&key, &bad, now().plus(DAY))],
        ),
    ];
    let mut refused = 0;
    for (_, messages) in &cases {
        for message in messages {
            stage.put(message).await?;
            refused += 1;
        }
    }
    for (why, messages) in &cases {
        stage.counted(why, messages.len()).await?;
    }
    stage.holds("dead-letters.replies", refused).await?;
    stage
        .becomes(&command.id, ExecutionState::Dispatched)
        .await?;
    let good = stage.report(&orders[0], Evidence::Reported)?;
    let good = stage.signed(&key, &good, now());
    for _ in 0..2 {
        stage.put(&good).await?;
    }
    stage.counted("applied", 2).await?;
    let settled = stage.becomes(&command.id, ExecutionState::Done).await?;
    ensure!(settled.executions[0].evidence() == v1::Evidence::Reported);
    // Not refused, for it cannot be told from one that RabbitMQ or its sender repeats; but counted.
    let line = "broker_repeated_outcomes_total{participant=\"a\"} 1";
    let metrics = format!("http://{}/metrics", stage.broker.signals);
    wait::until(SOON, line, async || {
        let text = http().get(&metrics).send().await?.text().await?;
        ensure!(text.contains(line), "{text}");
        Ok(())
    })
    .await?;
    delivery.ack().await?;
    Ok(())
}

/// A dispatch that died is signed anew when it is sent again, so that it counts however long it lay; one that the broker did
/// not write is not sent again, or an operator would make a forgery true.
#[tokio::test]
async fn a_dead_letter_is_signed_again_only_if_it_is_the_brokers() -> Result<()> {
    let mut stage = Stage::new("").await?;
    stage.owner.submit(purge(&[URL])).await?;
    let (delivery, _) = stage.a.next().await?;
    let genuine = delivery.message.clone();
    delivery.reject(false).await?;
    stage.holds("dead-letters.a", 1).await?;
    let operator = ["--as-operator", "ops", "dead-letters", "retry"];
    let retry = async |id: &str| {
        let arguments = [&operator[..], &[id]].concat();
        stage.federation.fedctl(&stage.broker, &arguments).await
    };
    let retried = retry(&genuine.message_id).await?;
    ensure!(retried.status.success(), "{retried:?}");
    let (again, _) = stage.a.next().await?;
    let ring = KeyRing::new([TimedKey::always(stage.federation.key("broker")?.public())]);
    let window = Window {
        now: now(),
        oldest: DAY,
    };
    let verified =
        |message: &Message| message.verify(Direction::Dispatch, &stage.participant, &ring, window);
    ensure!(again.message.body == genuine.body);
    ensure!(verified(&genuine)? <= verified(&again.message)?);

    let mut forged = genuine.clone();
    forged.message_id = "forged".to_owned();
    let exchange = stage.topology.commands_exchange();
    stage.publisher.publish(&exchange, "a", &forged).await?;
    let (forgery, _) = stage.a.next().await?;
    forgery.reject(false).await?;
    stage.holds("dead-letters.a", 1).await?;
    let refused = retry("forged").await?;
    let said = String::from_utf8_lossy(&refused.stderr);
    ensure!(
        !refused.status.success() && said.contains("not what the broker wrote"),
        "{said}"
    );
    stage.holds("dead-letters.a", 1).await?;
    Ok(())
}

/// Keys are made, added, listed and removed with `fedctl`; the key that was there stays what it is.
#[tokio::test]
async fn keys_are_kept_with_fedctl() -> Result<()> {
    let stage = Stage::new("").await?;
    let as_operator = async |arguments: &[&str]| {
        let arguments = [&["--as-operator", "ops", "--json"][..], arguments].concat();
        let output = stage.federation.fedctl(&stage.broker, &arguments).await?;
        ensure!(output.status.success(), "{output:?}");
        anyhow::Ok(serde_json::from_slice::<serde_json::Value>(&output.stdout)?)
    };
    let file = stage.federation.folder().join("made.pem");
    let file = file.to_str().context("a path")?;
    let made = as_operator(&["keys", "generate", file]).await?;
    let shown = as_operator(&["keys", "show", file]).await?;
    ensure!(made == shown, "{made} {shown}");
    let (key, id) = (
        made["public_key"].as_str().context("a key")?,
        made["key_id"].as_str().context("an id")?,
    );
    let until = "2030-01-01T00:00:00Z";
    let keys = as_operator(&["participants", "keys", "add", "a", key, "--until", until]).await?;
    ensure!(
        keys["keys"][1]["key_id"] == id && keys["keys"][1]["valid_until_time"] == until,
        "{keys}"
    );
    let listed = as_operator(&["participants", "keys", "list", "a"]).await?;
    ensure!(listed == keys, "{listed}");
    let left = as_operator(&["participants", "keys", "remove", "a", id]).await?;
    ensure!(
        left["keys"].as_array().is_some_and(|keys| keys.len() == 1),
        "{left}"
    );
    let own = stage.federation.key("a")?.id().to_string();
    ensure!(left["keys"][0]["key_id"] == own.as_str(), "{left}");
    let left = as_operator(&["participants", "keys", "remove", "a", &own]).await?;
    ensure!(left["keys"].as_array().is_some_and(Vec::is_empty), "{left}");
    Ok(())
}

/// An update by somebody who does not speak of keys, such as a client that is older than they are, keeps them: otherwise unsigned
/// reports would count from then on. Who wants them gone says so, and not together with keys.
#[tokio::test]
async fn an_update_without_keys_keeps_them() -> Result<()> {
    let stage = Stage::new("").await?;
    let mut operator = stage.federation.client(&stage.broker, "operator/ops")?;
    let key = stage.federation.registered_key("a")?;
    let own = stage.federation.key("a")?.id().to_string();
    let mut update = async |keys: Vec<v1::SigningKey>, removes_signing_keys| {
        let participant = v1::Participant {
            id: "a".to_owned(),
            display_name: "A".to_owned(),
            signing_keys: keys,
            ..v1::Participant::default()
        };
        let request = v1::UpdateParticipantRequest {
            participant: Some(participant),
            removes_signing_keys,
        };
        let answer = operator.registry.update_participant(request).await?;
        let updated = answer.into_inner().participant.unwrap_or_default();
        let ids = updated.signing_keys.into_iter().map(|key| key.key_id);
        Ok::<_, tonic::Status>((updated.display_name, ids.collect::<Vec<_>>()))
    };
    assert_eq!(
        update(vec![], false).await?,
        ("A".to_owned(), vec![own.clone()])
    );
    let both = update(vec![key.clone()], true).await;
    let both = both.expect_err("it contradicts itself");
    assert_eq!(both.code(), tonic::Code::InvalidArgument, "{both:?}");
    assert_eq!(update(vec![], true).await?.1, Vec::<String>::new());
    assert_eq!(update(vec![key], false).await?.1, [own]);
    Ok(())
}

/// A participant that signs for another order than it was given is found out: its outcome counts, its receipt is marked. One whose
/// receipts somebody else signed has none.
#[tokio::test]
async fn a_receipt_of_another_order_is_marked() -> Result<()> {
    let mut stage = Stage::new("").await?;
    let key = stage.federation.key("a")?;
    for (signer, is_chained) in [(&key, true), (&new_key()?, false)] {
        let command = stage.owner.submit(purge(&[URL])).await?;
        let (delivery, orders) = stage.a.next().await?;
        let mut message = stage.report(&orders[0], Evidence::Reported)?;
        let mut report: Report = serde_json::from_slice(&message.body)?;
        report.executions[0].told = Some(Told {
            digest: order_digest("{}"),
            configuration: orders[0].configuration.clone(),
        });
        let leaf = report.executions[0]
            .statement()
            .context("it has ended")?
            .leaf();
        let tree = Tree::new(&[leaf]).context("one leaf")?;
        let signature = signer.sign(&root_bytes(&stage.participant, 1, &tree.root));
        report.receipts = Some(SignedStatements {
            key: signer.id(),
            signature: BASE64.encode(signature),
        });
        message.body = serde_json::to_vec(&report)?;
        stage.put(&stage.signed(&key, &message, now())).await?;
        delivery.ack().await?;
        stage.becomes(&command.id, ExecutionState::Done).await?;
        let result = if is_chained {
            "told_otherwise"
        } else {
            "not_signed"
        };
        let line = format!("broker_receipts_total{{result=\"{result}\"}} 1");
        let metrics = format!("http://{}/metrics", stage.broker.signals);
        wait::until(SOON, &line, async || {
            let text = http().get(&metrics).send().await?.text().await?;
            ensure!(text.contains(&line), "{text}");
            Ok(())
        })
        .await?;
    }
    let request = v1::ListReceiptsRequest {
        configuration_id: "shop".to_owned(),
        ..v1::ListReceiptsRequest::default()
    };
    let listed = stage
        .owner
        .receipts
        .list_receipts(request)
        .await?
        .into_inner();
    let [record] = listed.records.as_slice() else {
        anyhow::bail!("{listed:?}")
    };
    ensure!(record.text.contains("\"as_told\":false"), "{}", record.text);
    Ok(())
}
