//! What the participant's own system knows us by.
//!
//! Invariant: where it stands in a file, a new content counts within a second, without a restart; what is no token is not taken, and the
//! one before counts on. No error shows anything of it.

use std::sync::Arc;

use reqwest::header::HeaderValue;
use service::{
    configuration::Secret,
    watched::{Access, Watched, WatchedError},
};

use crate::hidden::Hidden;

const RULE: &str = "must hold one token of visible ASCII characters";

/// The token, wherever it stands.
#[derive(Debug)]
pub(super) enum Token {
    Text(Arc<Shown>),
    File(Watched<Shown>),
}

/// A token as it is shown.
#[derive(Debug)]
pub(super) struct Shown {
    pub(super) authorization: HeaderValue,
    /// What went out with a call and is nobody's to know.
    pub(super) hidden: Hidden,
}

impl Token {
    /// `secret` was checked with the configuration, so it is there and a token.
    pub(super) fn new(secret: Option<&Secret>) -> Result<Self, WatchedError> {
        if let Some(file) = secret.and_then(Secret::file) {
            let read = |text: &str| Shown::of(text.trim()).ok_or_else(|| RULE.to_owned());
            return Watched::open(file, Access::Public, read).map(Self::File);
        }
        let shown = secret.and_then(|secret| Shown::of(secret.expose()));
        let shown = shown.unwrap_or_else(|| Shown {
            authorization: HeaderValue::from_static("Bearer"),
            hidden: Hidden::default(),
        });
        Ok(Self::Text(Arc::new(shown)))
    }

    /// As it is now.
    pub(super) fn current(&self) -> Arc<Shown> {
        match self {
            Self::Text(shown) => Arc::clone(shown),
            Self::File(file) => file.current(),
        }
    }
}

impl Shown {
    fn of(token: &str) -> Option<Self> {
        let is_token = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
        let header = is_token.then(|| HeaderValue::from_str(&format!("Bearer {token}")).ok());
        let mut authorization = header.flatten()?;
        authorization.set_sensitive(true);
        Some(Self {
            authorization,
            hidden: Hidden::of([token]),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What cannot stand in a header is no token, and the one before counts on.
    #[test]
    fn what_is_no_token_is_not_taken() {
        for text in ["", "two words", "line\nbreak", "é"] {
            assert!(Shown::of(text).is_none(), "{text:?}");
        }
        let shown = Shown::of("a-token").unwrap();
        assert_eq!(shown.authorization, "Bearer a-token");
        assert!(!format!("{shown:?}").contains("a-token"));
    }
}
