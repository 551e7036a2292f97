//! `fedctl keys`: keys that messages are signed with, made and shown on this machine.
//!
//! Invariant: a private key is written to a new file that only its owner may read, and nowhere else; the broker is not asked.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};
use domain::signing::SigningKey;

use crate::{exit::Exit, failure::Failure, output::Output, view::KeyView};

/// Keys that messages are signed with.
#[derive(Debug, Args)]
pub(crate) struct Keys {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Make a private key in a new file (mode 600), and print its public key
    Generate(Named),
    /// Print the public key of a private one
    Show(Named),
}

/// A file.
#[derive(Debug, Args)]
struct Named {
    /// The private key: PKCS#8 in PEM
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

impl Keys {
    /// Does it.
    pub(crate) fn run(self, output: Output) -> Result<Exit, Failure> {
        let key = match self.action {
            Action::Generate(Named { file }) => generate(&file)?,
            Action::Show(Named { file }) => show(&file)?,
        };
        let view = KeyView::new(&key.public());
        output.show(&view, |view| format!("{}\n", view.public_key))?;
        Ok(Exit::Done)
    }
}

fn generate(file: &Path) -> Result<SigningKey, Failure> {
    let broken = |rule: domain::BrokenRule| Failure::Usage(format!("the key {rule}"));
    let pem = SigningKey::generate().map_err(broken)?;
    // A key that is in use is never written over: it is replaced by moving the new one there.
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    let written = options.open(file).and_then(|mut opened| {
        opened
            .write_all(pem.as_bytes())
            .and_then(|()| opened.sync_all())
    });
    written.map_err(|source| Failure::WriteFile {
        name: file.display().to_string(),
        source,
    })?;
    SigningKey::from_pem(&pem).map_err(broken)
}

fn show(file: &Path) -> Result<SigningKey, Failure> {
    let name = || file.display().to_string();
    let text = fs::read_to_string(file).map_err(|source| Failure::Read {
        name: name(),
        source,
    })?;
    SigningKey::from_pem(&text).map_err(|rule| Failure::Read {
        name: name(),
        source: io::Error::other(rule),
    })
}
