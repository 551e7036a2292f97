//! Where the workspace's programs are: beside the test that asks.
//!
//! Invariant: a test runs the programs of its own build, never ones from elsewhere on the machine.

use std::{env, path::PathBuf};

use anyhow::{Context, Result, ensure};

/// The broker service.
pub fn broker() -> Result<PathBuf> {
    path("broker")
}

/// The adapter process.
pub fn adapter() -> Result<PathBuf> {
    path("adapter")
}

/// The command line.
pub fn fedctl() -> Result<PathBuf> {
    path("fedctl")
}

/// The example of a participant's invocation system.
pub fn invocation_system() -> Result<PathBuf> {
    path("invocation-system")
}

/// A program of this build by its name. Cargo puts programs in `target/PROFILE` and tests in `deps` below it.
pub fn path(name: &str) -> Result<PathBuf> {
    let own = env::current_exe().context("this program's own path is unknown")?;
    let mut folder = own.parent().context("a program lies in a folder")?;
    if folder.ends_with("deps") {
        folder = folder
            .parent()
            .context("deps lies in the profile's folder")?;
    }
    let program = folder.join(name);
    ensure!(
        program.is_file(),
        "{} is not built: run `make test`, or first `cargo build --workspace --bins`",
        program.display()
    );
    Ok(program)
}
