//! A private Redis, as the broker needs it: every write is on disk before it is answered.
//!
//! Invariant: a restart, gentle or by SIGKILL, comes back with everything that was answered, on the same port. The one
//! that forgets ([`Redis::forgetful`]) is for tests that only ask what the scripts do.

use std::{fs, path::Path, process::Command, time::Duration};

use ::redis::{AsyncConnectionConfig, aio::MultiplexedConnection};
use anyhow::{Result, ensure};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{ports, process::Process};

/// How long Redis may take to start; it takes milliseconds, unless the machine is busy.
const START: Duration = Duration::from_secs(30);

/// How long a test waits for an answer of it.
const PATIENCE: Duration = Duration::from_secs(20);
/// Databases of one Redis that forgets: tests that run side by side in it each take one.
pub const DATABASES: usize = 64;

/// Users that are made survive a restart. Whoever names none may do everything.
const USERS: &str = "users.acl";
const EVERYBODY: &str = "user default on nopass ~* &* +@all\n";

/// Every write is on disk before it is answered; rewriting as `config/compose/redis.conf` has it.
const DURABLE: [&str; 8] = [
    "--appendonly",
    "yes",
    "--appendfsync",
    "always",
    "--auto-aof-rewrite-min-size",
    "1gb",
    "--rdbcompression",
    "no",
];
/// Nothing is ever on disk.
const FORGETFUL: [&str; 6] = [
    "--appendonly",
    "no",
    "--databases",
    "64",
    "--unixsocket",
    "redis.sock",
];

/// Where it keeps what it was told, in its folder.
const WRITTEN: &str = "appendonlydir";

/// What a durable one held at a moment.
#[derive(Debug)]
pub struct Backup(TempDir);

/// A running Redis in a folder of its own. Dropping it ends it and deletes the folder.
#[derive(Debug)]
pub struct Redis {
    process: Process,
    port: u16,
    folder: TempDir,
    options: Vec<String>,
}

impl Redis {
    /// Starts it and waits until it answers.
    pub async fn start() -> Result<Self> {
        Self::start_with(&[]).await
    }

    /// Starts one that keeps nothing on disk, with [`DATABASES`] databases and a socket.
    pub async fn forgetful() -> Result<Self> {
        Self::run(&FORGETFUL).await
    }

    /// The same as [`Redis::start`], with more options.
    pub async fn start_with(options: &[&str]) -> Result<Self> {
        Self::run(&[DURABLE.as_slice(), options].concat()).await
    }

    async fn run(options: &[&str]) -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("federation-redis-")
            .tempdir()?;
        fs::write(folder.path().join(USERS), EVERYBODY)?;
        let port = ports::free()?;
        let options: Vec<_> = options.iter().map(|&option| option.to_owned()).collect();
        let process = run(&folder, port, &options).await?;
        Ok(Self {
            process,
            port,
            folder,
            options,
        })
    }

    /// `redis://127.0.0.1:port`
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// The address of one database of a forgetful one, by its socket.
    pub fn database(&self, number: usize) -> String {
        let socket = self.folder.path().join("redis.sock");
        format!("redis+unix://{}?db={number}", socket.display())
    }

    /// How many keys it holds.
    pub async fn keys(&self) -> Result<u64> {
        let mut connection = connect(&self.url()).await?;
        Ok(::redis::cmd("DBSIZE").query_async(&mut connection).await?)
    }

    /// The process, to kill or to freeze it.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Ends it gently, if it runs, and starts it again on the same folder and port.
    pub async fn restart(&mut self) -> Result<()> {
        self.process.terminate();
        self.process = run(&self.folder, self.port, &self.options).await?;
        Ok(())
    }

    /// Keeps what it holds now, as a replica that lags behind does. Nobody writes meanwhile.
    pub fn back_up(&self) -> Result<Backup> {
        let backup = Backup(tempfile::tempdir()?);
        copy(&self.folder.path().join(WRITTEN), backup.0.path())?;
        Ok(backup)
    }

    /// Kills it, and starts it again with what it held then: what came later is lost, as with a failover.
    pub async fn go_back(&mut self, backup: &Backup) -> Result<()> {
        self.process.kill9();
        let written = self.folder.path().join(WRITTEN);
        fs::remove_dir_all(&written)?;
        fs::create_dir(&written)?;
        copy(backup.0.path(), &written)?;
        self.restart().await
    }
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        fs::copy(entry.path(), to.join(entry.file_name()))?;
    }
    Ok(())
}

async fn run(folder: &TempDir, port: u16, options: &[String]) -> Result<Process> {
    let mut command = Command::new("redis-server");
    command
        .args([
            "--bind",
            "127.0.0.1",
            "--port",
            &port.to_string(),
            "--save",
            "",
            "--aclfile",
            USERS,
        ])
        .arg("--dir")
        .arg(folder.path())
        // Relative to that folder.
        .args(options);
    let mut process = Process::start("redis", folder.path(), command)?;
    process.ready(START, async || ping(port).await).await?;
    Ok(process)
}

/// Redis refuses a PING while it still reads its file.
async fn ping(port: u16) -> Result<()> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.write_all(b"PING\r\n").await?;
    let mut answer = [0; 7];
    stream.read_exact(&mut answer).await?;
    // One that knows its users only answers as well.
    ensure!(
        matches!(&answer, b"+PONG\r\n" | b"-NOAUTH"),
        "it says {}",
        String::from_utf8_lossy(&answer)
    );
    Ok(())
}

/// A connection of a test's own. On a busy machine an answer may take longer than the half second that the library waits by itself.
pub async fn connect(url: &str) -> ::redis::RedisResult<MultiplexedConnection> {
    let settings = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(PATIENCE))
        .set_response_timeout(Some(PATIENCE));
    let client = ::redis::Client::open(url)?;
    client
        .get_multiplexed_async_connection_with_config(&settings)
        .await
}

/// Makes a user with these rules in the Redis at `url`, which survives a restart of it where it has a file of users.
pub async fn put_user(url: &str, user: &str, password: &str, rules: &str) -> Result<()> {
    let mut connection = connect(url).await?;
    let mut set = ::redis::cmd("ACL");
    set.arg("SETUSER").arg(user).arg("reset").arg("on");
    set.arg(format!(">{password}"));
    for rule in rules.split(' ') {
        set.arg(rule);
    }
    set.exec_async(&mut connection).await?;
    let saved = ::redis::cmd("ACL")
        .arg("SAVE")
        .exec_async(&mut connection)
        .await;
    // One that was not started here may have no such file, and is not restarted here either.
    drop(saved);
    Ok(())
}
