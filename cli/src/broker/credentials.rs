//! The caller's certificate and the authorities that are trusted; and the broker's word on the certificate.
//!
//! A broker that refuses a certificate says so after the caller's side of the handshake has ended, and the gRPC client
//! reports only a closed connection. So after one that closed without an answer the handshake is made once more, and read to
//! the alert.

use std::{
    fs, io,
    io::Read as _,
    net::{TcpStream, ToSocketAddrs as _},
    path::Path,
    sync::Arc,
    time::Duration,
};

use rustls::{
    AlertDescription, ClientConfig, ClientConnection, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
};
use tonic::{
    Status,
    transport::{Certificate, ClientTlsConfig, Identity, Uri},
};

use crate::{arguments::connection::Connection, failure::Failure};

/// A broker answers a handshake at once, or says nothing.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(3);
const HTTPS_PORT: u16 = 443;

/// Who calls, and who is trusted; all in PEM.
#[derive(Debug, Clone)]
pub(super) struct Credentials {
    ca: Option<Vec<u8>>,
    identity: Option<(Vec<u8>, Vec<u8>)>,
}

impl Credentials {
    /// Reads the files that were named.
    pub(super) fn read(connection: &Connection) -> Result<Self, Failure> {
        let identity = match (&connection.certificate, &connection.key) {
            (Some(certificate), Some(key)) => Some((read(certificate)?, read(key)?)),
            (None, None) => None,
            _ => {
                return Err(Failure::Usage(
                    "--certificate and --key belong together".to_owned(),
                ));
            }
        };
        let ca = connection.ca.as_deref().map(read).transpose()?;
        Ok(Self { ca, identity })
    }

    /// For the gRPC client.
    pub(super) fn tls(&self) -> ClientTlsConfig {
        let tls = match &self.ca {
            Some(ca) => ClientTlsConfig::new().ca_certificate(Certificate::from_pem(ca)),
            None => ClientTlsConfig::new().with_enabled_roots(),
        };
        match &self.identity {
            Some((certificate, key)) => tls.identity(Identity::from_pem(certificate, key)),
            None => tls,
        }
    }

    /// What the broker says about the caller's certificate, where it does not accept it.
    pub(super) async fn refused_by(&self, url: &Uri) -> Option<Status> {
        let host = url.host()?.trim_matches(['[', ']']).to_owned();
        let port = url.port_u16().unwrap_or(HTTPS_PORT);
        let credentials = self.clone();
        let alert = tokio::task::spawn_blocking(move || credentials.alert(&host, port)).await;
        let what = match alert.ok()?? {
            AlertDescription::CertificateRequired => {
                "it asks for a certificate; give --certificate and --key"
            }
            AlertDescription::CertificateExpired => "the certificate has expired",
            AlertDescription::CertificateRevoked => "the certificate is revoked",
            AlertDescription::UnknownCA => "the certificate is not of an authority that it trusts",
            AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateUnknown
            | AlertDescription::DecryptError
            | AlertDescription::AccessDenied => "it does not accept the certificate",
            _ => return None,
        };
        Some(Status::unauthenticated(what))
    }

    /// Shakes hands, and waits for the first byte or the alert.
    fn alert(&self, host: &str, port: u16) -> Option<AlertDescription> {
        let name = ServerName::try_from(host.to_owned()).ok()?;
        let mut tls = ClientConnection::new(Arc::new(self.config()?), name).ok()?;
        let mut addresses = (host, port).to_socket_addrs().ok()?;
        let mut stream = addresses
            .find_map(|address| TcpStream::connect_timeout(&address, HANDSHAKE_LIMIT).ok())?;
        stream.set_read_timeout(Some(HANDSHAKE_LIMIT)).ok()?;
        stream.set_write_timeout(Some(HANDSHAKE_LIMIT)).ok()?;
        let first = rustls::Stream::new(&mut tls, &mut stream).read(&mut [0]);
        first.err().as_ref().and_then(alert_of)
    }

    fn config(&self) -> Option<ClientConfig> {
        let mut roots = RootCertStore::empty();
        if let Some(ca) = &self.ca {
            let certificates = CertificateDer::pem_slice_iter(ca).filter_map(Result::ok);
            roots.add_parsable_certificates(certificates);
        } else {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .ok()?
            .with_root_certificates(roots);
        let mut config = match &self.identity {
            Some((certificate, key)) => {
                let chain = CertificateDer::pem_slice_iter(certificate).filter_map(Result::ok);
                let key = PrivateKeyDer::from_pem_slice(key).ok()?;
                config.with_client_auth_cert(chain.collect(), key).ok()?
            }
            None => config.with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        Some(config)
    }
}

fn alert_of(error: &io::Error) -> Option<AlertDescription> {
    match error.get_ref()?.downcast_ref() {
        Some(rustls::Error::AlertReceived(alert)) => Some(*alert),
        _ => None,
    }
}

fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    fs::read(file).map_err(|source| Failure::Read {
        name: file.display().to_string(),
        source,
    })
}
