//! What a provider's HTTP API needs besides its calls: the values of an account, a credential, a budget.
//!
//! Invariant: a call holds no account's data and no credential. It names what is missing in braces, and the adapter puts
//! it in from its own configuration; a brace that came with the command is never taken for such a name (`vendor::write`).
//!
//! | in path, header or body | stands for |
//! |---|---|
//! | `{account:NAME}` | the value NAME ([`AccountField`]) of the account that the adapter has for the configuration |
//! | `{execution}` | the execution's id, `-`, and the call's number in its order from 0: the same at every try |
//! | `{execution:uuid}` | the UUID version 5 of that text |
//!
//! Where a body has a limit it counts as it is with the longest id in it (`sizes::filled`).
//!
//! A value is percent-encoded in a path and escaped in a body as its `content-type` wants it: JSON, XML or a form.
//! Not here: putting it in, signing, waiting for budgets (`adapters`).

pub mod budget;
pub mod bulk;
pub(crate) mod read;
pub(crate) mod say;
pub mod sizes;
pub(crate) mod write;

use self::{
    budget::{Budget, Outstanding},
    sizes::Size,
};

/// Bytes of a provider's answer that are looked at: Fastly answers a batch of 256 keys with an id for each.
pub(crate) const ANSWER_BYTES: usize = 128 * 1024;

/// A value of a participant's account with its provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AccountField {
    /// Its name between the braces: lower-case letters.
    pub name: &'static str,
    /// What it is, for people.
    pub about: &'static str,
    /// Whether an account must have it.
    pub presence: Presence,
    /// Whether the provider carries out some calls on all that has this value: then no two configurations may share it,
    /// or a command would reach past its configuration.
    pub exclusive: bool,
    /// Whether it says what the account's credentials have access to. Then they must be a file that no other configuration's
    /// account has: a call says nothing of the value, so it holds for whoever has these credentials.
    pub own_credentials: bool,
}

/// Whether an account must have a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// No call can do without it.
    Required,
    /// Only some calls name it, and fail without it.
    Optional,
    /// This is meant where the account says nothing.
    Default(&'static str),
}

/// Why a call cannot be made at an account: one of its values is missing or cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfit {
    /// Which, as in [`AccountField::name`].
    pub field: &'static str,
    /// What is wrong with it, as a sentence for whoever keeps the adapter.
    pub why: String,
}

impl AccountField {
    /// This value is what keeps a call from being made.
    pub(crate) fn unfit(&self, why: impl Into<String>) -> Unfit {
        Unfit {
            field: self.name,
            why: why.into(),
        }
    }
}

/// How a call proves who sends it. Credentials are the adapter's, from files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Authentication {
    /// Not at all, or by what the connection is.
    None,
    /// One header: `prefix` and the token.
    Header {
        /// Its name, in lower case.
        name: &'static str,
        /// What stands before the token, a blank included where there is one.
        prefix: &'static str,
    },
    /// Akamai's `EG1-HMAC-SHA256` with client token, client secret and access token.
    EdgeGrid,
    /// Amazon's signature version 4 with access key, secret key and perhaps a session token.
    SigV4 {
        /// The service that is signed for.
        service: &'static str,
        /// The region that is signed for.
        region: &'static str,
    },
    /// Alibaba's RPC signature (version 1.0, HMAC-SHA1) over all parameters of query and form, with access key and secret.
    AlibabaRpc,
}

/// What a provider takes: the defaults. What one call holds is obeyed by `translate`, and a participant's record may say other
/// numbers; budgets and what is under way are the adapter's to keep, and its configuration may say other numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// What one call holds.
    pub sizes: &'static [Size],
    /// What comes back in which time.
    pub budgets: &'static [Budget],
    /// What may be under way at the same time.
    pub outstanding: &'static [Outstanding],
}

/// How long one thing that a call says may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Length {
    /// Of what, in words.
    pub what: &'static str,
    /// So much.
    pub most: usize,
    /// Who says so.
    pub source: &'static str,
}

impl Limits {
    /// None that is known.
    pub const NONE: Self = Self {
        sizes: &[],
        budgets: &[],
        outstanding: &[],
    };
}

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod tests;
