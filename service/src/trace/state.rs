//! `tracestate`: entries of vendors, which we pass on and do not read.
//!
//! Invariant: what is passed on keeps to the grammar, so it can break no header that it travels in.

/// How many entries one `tracestate` may have (W3C Trace Context, 3.3.1.1).
const MAXIMUM_ENTRIES: usize = 32;

/// How long all of it may be, in bytes. The standard asks for at least 512.
const MAXIMUM_BYTES: usize = 2048;

/// How long a key and a value may be, in bytes (3.3.1.3).
const MAXIMUM_FIELD_BYTES: usize = 256;

/// The text as it is passed on; nothing where it is empty or breaks a rule.
pub(super) fn accepted(text: &str) -> Option<String> {
    let entries: Vec<&str> = text
        .split(',')
        .map(|entry| entry.trim_matches([' ', '\t']))
        .filter(|entry| !entry.is_empty())
        .collect();
    let in_limits = text.len() <= MAXIMUM_BYTES && (1..=MAXIMUM_ENTRIES).contains(&entries.len());
    (in_limits && entries.iter().all(|entry| is_entry(entry))).then(|| entries.join(","))
}

fn is_entry(entry: &str) -> bool {
    entry
        .split_once('=')
        .is_some_and(|(key, value)| is_key(key) && is_value(value))
}

/// Lowercase letters, digits, `_ - * /` and one `@` between tenant and system.
fn is_key(key: &str) -> bool {
    let begins_well =
        key.starts_with(|letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit());
    let allowed =
        |letter: u8| matches!(letter, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'*' | b'/' | b'@');
    begins_well
        && key.len() <= MAXIMUM_FIELD_BYTES
        && key.bytes().all(allowed)
        && key.matches('@').count() <= 1
}

/// Printable ASCII but `,` and `=`.
fn is_value(value: &str) -> bool {
    let allowed = |letter: u8| matches!(letter, b' '..=b'~') && !matches!(letter, b',' | b'=');
    (1..=MAXIMUM_FIELD_BYTES).contains(&value.len()) && value.bytes().all(allowed)
}
