//! Certificates as scripts see them.

use serde::Serialize;

use crate::words;

/// A certificate that was issued.
#[derive(Debug, Serialize)]
pub(crate) struct CertificateView {
    /// `participant/acme`, `operator/ops`, `server broker`.
    pub(crate) holder: String,
    /// Hexadecimal, as in the deny list.
    pub(crate) serial: String,
    /// RFC 3339.
    pub(crate) not_after: String,
    /// Whether that has passed.
    pub(crate) expired: bool,
    /// Whether it is on the deny list.
    pub(crate) revoked: bool,
}

impl CertificateView {
    /// Whether a broker lets it in.
    pub(crate) const fn counts(&self) -> bool {
        !self.revoked && !self.expired
    }
}

/// What was made just now.
#[derive(Debug, Serialize)]
pub(crate) struct IssuedView {
    /// For whom; the trust domain where it is the authority.
    pub(crate) holder: String,
    /// Its file.
    pub(crate) certificate: String,
    /// Its file.
    pub(crate) key: String,
    /// The deny list, where it was made too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) deny_list: Option<String>,
    /// Hexadecimal, as in the deny list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) serial: Option<String>,
    /// RFC 3339.
    pub(crate) not_after: String,
}

impl IssuedView {
    /// A line for each.
    pub(crate) fn text(&self) -> String {
        let mut lines = vec![
            ("for", self.holder.clone()),
            ("certificate", self.certificate.clone()),
            ("key", self.key.clone()),
        ];
        lines.extend(self.deny_list.clone().map(|list| ("deny list", list)));
        lines.extend(self.serial.clone().map(|serial| ("serial", serial)));
        lines.push(("until", words::readable(&self.not_after)));
        let lines = lines
            .iter()
            .map(|(name, value)| format!("{name:<12} {value}\n"));
        lines.collect()
    }
}
