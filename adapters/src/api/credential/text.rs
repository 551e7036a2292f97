//! What a file of credentials says, as the providers' own tools write it.
//!
//! Invariant: what is found is a part of the file as it stands there, without blanks around it.
//! Not here: reading the file, and what to say when something is missing (`credential`).

use std::collections::BTreeMap;

/// The section that counts, of a file that has several.
const SECTION: &str = "default";

/// The whole file as one token of visible ASCII characters.
pub(crate) fn token(text: &str) -> Option<&str> {
    let token = text.trim();
    let is_one = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
    is_one.then_some(token)
}

/// Names of values that are no secrets, in the files of the providers' own tools.
const PLAIN: [&str; 6] = [
    "host",
    "region",
    "output",
    "max_body",
    "max-body",
    "headers_to_sign",
];

/// All that is a secret: the token, and every value that is not known to be something else.
pub(crate) fn secrets(text: &str) -> impl Iterator<Item = &str> {
    let values = text.lines().filter_map(|line| line.split_once('='));
    let values = values.filter(|(name, _)| !PLAIN.contains(&name.trim()));
    token(text)
        .into_iter()
        .chain(values.map(|(_, value)| value.trim()))
}

/// The value after `name =`, where there is one: the last of the section that counts, or else of the first one.
pub(crate) fn value<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let mut sections: BTreeMap<&str, &str> = BTreeMap::new();
    let (mut section, mut first) = ("", None);
    for line in text.lines().map(str::trim) {
        if let Some(named) = line
            .strip_prefix('[')
            .and_then(|line| line.strip_suffix(']'))
        {
            section = named.trim();
        } else if let Some((key, value)) = line.split_once('=') {
            first.get_or_insert(section);
            if key.trim() == name {
                sections.insert(section, value.trim());
            }
        }
    }
    let value = sections.get(SECTION).or_else(|| sections.get(first?))?;
    (!value.is_empty()).then_some(*value)
}
