//! The keys of a federation whose messages are signed.
//!
//! Invariant: keys lie in the federation's folder; a broker and an adapter that are started there find their own.

use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf};

use anyhow::Result;
use domain::signing::SigningKey;
use proto::v1;

use super::{Client, Federation};
use crate::Shared;

/// The broker's public keys, for adapters.
const BROKER_KEYS: &str = "broker-signing-keys";

impl Federation {
    /// A federation that signs: its brokers have a key, and adapters carry out nothing that it did not sign.
    pub async fn signed(shared: Shared, broker_settings: &str) -> Result<Self> {
        Self::bare(shared, broker_settings)?.sign().await
    }

    /// The same, where nobody may do more at RabbitMQ and Redis than in production.
    pub async fn signed_and_restricted(shared: Shared, broker_settings: &str) -> Result<Self> {
        let restricted = Self {
            is_restricted: true,
            ..Self::bare(shared, broker_settings)?
        };
        restricted.sign().await
    }

    async fn sign(self) -> Result<Self> {
        let mut federation = self;
        let key = federation.new_key("broker")?;
        fs::write(
            federation.folder().join(BROKER_KEYS),
            key.public().to_string(),
        )?;
        let file = federation.key_file("broker");
        federation.more_settings = format!("[signing]\nkey = \"{}\"\n", file.display());
        federation.set_up().await?;
        Ok(federation)
    }

    /// The private key of a participant, or of `broker`; made where there is none yet.
    pub fn key(&self, of: &str) -> Result<SigningKey> {
        match fs::read_to_string(self.key_file(of)) {
            Ok(pem) => Ok(SigningKey::from_pem(&pem)?),
            Err(_) => self.new_key(of),
        }
    }

    /// A participant's key as the registry has it.
    pub fn registered_key(&self, participant: &str) -> Result<v1::SigningKey> {
        Ok(v1::SigningKey {
            public_key: self.key(participant)?.public().to_string(),
            ..v1::SigningKey::default()
        })
    }

    /// Creates a participant whose key is registered.
    pub async fn create_signing(&self, operator: &mut Client, participant: &str) -> Result<()> {
        let participant = v1::Participant {
            id: participant.to_owned(),
            signing_keys: vec![self.registered_key(participant)?],
            ..v1::Participant::default()
        };
        operator.put_participant(participant).await
    }

    /// Where a private key lies.
    pub fn key_file(&self, of: &str) -> PathBuf {
        self.folder().join(format!("{of}-signing.pem"))
    }

    /// What an adapter of this participant is configured with; nothing in a federation that does not sign.
    pub(super) fn adapter_signing(&self, participant: &str) -> Result<String> {
        let broker_keys = self.folder().join(BROKER_KEYS);
        if !broker_keys.exists() {
            return Ok(String::new());
        }
        self.key(participant)?;
        Ok(format!(
            "[signing]\nkey = \"{}\"\nbroker_keys = \"{}\"\n",
            self.key_file(participant).display(),
            broker_keys.display()
        ))
    }

    /// Another key in the place of the one that was there.
    fn new_key(&self, of: &str) -> Result<SigningKey> {
        let (pem, file) = (SigningKey::generate()?, self.key_file(of));
        let new = file.with_extension("new");
        fs::write(&new, &pem)?;
        fs::set_permissions(&new, fs::Permissions::from_mode(0o600))?;
        fs::rename(&new, &file)?;
        Ok(SigningKey::from_pem(&pem)?)
    }
}
