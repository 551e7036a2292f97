//! `docker-compose.yml` as these tests look at it.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result};
use serde::Deserialize;

/// All services and secrets, of every profile.
#[derive(Debug, Deserialize)]
pub(super) struct Compose {
    pub(super) services: BTreeMap<String, Service>,
    pub(super) secrets: BTreeMap<String, SecretFile>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Service {
    pub(super) image: Option<String>,
    pub(super) build: Option<Build>,
    pub(super) user: Option<String>,
    pub(super) restart: Option<String>,
    pub(super) healthcheck: Option<HealthCheck>,
    pub(super) stop_grace_period: Option<String>,
    pub(super) read_only: bool,
    pub(super) cap_drop: Vec<String>,
    pub(super) security_opt: Vec<String>,
    pub(super) ports: Vec<String>,
    pub(super) volumes: Vec<String>,
    pub(super) secrets: Vec<SecretUse>,
    pub(super) depends_on: BTreeMap<String, Depends>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Build {
    target: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct HealthCheck {
    pub(super) test: Vec<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Depends {
    pub(super) condition: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct SecretUse {
    pub(super) source: String,
    pub(super) target: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct SecretFile {
    pub(super) file: String,
}

impl Compose {
    pub(super) fn read() -> Result<Self> {
        let text = fs::read_to_string(root().join("docker-compose.yml"))?;
        Ok(serde_saphyr::from_str(&text)?)
    }

    pub(super) fn service(&self, name: &str) -> Result<&Service> {
        self.services
            .get(name)
            .with_context(|| format!("there is no service {name}"))
    }
}

impl Service {
    /// It runs to its end and is not started again.
    pub(super) fn is_job(&self) -> bool {
        self.restart.as_deref() == Some("no")
    }

    /// Which of our own images it runs.
    pub(super) fn target(&self) -> Option<&str> {
        self.build.as_ref().map(|build| build.target.as_str())
    }

    /// How long it may take to end.
    pub(super) fn stop_grace(&self) -> Result<Duration> {
        let text = self.stop_grace_period.as_deref().unwrap_or("10s");
        let (number, unit) = text.split_at(text.len() - 1);
        let unit = if unit == "m" { 60 } else { 1 };
        Ok(Duration::from_secs(number.parse::<u64>()? * unit))
    }

    /// The file of ours that stands there in the container.
    pub(super) fn mounted(&self, place: &str) -> Result<PathBuf> {
        let own = self.volumes.iter().find_map(|volume| {
            volume
                .strip_suffix(&format!(":{place}:ro"))
                .map(|file| root().join(file))
        });
        own.with_context(|| format!("nothing is mounted at {place}"))
    }
}

/// The top of the workspace.
pub(super) fn root() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent()
        .expect("the crate lies in the workspace")
        .to_owned()
}
