//! A body of JSON, member by member.

use domain::NativeCall;
use serde_json::{Map, Value};

use super::Mistake;

/// Characters of a member's name that a mistake says.
const NAME_LENGTH: usize = 40;

/// An object.
pub(super) struct Body(Map<String, Value>);

impl Body {
    /// Reads the body as an object with no other members than these.
    pub(super) fn of(request: &NativeCall, known: &[&str]) -> Result<Self, Mistake> {
        let text = request.body.as_deref().unwrap_or_default();
        let Ok(members) = serde_json::from_str::<Map<String, Value>>(text) else {
            return Err(wrong("must be a JSON object"));
        };
        let mut names = members.keys();
        match names.find(|name| !known.contains(&name.as_str())) {
            None => Ok(Self(members)),
            Some(other) => Err(wrong(format!(
                "must have no members but {}, and not `{}`",
                known.join(", "),
                other.chars().take(NAME_LENGTH).collect::<String>()
            ))),
        }
    }

    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// A list, which is empty where it is left out.
    pub(super) fn list(&self, name: &str) -> Result<&[Value], Mistake> {
        match self.get(name) {
            None => Ok(&[]),
            Some(Value::Array(items)) => Ok(items),
            Some(_) => Err(wrong(format!("{name}: must be a list"))),
        }
    }

    /// A list of texts, each with its place for people.
    pub(super) fn texts<'a>(&'a self, name: &str) -> Result<Vec<(String, &'a str)>, Mistake> {
        let items = self.list(name)?.iter().enumerate();
        let text = |(index, item): (usize, &'a Value)| {
            let place = format!("{name}[{index}]");
            match item.as_str() {
                Some(text) => Ok((place, text)),
                None => Err(wrong(format!("{place}: must be a text"))),
            }
        };
        items.map(text).collect()
    }
}

pub(super) fn wrong(rule: impl Into<String>) -> Mistake {
    Mistake::new("body", rule)
}
