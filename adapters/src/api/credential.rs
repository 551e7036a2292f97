//! The credentials of an account at a provider, out of a file.
//!
//! Invariant: the file is read at each call, so a new one counts at once; neither Debug nor a fault shows anything of it.

mod text;

use std::path::Path;

use domain::{
    Fault,
    fault::{Again, FaultCode},
};
use service::configuration::Secret;
use tokio::io::AsyncReadExt;

use crate::hidden::Hidden;

/// Bytes of a file.
const FILE_BYTES: u64 = 64 * 1024;

/// What stands in a file now.
#[derive(Debug)]
pub(super) struct Credential(Secret);

impl Credential {
    pub(super) async fn read(file: &Path) -> Result<Self, Fault> {
        let mut text = String::new();
        let reading = async {
            let file = tokio::fs::File::open(file).await?;
            file.take(FILE_BYTES).read_to_string(&mut text).await
        };
        match reading.await {
            Ok(_) => Ok(Self(text.into())),
            // Where files lie here is nobody else's to know.
            Err(error) => Err(broken(&format!("it cannot be read: {}", error.kind()))),
        }
    }

    /// The whole file as one token.
    pub(super) fn token(&self) -> Result<Secret, Fault> {
        let token = text::token(self.0.expose());
        let token = token.map(|token| token.to_owned().into());
        token.ok_or_else(|| broken("it must hold one token of visible ASCII characters"))
    }

    /// All that is nobody's to know.
    pub(super) fn hidden(&self) -> Hidden {
        Hidden::of(text::secrets(self.0.expose()))
    }

    /// The value after `name =`.
    pub(super) fn value(&self, name: &str) -> Result<Secret, Fault> {
        let value = self.optional(name);
        value.ok_or_else(|| broken(&format!("it has no `{name}`")))
    }

    /// The same, where it need not be there.
    pub(super) fn optional(&self, name: &str) -> Option<Secret> {
        text::value(self.0.expose(), name).map(|value| value.to_owned().into())
    }
}

/// What is wrong with the file, for whoever keeps the adapter.
pub(super) fn broken(why: &str) -> Fault {
    let message = format!("the file of credentials for the provider cannot be used: {why}");
    Fault::participant(FaultCode::NotConfigured, Again::Never, &message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credential(text: &str) -> Credential {
        Credential(text.to_owned().into())
    }

    /// Files as the providers' own tools have them.
    #[test]
    fn a_file_is_read_as_its_tools_write_it() {
        let file = credential("; mine\n[other]\nname = no\n[default]\nname = a=b==\nhost=x\n");
        assert_eq!(file.value("name").unwrap().expose(), "a=b==");
        assert!(file.optional("token").is_none());
        let plain = credential("name=yes");
        assert_eq!(plain.value("name").unwrap().expose(), "yes");
        assert_eq!(credential(" abc\n").token().unwrap().expose(), "abc");
    }

    /// A wrong file is named by what is wrong, and never shown.
    #[test]
    fn a_broken_file_is_named_and_not_shown() {
        let file = credential("secret words\n");
        for fault in [
            file.token().unwrap_err(),
            file.value("client_secret").unwrap_err(),
        ] {
            assert_eq!(fault.code, FaultCode::NotConfigured);
            assert!(!fault.message.contains("words"), "{fault:?}");
        }
        assert!(!format!("{file:?}").contains("words"));
    }
}
