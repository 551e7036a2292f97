//! JSON Schema (draft 7), as much of it as `docs/asyncapi.yaml` uses.
//!
//! Invariant: a keyword that is not known here is an error, never ignored; so the document cannot say more than is checked.
//! Stricter than the standard in one point: a member that no property names does not fit, because what our programs write
//! must be documented whole.
//! A whole implementation was refused: it brings thirty crates for fifteen keywords.

use anyhow::{Context, Result, bail, ensure};
use regex::Regex;
use serde_json::{Map, Value};

/// Where the schemas of a document stand.
const SCHEMAS: &str = "#/components/schemas/";
/// What is for people alone.
const WORDS: [&str; 2] = ["description", "title"];

/// The schemas of a document, by name.
pub(super) struct Schemas(Map<String, Value>);

impl Schemas {
    pub(super) fn of(document: &Value) -> Self {
        let schemas = document["components"]["schemas"].as_object();
        Self(schemas.expect("the document has schemas").clone())
    }

    /// Whether `value` fits the schema with this name; the error says where it does not.
    pub(super) fn check(&self, name: &str, value: &Value) -> Result<()> {
        let schema = self
            .0
            .get(name)
            .with_context(|| format!("there is no schema {name}"))?;
        self.fits(schema, value).with_context(|| name.to_owned())
    }

    fn fits(&self, schema: &Value, value: &Value) -> Result<()> {
        let schema = schema.as_object().context("a schema is an object")?;
        for (keyword, rule) in schema {
            if !WORDS.contains(&keyword.as_str()) {
                self.keeps(schema, keyword, rule, value)?;
            }
        }
        Ok(())
    }

    fn keeps(
        &self,
        schema: &Map<String, Value>,
        keyword: &str,
        rule: &Value,
        value: &Value,
    ) -> Result<()> {
        let held = match keyword {
            "$ref" => return self.refers(rule, value),
            "oneOf" => {
                let of = array(rule)?.iter();
                of.filter(|one| self.fits(one, value).is_ok()).count() == 1
            }
            "properties" => return self.members(rule, value),
            "additionalProperties" => return self.each_member(rule, value),
            "items" => return self.items(rule, value),
            "type" => is_type(rule, value)?,
            "enum" => array(rule)?.contains(value),
            "const" => rule == value,
            "required" => {
                let has =
                    |name: &Value| name.as_str().is_some_and(|name| value.get(name).is_some());
                array(rule)?.iter().all(has)
            }
            "pattern" => {
                let pattern = Regex::new(rule.as_str().context("a pattern is text")?)?;
                value.as_str().is_none_or(|text| pattern.is_match(text))
            }
            "minimum" => value.as_i64().is_none_or(|number| number >= limit(rule)),
            "maximum" => value.as_i64().is_none_or(|number| number <= limit(rule)),
            "minLength" | "minItems" => size(value) >= limit(rule),
            "maxLength" | "maxItems" | "maxProperties" => size(value) <= limit(rule),
            unknown => bail!("the keyword {unknown} is not known in {schema:?}"),
        };
        ensure!(held, "{value} breaks {keyword}: {rule}");
        Ok(())
    }

    fn refers(&self, rule: &Value, value: &Value) -> Result<()> {
        let name = rule.as_str().and_then(|name| name.strip_prefix(SCHEMAS));
        self.check(name.context("a reference names a schema")?, value)
    }

    fn members(&self, rule: &Value, value: &Value) -> Result<()> {
        let named = rule.as_object().context("properties are named")?;
        for name in value.as_object().into_iter().flat_map(Map::keys) {
            ensure!(named.contains_key(name), "{name} is not documented");
        }
        for (name, schema) in named {
            if let Some(member) = value.get(name) {
                self.fits(schema, member).with_context(|| name.clone())?;
            }
        }
        Ok(())
    }

    /// Of an object whose names are data.
    fn each_member(&self, schema: &Value, value: &Value) -> Result<()> {
        for (name, member) in value.as_object().into_iter().flatten() {
            self.fits(schema, member).with_context(|| name.clone())?;
        }
        Ok(())
    }

    fn items(&self, schema: &Value, value: &Value) -> Result<()> {
        for (position, item) in value.as_array().into_iter().flatten().enumerate() {
            self.fits(schema, item)
                .with_context(|| position.to_string())?;
        }
        Ok(())
    }
}

fn is_type(rule: &Value, value: &Value) -> Result<bool> {
    if let Some(several) = rule.as_array() {
        let mut any = false;
        for one in several {
            any |= is_type(one, value)?;
        }
        return Ok(any);
    }
    Ok(match rule.as_str().context("a type is a word")? {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        unknown => bail!("the type {unknown} is not known"),
    })
}

fn array(rule: &Value) -> Result<&Vec<Value>> {
    rule.as_array().context("this keyword takes a list")
}

fn limit(rule: &Value) -> i64 {
    rule.as_i64().expect("limits are whole numbers")
}

/// Characters, items or members, whichever the value has; what it should be is said by `type`.
fn size(value: &Value) -> i64 {
    let size = match value {
        Value::String(text) => text.chars().count(),
        Value::Array(items) => items.len(),
        Value::Object(members) => members.len(),
        _ => 0,
    };
    i64::try_from(size).expect("what a test holds is small")
}
