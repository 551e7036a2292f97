//! The authority's own work: it makes keys and certificates. No file is touched here.
//!
//! Invariant: what is issued is for one purpose: a caller's certificate has one URI (SPIFFE X.509-SVID) and no other name, a
//! server's has names and no URI; neither signs anything but handshakes, and neither outlives the authority.

use std::{fmt, net::IpAddr};

use domain::ParticipantId;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PublicKeyData as _, SanType,
};
use time::{Duration, OffsetDateTime};

use super::read::{Read, certificate_of, own_uri};
use crate::failure::Failure;

/// Clocks differ; what was issued a moment ago counts everywhere.
const CLOCKS_DIFFER: Duration = Duration::minutes(5);

/// Whom a certificate is for.
#[derive(Debug)]
pub(super) enum Holder {
    /// One who calls, by its path: `participant/acme`.
    Caller {
        /// `participant` or `operator`.
        kind: &'static str,
        /// Its id.
        id: ParticipantId,
        /// Who of that participant, where it is one person.
        person: Option<ParticipantId>,
    },
    /// One who is called.
    Server {
        /// What its files are called.
        name: ParticipantId,
        /// Its names.
        dns: Vec<String>,
        /// Its addresses.
        ip: Vec<IpAddr>,
    },
}

impl Holder {
    /// Reads what was typed: `participant/ID`, `participant/ID/person/NAME`, `operator/NAME`, or `server NAME`.
    pub(super) fn read(
        words: &[String],
        dns: Vec<String>,
        ip: Vec<IpAddr>,
    ) -> Result<Self, Failure> {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let id = |text: &str| {
            let id = text.parse::<ParticipantId>();
            id.map_err(|rule| Failure::Usage(format!("`{text}` {rule}")))
        };
        let kind = match *words.as_slice() {
            ["server", name] => {
                if dns.is_empty() && ip.is_empty() {
                    return Err(Failure::Usage(
                        "a server is known by a name or an address: give --dns or --ip".to_owned(),
                    ));
                }
                let name = id(name)?;
                return Ok(Self::Server { name, dns, ip });
            }
            [path] => path,
            _ => "",
        };
        let (kind, of, person) = match kind.split('/').collect::<Vec<_>>()[..] {
            ["participant", of] => ("participant", of, None),
            ["participant", of, "person", name] => ("participant", of, Some(name)),
            ["operator", of] => ("operator", of, None),
            _ => {
                return Err(Failure::Usage(
                    "for whom? participant/ID, participant/ID/person/NAME, operator/NAME, or server NAME"
                        .to_owned(),
                ));
            }
        };
        if !dns.is_empty() || !ip.is_empty() {
            return Err(Failure::Usage(
                "--dns and --ip are names of servers; a caller has its URI alone".to_owned(),
            ));
        }
        Ok(Self::Caller {
            kind,
            id: id(of)?,
            person: person.map(id).transpose()?,
        })
    }

    /// What its files are called.
    pub(super) fn file_stem(&self) -> String {
        match self {
            // No id has a dot.
            Self::Caller { kind, id, person } => match person {
                None => format!("{kind}-{id}"),
                Some(person) => format!("{kind}-{id}.{person}"),
            },
            Self::Server { name, .. } => format!("server-{name}"),
        }
    }

    fn names(&self, federation: &str) -> Result<Vec<SanType>, rcgen::Error> {
        match self {
            Self::Caller { .. } => {
                let uri = format!("spiffe://{federation}/{self}");
                Ok(vec![SanType::URI(uri.as_str().try_into()?)])
            }
            Self::Server { dns, ip, .. } => {
                let mut names = Vec::new();
                for name in dns {
                    names.push(SanType::DnsName(name.as_str().try_into()?));
                }
                names.extend(ip.iter().copied().map(SanType::IpAddress));
                Ok(names)
            }
        }
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Caller { kind, id, person } => {
                write!(formatter, "{kind}/{id}")?;
                person
                    .as_ref()
                    .map_or(Ok(()), |person| write!(formatter, "/person/{person}"))
            }
            Self::Server { name, .. } => write!(formatter, "server {name}"),
        }
    }
}

/// The authority and its key.
pub(super) struct Authority {
    federation: String,
    not_after: OffsetDateTime,
    pem: String,
    /// What stands between it and a root, where its root is somebody else's.
    chain: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A key and its certificate.
pub(super) struct Leaf {
    /// Hexadecimal.
    pub(super) serial: String,
    /// RFC 3339.
    pub(super) not_after: String,
    /// The certificate alone, PEM.
    pub(super) pem: String,
    /// The certificate and what stands between it and the root, PEM.
    pub(super) chain: String,
    /// PEM.
    pub(super) key: String,
}

impl Authority {
    /// Makes one for a trust domain.
    pub(super) fn new(federation: &str, days: u16) -> Result<Self, Failure> {
        check_federation(federation)?;
        let name = format!("{federation} authority");
        let mut params = params(&name, days, OffsetDateTime::now_utc());
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let cannot = |source| Failure::Certificate {
            what: "cannot make the authority".to_owned(),
            source,
        };
        // SPIFFE X.509-SVID, 4.2: one that signs says for which trust domain, without a path.
        let uri = format!("spiffe://{federation}");
        params.subject_alt_names = vec![SanType::URI(uri.as_str().try_into().map_err(cannot)?)];
        let key = KeyPair::generate().map_err(cannot)?;
        Ok(Self {
            federation: federation.to_owned(),
            not_after: params.not_after,
            pem: params.self_signed(&key).map_err(cannot)?.pem(),
            chain: String::new(),
            issuer: Issuer::new(params, key),
        })
    }

    /// Reads one from the PEM of its certificates, its own first, and of its key.
    pub(super) fn load(name: &str, pem: &str, key: &str) -> Result<Self, Failure> {
        let cannot = |source| Failure::Certificate {
            what: format!("cannot use the authority in {name}"),
            source,
        };
        let own = certificate_of(name, pem)?;
        let federation = own_uri(&own.uris).ok_or_else(|| {
            Failure::Usage(format!("{name} does not say for which federation it signs"))
        })?;
        let key = KeyPair::from_pem(key).map_err(cannot)?;
        if key.subject_public_key_info() != own.public_key {
            return Err(Failure::Usage(format!(
                "{name} and its key do not belong together"
            )));
        }
        Ok(Self {
            federation: federation.to_owned(),
            not_after: own.not_after,
            chain: intermediates(name, pem)?,
            issuer: Issuer::from_ca_cert_pem(pem, key).map_err(cannot)?,
            pem: pem.to_owned(),
        })
    }

    /// Its certificate.
    pub(super) fn pem(&self) -> &str {
        &self.pem
    }

    /// Its key.
    pub(super) fn key(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// Until when it counts, RFC 3339.
    pub(super) fn not_after(&self) -> String {
        super::read::rfc3339(self.not_after)
    }

    /// Makes a key and a certificate.
    pub(super) fn issue(&self, holder: &Holder, days: u16) -> Result<Leaf, Failure> {
        let cannot = |source| Failure::Certificate {
            what: format!("cannot issue a certificate for {holder}"),
            source,
        };
        let now = OffsetDateTime::now_utc();
        let mut params = params(&holder.to_string(), days, now);
        if params.not_after > self.not_after {
            return Err(Failure::Usage(format!(
                "--days: it would outlive the authority, which ends in {} days",
                (self.not_after - now).whole_days()
            )));
        }
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        params.extended_key_usages = vec![match holder {
            Holder::Caller { .. } => ExtendedKeyUsagePurpose::ClientAuth,
            Holder::Server { .. } => ExtendedKeyUsagePurpose::ServerAuth,
        }];
        params.subject_alt_names = holder.names(&self.federation).map_err(cannot)?;
        let key = KeyPair::generate().map_err(cannot)?;
        let pem = params.signed_by(&key, &self.issuer).map_err(cannot)?.pem();
        let Read {
            serial, not_after, ..
        } = certificate_of("what was issued", &pem)?;
        Ok(Leaf {
            serial,
            not_after: super::read::rfc3339(not_after),
            chain: format!("{pem}{}", self.chain),
            pem,
            key: key.serialize_pem(),
        })
    }
}

/// A subject and a time; the serial number is made of the key, so no two are alike.
fn params(name: &str, days: u16, now: OffsetDateTime) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = now - CLOCKS_DIFFER;
    params.not_after = now + Duration::days(days.into());
    params
}

/// SPIFFE ID, 2.1.
fn check_federation(name: &str) -> Result<(), Failure> {
    let plain =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-_".contains(&byte);
    if name.is_empty() || name.len() > 255 || !name.bytes().all(plain) {
        return Err(Failure::Usage(
            "--federation must be lower case letters, digits, dots, dashes and underscores"
                .to_owned(),
        ));
    }
    Ok(())
}

/// What is to be shown beside a leaf: all but roots, which everybody has.
fn intermediates(name: &str, pem: &str) -> Result<String, Failure> {
    let mut chain = String::new();
    for block in pem.split_inclusive("-----END CERTIFICATE-----") {
        if let Some(begin) = block.find("-----BEGIN CERTIFICATE-----") {
            let block = &block[begin..];
            if !certificate_of(name, block)?.is_root {
                chain.push_str(block);
                chain.push('\n');
            }
        }
    }
    Ok(chain)
}
