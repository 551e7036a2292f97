//! What an adapter logs in to RabbitMQ with, as it stands in a file.
//!
//! Invariant: the password is seen by who connects and by who writes the file, and by nobody else. The file is read anew
//! for each connection, so that a new password counts with the next one.

use std::{fs::File, io::Read as _, path::Path};

use lapin::uri::AMQPUri;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use crate::error::LinkError;

/// The longest file of credentials.
const FILE_LIMIT_BYTES: u64 = 64 * 1024;

/// A user, its password, and where they count. A file of them is this as JSON.
#[derive(Debug, Clone, Deserialize)]
pub struct Credentials {
    /// `amqp://host:port/vhost` or `amqps://…`, without user and password.
    pub url: String,
    /// The user.
    pub user: String,
    /// Its password.
    pub password: SecretString,
}

impl Credentials {
    /// Reads a file.
    pub fn read(file: &Path) -> Result<Self, LinkError> {
        let unreadable = |source| LinkError::Credentials {
            file: file.to_owned(),
            source,
        };
        let mut text = Vec::new();
        File::open(file)
            .and_then(|file| file.take(FILE_LIMIT_BYTES).read_to_end(&mut text))
            .map_err(unreadable)?;
        // The parser's own error may repeat what it read.
        serde_json::from_slice(&text).map_err(|error| {
            let place = format!(
                "it is no JSON with url, user and password (line {})",
                error.line()
            );
            unreadable(std::io::Error::other(place))
        })
    }

    pub(crate) fn uri(&self) -> Result<AMQPUri, LinkError> {
        let mut uri: AMQPUri = self.url.parse().map_err(|_| LinkError::Url)?;
        uri.authority.userinfo.username.clone_from(&self.user);
        self.password
            .expose_secret()
            .clone_into(&mut uri.authority.userinfo.password);
        Ok(uri)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<AMQPUri, LinkError> {
        let folder = std::env::temp_dir().join(format!("credentials-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join(text.len().to_string());
        std::fs::write(&file, text).unwrap();
        let read = Credentials::read(&file).and_then(|credentials| credentials.uri());
        std::fs::remove_file(file).unwrap();
        read
    }

    /// A password may hold what means something in a URL.
    #[test]
    fn user_and_password_are_taken_as_they_are() {
        let uri = read(r#"{"url": "amqps://host:5671/%2f", "user": "b", "password": "p@ss/%w"}"#);
        let uri = uri.unwrap();
        assert_eq!(uri.authority.userinfo.password, "p@ss/%w");
        assert_eq!((uri.authority.port, uri.vhost.as_str()), (5671, "/"));
    }

    /// A file that somebody mistyped is not repeated in a log.
    #[test]
    fn a_file_that_cannot_be_read_is_not_repeated() {
        let error =
            read(r#"{"url": "amqp://host", "user": "b", "password": planted}"#).unwrap_err();
        let said = format!(
            "{error} {error:?} {}",
            std::error::Error::source(&error).unwrap()
        );
        assert!(!said.contains("planted"), "{said}");
    }
}
