//! `fedctl receipts`: what participants signed, taken away and checked by anyone.
//!
//! Invariant: a bundle holds the records as the broker keeps them, byte for byte; checking it asks nobody.

use std::{
    fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};
use domain::receipt::{Bundle, Head, Opening, Summary, Trusted};
use proto::v1::{ListReceiptsRequest, ReceiptHead};

use super::Context;
use crate::{
    exit::Exit,
    failure::Failure,
    view::{BundleView, incomplete_answer},
};

/// The most that a broker gives in one page.
const PAGE_SIZE: i32 = 1_000;
/// What stands for stdin.
const STDIN: &str = "-";

/// Receipts of a configuration.
#[derive(Debug, Args)]
pub(crate) struct Receipts {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Print all receipts of a configuration as a bundle: JSON, a line each
    Export(Export),
    /// Check a bundle without the broker: whether a record was changed, taken out or moved; exit code 2 where one was, 1 where the file cannot be opened
    Verify(Verify),
}

#[derive(Debug, Args)]
struct Export {
    /// The configuration
    #[arg(value_name = "CONFIGURATION")]
    configuration: domain::ConfigurationId,
}

#[derive(Debug, Args)]
struct Verify {
    /// The bundle; `-` reads stdin
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// A file with public keys: `PARTICIPANT KEY` on a line, the broker's alone on its line; without it those in the bundle are
    /// believed, and shown to be compared
    #[arg(long, value_name = "FILE")]
    keys: Option<PathBuf>,
}

impl Receipts {
    /// Does it.
    pub(crate) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        match self.action {
            Action::Export(typed) => export(context, typed).await,
            Action::Verify(typed) => verify(context, &typed),
        }
    }
}

async fn export(context: &Context, typed: Export) -> Result<Exit, Failure> {
    let configuration = typed.configuration;
    // Who may not have it gets no file that looks like the beginning of one.
    let mut opening = Some(Opening::new(configuration.clone()));
    let mut page_token = String::new();
    loop {
        let request = ListReceiptsRequest {
            configuration_id: configuration.to_string(),
            page_size: PAGE_SIZE,
            page_token,
        };
        let answer = context
            .broker
            .receipts(async |mut client| client.list_receipts(request.clone()).await)
            .await?;
        if let Some(opening) = opening.take() {
            context.output.document_line(&opening)?;
        }
        let lines = answer
            .records
            .iter()
            .map(|record| format!("{}\n", record.text));
        context.output.text(&lines.collect::<String>())?;
        page_token = answer.next_page_token;
        if page_token.is_empty() {
            let head = answer.head.and_then(|head| read_head(&head));
            context
                .output
                .document_line(&head.ok_or_else(incomplete_answer)?)?;
            return Ok(Exit::Done);
        }
    }
}

fn read_head(head: &ReceiptHead) -> Option<Head> {
    let at = std::time::SystemTime::try_from(head.sign_time?).ok()?;
    let key = match head.public_key.as_str() {
        "" => None,
        key => Some(key.parse().ok()?),
    };
    Some(Head {
        sequence: head.sequence,
        hash: head.hash.parse().ok()?,
        at: at.into(),
        key,
        signature: head.signature.clone(),
    })
}

fn verify(context: &Context, typed: &Verify) -> Result<Exit, Failure> {
    let trusted = match &typed.keys {
        None => Trusted::default(),
        Some(file) => Trusted::read(&text_of(file)?).map_err(|rule| Failure::Read {
            name: file.display().to_string(),
            source: io::Error::other(rule),
        })?,
    };
    let name = typed.file.display().to_string();
    let summary = Bundle::new(trusted)
        .check(&text_of(&typed.file).map_err(Failure::unopened)?)
        .map_err(|flaw| Failure::Bundle { name, flaw })?;
    let view = BundleView::from(&summary);
    context.output.show(&view, |_| words(&summary))?;
    Ok(Exit::Done)
}

fn text_of(file: &Path) -> Result<String, Failure> {
    let read = if file == Path::new(STDIN) {
        let mut text = String::new();
        io::stdin().lock().read_to_string(&mut text).map(|_| text)
    } else {
        fs::read_to_string(file)
    };
    read.map_err(|source| Failure::Read {
        name: file.display().to_string(),
        source,
    })
}

fn words(summary: &Summary) -> String {
    let mut lines = match summary.range {
        None => vec![format!("{}: no receipts", summary.configuration)],
        Some((first, last)) => vec![format!(
            "{}: {} receipts, {first} to {last}, none changed, missing or moved",
            summary.configuration, summary.records
        )],
    };
    if summary.range.is_some_and(|(first, _)| first > 1) {
        lines.push(format!(
            "follows on the record with the hash {}",
            summary.anchor
        ));
    }
    if summary.told_otherwise > 0 {
        lines.push(format!(
            "{} are of another order than the broker says",
            summary.told_otherwise
        ));
    }
    for (participant, key) in &summary.keys {
        lines.push(format!("signed by {participant} with {key}"));
    }
    lines.push(match summary.broker {
        Some(key) => format!("the end is signed by the broker with {key}"),
        None => "the end is not signed: records may be missing there".to_owned(),
    });
    lines.join("\n") + "\n"
}
