//! Calls of RabbitMQ's management API.
//!
//! Invariant: a call goes to the configured address, without proxies and redirects, and ends in time. No error holds a URL.

use std::{fmt::Write as _, time::Duration};

use reqwest::{Certificate, Client, Method, StatusCode, Url, redirect::Policy};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use thiserror::Error;

/// The most characters of RabbitMQ's reason that are kept.
const REASON_LENGTH: usize = 300;

/// Where the management API is.
#[derive(Debug, Clone)]
pub struct ManagementSettings {
    /// `http://user:password@host:port` or `https://…`, with a user who may make users (tag `administrator`). Never shown.
    pub url: SecretString,
    /// Where the rights of users count.
    pub virtual_host: String,
    /// Certificates (PEM) to trust besides the machine's own.
    pub certificate_authority: Option<String>,
    /// The longest time for one call.
    pub timeout: Duration,
}

/// Why users are not as they should be.
#[derive(Debug, Error)]
pub enum ManagementError {
    /// The configured URL cannot be used. It is not repeated here: it holds a password.
    #[error(
        "the URL of RabbitMQ's management API is not of the form https://user:password@host:port"
    )]
    Url,
    /// The certificates to trust cannot be read, or there is no TLS.
    #[error("RabbitMQ's management API cannot be called with these certificates")]
    Certificates(#[source] reqwest::Error),
    /// No answer, or not in time.
    #[error("RabbitMQ's management API does not answer")]
    Unreachable(#[source] reqwest::Error),
    /// An answer other than success.
    #[error("RabbitMQ's management API refused to change {what}: {status} {reason}")]
    Refused {
        /// The kind of thing: `users`, `permissions`.
        what: String,
        /// The HTTP status.
        status: u16,
        /// RabbitMQ's own words.
        reason: String,
    },
    /// The one id that no participant may have.
    #[error("`replies` cannot be a participant's id")]
    Reserved,
}

/// The API of one RabbitMQ.
#[derive(Clone)]
pub(super) struct Api {
    client: Client,
    base: Url,
    user: String,
    password: SecretString,
    virtual_host: String,
}

impl std::fmt::Debug for Api {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Api").finish_non_exhaustive()
    }
}

impl Api {
    pub(super) fn new(settings: ManagementSettings) -> Result<Self, ManagementError> {
        let mut base: Url = settings
            .url
            .expose_secret()
            .parse()
            .map_err(|_| ManagementError::Url)?;
        if !matches!(base.scheme(), "http" | "https") {
            return Err(ManagementError::Url);
        }
        let user = base.username().to_owned();
        let password = base.password().unwrap_or_default().to_owned().into();
        base.set_username("").map_err(|()| ManagementError::Url)?;
        base.set_password(None).map_err(|()| ManagementError::Url)?;
        let mut builder = Client::builder()
            .no_proxy()
            .redirect(Policy::none())
            .referer(false)
            .timeout(settings.timeout);
        if let Some(authority) = &settings.certificate_authority {
            let authority = Certificate::from_pem_bundle(authority.as_bytes())
                .map_err(ManagementError::Certificates)?;
            builder = builder.tls_certs_merge(authority);
        }
        Ok(Self {
            client: builder.build().map_err(ManagementError::Certificates)?,
            base,
            user,
            password,
            virtual_host: settings.virtual_host,
        })
    }

    pub(super) fn virtual_host(&self) -> &str {
        &self.virtual_host
    }

    pub(super) async fn put(&self, path: &[&str], body: Value) -> Result<(), ManagementError> {
        let (status, reason) = self.call(Method::PUT, path, Some(body)).await?;
        succeeded(path, status, &reason)
    }

    /// What is not there is deleted.
    pub(super) async fn delete(&self, path: &[&str]) -> Result<(), ManagementError> {
        match self.call(Method::DELETE, path, None).await? {
            (StatusCode::NOT_FOUND, _) => Ok(()),
            (status, reason) => succeeded(path, status, &reason),
        }
    }

    pub(super) async fn exists(&self, path: &[&str]) -> Result<bool, ManagementError> {
        match self.call(Method::GET, path, None).await? {
            (StatusCode::NOT_FOUND, _) => Ok(false),
            (status, reason) => succeeded(path, status, &reason).map(|()| true),
        }
    }

    async fn call(
        &self,
        method: Method,
        path: &[&str],
        body: Option<Value>,
    ) -> Result<(StatusCode, String), ManagementError> {
        let mut url = self.base.clone();
        url.path_segments_mut()
            .map_err(|()| ManagementError::Url)?
            .pop_if_empty()
            .push("api")
            .extend(path);
        let mut request = self
            .client
            .request(method, url)
            .basic_auth(&self.user, Some(self.password.expose_secret()));
        if let Some(body) = &body {
            request = request.json(body);
        }
        let unreachable = |error: reqwest::Error| ManagementError::Unreachable(error.without_url());
        let answer = request.send().await.map_err(unreachable)?;
        let status = answer.status();
        if status.is_success() {
            return Ok((status, String::new()));
        }
        let text = answer.text().await.map_err(unreachable)?;
        Ok((status, text))
    }
}

fn succeeded(path: &[&str], status: StatusCode, text: &str) -> Result<(), ManagementError> {
    if status.is_success() {
        return Ok(());
    }
    let mut reason = String::new();
    for character in text
        .chars()
        .filter(|one| !one.is_control())
        .take(REASON_LENGTH)
    {
        // Writing to a string does not fail.
        let _ = reason.write_char(character);
    }
    Err(ManagementError::Refused {
        what: path.first().copied().unwrap_or_default().to_owned(),
        status: status.as_u16(),
        reason,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever goes wrong is logged, so no part of it may repeat the password.
    #[test]
    fn the_url_is_not_repeated() {
        for url in ["http://user:planted@", "ftp://user:planted@host"] {
            let settings = ManagementSettings {
                url: url.to_owned().into(),
                virtual_host: "/".to_owned(),
                certificate_authority: None,
                timeout: Duration::from_secs(1),
            };
            let error = Api::new(settings.clone()).unwrap_err();
            assert!(!format!("{error:?} {error} {settings:?}").contains("planted"));
        }
    }
}
