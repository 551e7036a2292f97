//! The caller's certificate and the authorities that are trusted; and the broker's word on the certificate.
//!
//! A broker that refuses a certificate says so after the caller's side of the handshake has ended, and the gRPC client
//! reports only a closed connection. So after one that closed without an answer the handshake is made once more, and read to
//! the alert.

use std::{
    fs, io,
    io::Read as _,
    net::{TcpStream, ToSocketAddrs as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use rustls::{
    AlertDescription, ClientConfig, ClientConnection, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
    sign::CertifiedKey,
};
use tonic::{
    Status,
    transport::{Certificate, ClientTlsConfig, Identity, Uri},
};

use x509_parser::{extensions::GeneralName, pem::parse_x509_pem};

use crate::{arguments::connection::Connection, failure::Failure};

/// A broker answers a handshake at once, or says nothing.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(3);
/// What an identity begins with, before the name of the federation.
const SCHEME: &str = "spiffe://";
const HTTPS_PORT: u16 = 443;
const HTTP_PORT: u16 = 80;
/// What a TLS record begins with (RFC 8446, section 5.1).
const HANDSHAKE_RECORD: u8 = 22;
const ALERT_RECORD: u8 = 21;

/// Who calls, and who is trusted; all in PEM.
#[derive(Debug, Clone)]
pub(super) struct Credentials {
    ca_file: Option<PathBuf>,
    ca: Option<Vec<u8>>,
    identity: Option<(Vec<u8>, Vec<u8>)>,
}

impl Credentials {
    /// Reads the files that were named.
    pub(super) fn read(connection: &Connection) -> Result<Self, Failure> {
        let identity = match (&connection.certificate, &connection.key) {
            (Some(certificate), Some(key)) => Some(identity(certificate, key)?),
            (None, None) => None,
            _ => {
                return Err(Failure::Usage(
                    "--certificate and --key belong together".to_owned(),
                ));
            }
        };
        let ca = connection.ca.as_deref();
        Ok(Self {
            ca_file: connection.ca.clone(),
            ca: ca.map(|file| certificates("--ca", file)).transpose()?,
            identity,
        })
    }

    /// Who calls by the certificate, as the broker reads it: the path of its one URI.
    pub(super) fn path(&self) -> Option<String> {
        let (chain, _) = self.identity.as_ref()?;
        let (_, block) = parse_x509_pem(chain).ok()?;
        let certificate = block.parse_x509().ok()?;
        let names = certificate.subject_alternative_name().ok()??;
        let names = names.value.general_names.iter();
        let mut uris = names.filter_map(|name| match name {
            GeneralName::URI(uri) => uri.strip_prefix(SCHEME),
            _ => None,
        });
        let (uri, None) = (uris.next()?, uris.next()) else {
            return None;
        };
        uri.split_once('/').map(|(_, path)| path.to_owned())
    }

    /// The file with the authorities that are trusted, where one was named.
    pub(super) fn ca_file(&self) -> Option<&Path> {
        self.ca_file.as_deref()
    }

    /// Whether who listens there answers a handshake, where none was asked for.
    pub(super) async fn is_tls(&self, url: &Uri) -> bool {
        let Some(host) = url
            .host()
            .map(|host| host.trim_matches(['[', ']']).to_owned())
        else {
            return false;
        };
        let port = url.port_u16().unwrap_or(HTTP_PORT);
        let credentials = self.clone();
        let answer = tokio::task::spawn_blocking(move || credentials.first_byte(&host, port)).await;
        matches!(answer, Ok(Some(HANDSHAKE_RECORD | ALERT_RECORD)))
    }

    /// The first byte of the answer to a handshake.
    fn first_byte(&self, host: &str, port: u16) -> Option<u8> {
        let name = ServerName::try_from(host.to_owned()).ok()?;
        let mut tls = ClientConnection::new(Arc::new(self.config()?), name).ok()?;
        let mut stream = connect(host, port)?;
        tls.write_tls(&mut stream).ok()?;
        let mut first = [0];
        stream.read_exact(&mut first).ok()?;
        Some(first[0])
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
        let mut stream = connect(host, port)?;
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

fn connect(host: &str, port: u16) -> Option<TcpStream> {
    let mut addresses = (host, port).to_socket_addrs().ok()?;
    let stream =
        addresses.find_map(|address| TcpStream::connect_timeout(&address, HANDSHAKE_LIMIT).ok())?;
    stream.set_read_timeout(Some(HANDSHAKE_LIMIT)).ok()?;
    stream.set_write_timeout(Some(HANDSHAKE_LIMIT)).ok()?;
    Some(stream)
}

fn alert_of(error: &io::Error) -> Option<AlertDescription> {
    match error.get_ref()?.downcast_ref() {
        Some(rustls::Error::AlertReceived(alert)) => Some(*alert),
        _ => None,
    }
}

/// A certificate and its key, which belong together.
fn identity(certificate: &Path, key: &Path) -> Result<(Vec<u8>, Vec<u8>), Failure> {
    let chain = certificates("--certificate", certificate)?;
    let text = read("--key", key)?;
    let usage = |words: &str| Failure::Usage(format!("--key {} {words}", key.display()));
    let read = PrivateKeyDer::from_pem_slice(&text).map_err(|_| usage("holds no key"))?;
    let ders = CertificateDer::pem_slice_iter(&chain).filter_map(Result::ok);
    let provider = rustls::crypto::ring::default_provider();
    match CertifiedKey::from_der(ders.collect(), read, &provider) {
        Ok(_) => Ok((chain, text)),
        Err(rustls::Error::InconsistentKeys(_)) => {
            let certificate = certificate.display();
            Err(usage(&format!(
                "does not belong to --certificate {certificate}"
            )))
        }
        Err(error) => Err(usage(&format!("cannot be used: {error}"))),
    }
}

/// A file that holds at least one certificate.
fn certificates(flag: &str, file: &Path) -> Result<Vec<u8>, Failure> {
    let text = read(flag, file)?;
    let mut found = CertificateDer::pem_slice_iter(&text).filter_map(Result::ok);
    if found.next().is_none() {
        let file = file.display();
        return Err(Failure::Usage(format!(
            "{flag} {file}: holds no certificate"
        )));
    }
    Ok(text)
}

fn read(flag: &str, file: &Path) -> Result<Vec<u8>, Failure> {
    fs::read(file).map_err(|source| Failure::Read {
        name: format!("{flag} {}", file.display()),
        source,
    })
}
