//! Recognisable secrets in every file and URL that can hold one, a whole road with debug logs and all its failures, and then a
//! search through everything that anybody could read.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::Duration,
};

use adapters::config::Configuration;
use anyhow::{Context, Result, ensure};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use broker::config::Config;
use reqwest::Method;
use serde_json::json;
use service::configuration;
use tempfile::TempDir;
use tests::{
    Shared, binaries, http, ports,
    process::Process,
    rabbitmq::Management,
    shared,
    vendors::{Peer, fastly::Fastly},
    wait,
};

/// How long anything may take here, on a machine that does other things too.
const LIMIT: Duration = Duration::from_mins(1);
/// Passwords and tokens; each in one place alone.
const REDIS: &str = "planted-redis-1f6a";
const AMQP_BROKER: &str = "planted-amqp-broker-7c2e";
const AMQP_ADAPTER: &str = "planted-amqp-adapter-90bd";
const VENDOR: &str = "planted-vendor-token-55aa";
const SYSTEM: &str = "planted-system-token-e3e3";
const WRONG: &str = "planted-wrong-password-d00d";
const MISPLACED: &str = "planted-misplaced-abcd";

/// Everything that is planted, everything that runs, and everything that was said.
struct Stage {
    folder: TempDir,
    prefix: String,
    shared: Shared,
    management: Management,
    secrets: Vec<(String, String)>,
    said: Vec<(String, String)>,
    port: u16,
    signals: u16,
}

impl Stage {
    async fn new() -> Result<Self> {
        let shared = shared()?;
        let prefix = format!("{}.", tests::prefix());
        let mut stage = Self {
            folder: TempDir::with_prefix("federation-secrets-")?,
            management: Management::new(&shared.management)?,
            secrets: Vec::new(),
            said: Vec::new(),
            port: ports::free()?,
            signals: ports::free()?,
            prefix,
            shared,
        };
        for secret in [
            REDIS,
            AMQP_BROKER,
            AMQP_ADAPTER,
            VENDOR,
            SYSTEM,
            WRONG,
            MISPLACED,
        ] {
            stage.secrets.push((secret.to_owned(), secret.to_owned()));
        }
        stage.make_keys()?;
        stage.make_users().await?;
        Ok(stage)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn key(&self, name: &str) -> String {
        self.file("pki").join(name).display().to_string()
    }

    /// Certificates and signing keys, as the script of docker-compose.yml makes them.
    fn make_keys(&mut self) -> Result<()> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/compose/secrets.sh");
        let made = Command::new(script)
            .arg("a")
            .env("SECRETS_FOLDER", self.file("pki"))
            .output()?;
        ensure!(made.status.success(), "{made:?}");
        for name in [
            "broker.key",
            "operator.key",
            "participant-a.key",
            "signing-broker.pem",
            "signing-participant-a.pem",
        ] {
            let pem = fs::read_to_string(self.key(name))?;
            let line = pem.lines().nth(1).context("a line of the key")?;
            // The beginning says what kind of key it is, and is the same in all of them.
            let secret = line.get(line.len() / 2..).context("half of it")?;
            self.secrets.push((name.to_owned(), secret.to_owned()));
        }
        fs::write(self.file("vendor-credentials"), VENDOR)?;
        Ok(())
    }

    async fn make_users(&self) -> Result<()> {
        let all = ".*";
        for (user, password) in [("broker", AMQP_BROKER), ("adapter", AMQP_ADAPTER)] {
            let name = format!("{}{user}", self.prefix);
            self.management
                .put_user(&name, password, [all, all, all])
                .await?;
        }
        let mut connection = tests::redis::connect(&self.shared.redis).await?;
        let mut user = redis::cmd("ACL");
        user.arg("SETUSER").arg(format!("{}broker", self.prefix));
        user.arg("on").arg(format!(">{REDIS}"));
        user.arg("~*").arg("&*").arg("+@all");
        Ok(user.query_async(&mut connection).await?)
    }

    fn amqp(&self, user: &str, password: &str) -> String {
        let who = format!("{}{user}:{password}@", self.prefix);
        self.shared.amqp.replace("guest:guest@", &who)
    }

    fn redis(&self, password: &str) -> String {
        let who = format!("redis://{}broker:{password}@", self.prefix);
        self.shared.redis.replace("redis://", &who)
    }

    fn broker_file(&self, name: &str, redis: &str, amqp: &str) -> Result<PathBuf> {
        let text = format!(
            "[logs]\nfilter = \"debug\"\nformat = \"human\"\n\
             [listen]\naddress = \"127.0.0.1:{}\"\ncertificate = \"{}\"\nkey = \"{}\"\nclient_authority = \"{}\"\n\
             [signals]\nlisten = \"127.0.0.1:{}\"\n\
             [redis]\nurl = \"{redis}\"\n[store]\nprefix = \"{}\"\n\
             [amqp]\nurl = \"{amqp}\"\nprefix = \"{}\"\nconsole_copies = 100\n\
             [signing]\nkey = \"{}\"\n",
            self.port,
            self.key("broker.pem"),
            self.key("broker.key"),
            self.key("federation-authority.pem"),
            self.signals,
            self.prefix,
            self.prefix,
            self.key("signing-broker.pem"),
        );
        let file = self.file(&format!("{name}.toml"));
        fs::write(&file, text)?;
        Ok(file)
    }

    fn adapter_file(&self, id: &str, amqp: &str, signals: u16, more: &str) -> Result<PathBuf> {
        let text = format!(
            "participant = \"{id}\"\nallowed_addresses = [\"127.0.0.0/8\"]\n{more}\n\
             [logs]\nfilter = \"debug\"\nformat = \"human\"\n\
             [calls]\nattempts = 2\ntimeout = \"2s\"\n\
             [amqp]\nurl = \"{amqp}\"\nprefix = \"{}\"\n[journal]\nfolder = \"{}\"\n\
             [signals]\nlisten = \"127.0.0.1:{signals}\"\n\
             [signing]\nkey = \"{}\"\nbroker_keys = \"{}\"\n",
            self.prefix,
            self.file(&format!("journal-{id}-{signals}")).display(),
            self.key("signing-participant-a.pem"),
            self.key("signing-broker.pub"),
        );
        let file = self.file(&format!("adapter-{id}-{signals}.toml"));
        fs::write(&file, text)?;
        Ok(file)
    }

    /// Starts a program and waits until its log has this word.
    async fn start(
        &self,
        name: &str,
        program: PathBuf,
        file: &Path,
        until: &str,
    ) -> Result<Process> {
        let mut command = Command::new(program);
        command.arg("--config").arg(file);
        let process = Process::start(name, self.folder.path(), command)?;
        wait::until(LIMIT, &format!("{name} says {until}"), async || {
            let log = fs::read_to_string(process.log())?;
            ensure!(log.contains(until), "{log}");
            Ok(())
        })
        .await?;
        Ok(process)
    }

    /// Runs a program that ends by itself, and keeps what it says.
    fn run(&mut self, name: &str, command: &mut Command) -> Result<Output> {
        let output = command.stdin(std::process::Stdio::null()).output()?;
        for text in [&output.stdout, &output.stderr] {
            let text = String::from_utf8_lossy(text).into_owned();
            self.said.push((name.to_owned(), text));
        }
        Ok(output)
    }

    fn fedctl(&mut self, caller: &str, arguments: &[&str]) -> Result<Output> {
        let mut command = Command::new(binaries::fedctl()?);
        command
            .args(["--broker", &format!("https://localhost:{}", self.port)])
            .args(["--ca", &self.key("federation-authority.pem")])
            .args(["--certificate", &self.key(&format!("{caller}.pem"))])
            .args(["--key", &self.key(&format!("{caller}.key"))])
            .args(arguments);
        self.run(&format!("fedctl {arguments:?}"), &mut command)
    }

    fn operator(&mut self, words: &str) -> Result<()> {
        let arguments: Vec<_> = words.split(' ').collect();
        let output = self.fedctl("operator", &arguments)?;
        ensure!(output.status.success(), "{words}: {output:?}");
        Ok(())
    }

    /// Three participants: one with a cache, one whose provider refuses the token, one whose own system is not there.
    fn register(&mut self) -> Result<()> {
        let key = fs::read_to_string(self.key("signing-participant-a.pub"))?;
        for words in [
            "participants create a",
            "participants create f --invocation-system fastly",
            "participants create s --invocation-system canonical",
            &format!("participants keys add a {key}"),
            "servers create a1 --participant a --dialect varnish --address 127.0.0.1:1",
            "servers create f1 --participant f --dialect varnish --address 127.0.0.1:1",
            "servers create s1 --participant s --dialect varnish --address 127.0.0.1:1",
            "configurations create shop --customer acme --owner a --host www.shop.example",
            "deployments create d1 --configuration shop --participant a",
            "deployments create d2 --configuration shop --participant f",
            "deployments create d3 --configuration shop --participant s",
        ] {
            self.operator(words)?;
        }
        Ok(())
    }

    /// What a queue holds.
    async fn look(&mut self, queue: &str) -> Result<usize> {
        let path = format!("queues/%2f/{}{queue}/get", self.prefix);
        let asked = json!({"count": 100, "ackmode": "ack_requeue_true", "encoding": "auto"});
        let found = self
            .management
            .call(Method::POST, &path, Some(asked))
            .await?;
        self.said.push((queue.to_owned(), found.to_string()));
        Ok(found.as_array().map_or(0, Vec::len))
    }

    /// Reports are read at once, so a second queue takes a copy of them.
    async fn tap(&self) -> Result<()> {
        let queue = format!("{}tap", self.prefix);
        let made = json!({"durable": true, "auto_delete": false});
        let path = format!("queues/%2f/{queue}");
        self.management.call(Method::PUT, &path, Some(made)).await?;
        let path = format!("bindings/%2f/e/{}replies.a/q/{queue}", self.prefix);
        let bound = json!({"routing_key": ""});
        self.management
            .call(Method::POST, &path, Some(bound))
            .await?;
        Ok(())
    }

    /// Metrics and health.
    async fn pages(&mut self, signals: u16) -> Result<()> {
        for page in ["metrics", "readyz", "healthz"] {
            let url = format!("http://127.0.0.1:{signals}/{page}");
            let text = http().get(&url).send().await?.text().await?;
            self.said.push((url, text));
        }
        Ok(())
    }

    /// Programs that cannot start: what they say on their way out.
    fn failures(&mut self) -> Result<()> {
        let (redis, amqp) = (self.redis(REDIS), self.amqp("broker", AMQP_BROKER));
        let closed = format!("redis://u:{REDIS}@127.0.0.1:1/");
        let garbage = self.file("garbage.pem");
        fs::write(
            &garbage,
            format!("-----BEGIN PRIVATE KEY-----\n{MISPLACED}\n"),
        )?;
        let no_url = format!("{MISPLACED} is no url");
        let files = [
            self.broker_file("wrong-redis", &self.redis(WRONG), &amqp)?,
            self.broker_file("closed-redis", &closed, &amqp)?,
            self.broker_file("wrong-amqp", &redis, &self.amqp("broker", WRONG))?,
            self.broker_file("no-url", &no_url, &amqp)?,
        ];
        for file in files {
            let mut command = Command::new(binaries::broker()?);
            command.arg("--config").arg(&file).arg("provision");
            let output = self.run(&file.display().to_string(), &mut command)?;
            ensure!(!output.status.success(), "{} works", file.display());
        }
        let file = self.broker_file("others", &redis, &amqp)?;
        for (variable, value) in [
            ("BROKER__REDIS__URL", MISPLACED),
            ("BROKER__AMQP__PASSWORD", MISPLACED),
            ("BROKER__SIGNING__KEY", garbage.to_str().context("a path")?),
            ("BROKER__LISTEN__KEY", garbage.to_str().context("a path")?),
        ] {
            let mut command = Command::new(binaries::broker()?);
            command.arg("--config").arg(&file).env(variable, value);
            // One that starts all the same must not run for ever.
            command.env("BROKER__LISTEN__ADDRESS", "127.0.0.1:1");
            command.env("BROKER__SIGNALS__LISTEN", "127.0.0.1:0");
            let output = self.run(variable, &mut command)?;
            ensure!(!output.status.success(), "{variable} works");
        }
        Ok(())
    }

    /// What a program would show of its configuration.
    fn debugs(&mut self, broker: &Path, adapters: &[PathBuf]) -> Result<()> {
        let (default, prefix) = (broker::config::DEFAULT, broker::config::ENVIRONMENT_PREFIX);
        let config: Config = configuration::load(default, Some(broker), prefix)?;
        self.said.push(("Debug".to_owned(), format!("{config:#?}")));
        for file in adapters {
            let config = Configuration::load(Some(file))?;
            self.said.push(("Debug".to_owned(), format!("{config:#?}")));
        }
        Ok(())
    }

    fn logs(&mut self) -> Result<()> {
        for entry in fs::read_dir(self.folder.path())? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "log") {
                let text = fs::read_to_string(&path)?;
                self.said.push((path.display().to_string(), text));
            }
        }
        Ok(())
    }

    /// Every secret, as it is and in base64, in everything that was said.
    fn search(&self) -> Vec<String> {
        let mut found = Vec::new();
        for (name, secret) in &self.secrets {
            for form in [secret.clone(), BASE64.encode(secret)] {
                let places = self.said.iter().filter(|(_, text)| text.contains(&form));
                found.extend(places.map(|(place, text)| {
                    let line = text.lines().find(|line| line.contains(&form));
                    format!("{name} in {place}: {}", line.unwrap_or_default())
                }));
            }
        }
        found
    }
}

/// A purge goes to three participants, of which two fail, with logs at debug; programs with wrong passwords, wrong addresses
/// and broken files fail beside it. Logs, outputs, metrics, `Debug` of configurations and messages in queues show no secret.
#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_ever_shown() -> Result<()> {
    let mut stage = Stage::new().await?;
    let vendor = Peer::start(Fastly {
        token: "another",
        service: "S1",
    })
    .await?;
    let broker_file = stage.broker_file(
        "broker",
        &stage.redis(REDIS),
        &stage.amqp("broker", AMQP_BROKER),
    )?;
    let mut provision = Command::new(binaries::broker()?);
    provision.arg("--config").arg(&broker_file).arg("provision");
    let provisioned = stage.run("provision", &mut provision)?;
    ensure!(provisioned.status.success(), "{provisioned:?}");
    let _broker = stage
        .start("broker", binaries::broker()?, &broker_file, "serving gRPC")
        .await?;
    stage.register()?;
    stage.tap().await?;

    let amqp = stage.amqp("adapter", AMQP_ADAPTER);
    let api = format!(
        "kind = \"api\"\n[api]\nbase_url = \"{}\"\ncredentials = \"{}\"\ntotal_time = \"5s\"\n\
         [api.accounts.shop]\nvalues = {{ service = \"S1\" }}",
        vendor.url(),
        stage.file("vendor-credentials").display()
    );
    let system = format!(
        "kind = \"invocation-system\"\n[invocation_system]\nbase_url = \"http://127.0.0.1:1\"\ntoken = \"{SYSTEM}\""
    );
    let (mut adapters, mut running, mut signals) = (Vec::new(), Vec::new(), Vec::new());
    for (id, more) in [("a", ""), ("f", &*api), ("s", &*system)] {
        let port = ports::free()?;
        let file = stage.adapter_file(id, &amqp, port, more)?;
        let name = format!("adapter-{id}");
        running.push(
            stage
                .start(&name, binaries::adapter()?, &file, "consuming")
                .await?,
        );
        adapters.push(file);
        signals.push(port);
    }
    let wrong = stage.adapter_file("a", &stage.amqp("adapter", WRONG), ports::free()?, "")?;
    let _refused = stage
        .start(
            "adapter-wrong",
            binaries::adapter()?,
            &wrong,
            "consuming broke off",
        )
        .await?;

    let purged = stage.fedctl("participant-a", &["purge", "http://www.shop.example/x"])?;
    ensure!(
        !purged.status.success(),
        "nobody is there to purge: {purged:?}"
    );
    ensure!(!vendor.taken().is_empty(), "the provider was asked");
    // Copies go their own way, which may be the longer one.
    for queue in ["tap", "recent.commands.a"] {
        wait::until(LIMIT, &format!("a message is in {queue}"), async || {
            ensure!(stage.look(queue).await? > 0);
            Ok(())
        })
        .await?;
    }
    stage.failures()?;
    for port in signals.into_iter().chain([stage.signals]) {
        stage.pages(port).await?;
    }
    stage.debugs(&broker_file, &adapters)?;
    drop(running);
    stage.logs()?;

    // What stands beside the secrets is there, so they would have been found.
    let all: String = stage.said.iter().map(|(_, text)| text.as_str()).collect();
    for beside in [
        "ACCESS_REFUSED",
        "AuthenticationFailed",
        "signature-key",
        "***",
        "DEBUG",
    ] {
        ensure!(all.contains(beside), "{beside} is nowhere");
    }
    let found = stage.search();
    ensure!(found.is_empty(), "{}", found.join("\n"));
    Ok(())
}
