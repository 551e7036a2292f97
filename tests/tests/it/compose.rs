//! `docker-compose.yml`: what it promises an operator, as far as it can be asked without a container engine.

mod file;
mod generated;
mod servers;

use std::{collections::BTreeSet, fs, process::Command, time::Duration};

use ::amqp::{QueueLimits, Topology};
use adapters::config::Configuration;
use anyhow::{Context, Result, ensure};
use broker::config::{Config, Serving};
use domain::ParticipantId;
use regex::Regex;
use serde::de::DeserializeOwned;
use service::configuration::{self, Checked};
use tests::{binaries, ports, process::Process};

use self::{
    file::{Compose, Service, root},
    generated::Generated,
    servers::Servers,
};

/// How long one of our programs may take to start here.
const START: Duration = Duration::from_secs(30);

/// The participants of the demo.
const PARTICIPANTS: [&str; 3] = ["north", "south", "west"];

/// The program that operators run reads the file, with every profile. Debian's package is in the list of `tests/install`;
/// everywhere else the other tests here still read the file.
#[test]
fn docker_compose_accepts_the_file() -> Result<()> {
    let mut command = Command::new("docker-compose");
    command.args([
        "--profile",
        "demo",
        "--profile",
        "tools",
        "config",
        "--quiet",
    ]);
    match command.current_dir(root()).output() {
        Ok(output) => ensure!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        ),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

/// The start order waits for health and for jobs; a condition that can never come true would wait for ever.
#[test]
fn every_service_has_a_health_check_or_is_a_job() -> Result<()> {
    let compose = Compose::read()?;
    for (name, service) in &compose.services {
        assert!(
            service.is_job() != service.healthcheck.is_some(),
            "{name} is a job or has a health check"
        );
        for (needed, depends) in &service.depends_on {
            let other = compose.service(needed)?;
            let right = match depends.condition.as_str() {
                "service_healthy" => other.healthcheck.is_some(),
                "service_completed_successfully" => other.is_job(),
                _ => false,
            };
            assert!(right, "{name} waits for {needed}: {}", depends.condition);
        }
    }
    Ok(())
}

/// Whoever breaks into a container finds nothing to write to and no rights; outside there are only gRPC with its
/// certificates, and the console for this machine.
#[test]
fn containers_have_no_more_than_they_need() -> Result<()> {
    for (name, service) in &Compose::read()?.services {
        assert!(service.read_only, "{name}");
        assert_eq!(service.cap_drop, ["ALL"], "{name}");
        assert_eq!(service.security_opt, ["no-new-privileges:true"], "{name}");
        let expected: &[&str] = match name.as_str() {
            "broker-1" => &["7443:7443"],
            "broker-2" => &["7444:7443"],
            "rabbitmq" => &["127.0.0.1:15672:15672"],
            _ => &[],
        };
        assert_eq!(service.ports, expected, "{name}");
        // Our own images name their user; those of others run as root unless told.
        assert!(service.build.is_some() || service.user.is_some(), "{name}");
    }
    let dockerfile = fs::read_to_string(root().join("Dockerfile"))?;
    assert_eq!(dockerfile.matches("\nUSER 10001:10001\n").count(), 2);
    Ok(())
}

/// A container that is killed while it drains loses nothing, but makes others wait for what it held.
#[test]
fn what_is_under_way_has_time_to_end() -> Result<()> {
    let compose = Compose::read()?;
    let generated = Generated::make(&PARTICIPANTS)?;
    for (name, service) in &compose.services {
        let drain = match service.target() {
            _ if service.is_job() => continue,
            Some("broker") => broker(&compose, &generated, name)?.shutdown.drain,
            Some("adapter") => adapter(&compose, &generated, name)?.drain_time,
            _ => Duration::from_secs(20),
        };
        assert!(
            service.stop_grace()? >= drain + Duration::from_secs(5),
            "{name}"
        );
    }
    Ok(())
}

/// "Accepted" means "on disk", so every write is flushed; and what was accepted is never thrown out for want of memory.
#[test]
fn redis_writes_before_it_answers() -> Result<()> {
    let compose = Compose::read()?;
    let redis = compose.service("redis")?;
    let text = fs::read_to_string(redis.mounted("/etc/redis.conf")?)?;
    for line in [
        "appendonly yes",
        "appendfsync always",
        "maxmemory-policy noeviction",
    ] {
        assert!(text.lines().any(|other| other == line), "{line}");
    }
    assert!(
        redis
            .volumes
            .iter()
            .any(|volume| volume.ends_with(":/data"))
    );
    Ok(())
}

/// RabbitMQ and Redis are versions that the broker is meant for, and do not change by themselves.
#[test]
fn images_of_others_are_pinned() -> Result<()> {
    let compose = Compose::read()?;
    for (name, pattern) in [
        ("rabbitmq", r"^rabbitmq:4\.\d+\.\d+-management$"),
        ("redis", r"^redis:[78]\.\d+"),
    ] {
        let image = compose.service(name)?.image.as_deref();
        let image = image.with_context(|| format!("{name} has an image"))?;
        assert!(Regex::new(pattern)?.is_match(image), "{image}");
    }
    Ok(())
}

/// No secret stands in the file, in the environment or in git: each is a file that one script makes.
#[test]
fn every_secret_is_a_file_that_the_script_makes() -> Result<()> {
    let compose = Compose::read()?;
    let generated = Generated::make(&PARTICIPANTS)?;
    let mut used = BTreeSet::new();
    for (name, service) in &compose.services {
        for secret in &service.secrets {
            generated
                .file(&compose, &secret.source)
                .with_context(|| name.clone())?;
            used.insert(secret.source.clone());
        }
    }
    assert_eq!(used, compose.secrets.keys().cloned().collect());
    let ignored = fs::read_to_string(root().join("config/compose/.gitignore"))?;
    assert!(ignored.lines().any(|line| line == "secrets/"));
    let kept_out = fs::read_to_string(root().join(".dockerignore"))?;
    assert!(
        kept_out
            .lines()
            .any(|line| line == "config/compose/secrets")
    );
    Ok(())
}

/// The files that are mounted are read by the programs that they are for, with the secrets that are mounted beside them.
#[test]
fn every_mounted_configuration_is_valid() -> Result<()> {
    let compose = Compose::read()?;
    let generated = Generated::make(&PARTICIPANTS)?;
    for (name, service) in &compose.services {
        match service.target() {
            // It opens no certificate and no key, and is not given any.
            Some("broker") if name == "provision" => drop(broker(&compose, &generated, name)?),
            Some("broker") => drop(serving(&compose, &generated, name)?),
            Some("adapter") => {
                let adapter = adapter(&compose, &generated, name)?;
                assert_eq!(*name, format!("adapter-{}", adapter.participant));
            }
            _ => {}
        }
    }
    Ok(())
}

/// The invocation system starts with its file, and the health check of its container finds it alive.
#[tokio::test]
async fn the_invocation_system_starts_with_its_file() -> Result<()> {
    let compose = Compose::read()?;
    let generated = Generated::make(&PARTICIPANTS)?;
    let name = "west-invocation-system";
    let service = compose.service(name)?;
    let file = generated.mounted(
        &compose,
        name,
        "/etc/federation/invocation-system.toml",
        &[],
    )?;
    let port = ports::free()?;
    let mut command = Command::new(binaries::invocation_system()?);
    command
        .arg("--config")
        .arg(file)
        .env("INVOCATION_SYSTEM__LISTEN", format!("127.0.0.1:{port}"))
        .env(
            "INVOCATION_SYSTEM__DATA_FOLDER",
            generated.folder().join("data"),
        );
    let mut process = Process::start(name, generated.folder(), command)?;
    let healthy = async || is_healthy(service, port);
    process.ready(START, healthy).await
}

/// One RabbitMQ user for each application. A participant writes to its entry exchange and reads its own queue, and
/// configures nothing; a name that only begins or ends like its own is not its own.
#[test]
fn users_of_rabbitmq_reach_what_is_theirs_and_nothing_else() -> Result<()> {
    let generated = Generated::make(&PARTICIPANTS)?;
    let topology = Topology::new("", QueueLimits::default())?;
    let participants = PARTICIPANTS.map(|id| id.parse::<ParticipantId>().unwrap());
    let neighbours = ["north-2", "a-north"].map(|id| id.parse::<ParticipantId>().unwrap());
    let mut names = vec![
        topology.commands_exchange(),
        topology.copies_exchange(),
        topology.dead_letters_exchange(),
        topology.replies_exchange(),
        topology.replies_queue(),
        topology.replies_dead_letters_queue(),
    ];
    for participant in participants.iter().chain(&neighbours) {
        names.push(topology.commands_queue(participant));
        names.push(topology.entry_exchange(participant));
        names.push(topology.dead_letters_queue(participant));
        names.push(topology.copies_queue(participant));
    }
    names.sort();
    names.dedup();

    let rights = |user: &str| generated.rights(user, &names);
    let everything = names.clone();
    assert_eq!(rights("provision")?, [&everything[..]; 3]);
    let dead_letters = names
        .iter()
        .filter(|name| name.starts_with("dead-letters."));
    let mut read: Vec<_> = dead_letters.cloned().collect();
    read.push(topology.replies_queue());
    let written = vec![topology.commands_exchange(), topology.copies_exchange()];
    assert_eq!(rights("broker")?, [vec![], written, read]);
    for participant in &participants {
        let user = format!("participant-{participant}");
        let own = [
            vec![],
            vec![topology.entry_exchange(participant)],
            vec![topology.commands_queue(participant)],
        ];
        assert_eq!(rights(&user)?, own, "{user}");
    }
    assert!(rights("guest").is_err());
    Ok(())
}

/// A participant's id goes into expressions and URLs, so what is no id is refused; so is the one reserved name.
#[test]
fn the_script_refuses_what_is_no_participant() {
    for wrong in ["a.b", ".*", "Up", "", "replies", "-a"] {
        assert!(Generated::make(&[wrong]).is_err(), "{wrong}");
    }
}

/// A second run, perhaps with one participant more, leaves passwords and certificates as they are.
#[test]
fn what_the_script_made_stays() -> Result<()> {
    let generated = Generated::make(&["north"])?;
    let read = |name: &str| fs::read_to_string(generated.folder().join(name));
    let names = [
        "password-amqp-broker",
        "broker.pem",
        "federation-authority.pem",
    ];
    let before: Vec<_> = names.iter().map(|name| read(name).unwrap()).collect();
    generated.run(&["north", "far-east"])?;
    let after: Vec<_> = names.iter().map(|name| read(name).unwrap()).collect();
    assert_eq!(before, after);
    assert!(read("participant-far-east.pem").is_ok());
    Ok(())
}

/// The road of an operator's first minute, with the files that are mounted into RabbitMQ, Redis and a broker, and the users and
/// certificates that the script made: RabbitMQ is provisioned, a broker becomes healthy, an operator registers a participant,
/// and a participant may not. Nothing goes over the network that is not encrypted.
#[tokio::test]
async fn a_broker_knows_its_callers_by_the_certificates_of_the_script() -> Result<()> {
    let compose = Compose::read()?;
    let generated = Generated::make(&PARTICIPANTS)?;
    let servers = Servers::start(&compose, &generated).await?;
    let (port, signals) = (ports::free()?, ports::free()?);
    let url = |file: &str| servers.url(&generated, file);
    let file = generated.mounted(
        &compose,
        "broker-1",
        "/etc/federation/broker.toml",
        &[
            ("amqp-url", &url("amqp-broker-url")?),
            ("amqp-provision-url", &url("amqp-provision-url")?),
            ("redis-url", &url("redis-url")?),
        ],
    )?;
    let program = |task: &str| -> Result<Command> {
        let mut command = Command::new(binaries::broker()?);
        command
            .arg("--config")
            .arg(&file)
            .arg(task)
            .env("BROKER__LISTEN__ADDRESS", format!("127.0.0.1:{port}"))
            .env("BROKER__SIGNALS__LISTEN", format!("127.0.0.1:{signals}"));
        Ok(command)
    };
    let provisioned = program("provision")?.output()?;
    ensure!(provisioned.status.success(), "{provisioned:?}");
    let mut broker = Process::start("broker", generated.folder(), program("serve")?)?;
    let service = compose.service("broker-1")?;
    broker
        .ready(START, async || is_healthy(service, signals))
        .await?;

    let create = ["participants", "create", "north"];
    assert_eq!(
        generated.fedctl(port, "participant-north", &create).await?,
        4
    );
    assert_eq!(generated.fedctl(port, "operator", &create).await?, 0);
    let get = ["participants", "get", "north"];
    assert_eq!(generated.fedctl(port, "participant-north", &get).await?, 0);
    let management = servers.rabbitmq.management()?;
    management.queue("commands.north").await?;

    let redis = format!("redis://127.0.0.1:{}", servers.redis_port);
    let plain = redis::Client::open(redis)?;
    let plain = plain.get_multiplexed_async_connection().await;
    assert!(plain.is_err(), "Redis speaks without TLS");
    Ok(())
}

/// Runs a service's own health check, against another port.
fn is_healthy(service: &Service, port: u16) -> Result<()> {
    let check = service.healthcheck.as_ref().context("it has one")?;
    let [kind, program, _, rest @ ..] = &check.test[..] else {
        anyhow::bail!("{:?} has a program and a port", check.test);
    };
    ensure!(kind == "CMD" && program == "ready", "{:?}", check.test);
    let probe = root().join("config/compose/ready");
    let output = Command::new(probe)
        .arg(port.to_string())
        .args(rest)
        .output()?;
    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
    Ok(())
}

fn broker(compose: &Compose, generated: &Generated, name: &str) -> Result<Config> {
    broker_as(compose, generated, name)
}

fn serving(compose: &Compose, generated: &Generated, name: &str) -> Result<Serving> {
    broker_as(compose, generated, name)
}

fn broker_as<C: Checked + DeserializeOwned>(
    compose: &Compose,
    generated: &Generated,
    name: &str,
) -> Result<C> {
    let file = generated.mounted(compose, name, "/etc/federation/broker.toml", &[])?;
    let prefix = broker::config::ENVIRONMENT_PREFIX;
    Ok(configuration::load(
        broker::config::DEFAULT,
        Some(&file),
        prefix,
    )?)
}

fn adapter(compose: &Compose, generated: &Generated, name: &str) -> Result<Configuration> {
    let file = generated.mounted(compose, name, "/etc/federation/adapter.toml", &[])?;
    Ok(Configuration::load(Some(&file))?)
}
