//! Who is calling. The one place where that is found.
//!
//! Invariant: with TLS the identity is the one URI in the caller's certificate and nothing else; the metadata field counts
//! only where the configuration says `insecure = true`, which it may only say on a loopback address.

use domain::ParticipantId;
use tonic::{Request, transport::CertificateDer};
use x509_parser::{certificate::X509Certificate, extensions::GeneralName, prelude::FromDer as _};

use crate::error::Error;

/// The metadata field of callers without TLS: `participant/<id>` or `operator/<name>`.
pub const METADATA_KEY: &str = "x-federation-identity";

/// Who calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// A participant's invocation system.
    Participant(ParticipantId),
    /// An operator of the federation.
    Operator(String),
}

/// Where an identity comes from.
#[derive(Debug, Clone)]
pub enum IdentitySource {
    /// The URI in the client's certificate, in this trust domain.
    Certificate {
        /// The trust domain.
        federation: String,
    },
    /// The metadata field.
    Metadata,
}

impl IdentitySource {
    /// Who sent this request.
    pub fn identify<T>(&self, request: &Request<T>) -> Result<Identity, Error> {
        match self {
            Self::Certificate { federation } => {
                let certificates = request.peer_certs();
                let leaf = certificates.as_ref().and_then(|chain| chain.first());
                let leaf = leaf.ok_or(Error::Unidentified("a client certificate is required"))?;
                from_certificate(leaf, federation)
            }
            Self::Metadata => {
                let value = request.metadata().get(METADATA_KEY);
                let value = value.ok_or(Error::Unidentified(
                    "metadata field x-federation-identity is required",
                ))?;
                let path = value
                    .to_str()
                    .map_err(|_| Error::Unidentified("x-federation-identity must be ASCII"))?;
                from_path(path)
            }
        }
    }
}

fn from_certificate(leaf: &CertificateDer<'_>, federation: &str) -> Result<Identity, Error> {
    let unreadable = || Error::Unidentified("the client certificate cannot be read");
    let (_, certificate) = X509Certificate::from_der(leaf).map_err(|_| unreadable())?;
    usage(&certificate)?;
    let names = certificate
        .subject_alternative_name()
        .map_err(|_| unreadable())?;
    let names = names
        .map(|extension| extension.value.general_names.as_slice())
        .unwrap_or_default();
    let mut uris = names.iter().filter_map(|name| match name {
        GeneralName::URI(uri) => Some(*uri),
        _ => None,
    });
    // SPIFFE X.509-SVID, section 2: exactly one URI.
    let (Some(uri), None) = (uris.next(), uris.next()) else {
        return Err(Error::Unidentified(
            "the client certificate must have exactly one URI",
        ));
    };
    let path = uri
        .strip_prefix("spiffe://")
        .and_then(|rest| rest.strip_prefix(federation));
    let path = path.and_then(|rest| rest.strip_prefix('/'));
    from_path(path.ok_or(Error::Unidentified(
        "the client certificate is of another federation",
    ))?)
}

/// RFC 5280, 4.2.1.3 and 4.2.1.12; SPIFFE X.509-SVID, 4.1 to 4.4: a leaf that signs handshakes of clients and nothing else.
fn usage(certificate: &X509Certificate<'_>) -> Result<(), Error> {
    let unreadable = || Error::Unidentified("the client certificate cannot be read");
    let usage = certificate.key_usage().map_err(|_| unreadable())?;
    let usage = usage.map(|extension| extension.value);
    let may_sign = usage.is_some_and(|usage| usage.key_cert_sign() || usage.crl_sign());
    if certificate.is_ca() || may_sign {
        return Err(Error::Unidentified(
            "the client certificate is that of an authority",
        ));
    }
    if usage.is_some_and(|usage| !usage.digital_signature()) {
        return Err(Error::Unidentified(
            "the client certificate's key usage is not digitalSignature",
        ));
    }
    let purposes = certificate.extended_key_usage().map_err(|_| unreadable())?;
    if !purposes.is_some_and(|extension| extension.value.client_auth) {
        return Err(Error::Unidentified(
            "the client certificate's extended key usage is not clientAuth",
        ));
    }
    Ok(())
}

fn from_path(path: &str) -> Result<Identity, Error> {
    let malformed =
        || Error::Unidentified("an identity is `participant/<id>` or `operator/<name>`");
    match path.split_once('/') {
        Some(("participant", id)) => {
            Ok(Identity::Participant(id.parse().map_err(|_| malformed())?))
        }
        // An operator's name has the form of any other id.
        Some(("operator", name)) if name.parse::<ParticipantId>().is_ok() => {
            Ok(Identity::Operator(name.to_owned()))
        }
        _ => Err(malformed()),
    }
}

impl Identity {
    /// The participant that submits commands; an operator has no configurations.
    pub fn originator(self) -> Result<ParticipantId, Error> {
        match self {
            Self::Participant(id) => Ok(id),
            Self::Operator(_) => Err(Error::NotAllowed(
                "an operator commands no configuration; its owner does",
            )),
        }
    }

    /// Whether it may see and change what belongs to `owner`.
    pub fn may_act_for(&self, owner: &ParticipantId) -> bool {
        match self {
            Self::Participant(id) => id == owner,
            Self::Operator(_) => true,
        }
    }

    /// Refuses everybody but operators.
    pub fn require_operator(&self) -> Result<(), Error> {
        match self {
            Self::Operator(_) => Ok(()),
            Self::Participant(_) => Err(Error::NotAllowed("only an operator may do this")),
        }
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{
        BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, KeyPair, SanType,
    };

    use super::*;

    fn certificate(uris: &[&str], is_ca: IsCa) -> CertificateDer<'static> {
        let mut params = CertificateParams::default();
        params.is_ca = is_ca;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.subject_alt_names = uris
            .iter()
            .map(|uri| SanType::URI((*uri).try_into().unwrap()))
            .collect();
        params
            .self_signed(&KeyPair::generate().unwrap())
            .unwrap()
            .der()
            .clone()
    }

    /// One URI of our federation, in a leaf, is an identity; anything else is nobody.
    #[test]
    fn only_one_uri_of_our_federation_is_an_identity() {
        let who =
            |uris: &[&str]| from_certificate(&certificate(uris, IsCa::NoCa), "fed.example").ok();
        let acme = Identity::Participant("acme".parse().unwrap());
        assert_eq!(who(&["spiffe://fed.example/participant/acme"]), Some(acme));
        assert_eq!(
            who(&["spiffe://fed.example/operator/ops"]),
            Some(Identity::Operator("ops".to_owned()))
        );
        for uris in [
            &[][..],
            &[
                "spiffe://fed.example/participant/a",
                "spiffe://fed.example/participant/b",
            ],
            &["spiffe://fed.example.evil/participant/acme"],
            &["spiffe://other.example/participant/acme"],
            &["spiffe://fed.example/participant/"],
            &["spiffe://fed.example/participant/a/b"],
            &["spiffe://fed.example/admin/acme"],
        ] {
            assert_eq!(who(uris), None, "{uris:?}");
        }
    }

    /// Whoever has an authority's certificate is still not a participant.
    #[test]
    fn an_authority_is_nobody() {
        let authority = certificate(
            &["spiffe://f/participant/a"],
            IsCa::Ca(BasicConstraints::Unconstrained),
        );
        assert!(from_certificate(&authority, "f").is_err());
    }
}
