//! Dispatches that the broker did not sign: none is carried out, each is counted, and the next good one is.

use std::fs;

use ::amqp::header;
use anyhow::{Result, ensure};
use domain::signing::{Direction, SigningKey};
use tests::http;

use super::*;

const DAY: Duration = Duration::from_hours(24);

/// The broker's key, and the file in which the adapter finds its public half.
struct Keys {
    broker: SigningKey,
    file: std::path::PathBuf,
}

impl Keys {
    fn new(stage: &Stage) -> Result<Self> {
        let keys = Self {
            broker: new_key()?,
            file: stage.folder.path().join("broker-keys"),
        };
        keys.publish(&[&keys.broker])?;
        Ok(keys)
    }

    /// The adapter believes these from now on.
    fn publish(&self, keys: &[&SigningKey]) -> Result<()> {
        let lines = keys.iter().map(|key| format!("{}\n", key.public()));
        let new = self.file.with_extension("new");
        fs::write(&new, lines.collect::<String>())?;
        Ok(fs::rename(&new, &self.file)?)
    }
}

fn new_key() -> Result<SigningKey> {
    Ok(SigningKey::from_pem(&SigningKey::generate()?)?)
}

fn now() -> Timestamp {
    std::time::SystemTime::now().into()
}

fn ago(span: Duration) -> Timestamp {
    (std::time::SystemTime::now() - span).into()
}

/// A dispatch of these orders, not signed.
fn message(stage: &Stage, orders: &[Order]) -> Result<Message> {
    let body = json!({ "participant": stage.participant, "executions": json_of(orders)? });
    Ok(Message {
        message_id: Uuid::now_v7().to_string(),
        kind: DISPATCH_TYPE.to_owned(),
        app_id: "broker".to_owned(),
        timestamp: Timestamp::from_millis(1_700_000_000_000),
        correlation_id: None,
        headers: BTreeMap::new(),
        body: serde_json::to_vec(&body)?,
    })
}

impl Stage {
    /// Publishes as RabbitMQ's administrator, who may do everything there.
    async fn put(&self, message: &Message) -> Result<()> {
        let exchange = self.topology.commands_exchange();
        let publishing = self
            .publisher
            .publish(&exchange, self.participant.as_str(), message);
        Ok(publishing.await?)
    }

    fn signed(&self, key: &SigningKey, message: &Message, at: Timestamp) -> Message {
        let mut message = message.clone();
        message.sign(key, Direction::Dispatch, &self.participant, at, DAY);
        message
    }

    /// An adapter that believes what stands in the file, and where it serves its metrics.
    fn believing(&self, keys: &Keys, required: bool) -> Result<(Process, String)> {
        let signals = format!("127.0.0.1:{}", tests::ports::free()?);
        let required = required.to_string();
        let adapter = self.adapter_with(&[
            ("ALLOWED_ADDRESSES", "[\"127.0.0.0/8\"]"),
            ("SIGNING__BROKER_KEYS", path(&keys.file)?),
            ("SIGNING__REQUIRED", &required),
            ("SIGNALS__LISTEN", &signals),
        ])?;
        Ok((adapter, format!("http://{signals}/metrics")))
    }
}

async fn counted(metrics: &str, why: &str, expected: usize) -> Result<()> {
    let line = format!("adapter_dispatches_refused_total{{why=\"{why}\"}} {expected}");
    wait::until(LIMIT, &line, async || {
        let text = http().get(metrics).send().await?.text().await?;
        ensure!(text.contains(&line), "{text}");
        Ok(())
    })
    .await
}

/// RabbitMQ's administrator writes, changes and plays back dispatches in every way: a byte of the body, each header of the
/// signature, the message id, another key, another participant, another direction, another time, none at all. The adapter
/// tells no server, counts each by its reason, and carries out the good one behind them.
#[tokio::test]
async fn a_dispatch_that_the_broker_did_not_sign_is_not_carried_out() -> Result<()> {
    let mut stage = Stage::new().await?;
    let server = Server::start().await?;
    let keys = Keys::new(&stage)?;
    let (_adapter, metrics) = stage.believing(&keys, true)?;
    let bad = message(&stage, &[server.order("shop", "/forged")?])?;
    let genuine = stage.signed(&keys.broker, &bad, now());
    let changed = |change: &dyn Fn(&mut Message)| {
        let mut message = genuine.clone();
        change(&mut message);
        message
    };
    let with = |name: &'static str, value: ::amqp::HeaderValue| {
        changed(&move |message| {
            message.headers.insert(name.to_owned(), value.clone());
        })
    };
    let mut turned = genuine.clone();
    let place = turned.body.len() / 2;
    turned.body[place] ^= 1;
    let mut to_c = bad.clone();
    to_c.sign(&keys.broker, Direction::Dispatch, &"c".parse()?, now(), DAY);
    let mut back = bad.clone();
    back.sign(
        &keys.broker,
        Direction::Report,
        &stage.participant,
        now(),
        DAY,
    );
    let issued = genuine
        .number(header::SIGNATURE_ISSUED_AT)
        .context("a time")?;
    let end = genuine
        .number(header::SIGNATURE_NOT_AFTER)
        .context("a time")?;
    let cases = [
        ("unsigned", vec![bad.clone()]),
        (
            "malformed_signature",
            vec![
                with(header::SIGNATURE, "not base64".into()),
                changed(&|message| {
                    message.headers.remove(header::SIGNATURE_KEY);
                }),
            ],
        ),
        (
            "forged",
            vec![
                turned,
                back,
                with(header::SIGNATURE, "AAAA".into()),
                with(header::SIGNATURE_PARTICIPANT, "c".into()),
                with(header::SIGNATURE_ISSUED_AT, (issued + 1).into()),
                with(header::SIGNATURE_NOT_AFTER, (end + 1).into()),
                changed(&|message| message.message_id.push('x')),
            ],
        ),
        (
            "unknown_key",
            vec![
                stage.signed(&new_key()?, &bad, now()),
                with(header::SIGNATURE_KEY, "0011223344556677".into()),
            ],
        ),
        ("other_participant", vec![to_c]),
        ("too_old", vec![stage.signed(&keys.broker, &bad, ago(DAY))]),
        (
            "from_the_future",
            vec![stage.signed(&keys.broker, &bad, now().plus(DAY))],
        ),
    ];
    let mut refused = 0;
    for (_, messages) in &cases {
        for message in messages {
            stage.put(message).await?;
            refused += 1;
        }
    }
    let good = message(&stage, &[server.order("shop", "/good")?])?;
    stage.put(&stage.signed(&keys.broker, &good, now())).await?;
    ensure!(is_done(&stage.reports(1).await?[0]));
    stage.settled().await?;
    ensure!(server.told() == ["/good"], "{:?}", server.told());
    for (why, messages) in &cases {
        counted(&metrics, why, messages.len()).await?;
    }
    let dead = stage.topology.dead_letters_queue(&stage.participant);
    stage.holds(&dead, refused).await
}

/// What is played back while it counts is answered from the journal and told to no server again; past its time, when the
/// journal may have forgotten it, it is refused.
#[tokio::test]
async fn a_dispatch_that_is_played_back_is_not_carried_out_again() -> Result<()> {
    let mut stage = Stage::new().await?;
    let server = Server::start().await?;
    let keys = Keys::new(&stage)?;
    let (_adapter, metrics) = stage.believing(&keys, true)?;
    let order = message(&stage, &[server.order("shop", "/1")?])?;
    let genuine = stage.signed(&keys.broker, &order, now());
    for _ in 0..3 {
        stage.put(&genuine).await?;
    }
    let reports = stage.reports(3).await?;
    ensure!(
        reports.iter().all(|report| *report == reports[0]),
        "{reports:?}"
    );
    ensure!(server.count("/1") == 1, "{:?}", server.told());
    // The same a day ago: its entry in the journal is due to be deleted.
    stage
        .put(&stage.signed(&keys.broker, &order, ago(DAY)))
        .await?;
    counted(&metrics, "too_old", 1).await?;
    ensure!(server.count("/1") == 1, "{:?}", server.told());
    stage.settled().await
}

/// The broker's key is exchanged without a restart: both count for a while, then the old one no more. Where signatures are
/// not required, an old broker's unsigned dispatch is carried out, and a wrong signature is not.
#[tokio::test]
async fn keys_are_exchanged_while_the_adapter_runs() -> Result<()> {
    let stage = Stage::new().await?;
    let server = Server::start().await?;
    let keys = Keys::new(&stage)?;
    let (adapter, metrics) = stage.believing(&keys, false)?;
    let (old, new) = (&keys.broker, new_key()?);
    let order = |path: &str| message(&stage, &[server.order("shop", path)?]);
    // A file is looked at when something comes, so something comes until it is seen that the file was.
    let read_again = async |times: usize| {
        let tick = stage.signed(old, &order("/tick")?, now());
        wait::until(LIMIT, "the keys are read again", async || {
            stage.put(&tick).await?;
            let log = fs::read_to_string(adapter.log())?;
            let seen = log.matches("a file has changed and is read again").count();
            ensure!(seen == times, "{seen}");
            Ok(())
        })
        .await
    };
    stage
        .put(&stage.signed(old, &order("/old")?, now()))
        .await?;
    server.is_told("/old").await?;
    stage.put(&order("/unsigned")?).await?;
    server.is_told("/unsigned").await?;
    keys.publish(&[old, &new])?;
    read_again(1).await?;
    let late = stage.signed(old, &order("/late")?, now());
    stage
        .put(&stage.signed(old, &order("/both")?, now()))
        .await?;
    stage
        .put(&stage.signed(&new, &order("/new")?, now()))
        .await?;
    server.is_told("/new").await?;
    keys.publish(&[&new])?;
    read_again(2).await?;
    stage.put(&late).await?;
    stage
        .put(&stage.signed(&new, &order("/last")?, now()))
        .await?;
    server.is_told("/last").await?;
    let refused = http().get(&metrics).send().await?.text().await?;
    ensure!(refused.contains("why=\"unknown_key\""), "{refused}");
    let mut told = server.told();
    told.retain(|path| path != "/tick");
    ensure!(
        told == ["/old", "/unsigned", "/both", "/new", "/last"],
        "{told:?}"
    );
    ensure!(server.count("/tick") > 0);
    Ok(())
}
