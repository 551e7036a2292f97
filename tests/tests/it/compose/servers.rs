//! Redis and RabbitMQ with the files that `docker-compose.yml` mounts into them, on ports of this machine.

use std::{fs, net::TcpStream, path::PathBuf, process::Command, time::Duration};

use anyhow::{Context, Result, ensure};
use tests::{ports, process::Process, rabbitmq::RabbitMq};

use super::{
    file::Compose,
    generated::{Generated, IN_CONTAINER},
};

/// How long Redis may take to start.
const START: Duration = Duration::from_secs(30);

/// Both of them. Dropping it ends them.
pub(super) struct Servers {
    pub(super) rabbitmq: RabbitMq,
    pub(super) redis_port: u16,
    amqps_port: u16,
    _redis: Process,
}

impl Servers {
    /// With the passwords and certificates of the script.
    pub(super) async fn start(compose: &Compose, generated: &Generated) -> Result<Self> {
        let (redis_port, amqps_port) = (ports::free()?, ports::free()?);
        let redis = start_redis(compose, generated, redis_port).await?;
        let rabbitmq = start_rabbitmq(compose, generated, amqps_port).await?;
        Ok(Self {
            rabbitmq,
            redis_port,
            amqps_port,
            _redis: redis,
        })
    }

    /// What stands in one of the script's files with an address, as it is reached here.
    pub(super) fn url(&self, generated: &Generated, file: &str) -> Result<String> {
        let text = fs::read_to_string(generated.folder().join(file))?;
        let (redis, amqps) = (self.redis_port, self.amqps_port);
        let here = text
            .replace("@redis:6379", &format!("@localhost:{redis}"))
            .replace("@rabbitmq:5671", &format!("@localhost:{amqps}"));
        ensure!(here != text, "{file} leads elsewhere");
        Ok(here)
    }
}

/// With its whole file, but for the port and the folder of its data.
async fn start_redis(compose: &Compose, generated: &Generated, port: u16) -> Result<Process> {
    let file = generated.mounted(compose, "redis", "/etc/redis.conf", &[])?;
    let data = generated.folder().join("redis-data");
    fs::create_dir_all(&data)?;
    let text = fs::read_to_string(&file)?;
    let here = text
        .replace("dir /data", &format!("dir {}", data.display()))
        .replace("tls-port 6379", &format!("tls-port {port}"));
    fs::write(&file, here)?;
    let mut command = Command::new("redis-server");
    command.arg(file).args(["--bind", "127.0.0.1"]);
    let mut process = Process::start("redis", generated.folder(), command)?;
    let listens = async || TcpStream::connect(("127.0.0.1", port)).map(drop);
    process.ready(START, listens).await?;
    Ok(process)
}

/// With its lines on TLS and its users. The port without TLS, which the file closes, is how it is watched here.
async fn start_rabbitmq(compose: &Compose, generated: &Generated, port: u16) -> Result<RabbitMq> {
    let service = compose.service("rabbitmq")?;
    let text = fs::read_to_string(service.mounted("/etc/rabbitmq/rabbitmq.conf")?)?;
    ensure!(
        text.lines().any(|line| line == "listeners.tcp = none"),
        "the port without TLS is open"
    );
    let secrets = mounted_secrets(compose, generated)?;
    let lines = text
        .lines()
        .filter(|line| line.starts_with("ssl_options.") || line.starts_with("listeners.ssl."));
    let configuration = lines.collect::<Vec<_>>().join("\n");
    let configuration = configuration
        .replace(IN_CONTAINER, &format!("{}/", secrets.display()))
        .replace(
            "listeners.ssl.default = 5671",
            &format!("listeners.ssl.1 = 127.0.0.1:{port}"),
        );
    let rabbitmq = RabbitMq::start_with(&format!("{configuration}\n")).await?;
    let definitions = secrets.join("rabbitmq-definitions");
    let definitions = definitions.to_str().context("a name in UTF-8")?;
    rabbitmq
        .control(&["import_definitions", definitions])
        .await?;
    Ok(rabbitmq)
}

fn mounted_secrets(compose: &Compose, generated: &Generated) -> Result<PathBuf> {
    let file = generated.mounted(compose, "rabbitmq", "/etc/rabbitmq/rabbitmq.conf", &[])?;
    Ok(file.parent().context("a folder")?.to_owned())
}
