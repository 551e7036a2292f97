//! Who may call the demo's broker: certificates from the real `fedctl pki`, as a small federation makes its own.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use tonic::transport::{Certificate, ClientTlsConfig, Identity};

use super::cast::PARTICIPANTS;
use crate::{
    binaries,
    federation::{Client, endpoint},
};

/// The federation's trust domain.
const FEDERATION: &str = "demo.example";
/// Who keeps the registry.
pub(super) const OPERATOR: &str = "operator/demo";

/// The authority's folder.
#[derive(Debug)]
pub(super) struct Passes(PathBuf);

impl Passes {
    /// Makes an authority, and certificates for the broker, for each participant and for an operator.
    pub(super) async fn make(folder: &Path) -> Result<Self> {
        let passes = Self(folder.join("authority"));
        passes.pki("init", &["--federation", FEDERATION]).await?;
        let server = [
            "server",
            "broker",
            "--dns",
            "localhost",
            "--ip",
            "127.0.0.1",
        ];
        passes.pki("issue", &server).await?;
        for (participant, ..) in PARTICIPANTS {
            let holder = format!("participant/{participant}");
            passes.pki("issue", &[&holder]).await?;
        }
        passes.pki("issue", &[OPERATOR]).await?;
        Ok(passes)
    }

    /// Where it is.
    pub(super) fn folder(&self) -> &Path {
        &self.0
    }

    /// The lines of the broker's configuration with which callers show certificates.
    pub(super) fn settings(&self) -> String {
        let path = |name| self.0.join(name).display().to_string();
        format!(
            "[listen]\ninsecure = false\nfederation = \"{FEDERATION}\"\ncertificate = \"{}\"\nkey = \"{}\"\n\
             client_authority = \"{}\"\nrevoked = \"{}\"\n",
            path("server-broker.pem"),
            path("server-broker.key"),
            path("authority.pem"),
            path("revoked"),
        )
    }

    /// What `fedctl` reads from the environment in order to call as somebody.
    pub(super) fn variables(&self, identity: &str) -> [(&'static str, PathBuf); 3] {
        let stem = identity.replace('/', "-");
        [
            ("FEDCTL_CA", self.0.join("authority.pem")),
            ("FEDCTL_CERTIFICATE", self.0.join(format!("{stem}.pem"))),
            ("FEDCTL_KEY", self.0.join(format!("{stem}.key"))),
        ]
    }

    /// A client that calls as somebody.
    pub(super) fn client(&self, broker: SocketAddr, identity: &str) -> Result<Client> {
        let [ca, certificate, key] = self
            .variables(identity)
            .map(|(_, path)| std::fs::read(&path).with_context(|| path.display().to_string()));
        let tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(ca?))
            .identity(Identity::from_pem(certificate?, key?));
        let endpoint = endpoint(&format!("https://{broker}"))?.tls_config(tls)?;
        Ok(Client::over(endpoint.connect_lazy(), None))
    }

    async fn pki(&self, verb: &str, rest: &[&str]) -> Result<()> {
        let mut command = tokio::process::Command::new(binaries::fedctl()?);
        command.args(["pki", verb]).arg(&self.0).args(rest);
        let output = command.output().await.context("cannot run fedctl")?;
        ensure!(
            output.status.success(),
            "fedctl pki {verb} failed: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(())
    }
}
