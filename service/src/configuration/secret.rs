//! Values that must not be seen: passwords, and URLs with a password in them.
//!
//! Each is given as text, or as `{ file = "/run/secrets/x" }`, which is read when the configuration is
//! loaded. Invariant: neither Debug, nor Display, nor a problem shows the secret.
//! Not here: how a secret is used; who needs it says `expose`.

use std::{
    fmt,
    io::Read,
    path::{Path, PathBuf},
};

use secrecy::{ExposeSecret, SecretString};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use url::Url;

/// The longest file of a secret, in bytes.
pub const SECRET_FILE_LIMIT_BYTES: u64 = 64 * 1024;

/// What stands where a secret was.
const REDACTED: &str = "***";

/// A secret text. Wiped from memory when dropped.
#[derive(Clone)]
pub struct Secret {
    text: SecretString,
    file: Option<PathBuf>,
}

impl Secret {
    /// The secret itself, for the one who sends it.
    pub fn expose(&self) -> &str {
        self.text.expose_secret()
    }

    /// The file that it was read from, for the one who follows that (`watched`).
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }
}

impl From<String> for Secret {
    fn from(secret: String) -> Self {
        Self {
            text: secret.into(),
            file: None,
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextOrFile)
    }
}

/// A URL that may carry a password.
#[derive(Clone)]
pub struct SecretUrl {
    full: Secret,
    redacted: Url,
}

impl SecretUrl {
    /// Parses a URL.
    ///
    /// # Errors
    /// Where it is no URL. The error does not repeat the text.
    pub fn parse(text: &str) -> Result<Self, url::ParseError> {
        let full = Url::parse(text)?;
        let mut redacted = full.clone();
        if full.password().is_some() {
            // A URL that has a password can have another one, so this cannot fail.
            let _ = redacted.set_password(Some(REDACTED));
        }
        Ok(Self {
            full: Secret::from(String::from(full)),
            redacted,
        })
    }

    /// The whole URL with its password, for the one who connects.
    pub fn expose(&self) -> &str {
        self.full.expose()
    }

    /// The URL with the password replaced: its scheme, host, port and path are the true ones.
    pub fn redacted(&self) -> &Url {
        &self.redacted
    }
}

impl fmt::Display for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.redacted.fmt(f)
    }
}

impl fmt::Debug for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.redacted.as_str())
    }
}

impl<'de> Deserialize<'de> for SecretUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let secret = Secret::deserialize(deserializer)?;
        Self::parse(secret.expose())
            .map_err(|error| D::Error::custom(format_args!("is not a URL: {error}")))
    }
}

/// Takes text, or a table that names a file. Says of anything else only that it is wrong, never what it is.
struct TextOrFile;

/// A refusal that does not repeat the value, as serde's own would.
macro_rules! refused {
    ($($method:ident: $type:ty),*) => {$(
        fn $method<E: Error>(self, _: $type) -> Result<Secret, E> {
            Err(E::custom("is not text; put it in quotes"))
        }
    )*};
}

impl<'de> Visitor<'de> for TextOrFile {
    type Value = Secret;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text, or `{ file = \"/path/of/the/secret\" }`")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Secret, E> {
        Ok(text.to_owned().into())
    }

    refused!(visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_f64: f64);

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Secret, A::Error> {
        let mut file: Option<String> = None;
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "file" => file = Some(map.next_value()?),
                _ => return Err(A::Error::custom("takes `file` and nothing else")),
            }
        }
        let file = file.ok_or_else(|| A::Error::custom("names no `file`"))?;
        let text = read(&file);
        let text =
            text.map_err(|error| A::Error::custom(format_args!("cannot read {file}: {error}")))?;
        Ok(Secret {
            text: text.into(),
            file: Some(file.into()),
        })
    }
}

/// Reads the file of a secret, without the line break that editors put at its end.
fn read(file: &str) -> std::io::Result<String> {
    let mut text = String::new();
    std::fs::File::open(file)?
        .take(SECRET_FILE_LIMIT_BYTES + 1)
        .read_to_string(&mut text)?;
    if text.len() as u64 > SECRET_FILE_LIMIT_BYTES {
        return Err(std::io::Error::other(format!(
            "it is longer than {SECRET_FILE_LIMIT_BYTES} bytes"
        )));
    }
    let secret = text.strip_suffix('\n').map_or(text.as_str(), |line| {
        line.strip_suffix('\r').unwrap_or(line)
    });
    if secret.is_empty() {
        return Err(std::io::Error::other("it is empty"));
    }
    Ok(secret.to_owned())
}
