//! Rules that the configurations of several processes share.
//!
//! Invariant: no rule repeats the value that broke it; it may be a secret.
//! Not here: which key has which rule.

use std::error::Error;

use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    sign::CertifiedKey,
};

use super::{Check, Secret, SecretUrl};
use crate::exit::Chain;

impl Check<'_> {
    /// Requires a number, or a time, of more than nothing.
    pub fn positive<T: PartialOrd + Default + Copy>(&mut self, key: &str, value: T) {
        self.require(key, value > T::default(), "must be more than 0");
    }

    /// Requires one of these schemes of a URL, where there is one.
    pub fn scheme(&mut self, key: &str, url: Option<&SecretUrl>, schemes: &[&str]) {
        let is_one = |url: &SecretUrl| schemes.contains(&url.redacted().scheme());
        let named = schemes.iter().map(|scheme| format!("{scheme}://"));
        let named = named.collect::<Vec<_>>().join(" or ");
        self.require(
            key,
            url.is_none_or(is_one),
            format_args!("must begin with {named}"),
        );
    }

    /// Requires that something that the configuration names can be used; what keeps it from that is the problem.
    pub fn works<T, E: Error + 'static>(&mut self, key: &str, tried: &Result<T, E>) {
        if let Err(error) = tried {
            self.require(key, false, Chain(error));
        }
    }

    /// Requires certificates that can be trusted, where any are given.
    pub fn authority(&mut self, key: &str, pem: Option<&Secret>) {
        let can_be_trusted = |pem: &Secret| {
            let mut roots = RootCertStore::empty();
            chain(pem).is_some_and(|chain| chain.into_iter().all(|one| roots.add(one).is_ok()))
        };
        self.require(
            key,
            pem.is_none_or(can_be_trusted),
            "must be certificates of authorities in PEM",
        );
    }

    /// Requires a certificate and its key, `client_certificate` and `client_key`, or neither.
    pub fn client(&mut self, certificate: Option<&Secret>, key: Option<&Secret>) {
        self.require(
            "client_key",
            certificate.is_some() == key.is_some(),
            "belongs together with `client_certificate`: give both or neither",
        );
        let chain = certificate.map(chain);
        self.require(
            "client_certificate",
            chain.as_ref().is_none_or(Option::is_some),
            "must be a certificate in PEM",
        );
        let key = key.map(|pem| PrivateKeyDer::from_pem_slice(pem.expose().as_bytes()));
        self.require(
            "client_key",
            key.as_ref().is_none_or(Result::is_ok),
            "must be a private key in PEM",
        );
        if let (Some(Some(chain)), Some(Ok(key))) = (chain, key) {
            let provider = rustls::crypto::ring::default_provider();
            let fits = CertifiedKey::from_der(chain, key, &provider).is_ok();
            self.require(
                "client_key",
                fits,
                "must be the key of `client_certificate`",
            );
        }
    }
}

/// All certificates of a text; `None` where it holds none, or something broken.
fn chain(pem: &Secret) -> Option<Vec<CertificateDer<'static>>> {
    let found = CertificateDer::pem_slice_iter(pem.expose().as_bytes());
    let found = found.collect::<Result<Vec<_>, _>>();
    found.ok().filter(|chain| !chain.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::configuration::{Checked, Problems};

    struct Given<'a>(Option<&'a str>, Option<&'a str>, &'a str);

    impl Checked for Given<'_> {
        fn check(&self, check: &mut Check<'_>) {
            let secret = |pem: &str| Secret::from(pem.to_owned());
            let (certificate, key) = (self.0.map(secret), self.1.map(secret));
            check.authority("certificate_authority", certificate.as_ref());
            check.client(certificate.as_ref(), key.as_ref());
            let url = SecretUrl::parse(self.2).unwrap();
            check.scheme("url", Some(&url), &["amqp", "amqps"]);
        }
    }

    fn problems(given: &Given<'_>) -> Vec<String> {
        let mut problems = Problems::default();
        problems.check(given);
        problems.iter().map(|problem| problem.key.clone()).collect()
    }

    /// What is no certificate, no key, or not its key shows with the file, and not with the first connection.
    #[test]
    fn certificates_keys_and_schemes_are_looked_at() {
        let made = || rcgen::generate_simple_self_signed(["test".to_owned()]).unwrap();
        let (own, other) = (made(), made());
        let (certificate, key) = (own.cert.pem(), own.signing_key.serialize_pem());
        let other_key = other.signing_key.serialize_pem();
        let (none, url) = (Vec::<String>::new(), "amqps://host");
        assert_eq!(problems(&Given(None, None, url)), none);
        assert_eq!(problems(&Given(Some(&certificate), Some(&key), url)), none);
        let twice = ["certificate_authority", "client_certificate", "client_key"];
        assert_eq!(
            problems(&Given(Some("garbage"), Some("garbage"), url)),
            twice
        );
        let others = Given(Some(&certificate), Some(&other_key), url);
        assert_eq!(problems(&others), ["client_key"]);
        assert_eq!(
            problems(&Given(Some(&certificate), None, url)),
            ["client_key"]
        );
        assert_eq!(problems(&Given(None, None, "http://host")), ["url"]);
    }
}
