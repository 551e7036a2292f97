//! `fedctl dialects`: a mapping is checked and tried out before anybody is told by it.
//!
//! Invariant: nothing is sent, not even to the broker; a document is read by the code with which the broker reads it.

mod sample;

use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use ::dialects::mapped::{DOCUMENT_BYTES, Mapping};
use clap::{Args, Subcommand};

use super::plan::{self, Planned};
use crate::{exit::Exit, failure::Failure, output::Output, view::CheckedView};

/// What stands for stdin.
const STDIN: &str = "-";

/// Checks and tries out mappings.
#[derive(Debug, Args)]
pub(crate) struct Dialects {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Say what is wrong with a mapping, each mistake by its line; exit code 2 where there is any
    Check(Check),
    /// Show the calls that a mapping makes of a command, and send nothing
    Try(Box<Try>),
}

/// A document.
#[derive(Debug, Args)]
struct Check {
    /// The mapping's document; `-` reads stdin
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// A document and a command.
#[derive(Debug, Args)]
struct Try {
    /// The mapping's document; `-` reads stdin
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(subcommand)]
    command: Planned,
}

impl Dialects {
    /// Does it.
    pub(crate) fn run(self, output: Output) -> Result<Exit, Failure> {
        match self.action {
            Action::Check(typed) => check(output, &typed.file),
            Action::Try(typed) => {
                let mapping = read(&typed.file)?;
                let draft = typed.command.draft()?;
                plan::print(output, &sample::plan(&mapping, &draft)?, draft)
            }
        }
    }
}

fn check(output: Output, file: &Path) -> Result<Exit, Failure> {
    let name = file.display().to_string();
    match Mapping::read_new(&document(file)?) {
        Ok(mapping) => {
            let good = |_: &CheckedView| format!("{name} is good: {}\n", mapping.name());
            output.show(&CheckedView::good(&mapping), good)?;
            if !output.json {
                for note in mapping.notes() {
                    output.note(&format!("note: {note}"));
                }
            }
            Ok(Exit::Done)
        }
        Err(mistakes) if output.json => {
            output.document(&CheckedView::bad(&mistakes))?;
            Ok(Exit::Usage)
        }
        Err(mistakes) => Err(Failure::Mapping { name, mistakes }),
    }
}

fn read(file: &Path) -> Result<Mapping, Failure> {
    let name = file.display().to_string();
    Mapping::read_new(&document(file)?).map_err(|mistakes| Failure::Mapping { name, mistakes })
}

/// The document, or as much of one that is too long as shows it.
pub(super) fn document(file: &Path) -> Result<String, Failure> {
    let all = || -> io::Result<String> {
        let mut text = Vec::new();
        let most = DOCUMENT_BYTES as u64 + 1;
        if file == Path::new(STDIN) {
            io::stdin().lock().take(most).read_to_end(&mut text)?;
        } else {
            File::open(file)?.take(most).read_to_end(&mut text)?;
        }
        // What is cut in the middle of a character is too long whatever it says.
        Ok(String::from_utf8_lossy(&text).into_owned())
    };
    all().map_err(|source| Failure::Read {
        name: file.display().to_string(),
        source,
    })
}
