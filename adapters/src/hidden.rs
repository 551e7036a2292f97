//! Secrets that a native system repeats, taken out of its answer before anybody reads that.
//!
//! Invariant: of whatever an answer says in its body or its headers, no fault, no finding and no job's name holds a secret that went
//! out with the call: not as it is in the file, and not percent-encoded, as base64 or escaped for JSON. Where a text breaks
//! off within a secret, its beginning is taken out too.
//! What is shorter than a secret can sensibly be stays: taking it out would tear answers apart.

use std::fmt;

use base64::{
    Engine,
    prelude::{BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD},
};
use dialects::Answer;

use crate::http::CallError;

/// What stands where a secret was.
const HIDDEN: &str = "***";
/// Characters of a text from which on it is taken for a secret, and for the beginning of one.
const SHORTEST: usize = 6;

/// The forms of some secrets, the longest first.
#[derive(Default)]
pub(crate) struct Hidden(Vec<String>);

impl Hidden {
    pub(crate) fn of<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Self {
        let secrets = secrets
            .into_iter()
            .filter(|secret| secret.len() >= SHORTEST);
        let mut forms: Vec<_> = secrets.flat_map(forms).collect();
        forms.sort_unstable_by(|one, other| other.len().cmp(&one.len()).then(one.cmp(other)));
        forms.dedup();
        Self(forms)
    }

    /// What came of a call, without them.
    pub(crate) fn out_of(&self, came: Result<Answer, CallError>) -> Result<Answer, CallError> {
        match came {
            Ok(mut answer) => {
                answer.body = self.out_of_text(answer.body);
                for (_, value) in &mut answer.headers {
                    *value = self.out_of_text(std::mem::take(value));
                }
                Ok(answer)
            }
            Err(CallError::BrokenOff(beginning, why)) => {
                Err(CallError::BrokenOff(self.out_of_text(beginning), why))
            }
            Err(error) => Err(error),
        }
    }

    fn out_of_text(&self, mut text: String) -> String {
        for form in &self.0 {
            if text.contains(form) {
                text = text.replace(form, HIDDEN);
            }
        }
        let tail = self.0.iter().filter_map(|form| tail(&text, form)).min();
        if let Some(at) = tail {
            text.replace_range(at.., HIDDEN);
        }
        text
    }
}

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hidden({})", self.0.len())
    }
}

/// As somebody may write it who repeats it.
fn forms(secret: &str) -> [String; 7] {
    let percent: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
    let json = serde_json::Value::from(secret).to_string();
    let json = &json[1..json.len() - 1];
    [
        secret.to_owned(),
        in_lower_hexadecimal(&percent),
        percent,
        BASE64_STANDARD_NO_PAD.encode(secret),
        BASE64_URL_SAFE_NO_PAD.encode(secret),
        json.replace('/', "\\/"),
        json.to_owned(),
    ]
}

fn in_lower_hexadecimal(percent: &str) -> String {
    let mut digits = 0;
    let lower = |one: char| {
        let is_digit = digits > 0;
        digits = if one == '%' {
            2_u8
        } else {
            digits.saturating_sub(1)
        };
        if is_digit {
            one.to_ascii_lowercase()
        } else {
            one
        }
    };
    percent.chars().map(lower).collect()
}

/// Where the end of the text begins that is the beginning of this form.
fn tail(text: &str, form: &str) -> Option<usize> {
    let longest = form.len().saturating_sub(1).min(text.len());
    let mut lengths = (SHORTEST..=longest).rev();
    let length = lengths.find(|length| {
        form.get(..*length)
            .is_some_and(|beginning| text.ends_with(beginning))
    })?;
    Some(text.len() - length)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "s3cr3t+/=\"value\"";

    fn cleaned(text: &str) -> String {
        Hidden::of([SECRET, "short"]).out_of_text(text.to_owned())
    }

    /// However it is written.
    #[test]
    fn a_secret_is_taken_out_in_every_form() {
        for text in [
            SECRET.to_owned(),
            "s3cr3t%2B%2F%3D%22value%22".to_owned(),
            "s3cr3t%2b%2f%3d%22value%22".to_owned(),
            r#"s3cr3t+\/=\"value\""#.to_owned(),
            r#"s3cr3t+/=\"value\""#.to_owned(),
            BASE64_STANDARD_NO_PAD.encode(SECRET),
            BASE64_URL_SAFE_NO_PAD.encode(SECRET),
        ] {
            let text = format!("no such token: {text}, sorry, and {text}");
            assert_eq!(
                cleaned(&text),
                "no such token: ***, sorry, and ***",
                "{text}"
            );
        }
    }

    /// An answer that breaks off, or that is too long to be kept.
    #[test]
    fn the_beginning_of_one_at_the_end_is_taken_out() {
        for length in SHORTEST..SECRET.len() {
            let text = format!("no such token: {}", &SECRET[..length]);
            assert_eq!(cleaned(&text), "no such token: ***");
        }
        assert_eq!(cleaned("see s3cr3"), "see s3cr3");
    }

    /// What nobody took care to make long is no secret, and Debug shows none.
    #[test]
    fn what_is_short_stays() {
        assert_eq!(cleaned("short"), "short");
        assert!(!format!("{:?}", Hidden::of([SECRET])).contains("s3cr3t"));
    }
}
