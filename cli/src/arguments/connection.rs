//! How the broker is reached, and as whom.

use std::path::PathBuf;

use clap::Args;
use tonic::transport::Uri;

/// Where a broker on the same machine listens.
const DEFAULT_BROKER: &str = "http://127.0.0.1:7443";
/// Where help shows all of these.
pub(crate) const HEADING: &str = "Connection";

/// How the broker is reached, and as whom.
#[derive(Debug, Args)]
pub(crate) struct Connection {
    /// The broker; several are separated by commas and tried in turn
    #[arg(long, value_name = "URL", global = true, help_heading = HEADING, env = "FEDCTL_BROKER",
        hide_env_values = true, value_delimiter = ',', default_value = DEFAULT_BROKER, value_parser = broker_url)]
    pub(crate) broker: Vec<Uri>,
    /// Trust this certificate authority (PEM) instead of the system's
    #[arg(long, value_name = "FILE", global = true, help_heading = HEADING, env = "FEDCTL_CA", hide_env_values = true)]
    pub(crate) ca: Option<PathBuf>,
    /// The caller's certificate (PEM)
    #[arg(long, value_name = "FILE", global = true, help_heading = HEADING, env = "FEDCTL_CERTIFICATE",
        hide_env_values = true)]
    pub(crate) certificate: Option<PathBuf>,
    /// The key of the caller's certificate (PEM)
    #[arg(long, value_name = "FILE", global = true, help_heading = HEADING, env = "FEDCTL_KEY",
        hide_env_values = true)]
    pub(crate) key: Option<PathBuf>,
    /// Call as this participant, where the broker runs insecure
    #[arg(long = "as", value_name = "PARTICIPANT", global = true, help_heading = HEADING, env = "FEDCTL_AS",
        hide_env_values = true)]
    pub(crate) calling_participant: Option<String>,
    /// Call as this operator of the federation, where the broker runs insecure; goes before --as
    #[arg(long = "as-operator", value_name = "NAME", global = true, help_heading = HEADING)]
    pub(crate) calling_operator: Option<String>,
}

fn broker_url(text: &str) -> Result<Uri, String> {
    let uri: Uri = text.trim().parse().map_err(|_| "is not a URL".to_owned())?;
    let is_web = matches!(uri.scheme_str(), Some("http" | "https"));
    if !is_web || uri.host().is_none_or(str::is_empty) {
        return Err("must be an http or https URL such as http://127.0.0.1:7443".to_owned());
    }
    Ok(uri)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A broker's address without its scheme is a frequent slip; the message shows what is meant.
    #[test]
    fn a_broker_is_an_http_or_https_url() {
        assert!(broker_url("https://broker.example.net:7443").is_ok());
        for wrong in ["127.0.0.1:7443", "ftp://broker", "broker", ""] {
            assert!(broker_url(wrong).is_err(), "{wrong}");
        }
    }
}
