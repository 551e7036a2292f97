//! A place as people type it: `eu`, `eu/de`, `eu/de/berlin`.

use proto::v1::Place;

/// Region, country and city; what is left out from the narrow end is not said.
pub(crate) fn place(text: &str) -> Result<Place, String> {
    let mut parts = text.split('/').map(str::trim);
    let mut next = || parts.next().unwrap_or_default().to_owned();
    let place = Place {
        region: next(),
        country: next(),
        city: next(),
    };
    if parts.next().is_some() {
        return Err("must be region, region/country or region/country/city".to_owned());
    }
    if place == Place::default() {
        return Err("must name at least a region".to_owned());
    }
    Ok(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A place is as wide as what it leaves out.
    #[test]
    fn a_place_may_stop_at_any_level() {
        let berlin = place("eu/de/berlin").expect("is a place");
        assert_eq!(
            (
                berlin.region.as_str(),
                berlin.country.as_str(),
                berlin.city.as_str()
            ),
            ("eu", "de", "berlin")
        );
        assert_eq!(place("eu").expect("is a place").country, "");
    }

    /// Four levels or none are slips.
    #[test]
    fn a_place_has_one_to_three_levels() {
        assert!(place("").is_err());
        assert!(place("eu/de/berlin/mitte").is_err());
    }
}
