//! A caller's certificate, read once for each connection.
//!
//! Invariant: what is read here was signed by an authority that we trust; the handshake made sure of that. A certificate with
//! one thing wrong is nobody's. The rules are those of SPIFFE X.509-SVID, 2 to 4, and RFC 5280, 4.2.1.
//! Not here: whether it is still in force; `peer` asks that on every call.

use std::{
    ops::RangeInclusive,
    time::{Duration, SystemTime},
};

use ring::digest::{SHA256, digest};
use x509_parser::{
    certificate::X509Certificate, extensions::GeneralName, prelude::FromDer as _, time::ASN1Time,
};

use super::identity::Identity;

const UNREADABLE: &str = "the client certificate cannot be read";

/// What counts of it.
#[derive(Debug)]
pub(super) struct Certificate {
    identity: Identity,
    serial: Vec<u8>,
    fingerprint: Vec<u8>,
    valid: RangeInclusive<SystemTime>,
}

impl Certificate {
    /// Reads a leaf of this trust domain.
    ///
    /// # Errors
    /// What is wrong with it, in words for the caller.
    pub(super) fn read(leaf: &[u8], federation: &str) -> Result<Self, &'static str> {
        let (rest, certificate) = X509Certificate::from_der(leaf).map_err(|_| UNREADABLE)?;
        if !rest.is_empty() {
            return Err(UNREADABLE);
        }
        check_usage(&certificate)?;
        let validity = certificate.validity();
        Ok(Self {
            identity: identity(&certificate, federation)?,
            serial: without_zeros(certificate.raw_serial()).to_vec(),
            fingerprint: digest(&SHA256, leaf).as_ref().to_vec(),
            valid: time(&validity.not_before)..=time(&validity.not_after),
        })
    }

    /// Whose it is.
    pub(super) fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The serial number, without zeros in front.
    pub(super) fn serial(&self) -> &[u8] {
        &self.serial
    }

    /// The SHA-256 of all of it.
    pub(super) fn fingerprint(&self) -> &[u8] {
        &self.fingerprint
    }

    /// When it counts.
    pub(super) fn valid(&self) -> &RangeInclusive<SystemTime> {
        &self.valid
    }
}

/// A serial number as it is compared: DER puts a zero in front of some.
pub(super) fn without_zeros(serial: &[u8]) -> &[u8] {
    let zeros = serial.iter().take_while(|byte| **byte == 0).count();
    &serial[zeros..]
}

/// A leaf that signs the handshakes of clients, and nothing else.
fn check_usage(certificate: &X509Certificate<'_>) -> Result<(), &'static str> {
    let usage = certificate.key_usage().map_err(|_| UNREADABLE)?;
    let usage = usage.map(|extension| extension.value);
    let may_sign = usage.is_some_and(|usage| usage.key_cert_sign() || usage.crl_sign());
    if certificate.is_ca() || may_sign {
        return Err("the client certificate is that of an authority");
    }
    if usage.is_some_and(|usage| !usage.digital_signature()) {
        return Err("the client certificate's key usage is not digitalSignature");
    }
    let purposes = certificate.extended_key_usage().map_err(|_| UNREADABLE)?;
    if !purposes.is_some_and(|extension| extension.value.client_auth) {
        return Err("the client certificate's extended key usage is not clientAuth");
    }
    Ok(())
}

/// The one URI.
fn identity(certificate: &X509Certificate<'_>, federation: &str) -> Result<Identity, &'static str> {
    let names = certificate
        .subject_alternative_name()
        .map_err(|_| UNREADABLE)?;
    let names = names
        .map(|extension| extension.value.general_names.as_slice())
        .unwrap_or_default();
    let mut uris = names.iter().filter_map(|name| match name {
        GeneralName::URI(uri) => Some(*uri),
        _ => None,
    });
    let (Some(uri), None) = (uris.next(), uris.next()) else {
        return Err("the client certificate must have exactly one URI");
    };
    let path = uri
        .strip_prefix("spiffe://")
        .and_then(|rest| rest.strip_prefix(federation))
        .and_then(|rest| rest.strip_prefix('/'));
    Identity::from_path(path.ok_or("the client certificate is of another federation")?)
}

/// Before 1970 nobody had one.
fn time(time: &ASN1Time) -> SystemTime {
    let seconds = u64::try_from(time.timestamp()).unwrap_or_default();
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

#[cfg(test)]
mod tests {
    use rcgen::{
        BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, KeyPair,
        KeyUsagePurpose, SanType, SerialNumber,
    };

    use super::*;

    fn params(uris: &[&str]) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.subject_alt_names = uris
            .iter()
            .map(|uri| SanType::URI((*uri).try_into().unwrap()))
            .collect();
        params
    }

    fn read(params: &CertificateParams, federation: &str) -> Result<Certificate, &'static str> {
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        Certificate::read(certificate.der(), federation)
    }

    /// One URI of our federation, in a leaf, is an identity; anything else is nobody.
    #[test]
    fn only_one_uri_of_our_federation_is_an_identity() {
        let who = |uris: &[&str]| {
            let certificate = read(&params(uris), "fed.example").ok();
            certificate.map(|certificate| certificate.identity().clone())
        };
        let acme = Identity::Participant("acme".parse().unwrap());
        assert_eq!(who(&["spiffe://fed.example/participant/acme"]), Some(acme));
        assert_eq!(
            who(&["spiffe://fed.example/operator/ops"]),
            Some(Identity::Operator("ops".to_owned()))
        );
        let ann = Identity::Person {
            participant: "acme".parse().unwrap(),
            name: "ann".to_owned(),
        };
        assert_eq!(
            who(&["spiffe://fed.example/participant/acme/person/ann"]),
            Some(ann)
        );
        for uris in [
            &[][..],
            &[
                "spiffe://fed.example/participant/a",
                "spiffe://fed.example/participant/b",
            ],
            &["spiffe://fed.example.evil/participant/acme"],
            &["spiffe://other.example/participant/acme"],
            &["SPIFFE://fed.example/participant/acme"],
            &["https://fed.example/participant/acme"],
            &["spiffe://fed.example/participant/"],
            &["spiffe://fed.example//participant/a"],
            &["spiffe://fed.example/participant/a/b"],
            &["spiffe://fed.example/participant/a/person"],
            &["spiffe://fed.example/participant/a/person/"],
            &["spiffe://fed.example/participant/a/person/b/c"],
            &["spiffe://fed.example/participant/a/people/b"],
            &["spiffe://fed.example/operator/ops/person/b"],
            &["spiffe://fed.example/participant/a?b"],
            &["spiffe://fed.example/participant/%61"],
            &["spiffe://fed.example/admin/acme"],
        ] {
            assert_eq!(who(uris), None, "{uris:?}");
        }
    }

    /// Whoever has an authority's certificate, or one for servers, is still not a participant.
    #[test]
    fn what_is_not_for_clients_is_nobody() {
        let right = params(&["spiffe://f/participant/a"]);
        assert!(read(&right, "f").is_ok());
        let broken: [fn(&mut CertificateParams); 6] = [
            |it| it.is_ca = IsCa::Ca(BasicConstraints::Unconstrained),
            |it| it.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth],
            |it| it.extended_key_usages = vec![ExtendedKeyUsagePurpose::Any],
            |it| it.extended_key_usages.clear(),
            |it| it.key_usages = vec![KeyUsagePurpose::KeyEncipherment],
            |it| {
                it.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::CrlSign];
            },
        ];
        for (at, break_it) in broken.iter().enumerate() {
            let mut params = right.clone();
            break_it(&mut params);
            assert!(read(&params, "f").is_err(), "{at}");
        }
    }

    /// DER has a zero in front of a serial number whose first bit is set; people write none.
    #[test]
    fn a_serial_number_has_no_zeros_in_front() {
        let mut params = params(&["spiffe://f/participant/a"]);
        params.serial_number = Some(SerialNumber::from_slice(&[0, 0x80, 0]));
        assert_eq!(read(&params, "f").unwrap().serial(), [0x80, 0]);
    }
}
