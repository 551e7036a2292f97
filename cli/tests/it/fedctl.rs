//! Runs the binary and collects what it says.

use std::{path::Path, process::Stdio};

use tokio::process::{Child, Command};

/// What one run said.
pub(crate) struct Run {
    /// The exit code.
    pub(crate) code: Option<i32>,
    /// Data.
    pub(crate) stdout: String,
    /// Messages.
    pub(crate) stderr: String,
}

impl Run {
    /// Both streams and the code, as one text for a golden.
    pub(crate) fn transcript(&self) -> String {
        format!(
            "{}--- stderr\n{}--- exit code {}\n",
            self.stdout,
            self.stderr,
            self.code.unwrap_or(-1)
        )
    }
}

/// The binary with nothing of the tester's environment that it would read.
pub(crate) fn fedctl(broker: &str) -> Command {
    let mut command = Command::new(Path::new(env!("CARGO_BIN_EXE_fedctl")));
    for name in [
        "FEDCTL_CA",
        "FEDCTL_CERTIFICATE",
        "FEDCTL_KEY",
        "FEDCTL_AS",
        "NO_COLOR",
        "CLICOLOR_FORCE",
    ] {
        command.env_remove(name);
    }
    command
        .env("FEDCTL_BROKER", broker)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// Runs to the end; words are separated by single spaces.
pub(crate) async fn run(broker: &str, words: &str) -> Run {
    run_with(fedctl(broker).args(words.split(' '))).await
}

/// Runs a prepared command to the end.
pub(crate) async fn run_with(command: &mut Command) -> Run {
    let child = command.spawn().expect("the binary starts");
    finish(child).await
}

/// Waits for the end.
pub(crate) async fn finish(child: Child) -> Run {
    let output = child.wait_with_output().await.expect("the binary ends");
    Run {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).expect("prints text"),
        stderr: String::from_utf8(output.stderr).expect("prints text"),
    }
}
