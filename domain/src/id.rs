//! Ids: types that cannot be malformed, in one registry.
//!
//! Invariant: no id holds a character that means something in a routing key (`.`, `*`, `#`), a Redis key (`:`, `{`,
//! `}`) or a URL (`/`, `?`, `%`, …); a list of ids and a joined id can be taken apart again.
//! Not here: whether the thing that an id names exists.

use std::{fmt, marker::PhantomData, str::FromStr, sync::Arc};

use serde::de::Visitor;
use uuid::Uuid;

use crate::{limits::ID_LENGTH, rule::BrokenRule};

/// The rule for ids that people choose, in one sentence for error messages.
const NAME_RULE: &str = "must be 1 to 63 lower-case letters, digits or hyphens, and begin and end with a letter or digit";

fn check_name(text: &str) -> Result<(), BrokenRule> {
    let edge = |byte: Option<&u8>| {
        byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    };
    let bytes = text.as_bytes();
    let middle = bytes
        .iter()
        .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-');
    if bytes.len() <= ID_LENGTH && middle && edge(bytes.first()) && edge(bytes.last()) {
        Ok(())
    } else {
        Err(BrokenRule::new(NAME_RULE))
    }
}

/// Serde through `Display` and `FromStr`, so that no road goes round the parser.
macro_rules! text_form {
    ($name:ident) => {
        impl ::serde::Serialize for $name {
            fn serialize<S: ::serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> ::serde::Deserialize<'de> for $name {
            fn deserialize<D: ::serde::Deserializer<'de>>(
                deserializer: D,
            ) -> Result<Self, D::Error> {
                deserializer.deserialize_str($crate::id::Parsed(std::marker::PhantomData))
            }
        }
    };
}
pub(crate) use text_form;

/// Reads text where it stands, without a copy of its own.
pub(crate) struct Parsed<T>(pub(crate) PhantomData<T>);

impl<T: FromStr<Err = BrokenRule>> Visitor<'_> for Parsed<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        ///
        /// 1 to 63 lower-case letters, digits and hyphens, beginning and ending with a letter or digit.
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = BrokenRule;

            fn from_str(text: &str) -> Result<Self, BrokenRule> {
                check_name(text)?;
                Ok(Self(text.into()))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        text_form!($name);
    )+};
}

names! {
    /// One CDN in the federation.
    ParticipantId,
    /// One cache. Unique in the whole federation.
    ServerId,
    /// A content provider.
    CustomerId,
    /// One property of a customer. Unique in the whole federation.
    ConfigurationId,
    /// A configuration placed at a participant.
    DeploymentId,
    /// A custom operation as the operator registered it.
    OperationName,
    /// A kind of native system: `varnish`, `nginx`, `canonical`, ….
    DialectName,
}

macro_rules! uuids {
    ($($(#[$doc:meta])* $name:ident: $rule:literal),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// From a UUID.
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The UUID behind it.
            pub const fn as_uuid(&self) -> Uuid {
                self.0
            }
        }

        impl FromStr for $name {
            type Err = BrokenRule;

            fn from_str(text: &str) -> Result<Self, BrokenRule> {
                // The parser of `uuid` also takes braces, URNs and upper case: one thing must have one spelling.
                let uuid = Uuid::try_parse(text).map_err(|_| BrokenRule::new($rule))?;
                let id = Self(uuid);
                if id.to_string() == text { Ok(id) } else { Err(BrokenRule::new($rule)) }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self.0.as_hyphenated(), f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        text_form!($name);
    )+};
}

uuids! {
    /// A command, as the broker named it: a UUID of version 7, so ids sort by the time of acceptance.
    CommandId: "must be a UUID in lower-case hyphenated form",
    /// What an originator calls one attempt to submit, so that a repeated call is recognised (AIP-155).
    RequestId: "must be a UUID in lower-case hyphenated form",
}

/// The part of one command that one participant carries out: `<command id>_<participant id>`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExecutionId {
    /// The command.
    pub command: CommandId,
    /// Who carries it out.
    pub participant: ParticipantId,
}

impl fmt::Display for ExecutionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}", self.command, self.participant)
    }
}

impl fmt::Debug for ExecutionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for ExecutionId {
    type Err = BrokenRule;

    fn from_str(text: &str) -> Result<Self, BrokenRule> {
        let (command, participant) = text
            .split_once('_')
            .ok_or_else(|| BrokenRule::new("must be a command id, `_` and a participant id"))?;
        Ok(Self {
            command: command.parse()?,
            participant: participant.parse()?,
        })
    }
}

text_form!(ExecutionId);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// An id that parses holds nothing that a routing key, a Redis key or a URL would read as more than text.
        #[test]
        fn a_name_that_parses_means_nothing_elsewhere(text in "\\PC{0,70}") {
            if let Ok(id) = text.parse::<ParticipantId>() {
                let plain = !id.as_str().contains(['.', '*', '#', ':', '{', '}', '/', '?', '%', '_', ' ']);
                prop_assert!(plain);
                prop_assert!((1..=ID_LENGTH).contains(&id.as_str().len()));
            }
        }

        /// Joined ids come apart again into the same two.
        #[test]
        fn an_execution_id_survives_its_text(participant in "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", bits: u128) {
            let id = ExecutionId {
                command: CommandId::from_uuid(Uuid::from_u128(bits)),
                participant: participant.parse().unwrap(),
            };
            prop_assert_eq!(id.to_string().parse::<ExecutionId>().unwrap(), id);
        }
    }

    /// One thing has one spelling, or a duplicate would slip past the comparison of texts.
    #[test]
    fn a_uuid_in_another_spelling_is_refused() {
        let plain = "01890a5d-ac96-774b-bcce-b302099a8057";
        assert!(plain.parse::<CommandId>().is_ok());
        for other in [
            plain.to_uppercase(),
            format!("{{{plain}}}"),
            plain.replace('-', ""),
            format!("urn:uuid:{plain}"),
        ] {
            assert!(other.parse::<CommandId>().is_err(), "{other}");
        }
    }

    /// Serde takes the same road as the parser.
    #[test]
    fn a_malformed_id_in_json_is_refused() {
        assert!(serde_json::from_str::<ParticipantId>("\"a.b\"").is_err());
        assert_eq!(
            serde_json::to_string(&"acme".parse::<ParticipantId>().unwrap()).unwrap(),
            "\"acme\""
        );
    }
}
