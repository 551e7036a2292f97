//! What `config/compose/secrets.sh` makes, in a folder of its own.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use regex::Regex;
use serde::Deserialize;
use tempfile::TempDir;
use tests::binaries;

use super::file::{Compose, root};

/// Where Compose would put what is made.
const SECRETS: &str = "./config/compose/secrets/";
/// Where a container finds its secrets.
pub(super) const IN_CONTAINER: &str = "/run/secrets/";
/// How long one call of `fedctl` may take.
const CALL: Duration = Duration::from_secs(30);

/// A folder with passwords and certificates. Deleted when dropped.
pub(super) struct Generated(TempDir);

#[derive(Deserialize)]
struct Definitions {
    users: Vec<User>,
    permissions: Vec<Permission>,
}

#[derive(Deserialize)]
struct User {
    name: String,
}

#[derive(Deserialize)]
struct Permission {
    user: String,
    configure: String,
    write: String,
    read: String,
}

impl Generated {
    /// Runs the script for these participants.
    pub(super) fn make(participants: &[&str]) -> Result<Self> {
        let generated = Self(TempDir::with_prefix("federation-secrets-")?);
        generated.run(participants)?;
        Ok(generated)
    }

    /// Runs the script again.
    pub(super) fn run(&self, participants: &[&str]) -> Result<()> {
        let output = Command::new(root().join("config/compose/secrets.sh"))
            .args(participants)
            .env("SECRETS_FOLDER", self.folder())
            .output()?;
        ensure!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(())
    }

    pub(super) fn folder(&self) -> &Path {
        self.0.path()
    }

    /// The file of a secret, which is there and not empty.
    pub(super) fn file(&self, compose: &Compose, secret: &str) -> Result<PathBuf> {
        let named = compose.secrets.get(secret);
        let named = named.with_context(|| format!("the secret {secret} is not declared"))?;
        let name = named.file.strip_prefix(SECRETS);
        let file = self
            .folder()
            .join(name.with_context(|| format!("{} is elsewhere", named.file))?);
        let bytes = fs::metadata(&file)
            .with_context(|| format!("{} was not made", file.display()))?
            .len();
        ensure!(bytes > 0, "{} is empty", file.display());
        Ok(file)
    }

    /// The configuration that is mounted into a service, and its secrets, all in a folder of their own: `instead` has
    /// other texts for some secrets.
    pub(super) fn mounted(
        &self,
        compose: &Compose,
        name: &str,
        place: &str,
        instead: &[(&str, &str)],
    ) -> Result<PathBuf> {
        let service = compose.service(name)?;
        let folder = self.folder().join(format!("run-{name}"));
        fs::create_dir_all(&folder)?;
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o700))?;
        for secret in &service.secrets {
            let other = instead.iter().find(|(target, _)| *target == secret.target);
            let text = match other {
                Some((_, text)) => (*text).to_owned(),
                None => fs::read_to_string(self.file(compose, &secret.source)?)?,
            };
            fs::write(folder.join(&secret.target), text)?;
        }
        let text = fs::read_to_string(service.mounted(place)?)?;
        let here = format!("{}/", folder.display());
        let file = folder.join("configuration.toml");
        fs::write(&file, text.replace(IN_CONTAINER, &here))?;
        Ok(file)
    }

    /// What of these names a RabbitMQ user may configure, write to and read.
    pub(super) fn rights(&self, user: &str, names: &[String]) -> Result<[Vec<String>; 3]> {
        let text = fs::read_to_string(self.folder().join("rabbitmq-definitions.json"))?;
        let definitions: Definitions = serde_json::from_str(&text)?;
        let is_user = definitions.users.iter().any(|one| one.name == user);
        ensure!(is_user, "there is no user {user}");
        let permission = definitions
            .permissions
            .into_iter()
            .find(|one| one.user == user)
            .with_context(|| format!("{user} has no rights"))?;
        let matching = |pattern: &str| -> Result<Vec<String>> {
            let pattern = Regex::new(pattern)?;
            let matching = names.iter().filter(|name| pattern.is_match(name));
            Ok(matching.cloned().collect())
        };
        Ok([
            matching(&permission.configure)?,
            matching(&permission.write)?,
            matching(&permission.read)?,
        ])
    }

    /// The exit code of `fedctl` with this certificate, at a broker on this port.
    pub(super) async fn fedctl(&self, port: u16, caller: &str, arguments: &[&str]) -> Result<i32> {
        let file = |name: String| self.folder().join(name);
        let mut command = tokio::process::Command::new(binaries::fedctl()?);
        command
            .args(["--broker", &format!("https://localhost:{port}")])
            .arg("--ca")
            .arg(file("federation-authority.pem".to_owned()))
            .arg("--certificate")
            .arg(file(format!("{caller}.pem")))
            .arg("--key")
            .arg(file(format!("{caller}.key")))
            .args(arguments)
            .stdin(std::process::Stdio::null())
            .kill_on_drop(true);
        let output = tokio::time::timeout(CALL, command.output())
            .await
            .context("fedctl did not end")??;
        output.status.code().context("fedctl was killed")
    }
}
