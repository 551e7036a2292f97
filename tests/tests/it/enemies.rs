//! A participant that turns against the others, with the RabbitMQ user that it was really given.
//!
//! Invariant: nothing that is another's is read, changed or spoken for, by AMQP or by the management API; what it may do
//! with what is its own goes on working.

mod amqp;
mod web;

use std::time::Duration;

use ::amqp::{Credentials, QueueLimits, Topology};
use anyhow::{Context, Result, ensure};
use domain::ParticipantId;
use lapin::{
    BasicProperties, Channel, Connection, ConnectionProperties,
    options::{BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions},
    types::FieldTable,
};
use secrecy::ExposeSecret as _;
use tests::{federation::Federation, shared};

use self::amqp::Attempt;

const PARTICIPANTS: [&str; 3] = ["a", "b", "c"];
/// All queues that a participant can have.
const QUEUES: &str = "[amqp]\nconsole_copies = 10\n[amqp.management]\nchannels = 2000";
/// Few, so that a test finds the end of them.
const LIMITS: &str = "[amqp.management]\nconnections = 12\nchannels = 12";
/// How long RabbitMQ may take for one answer.
const LIMIT: Duration = Duration::from_secs(30);

/// What came of all attempts.
#[derive(Default)]
struct Count {
    attempts: usize,
    refused: usize,
    wrong: Vec<String>,
}

impl Count {
    fn note(&mut self, what: String, is_refused: bool) {
        self.attempts += 1;
        if is_refused {
            self.refused += 1;
        } else {
            self.wrong.push(what);
        }
    }
}

struct Stage {
    federation: Federation,
    topology: Topology,
    participants: Vec<(ParticipantId, Credentials)>,
    admin: Connection,
}

impl Stage {
    async fn start(settings: &str) -> Result<Self> {
        let shared = shared()?;
        let federation = Federation::restricted(shared.clone(), settings).await?;
        let broker = federation.broker("broker").await?;
        let mut operator = federation.client(&broker, "operator/ops")?;
        let mut participants = Vec::new();
        for id in PARTICIPANTS {
            operator.create_participant(id).await?;
            let file = federation.credentials(id).await?;
            let file = file.context("the broker makes users")?;
            participants.push((id.parse()?, Credentials::read(&file)?));
        }
        Ok(Self {
            topology: Topology::new(federation.prefix(), QueueLimits::default())?,
            participants,
            admin: Connection::connect(&shared.amqp, ConnectionProperties::default()).await?,
            federation,
        })
    }

    /// One message in everybody's queue.
    async fn send_to_all(&self) -> Result<()> {
        let channel = self.admin.create_channel().await?;
        channel
            .confirm_select(ConfirmSelectOptions::default())
            .await?;
        for (participant, _) in &self.participants {
            let (exchange, key) = (self.topology.commands_exchange(), participant.to_string());
            let options = BasicPublishOptions::default();
            let properties = BasicProperties::default();
            channel
                .basic_publish(
                    exchange.into(),
                    key.into(),
                    options,
                    b"untouched",
                    properties,
                )
                .await?
                .await?;
        }
        Ok(())
    }

    async fn depth(&self, channel: &Channel, queue: &str) -> Result<u32> {
        let options = QueueDeclareOptions {
            passive: true,
            ..QueueDeclareOptions::default()
        };
        let queue = channel
            .queue_declare(queue.into(), options, FieldTable::default())
            .await?;
        Ok(queue.message_count())
    }
}

fn url_of(credentials: &Credentials) -> Result<String> {
    with_login(
        &credentials.url,
        &credentials.user,
        credentials.password.expose_secret(),
    )
}

fn with_login(url: &str, user: &str, password: &str) -> Result<String> {
    let mut url: reqwest::Url = url.parse()?;
    let set = url.set_username(user);
    set.and_then(|()| url.set_password(Some(password)))
        .map_err(|()| anyhow::anyhow!("the URL takes no user"))?;
    Ok(url.into())
}

async fn connect(url: &str) -> lapin::Result<Connection> {
    let connecting = Connection::connect(url, ConnectionProperties::default());
    match tokio::time::timeout(LIMIT, connecting).await {
        Ok(connected) => connected,
        Err(_) => Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()),
    }
}

/// Every ordered pair of three participants, everything that AMQP and the management API have to offer: the last line counts.
#[tokio::test]
async fn a_participant_gets_nowhere_with_anothers_queues_exchanges_and_name() -> Result<()> {
    let stage = Stage::start(QUEUES).await?;
    stage.send_to_all().await?;
    let mut count = Count::default();
    let (mut passive, mut pairs) = (0, 0);
    for (enemy, credentials) in &stage.participants {
        let connection = connect(&url_of(credentials)?).await?;
        for (victim, victims) in &stage.participants {
            if enemy == victim {
                continue;
            }
            pairs += 1;
            for attempt in amqp::against(&stage.topology, enemy, victim) {
                let refused = attempt.is_refused(&connection).await?;
                count.note(format!("{enemy} against {victim}: {attempt:?}"), refused);
            }
            let open = Attempt::PassiveDeclare(stage.topology.commands_queue(victim));
            passive += usize::from(!open.is_refused(&connection).await?);
            let login = with_login(
                &credentials.url,
                &victims.user,
                credentials.password.expose_secret(),
            );
            count.note(
                format!("{enemy} logs in as {victim} with its own password"),
                connect(&login?).await.is_err(),
            );
            let management = &stage.federation.shared().management;
            for (what, refused) in
                web::attempts(management, &stage.topology, credentials, victim).await?
            {
                count.note(format!("{enemy} against {victim}: {what}"), refused);
            }
        }
        // What is its own still works, or all of the above proves nothing.
        amqp::report_and_consume(&connection, &stage.topology, enemy, &credentials.user).await?;
        // Some of its channels are still closing, over which the library stumbles; dropped, the connection ends all the same.
        let _ = connection.close(200, "OK".into()).await;
    }

    let channel = stage.admin.create_channel().await?;
    for (participant, _) in &stage.participants {
        let queue = stage.topology.commands_queue(participant);
        // What was given back is counted a moment later.
        tests::wait::until(LIMIT, "the one command is there", async || {
            let depth = stage.depth(&channel, &queue).await?;
            ensure!(depth == 1, "{depth} in {queue}");
            Ok(())
        })
        .await?;
        let dead = stage.topology.dead_letters_queue(participant);
        assert_eq!(stage.depth(&channel, &dead).await?, 0, "{dead}");
    }
    say(&format!(
        "rabbitmq: passive declare of another's queue answered in {passive} of {pairs} pairs"
    ));
    say(&format!(
        "rabbitmq: {} attempts, {} refused, {} wrong",
        count.attempts,
        count.refused,
        count.wrong.len()
    ));
    assert!(count.wrong.is_empty(), "{:#?}", count.wrong);
    assert_eq!(count.attempts, count.refused);
    Ok(())
}

/// A participant that opens connections and channels without end takes none away from the others.
#[tokio::test]
async fn a_participant_has_its_share_of_connections_and_channels() -> Result<()> {
    let stage = Stage::start(LIMITS).await?;
    let url = url_of(&stage.participants[0].1)?;
    let first = connect(&url).await?;
    let mut channels = Vec::new();
    // RabbitMQ counts a moment later, so a few more may get through.
    for _ in 0..100 {
        match tokio::time::timeout(LIMIT, first.create_channel()).await? {
            Ok(channel) => channels.push(channel),
            Err(_) => break,
        }
    }
    assert!(
        (1..100).contains(&channels.len()),
        "{} channels",
        channels.len()
    );
    let mut connections = Vec::new();
    for _ in 0..100 {
        match connect(&url).await {
            Ok(connection) => connections.push(connection),
            Err(_) => break,
        }
    }
    assert!(
        (1..100).contains(&connections.len()),
        "{} connections",
        connections.len()
    );
    let other = connect(&url_of(&stage.participants[1].1)?).await?;
    other.create_channel().await?;
    Ok(())
}

/// Rotation: the old password opens no connection any more, the new one does; deleting the participant ends what is open.
#[tokio::test]
async fn an_old_password_is_worth_nothing_and_a_deleted_user_is_cut_off() -> Result<()> {
    let shared = shared()?;
    let federation = Federation::restricted(shared.clone(), "").await?;
    let broker = federation.broker("broker").await?;
    let operator = ["--as-operator", "ops"];
    let folder = federation.folder().to_owned();
    let run = async |arguments: &[&str]| {
        let arguments = [arguments, &operator].concat();
        federation.fedctl(&broker, &arguments).await
    };
    let (old, new) = (folder.join("old.json"), folder.join("new.json"));
    let text = |path: &std::path::Path| path.to_string_lossy().into_owned();
    let created = run(&["participants", "create", "a", "--credentials", &text(&old)]).await?;
    assert!(created.status.success(), "{created:?}");
    let before = Credentials::read(&old)?;
    let said = format!("{created:?}");
    assert!(
        !said.contains(before.password.expose_secret()),
        "it was printed"
    );
    connect(&url_of(&before)?).await?;
    let made = run(&[
        "participants",
        "credentials",
        "a",
        "--credentials",
        &text(&new),
    ])
    .await?;
    assert!(made.status.success(), "{made:?}");
    assert!(
        connect(&url_of(&before)?).await.is_err(),
        "the old password"
    );
    let open = connect(&url_of(&Credentials::read(&new)?)?).await?;

    let log = broker.process.log_tail();
    let after = Credentials::read(&new)?;
    for password in [&before.password, &after.password] {
        assert!(!log.contains(password.expose_secret()), "it was logged");
    }
    let deleted = run(&["participants", "delete", "a"]).await?;
    assert!(deleted.status.success(), "{deleted:?}");
    tests::wait::until(LIMIT, "RabbitMQ closes the connection", async || {
        ensure!(!open.status().connected());
        Ok(())
    })
    .await?;
    assert!(
        connect(&url_of(&after)?).await.is_err(),
        "there is no user any more"
    );
    Ok(())
}

/// Without the management API a participant is not made by halves: UNAVAILABLE, no record; and once it is back the same call
/// makes all of it.
#[tokio::test]
async fn without_the_management_api_nothing_is_created_and_the_call_may_be_repeated() -> Result<()>
{
    let shared = shared()?;
    let relay = tests::relay::Relay::start(address_of(&shared.management)?).await?;
    let mut behind = shared.clone();
    behind.management = with_login(&format!("http://{}", relay.address()), "guest", "guest")?;
    let federation = Federation::restricted(behind, "").await?;
    let broker = federation.broker("broker").await?;
    let mut operator = federation.client(&broker, "operator/ops")?;
    relay.cut();
    let refused = operator.create_participant("a").await.unwrap_err();
    let status = refused
        .downcast_ref::<tonic::Status>()
        .context("a status")?;
    assert_eq!(status.code(), tonic::Code::Unavailable, "{status:?}");
    let get = proto::v1::GetParticipantRequest {
        participant_id: "a".to_owned(),
    };
    let absent = operator.registry.get_participant(get).await.unwrap_err();
    assert_eq!(absent.code(), tonic::Code::NotFound);
    relay.heal();
    operator.create_participant("a").await?;
    assert!(federation.credentials("a").await?.is_some());
    Ok(())
}

#[expect(clippy::print_stderr, reason = "what the test counted is its result")]
fn say(line: &str) {
    eprintln!("{line}");
}

fn address_of(url: &str) -> Result<std::net::SocketAddr> {
    let url: reqwest::Url = url.parse()?;
    let found = url.socket_addrs(|| None)?;
    found.first().copied().context("it has an address")
}
