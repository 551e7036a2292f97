//! Secrets that a native system repeats, taken out of its answer before anybody reads that.
//!
//! Invariant: of whatever an answer says in its body or its headers, no fault, no finding and no job's name holds a secret that went
//! out with the call: not as it is in the file nor as base64, and neither of these with any of its characters percent-encoded (once,
//! or twice as in a text that was signed), escaped for JSON or written as an entity of HTML. Where a text breaks off within a
//! secret, its beginning is taken out too.
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

/// Every escape begins with one of these.
const ESCAPES: [char; 4] = ['%', '\\', '&', '+'];

/// The forms of some secrets, the longest first.
#[derive(Default)]
pub(crate) struct Hidden(Vec<Form>);

/// A secret character by character.
struct Form(Vec<Letter>);

/// A character, and how it may be written otherwise.
struct Letter {
    plain: char,
    /// In ASCII, of either case.
    escaped: Vec<String>,
}

impl Hidden {
    pub(crate) fn of<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Self {
        let secrets = secrets
            .into_iter()
            .filter(|secret| secret.len() >= SHORTEST);
        let mut forms: Vec<_> = secrets.flat_map(forms).collect();
        forms.sort_by_key(|form| std::cmp::Reverse(form.0.len()));
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

    fn out_of_text(&self, text: String) -> String {
        let (mut clean, mut kept) = (String::new(), 0);
        let mut at = 0;
        while at < text.len() {
            let rest = &text[at..];
            let Some(next) = rest.find(|one| self.may_begin(one)) else {
                break;
            };
            if next > 0 {
                at += next;
                continue;
            }
            if let Some(length) = self.0.iter().find_map(|form| form.begins(rest)) {
                clean.push_str(&text[kept..at]);
                clean.push_str(HIDDEN);
                at += length;
                kept = at;
            } else {
                at += rest.chars().next().map_or(1, char::len_utf8);
            }
        }
        if kept == 0 {
            return text;
        }
        clean.push_str(&text[kept..]);
        clean
    }

    /// Whether a form may begin with it: nowhere else is one looked for.
    fn may_begin(&self, one: char) -> bool {
        ESCAPES.contains(&one)
            || self
                .0
                .iter()
                .any(|form| form.0.first().is_some_and(|first| first.plain == one))
    }
}

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hidden({})", self.0.len())
    }
}

impl Form {
    /// How many bytes of a text it is that the text begins with; the whole text, where that breaks off within it.
    fn begins(&self, text: &str) -> Option<usize> {
        self.0.first()?.begins(text).next()?;
        // Where a character may be the beginning of an escape, there are several ways on.
        let (mut ways, mut next) = (vec![0], Vec::new());
        for (number, letter) in self.0.iter().enumerate() {
            for at in ways.drain(..) {
                let rest = &text[at..];
                if number >= SHORTEST && letter.is_cut_off(rest) {
                    return Some(text.len());
                }
                next.extend(letter.begins(rest).map(|length| at + length));
            }
            next.sort_unstable();
            next.dedup();
            std::mem::swap(&mut ways, &mut next);
            if ways.is_empty() {
                return None;
            }
        }
        ways.pop()
    }
}

impl Letter {
    fn new(plain: char) -> Self {
        let mut bytes = [0; 4];
        let bytes = plain.encode_utf8(&mut bytes).bytes();
        let percent: Vec<_> = bytes.map(|byte| format!("%{byte:02x}")).collect();
        let percent = percent.concat();
        let mut units = [0; 2];
        let units = plain.encode_utf16(&mut units).iter();
        let json: Vec<_> = units.map(|unit| format!("\\u{unit:04x}")).collect();
        let number = u32::from(plain);
        let mut escaped = vec![
            percent.replace('%', "%25"),
            percent,
            json.concat(),
            format!("&#{number};"),
            format!("&#x{number:x};"),
        ];
        let more: &[&str] = match plain {
            '"' => &["\\\"", "&quot;"],
            '\\' => &["\\\\"],
            '/' => &["\\/"],
            ' ' => &["+"],
            '&' => &["&amp;"],
            '<' => &["&lt;"],
            '>' => &["&gt;"],
            '\'' => &["\\'", "&apos;", "&#039;"],
            _ => &[],
        };
        escaped.extend(more.iter().map(|one| (*one).to_owned()));
        Self { plain, escaped }
    }

    /// In how many bytes a text may begin with it.
    fn begins(&self, text: &str) -> impl Iterator<Item = usize> {
        let plain = text.starts_with(self.plain);
        let plain = plain.then_some(self.plain.len_utf8());
        let may_be = text.starts_with(ESCAPES);
        let escaped = self.escaped.iter().filter(move |_| may_be);
        let escaped = escaped.filter(|one| {
            let beginning = text.as_bytes().get(..one.len());
            beginning.is_some_and(|beginning| beginning.eq_ignore_ascii_case(one.as_bytes()))
        });
        plain.into_iter().chain(escaped.map(String::len))
    }

    /// Whether a text ends within it or before it.
    fn is_cut_off(&self, text: &str) -> bool {
        let is_beginning = |one: &String| {
            let beginning = one.as_bytes().get(..text.len());
            beginning.is_some_and(|beginning| beginning.eq_ignore_ascii_case(text.as_bytes()))
        };
        text.is_empty() || self.escaped.iter().any(is_beginning)
    }
}

/// As somebody may write it who repeats it, but for escapes.
fn forms(secret: &str) -> [Form; 3] {
    [
        secret.to_owned(),
        BASE64_STANDARD_NO_PAD.encode(secret),
        BASE64_URL_SAFE_NO_PAD.encode(secret),
    ]
    .map(|text| Form(text.chars().map(Letter::new).collect()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

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
            "s3cr3t%2B/%3D%22v%61lue%22".to_owned(),
            "s3cr3t%252B%252F%253D%2522value%2522".to_owned(),
            r#"s3cr3t\u002B\/\u003d\"value\""#.to_owned(),
            "s3cr3t&#43;&#x2F;=&quot;value&quot;".to_owned(),
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

    /// An apostrophe has more names than any other character.
    #[test]
    fn a_secret_with_an_apostrophe_is_taken_out_in_every_form() {
        let hidden = Hidden::of(["it's-a-s3cr3t"]);
        for apostrophe in [
            "'", "\\'", "\\u0027", "%27", "%2527", "&apos;", "&APOS;", "&#39;", "&#039;", "&#x27;",
            "&#X27;",
        ] {
            let text = format!("no such token: it{apostrophe}s-a-s3cr3t, sorry");
            assert_eq!(
                hidden.out_of_text(text),
                "no such token: ***, sorry",
                "{apostrophe}"
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
        for cut in ["s3cr3t%", "s3cr3t%2", "s3cr3t%2B\\", "s3cr3t\\u002"] {
            assert_eq!(cleaned(cut), HIDDEN, "{cut}");
        }
    }

    /// What could be an escape and is none, and several ways to read the same.
    #[test]
    fn a_secret_may_look_like_an_escape() {
        for secret in [r"a\\\\\\b", "%2b%2b%2b", "&amp;&amp;", r"\u0041\u0041"] {
            let hidden = Hidden::of([secret]);
            let said = format!("<{secret}>");
            let quoted = serde_json::Value::from(secret).to_string();
            assert_eq!(hidden.out_of_text(said), "<***>");
            assert_eq!(hidden.out_of_text(quoted), "\"***\"");
        }
    }

    proptest! {
        /// Each character written in whichever way.
        #[test]
        fn however_each_character_is_written(
            secret in "[!-~]{8,20}|[a-zä€😀 ]{6,12}",
            ways in proptest::collection::vec(0_usize..16, 20),
        ) {
            let letters = secret.chars().map(Letter::new);
            let written: String = letters.zip(ways).map(|(letter, way)| {
                letter.escaped.get(way).cloned().unwrap_or_else(|| letter.plain.to_string())
            }).collect();
            let cleaned = Hidden::of([secret.as_str()]).out_of_text(format!("no: {written} (1)"));
            prop_assert_eq!(cleaned, "no: *** (1)");
        }
    }

    /// What nobody took care to make long is no secret, and Debug shows none.
    #[test]
    fn what_is_short_stays() {
        assert_eq!(cleaned("short"), "short");
        assert!(!format!("{:?}", Hidden::of([SECRET])).contains("s3cr3t"));
    }
}
