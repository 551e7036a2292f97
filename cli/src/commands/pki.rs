//! `fedctl pki`: an authority for a small federation, in a folder: who may call the broker, and until when.
//!
//! Invariant: nothing that is there is overwritten unless that was typed; keys are readable by their owner alone; the deny list
//! is replaced as a whole, so that a broker never reads half a line.
//! Not here: whether a certificate gets in; the broker decides, by the same rules.

mod authority;
mod folder;
mod read;

use std::{net::IpAddr, path::PathBuf};

use clap::{Args, Subcommand};

use self::{
    authority::{Authority, Holder},
    folder::Folder,
};
use crate::{
    exit::Exit,
    failure::Failure,
    output::Output,
    table,
    view::{CertificateView, IssuedView},
    words,
};

/// Ten years: who replaces an authority visits every member.
const AUTHORITY_DAYS: u16 = 3_650;
/// A certificate that is stolen unnoticed is of use until then.
const LEAF_DAYS: u16 = 90;

/// Keeps an authority.
#[derive(Debug, Args)]
pub(crate) struct Pki {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Make an authority in a new folder
    Init(Init),
    /// Make a key and a certificate for a participant, an operator or a broker
    Issue(Issue),
    /// Put a certificate on the deny list; brokers that follow it end its calls at once
    Revoke(Revoke),
    /// List what was issued, and until when
    List(List),
}

#[derive(Debug, Args)]
struct Init {
    /// The folder to make
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// The trust domain, as brokers have it in listen.federation, such as federation.example
    #[arg(long, value_name = "NAME")]
    federation: String,
    /// How long the authority lasts
    #[arg(long, value_name = "DAYS", default_value_t = AUTHORITY_DAYS, value_parser = clap::value_parser!(u16).range(1..))]
    days: u16,
}

#[derive(Debug, Args)]
struct Issue {
    /// The authority's folder
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// For whom: participant/ID, participant/ID/person/NAME, operator/NAME, or server and its NAME
    #[arg(value_name = "WHO", num_args = 1..=2, required = true)]
    holder: Vec<String>,
    /// A host name of the server; may be given again
    #[arg(long, value_name = "NAME")]
    dns: Vec<String>,
    /// An address of the server; may be given again
    #[arg(long, value_name = "ADDRESS")]
    ip: Vec<IpAddr>,
    /// How long it lasts
    #[arg(long, value_name = "DAYS", default_value_t = LEAF_DAYS, value_parser = clap::value_parser!(u16).range(1..))]
    days: u16,
    /// Put the new key and certificate in the place of those before, which count until they end or are revoked
    #[arg(long)]
    renew: bool,
}

#[derive(Debug, Args)]
struct Revoke {
    /// The authority's folder
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Its serial number as `list` shows it, or its file; or whose: all that participant/ID and its people, participant/ID/person/NAME or operator/NAME has
    #[arg(value_name = "SERIAL|FILE|WHO")]
    which: String,
}

#[derive(Debug, Args)]
struct List {
    /// The authority's folder
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

impl Pki {
    /// Does it and shows what came of it.
    pub(crate) fn run(self, output: Output) -> Result<Exit, Failure> {
        match self.action {
            Action::Init(typed) => init(output, typed),
            Action::Issue(typed) => issue(output, typed),
            Action::Revoke(typed) => revoke(output, &typed),
            Action::List(typed) => list(output, typed.folder),
        }?;
        Ok(Exit::Done)
    }
}

fn init(output: Output, typed: Init) -> Result<(), Failure> {
    let authority = Authority::new(&typed.federation, typed.days)?;
    let folder = Folder::create(typed.folder, &authority)?;
    let view = IssuedView {
        holder: typed.federation,
        certificate: folder.authority().display().to_string(),
        key: folder.authority_key().display().to_string(),
        deny_list: Some(folder.revoked().display().to_string()),
        serial: None,
        not_after: authority.not_after(),
    };
    output.show(&view, IssuedView::text)
}

fn issue(output: Output, typed: Issue) -> Result<(), Failure> {
    let holder = Holder::read(&typed.holder, typed.dns, typed.ip)?;
    let folder = Folder::open(typed.folder);
    let authority = folder.load()?;
    let (certificate, key) = folder.room_for(&holder, typed.renew)?;
    let leaf = authority.issue(&holder, typed.days)?;
    folder.keep(&leaf, &certificate, &key)?;
    let view = IssuedView {
        holder: holder.to_string(),
        certificate: certificate.display().to_string(),
        key: key.display().to_string(),
        deny_list: None,
        serial: Some(leaf.serial),
        not_after: leaf.not_after,
    };
    output.show(&view, IssuedView::text)
}

fn revoke(output: Output, typed: &Revoke) -> Result<(), Failure> {
    let folder = Folder::open(typed.folder.clone());
    if let Some(certificates) = folder.issued_to(&typed.which)? {
        return revoke_all(output, &folder, typed, certificates);
    }
    let certificate = folder.find(&typed.which)?;
    let (serial, holder) = (&certificate.serial, &certificate.holder);
    let was_revoked = certificate.revoked;
    if was_revoked {
        output.note(&format!("{serial} ({holder}) was on the deny list already"));
    } else {
        folder.revoke(serial, holder)?;
    }
    let others = folder.list()?;
    let others = others
        .iter()
        .filter(|other| other.counts() && other.holder == *holder);
    let others: Vec<String> = others
        .map(|other| {
            format!(
                "{} until {}",
                other.serial,
                words::readable(&other.not_after)
            )
        })
        .collect();
    if !others.is_empty() {
        output.note(&still_counting(holder, &others));
    }
    let view = CertificateView {
        revoked: true,
        ..certificate
    };
    output.show(&view, |view| {
        if was_revoked {
            String::new()
        } else {
            revoked_line(view)
        }
    })
}

fn still_counting(holder: &str, others: &[String]) -> String {
    let (count, them) = match others {
        [_] => ("1 other certificate that counts".to_owned(), "it"),
        _ => (
            format!("{} other certificates that count", others.len()),
            "them",
        ),
    };
    format!(
        "{holder} has {count}: {}; revoke {them} by serial",
        others.join(", ")
    )
}

/// All that somebody has and that still count.
fn revoke_all(
    output: Output,
    folder: &Folder,
    typed: &Revoke,
    certificates: Vec<CertificateView>,
) -> Result<(), Failure> {
    if certificates.is_empty() {
        return Err(Failure::Usage(format!(
            "{} has no certificate that counts, of those that were issued in {}",
            typed.which,
            typed.folder.display()
        )));
    }
    let mut revoked = Vec::new();
    for certificate in certificates {
        folder.revoke(&certificate.serial, &certificate.holder)?;
        revoked.push(CertificateView {
            revoked: true,
            ..certificate
        });
    }
    let document = std::collections::BTreeMap::from([("certificates", revoked)]);
    output.show(&document, |document| {
        document.values().flatten().map(revoked_line).collect()
    })
}

fn revoked_line(view: &CertificateView) -> String {
    format!("{} ({}) is revoked\n", view.serial, view.holder)
}

fn list(output: Output, folder: PathBuf) -> Result<(), Failure> {
    let certificates = Folder::open(folder).list()?;
    if output.json {
        return output.document(&std::collections::BTreeMap::from([(
            "certificates",
            &certificates,
        )]));
    }
    if certificates.is_empty() {
        output.note("nothing was issued yet");
        return Ok(());
    }
    output.text(&table::records(&certificates))
}
