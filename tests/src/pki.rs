//! A federation's certificates for tests: those that are right, and those with exactly one defect.
//!
//! Invariant: what a test calls a defect is the only thing that is wrong with that certificate, so a broker that refuses it
//! refuses it for that.
//! Not here: what `fedctl pki` makes; the demo and its own tests use that.

use std::{
    fs::{self, File},
    io::Write as _,
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, SanType, SerialNumber,
};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
};
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};

use crate::federation::{Client, endpoint};

/// The trust domain, as in the broker's default configuration.
pub const FEDERATION: &str = "federation.example";
/// How long what is issued is valid unless a test says otherwise, and how long it has been.
const VALID: Duration = Duration::from_hours(24);
const CLOCKS_DIFFER: Duration = Duration::from_mins(5);

type Authority = CertifiedIssuer<'static, KeyPair>;

/// What may be wrong with a caller's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Defect {
    /// It was valid until a moment ago.
    Expired,
    /// It will be valid in a while.
    NotYetValid,
    /// It is on the deny list.
    Revoked,
    /// It names two participants.
    TwoUris,
    /// It names a host, and no URI.
    NoUri,
    /// It is that of an authority, which our authority signed.
    Authority,
    /// It is a leaf whose key may sign certificates.
    MaySign,
    /// It is for servers only.
    ServerOnly,
    /// It does not say what it is for.
    NoPurpose,
    /// Its key may not sign a handshake.
    NoSignature,
    /// Its URI is of another federation.
    OtherFederation,
    /// Another authority signed it.
    OtherAuthority,
}

impl Defect {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Expired,
        Self::NotYetValid,
        Self::Revoked,
        Self::TwoUris,
        Self::NoUri,
        Self::Authority,
        Self::MaySign,
        Self::ServerOnly,
        Self::NoPurpose,
        Self::NoSignature,
        Self::OtherFederation,
        Self::OtherAuthority,
    ];
}

/// A certificate and its key.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// PEM.
    pub certificate: String,
    /// PEM.
    pub key: String,
    /// As the deny list names it: hexadecimal.
    pub serial: String,
}

/// An authority with its files: `broker.pem`, `broker.key`, `authority.pem` and the deny list `revoked`.
pub struct Pki {
    folder: PathBuf,
    authority: Authority,
    stranger: Authority,
}

impl Pki {
    /// A new authority, which gives the broker a certificate for `localhost` and 127.0.0.1.
    pub fn new(folder: &Path) -> Result<Self> {
        let folder = folder.join("pki");
        fs::create_dir_all(&folder)?;
        let pki = Self {
            authority: authority("the federation's")?,
            stranger: authority("the federation's")?,
            folder,
        };
        pki.write("authority.pem", &pki.authority.pem())?;
        pki.write("revoked", "# Nobody yet.\n")?;
        pki.renew_broker()?;
        Ok(pki)
    }

    /// One of the files.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The lines of a broker's configuration with which callers show certificates.
    pub fn settings(&self) -> String {
        let path = |name| self.path(name).display().to_string();
        format!(
            "[listen]\ninsecure = false\nfederation = \"{FEDERATION}\"\ncertificate = \"{}\"\nkey = \"{}\"\n\
             client_authority = \"{}\"\nrevoked = \"{}\"\n",
            path("broker.pem"),
            path("broker.key"),
            path("authority.pem"),
            path("revoked"),
        )
    }

    /// Puts a new certificate and key in the place of the broker's.
    pub fn renew_broker(&self) -> Result<()> {
        let names = vec![
            SanType::DnsName("localhost".try_into()?),
            SanType::IpAddress([127, 0, 0, 1].into()),
        ];
        let broker = self.server(names)?;
        self.write("broker.pem", &broker.certificate)?;
        self.write("broker.key", &broker.key)
    }

    /// A certificate for whoever serves a host name.
    pub fn issue_server(&self, host: &str) -> Result<Credentials> {
        self.server(vec![SanType::DnsName(host.try_into()?)])
    }

    fn server(&self, names: Vec<SanType>) -> Result<Credentials> {
        let mut params = leaf(&[], VALID);
        params.subject_alt_names = names;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        sign(params, &self.authority)
    }

    /// A certificate for `participant/<id>` or `operator/<name>`.
    pub fn issue(&self, identity: &str) -> Result<Credentials> {
        self.issue_for(identity, VALID)
    }

    /// The same, for a while from now.
    pub fn issue_for(&self, identity: &str, valid: Duration) -> Result<Credentials> {
        sign(leaf(&[&uri(identity)], valid), &self.authority)
    }

    /// The same with something wrong.
    pub fn issue_with(&self, identity: &str, defect: Defect) -> Result<Credentials> {
        let mut params = leaf(&[&uri(identity)], VALID);
        let now = SystemTime::now();
        match defect {
            Defect::Expired => params.not_after = (now - Duration::from_mins(1)).into(),
            Defect::NotYetValid => params.not_before = (now + Duration::from_hours(1)).into(),
            Defect::Revoked | Defect::OtherAuthority => {}
            Defect::TwoUris => {
                let second = uri("participant/second").as_str().try_into()?;
                params.subject_alt_names.push(SanType::URI(second));
            }
            Defect::NoUri => {
                params.subject_alt_names = vec![SanType::DnsName("localhost".try_into()?)];
            }
            Defect::Authority => params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained),
            Defect::MaySign => params.key_usages.push(KeyUsagePurpose::KeyCertSign),
            Defect::ServerOnly => {
                params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
            }
            Defect::NoPurpose => params.extended_key_usages = Vec::new(),
            Defect::NoSignature => params.key_usages = vec![KeyUsagePurpose::KeyAgreement],
            Defect::OtherFederation => {
                let other = format!("spiffe://other.example/{identity}");
                params.subject_alt_names = vec![SanType::URI(other.as_str().try_into()?)];
            }
        }
        let issuer = match defect {
            Defect::OtherAuthority => &self.stranger,
            _ => &self.authority,
        };
        let credentials = sign(params, issuer)?;
        if defect == Defect::Revoked {
            self.revoke(&credentials)?;
        }
        Ok(credentials)
    }

    /// Puts a certificate on the deny list. It counts from the broker's next look, `listen.reload_every` at the latest.
    pub fn revoke(&self, credentials: &Credentials) -> Result<()> {
        let mut list = File::options().append(true).open(self.path("revoked"))?;
        // One write, so that nobody reads half a line.
        list.write_all(format!("{}\n", credentials.serial).as_bytes())?;
        Ok(())
    }

    /// A client that shows this certificate, or none.
    pub fn client(&self, address: SocketAddr, caller: Option<&Credentials>) -> Result<Client> {
        let endpoint = self.endpoint(address, caller)?;
        Ok(Client::over(endpoint.connect_lazy(), None))
    }

    /// Where a broker is, with TLS and this certificate, or none.
    pub fn endpoint(&self, address: SocketAddr, caller: Option<&Credentials>) -> Result<Endpoint> {
        let mut tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(self.authority.pem()))
            .domain_name("localhost");
        if let Some(caller) = caller {
            tls = tls.identity(Identity::from_pem(&caller.certificate, &caller.key));
        }
        Ok(endpoint(&format!("https://{address}"))?.tls_config(tls)?)
    }

    /// The certificate (DER) that a broker shows on a new connection now.
    pub async fn shown_by(&self, address: SocketAddr, caller: &Credentials) -> Result<Vec<u8>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.der().clone())?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let chain = CertificateDer::from_pem_slice(caller.certificate.as_bytes())?;
        let key = PrivateKeyDer::from_pem_slice(caller.key.as_bytes())?;
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_client_auth_cert(vec![chain], key)?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        let shaking = move || -> Result<Vec<u8>> {
            let mut stream = TcpStream::connect(address)?;
            let name = ServerName::try_from("localhost")?;
            let mut tls = ClientConnection::new(Arc::new(config), name)?;
            while tls.is_handshaking() {
                tls.complete_io(&mut stream)?;
            }
            let shown = tls.peer_certificates().and_then(|chain| chain.first());
            Ok(shown.context("it shows none")?.to_vec())
        };
        tokio::task::spawn_blocking(shaking).await?
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        let path = self.path(name);
        fs::write(&path, text).with_context(|| path.display().to_string())
    }
}

fn uri(identity: &str) -> String {
    format!("spiffe://{FEDERATION}/{identity}")
}

/// Two of the same name are told apart by their keys alone.
fn authority(name: &str) -> Result<Authority> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(CertifiedIssuer::self_signed(params, KeyPair::generate()?)?)
}

/// A caller's certificate with these URIs.
fn leaf(uris: &[&str], valid: Duration) -> CertificateParams {
    let now = SystemTime::now();
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "a leaf");
    params.not_before = (now - CLOCKS_DIFFER).into();
    params.not_after = (now + valid).into();
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.subject_alt_names = uris
        .iter()
        .map(|uri| SanType::URI((*uri).try_into().expect("identities are ASCII")))
        .collect();
    params
}

fn sign(mut params: CertificateParams, issuer: &Authority) -> Result<Credentials> {
    let key = KeyPair::generate()?;
    let serial = format!("{:032x}", rand::random::<u128>() >> 1);
    let bytes = u128::from_str_radix(&serial, 16)?.to_be_bytes();
    params.serial_number = Some(SerialNumber::from_slice(&bytes));
    Ok(Credentials {
        certificate: params.signed_by(&key, issuer)?.pem(),
        key: key.serialize_pem(),
        serial,
    })
}
