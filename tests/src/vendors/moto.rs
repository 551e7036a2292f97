//! Amazon CloudFront as `moto` plays it (PyPI): written by others, with every signature checked.
//!
//! Invariant: what is installed lies below the folder of this build (`target/moto`), is installed once, and is of one
//! version. Where PyPI cannot be reached the first time, that is an error and says so.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use tempfile::TempDir;

use crate::{binaries, ports, process::Process};

/// What is installed: moto itself, and what its server needs of its extras for CloudFront and its users.
const PACKAGES: [&str; 3] = ["moto==5.2.5", "flask==3.1.3", "flask-cors==6.0.5"];
const PROGRAM: &str = include_str!("serve_moto.py");
/// Python compiles what it imports for the first time.
const STARTS: Duration = Duration::from_mins(2);

/// A running one. Dropping it ends it.
#[derive(Debug)]
pub struct Moto {
    /// Where it is.
    pub url: String,
    /// Who may call, and of what.
    pub prepared: Prepared,
    _process: Process,
    _folder: TempDir,
}

/// A user who may make invalidations of one distribution.
#[derive(Debug, Deserialize)]
pub struct Prepared {
    /// The user's key.
    pub access_key: String,
    /// What it signs with.
    pub secret_key: String,
    /// The distribution's id.
    pub distribution: String,
}

impl Moto {
    /// Installs it where it is not yet, and starts it on a free port.
    pub async fn start() -> Result<Self> {
        let python = tokio::task::spawn_blocking(installed).await??;
        let folder = TempDir::new()?;
        let (program, ready) = (
            folder.path().join("serve_moto.py"),
            folder.path().join("ready.json"),
        );
        fs::write(&program, PROGRAM)?;
        let port = ports::free()?;
        let mut command = Command::new(python);
        command.arg(&program).arg(port.to_string()).arg(&ready);
        let mut process = Process::start("moto", folder.path(), command)?;
        process.ready(STARTS, async || ready.is_file()).await?;
        let prepared = serde_json::from_slice(&fs::read(&ready)?)?;
        Ok(Self {
            url: format!("http://127.0.0.1:{port}"),
            prepared,
            _process: process,
            _folder: folder,
        })
    }
}

/// The interpreter of the environment with moto in it.
fn installed() -> Result<PathBuf> {
    let broker = binaries::broker()?;
    let target = broker.parent().and_then(Path::parent);
    let folder = target
        .context("programs lie two folders deep")?
        .join("moto");
    fs::create_dir_all(&folder)?;
    let lock = File::create(folder.join("lock"))?;
    lock.lock()?;
    let wanted = PACKAGES.join("\n");
    let (environment, done) = (folder.join("environment"), folder.join("installed"));
    let python = environment.join("bin/python");
    if fs::read_to_string(&done).is_ok_and(|has| has == wanted) && python.exists() {
        return Ok(python);
    }
    let mut venv = Command::new("python3");
    venv.args(["-m", "venv", "--clear"]).arg(&environment);
    run(
        venv,
        "python3 -m venv (Debian: python3-venv, which tests/install adds)",
    )?;
    let mut pip = Command::new(&python);
    pip.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
    ]);
    pip.args(PACKAGES);
    run(pip, "pip install of moto, which needs PyPI once")?;
    fs::write(&done, wanted)?;
    Ok(python)
}

fn run(mut command: Command, what: &str) -> Result<()> {
    let output = command
        .output()
        .with_context(|| format!("cannot start {what}"))?;
    if !output.status.success() {
        bail!(
            "{what} failed with {}:\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(())
}
