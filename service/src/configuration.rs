//! The configuration of a process: one checked struct out of three layers.
//!
//! The compiled-in default comes first, the operator's file is laid over it, the environment over both
//! (`PREFIX__LEVEL__KEY=value`). Invariant: a key that nobody reads is refused, and every problem is
//! listed at once, so an operator mends a file in one go.
//! Not here: which keys there are. Each process writes its own struct and its own default file.
//!
//! `#[serde(flatten)]` and untagged enums hide keys from the check of unknown keys; do not use them in
//! a configuration struct.

mod key;
mod layers;
mod problems;
mod read;
mod rules;
mod secret;
mod typed;

use std::ffi::OsString;
use std::path::Path;

use serde::de::DeserializeOwned;

pub use self::problems::{Check, Checked, Problem, Problems};
pub use self::secret::{SECRET_FILE_LIMIT_BYTES, Secret, SecretUrl};

/// Loads a configuration from its default, the operator's file and the environment of this process.
///
/// # Errors
/// All problems at once: a file that cannot be read or is not TOML, unknown keys, values of a wrong
/// type, missing keys, secrets that cannot be read, and rules of [`Checked`] that do not hold.
pub fn load<C>(
    default_toml: &str,
    file: Option<&Path>,
    environment_prefix: &str,
) -> Result<C, Problems>
where
    C: DeserializeOwned + Checked,
{
    load_with(default_toml, file, environment_prefix, std::env::vars_os())
}

/// Does what [`load`] does, with variables that the caller gives instead of the environment.
pub fn load_with<C>(
    default_toml: &str,
    file: Option<&Path>,
    environment_prefix: &str,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<C, Problems>
where
    C: DeserializeOwned + Checked,
{
    let layers = layers::gather(default_toml, file, environment_prefix, variables)?;
    let (configuration, mut problems) = read::read::<C>(&layers);
    if let Some(configuration) = &configuration {
        problems.check(configuration);
    }
    match configuration {
        Some(configuration) if problems.is_empty() => Ok(configuration),
        _ => Err(problems.sorted()),
    }
}

#[cfg(test)]
mod tests;
