//! What a certificate says of itself.

use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use x509_parser::{extensions::GeneralName, pem::parse_x509_pem};

use crate::{failure::Failure, view::CertificateView};

const SCHEME: &str = "spiffe://";

/// What counts of it.
pub(super) struct Read {
    /// Hexadecimal, without zeros in front.
    pub(super) serial: String,
    /// URIs it is known by.
    pub(super) uris: Vec<String>,
    /// Its subject's common name.
    pub(super) name: String,
    /// Until when it counts.
    pub(super) not_after: OffsetDateTime,
    /// DER.
    pub(super) public_key: Vec<u8>,
    /// Whether it signed itself.
    pub(super) is_root: bool,
}

/// Reads the first certificate of a PEM text.
pub(super) fn certificate_of(name: &str, pem: &str) -> Result<Read, Failure> {
    let unreadable = || Failure::Usage(format!("{name} holds no certificate in PEM"));
    let (_, block) = parse_x509_pem(pem.as_bytes()).map_err(|_| unreadable())?;
    let certificate = block.parse_x509().map_err(|_| unreadable())?;
    let names = certificate
        .subject_alternative_name()
        .map_err(|_| unreadable())?;
    let names = names
        .map(|extension| extension.value.general_names.as_slice())
        .unwrap_or_default();
    let uris = names.iter().filter_map(|name| match name {
        GeneralName::URI(uri) => Some((*uri).to_owned()),
        _ => None,
    });
    let common_name = certificate.subject().iter_common_name().next();
    let common_name = common_name.and_then(|name| name.as_str().ok());
    let not_after = certificate.validity().not_after.timestamp();
    Ok(Read {
        serial: format!("{:x}", certificate.tbs_certificate.serial),
        uris: uris.collect(),
        name: common_name.unwrap_or_default().to_owned(),
        not_after: OffsetDateTime::from_unix_timestamp(not_after).map_err(|_| unreadable())?,
        public_key: certificate.public_key().raw.to_vec(),
        is_root: certificate.subject() == certificate.issuer(),
    })
}

impl Read {
    /// For people and scripts.
    pub(super) fn view(self, revoked: bool) -> CertificateView {
        let path = match self.uris.as_slice() {
            [uri] => uri
                .strip_prefix(SCHEME)
                .and_then(|rest| rest.split_once('/'))
                .map(|(_, path)| path.to_owned()),
            _ => None,
        };
        CertificateView {
            holder: path.unwrap_or(self.name),
            expired: self.not_after < OffsetDateTime::now_utc(),
            not_after: rfc3339(self.not_after),
            serial: self.serial,
            revoked,
        }
    }
}

/// The trust domain of one that signs.
pub(super) fn own_uri(uris: &[String]) -> Option<&str> {
    match uris {
        [uri] => uri.strip_prefix(SCHEME).filter(|name| !name.contains('/')),
        _ => None,
    }
}

pub(super) fn rfc3339(time: OffsetDateTime) -> String {
    let time = time.replace_nanosecond(0).unwrap_or(time);
    time.format(&Rfc3339).unwrap_or_default()
}
