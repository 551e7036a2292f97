//! `fedctl participants credentials`: what a participant's adapters log in to RabbitMQ with, in a file.
//!
//! Invariant: the password goes into a new file that only its owner may read, and is printed nowhere.

use std::{
    fs::OpenOptions,
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use clap::Args;
use proto::v1::{AdapterCredentials, IssueCredentialsRequest, RabbitUser};
use serde_json::json;
use tonic::Code;

use crate::{broker::Refusal, commands::Context, exit::Exit, failure::Failure};

/// Read and written by the owner alone.
const MODE: u32 = 0o600;

/// Where credentials go.
#[derive(Debug, Args)]
pub(crate) struct Destination {
    /// Where its adapters' RabbitMQ user and password are written; a file that is there stays [default: ID.credentials.json]
    #[arg(long, value_name = "FILE")]
    pub(crate) credentials: Option<PathBuf>,
}

/// Names a participant and a file.
#[derive(Debug, Args)]
pub(crate) struct Credentials {
    /// Its id
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    destination: Destination,
}

impl Destination {
    /// The file of a participant, which must not be there yet.
    pub(crate) fn of(&self, id: &str) -> Result<PathBuf, Failure> {
        let default = || PathBuf::from(format!("{id}.credentials.json"));
        let file = self.credentials.clone().unwrap_or_else(default);
        // A link that leads nowhere is there, too.
        if file.symlink_metadata().is_ok() {
            let said = format!(
                "{} is there already; move it away, or name another with --credentials FILE",
                file.display()
            );
            return Err(Failure::Usage(said));
        }
        Ok(file)
    }
}

impl Credentials {
    /// Asks for a new password and writes it down.
    pub(crate) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let file = self.destination.of(&self.id)?;
        issue(context, &self.id, &file).await?;
        Ok(Exit::Done)
    }
}

/// Asks for a new password of a participant's RabbitMQ user, and writes it into a new file.
pub(crate) async fn issue(context: &Context, id: &str, file: &Path) -> Result<(), Failure> {
    let again = format!("fedctl participants credentials {id}");
    let request = IssueCredentialsRequest {
        participant_id: id.to_owned(),
    };
    let asked = context
        .broker
        .registry(async |mut client| client.issue_credentials(request.clone()).await);
    let answer = match asked.await {
        Ok(answer) => answer,
        Err(refusal) if refusal.status.code() == Code::Unimplemented => {
            context.output.note("this broker makes no RabbitMQ users");
            return Ok(());
        }
        Err(refusal) => return Err(lost(refusal, &again)),
    };
    let Some(credentials) = answer.credentials else {
        context
            .output
            .note(&by_hand(&answer.user.unwrap_or_default()));
        return Ok(());
    };
    write(file, &credentials).map_err(|source| Failure::WriteFile {
        name: file.display().to_string(),
        source,
    })?;
    context.output.note(&format!(
        "{} holds the RabbitMQ user and password of its adapters (`amqp.credentials`); they are not shown again, and \
         {again} makes a new password",
        file.display()
    ));
    Ok(())
}

fn lost(refusal: Refusal, look: &str) -> Failure {
    Failure::Change {
        is_repeated: refusal.is_repeated,
        look: look.to_owned(),
        status: Box::new(refusal.status),
    }
}

fn by_hand(user: &RabbitUser) -> String {
    format!(
        "this broker makes no RabbitMQ users (`amqp.management.url`); make this one for its adapters, in virtual host `{}`:\n  \
         user {}, configure {}, write {}, read {}",
        user.virtual_host, user.name, user.configure, user.write, user.read
    )
}

fn write(file: &Path, credentials: &AdapterCredentials) -> io::Result<()> {
    let text = json!({
        "url": credentials.url,
        "user": credentials.user,
        "password": credentials.password,
    });
    let mut new = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(MODE)
        .open(file)?;
    new.write_all(format!("{text:#}\n").as_bytes())?;
    new.sync_all()
}
