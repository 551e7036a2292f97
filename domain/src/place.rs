//! Where a server stands.
//!
//! Invariant: a place that names more is inside a place that names less: `eu/de/berlin` is inside `eu/de` and `eu`.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{limits::LABEL_LENGTH, rule::BrokenRule};

/// Region, country and city, each in lower case and each optional from the narrow end: `eu`, `eu/de`, `eu/de/berlin`.
///
/// The region is the federation's own word; the country is an ISO 3166-1 alpha-2 code.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Place {
    /// The federation's word for a part of the world: `eu`, `na`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// ISO 3166-1 alpha-2, lower case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub country: Option<String>,
    /// The city's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub city: Option<String>,
}

impl Place {
    /// A place from its three parts, empty text meaning "not said".
    pub fn new(region: &str, country: &str, city: &str) -> Result<Self, BrokenRule> {
        let country = part(country)?;
        if country.as_ref().is_some_and(|code| {
            code.len() != 2 || !code.bytes().all(|byte| byte.is_ascii_lowercase())
        }) {
            return Err(BrokenRule::new(
                "country must be an ISO 3166-1 code of two letters",
            ));
        }
        Ok(Self {
            region: part(region)?,
            country,
            city: part(city)?,
        })
    }

    /// Whether everything that `wider` says is true of this place.
    pub fn is_inside(&self, wider: &Self) -> bool {
        let agrees =
            |mine: &Option<String>, theirs: &Option<String>| theirs.is_none() || mine == theirs;
        agrees(&self.region, &wider.region)
            && agrees(&self.country, &wider.country)
            && agrees(&self.city, &wider.city)
    }

    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        self.region.is_none() && self.country.is_none() && self.city.is_none()
    }
}

fn part(text: &str) -> Result<Option<String>, BrokenRule> {
    let text = text.trim().to_lowercase();
    if text.len() > LABEL_LENGTH
        || text
            .chars()
            .any(|character| character.is_control() || character == '/')
    {
        return Err(BrokenRule::new(
            "must be at most 200 characters without `/` or control characters",
        ));
    }
    Ok((!text.is_empty()).then_some(text))
}

impl FromStr for Place {
    type Err = BrokenRule;

    fn from_str(text: &str) -> Result<Self, BrokenRule> {
        let mut parts = text.splitn(3, '/');
        let mut next = || parts.next().unwrap_or_default();
        Self::new(next(), next(), next())
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [&self.region, &self.country, &self.city]
            .map(|part| part.as_deref().unwrap_or_default());
        f.pad(parts.join("/").trim_end_matches('/'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A scope that names a country takes every city of it, and none of another.
    #[test]
    fn a_city_is_inside_its_country() {
        let berlin: Place = "EU/de/Berlin".parse().unwrap();
        assert!(berlin.is_inside(&"eu".parse().unwrap()));
        assert!(berlin.is_inside(&"eu/de".parse().unwrap()));
        assert!(berlin.is_inside(&"/de".parse().unwrap()));
        assert!(!berlin.is_inside(&"eu/fr".parse().unwrap()));
        assert_eq!(berlin.to_string(), "eu/de/berlin");
        assert!("eu/germany".parse::<Place>().is_err());
    }
}
