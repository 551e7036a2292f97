//! A private Redis, as the broker needs it: every write is on disk before it is answered.
//!
//! Invariant: a restart, gentle or by SIGKILL, comes back with everything that was answered, on the same port. The one
//! that forgets ([`Redis::forgetful`]) is for tests that only ask what the scripts do.

use std::{process::Command, time::Duration};

use anyhow::{Result, ensure};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{ports, process::Process};

/// How long Redis may take to start; it takes milliseconds, unless the machine is busy.
const START: Duration = Duration::from_secs(30);

/// Databases of one Redis that forgets: tests that run side by side in it each take one.
pub const DATABASES: usize = 64;

/// Every write is on disk before it is answered.
const DURABLE: [&str; 4] = ["--appendonly", "yes", "--appendfsync", "always"];
/// Nothing is ever on disk.
const FORGETFUL: [&str; 6] = [
    "--appendonly",
    "no",
    "--databases",
    "64",
    "--unixsocket",
    "redis.sock",
];

/// A running Redis in a folder of its own. Dropping it ends it and deletes the folder.
#[derive(Debug)]
pub struct Redis {
    process: Process,
    port: u16,
    folder: TempDir,
    options: &'static [&'static str],
}

impl Redis {
    /// Starts it and waits until it answers.
    pub async fn start() -> Result<Self> {
        Self::start_with(&DURABLE).await
    }

    /// Starts one that keeps nothing on disk, with [`DATABASES`] databases and a socket.
    pub async fn forgetful() -> Result<Self> {
        Self::start_with(&FORGETFUL).await
    }

    async fn start_with(options: &'static [&'static str]) -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("federation-redis-")
            .tempdir()?;
        let port = ports::free()?;
        let process = run(&folder, port, options).await?;
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

    /// The process, to kill or to freeze it.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Ends it gently, if it runs, and starts it again on the same folder and port.
    pub async fn restart(&mut self) -> Result<()> {
        self.process.terminate();
        self.process = run(&self.folder, self.port, self.options).await?;
        Ok(())
    }
}

async fn run(folder: &TempDir, port: u16, options: &[&str]) -> Result<Process> {
    let mut command = Command::new("redis-server");
    command
        .args([
            "--bind",
            "127.0.0.1",
            "--port",
            &port.to_string(),
            "--save",
            "",
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
    ensure!(
        &answer == b"+PONG\r\n",
        "it says {}",
        String::from_utf8_lossy(&answer)
    );
    Ok(())
}
