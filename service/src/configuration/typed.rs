//! Gives serde the values of the tree, with the types that the target asks for.
//!
//! Invariant: a value of a file keeps its type: `"5"` is no number and `1.5` no whole one. A variable of
//! the environment is text, so it becomes what the target asks for; lists and tables are written in it as in TOML.
//! Not here: where an error lies (`read`).

use std::fmt;

use config::{FileFormat, Format, Value, ValueKind};
use serde::de::value::{MapAccessDeserializer, MapDeserializer, SeqDeserializer};
use serde::de::{Deserializer, IntoDeserializer, Unexpected, Visitor};
use serde::forward_to_deserialize_any;

use super::layers::VARIABLE;

/// Why a value cannot be what the target asks for.
#[derive(Debug)]
pub(super) enum Misfit {
    /// A field of a struct without a value.
    Missing(&'static str),
    /// Anything else, as serde says it.
    Other(String),
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(field) => write!(f, "`{field}` is missing"),
            Self::Other(message) => write!(f, "{message}"),
        }
    }
}

impl std::error::Error for Misfit {}

impl serde::de::Error for Misfit {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::Other(message.to_string())
    }

    fn missing_field(field: &'static str) -> Self {
        Self::Missing(field)
    }
}

/// A value of the tree on its way into a struct.
pub(super) struct Typed(pub(super) Value);

impl Typed {
    fn variable(&self) -> Option<&str> {
        match (&self.0.kind, self.0.origin()) {
            (ValueKind::String(text), Some(origin)) if origin.starts_with(VARIABLE) => Some(text),
            _ => None,
        }
    }

    /// Text of a variable becomes the number or boolean that it writes.
    fn plain(self) -> Self {
        let Some(text) = self.variable() else {
            return self;
        };
        let kind = (text.parse().map(ValueKind::Boolean).ok())
            .or_else(|| text.parse().map(ValueKind::I64).ok())
            .or_else(|| text.parse().map(ValueKind::U64).ok())
            .or_else(|| text.parse().map(ValueKind::Float).ok());
        kind.map_or(self, |kind| Self(Value::new(None, kind)))
    }

    /// Text of a variable becomes the list or table that it writes in TOML.
    fn structured(self) -> Self {
        let Some(text) = self.variable() else {
            return self;
        };
        let origin = self.0.origin().map(str::to_owned);
        let parsed = FileFormat::Toml.parse(origin.as_ref(), &format!("value = {text}"));
        let value = parsed.ok().and_then(|mut table| table.remove("value"));
        value.map_or(self, Self)
    }
}

/// Deserialises these types from text of a variable that is turned by `$turn` first.
macro_rules! turned {
    ($turn:ident: $($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
            self.$turn().deserialize_any(visitor)
        }
    )*};
}

impl<'de> Deserializer<'de> for Typed {
    type Error = Misfit;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        match self.0.kind {
            ValueKind::Nil => visitor.visit_unit(),
            ValueKind::Boolean(value) => visitor.visit_bool(value),
            ValueKind::I64(value) => visitor.visit_i64(value),
            ValueKind::I128(value) => visitor.visit_i128(value),
            ValueKind::U64(value) => visitor.visit_u64(value),
            ValueKind::U128(value) => visitor.visit_u128(value),
            ValueKind::Float(value) => visitor.visit_f64(value),
            ValueKind::String(value) => visitor.visit_string(value),
            ValueKind::Array(values) => {
                visitor.visit_seq(SeqDeserializer::new(values.into_iter().map(Typed)))
            }
            ValueKind::Table(table) => visitor.visit_map(MapDeserializer::new(
                table.into_iter().map(|(key, value)| (key, Typed(value))),
            )),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        match self.0.kind {
            ValueKind::Nil => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        self.structured().deserialize_any(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        match self.0.kind {
            ValueKind::String(name) => visitor.visit_enum(name.into_deserializer()),
            ValueKind::Table(table) => {
                let entries = table.into_iter().map(|(key, value)| (key, Typed(value)));
                visitor.visit_enum(MapAccessDeserializer::new(MapDeserializer::new(entries)))
            }
            _ => Err(serde::de::Error::invalid_type(
                Unexpected::Other("neither text nor a table"),
                &visitor,
            )),
        }
    }

    turned! { plain: deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
    deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128 deserialize_f32 deserialize_f64 }
    turned! { structured: deserialize_seq deserialize_map }

    forward_to_deserialize_any! { char str string bytes byte_buf unit unit_struct tuple tuple_struct identifier ignored_any }
}

impl IntoDeserializer<'_, Misfit> for Typed {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}
