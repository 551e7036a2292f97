//! The places that a dialect leaves in its calls, and how a value is written where it is put.
//!
//! Invariant: a value stays one value: it ends no segment, parameter, string or element that it is put in. What was put in is
//! not looked at again, so nothing in a value is a place.
//! Not here: what the values are (`fill`).

use domain::{
    Fault, NativeCall,
    fault::{Again, FaultCode},
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

/// What stands for itself in a path and a query (RFC 3986, 2.3).
pub(crate) const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');
/// How a place begins. Any other brace is only a brace.
const BEGINNINGS: [&str; 3] = ["{account:", "{execution}", "{execution:"];

/// How a value is written where it is put.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Path,
    Header,
    Json,
    Xml,
}

/// The call without any place left; `value` knows what is put into a place of that name.
pub(crate) fn fill(
    call: &NativeCall,
    value: &dyn Fn(&str) -> Result<String, Fault>,
) -> Result<NativeCall, Fault> {
    let header = |(name, text): &(String, String)| -> Result<_, Fault> {
        Ok((name.clone(), Place::Header.fill(text, value)?))
    };
    let headers = call.headers.iter().map(header);
    let body = call.body.as_deref();
    let body = body.map(|body| Place::of_body(call).fill(body, value));
    Ok(NativeCall {
        method: call.method.clone(),
        host: call.host.clone(),
        path: Place::Path.fill(&call.path, value)?,
        headers: headers.collect::<Result<_, _>>()?,
        body: body.transpose()?,
        selectors: call.selectors.clone(),
    })
}

impl Place {
    fn of_body(call: &NativeCall) -> Self {
        let mut headers = call.headers.iter();
        let kind = headers.find(|(name, _)| name == "content-type");
        match kind.map_or("", |(_, kind)| kind.as_str()) {
            kind if kind.contains("json") => Self::Json,
            kind if kind.contains("xml") => Self::Xml,
            kind if kind.contains("x-www-form-urlencoded") => Self::Path,
            _ => Self::Header,
        }
    }

    fn fill(
        self,
        text: &str,
        value: &dyn Fn(&str) -> Result<String, Fault>,
    ) -> Result<String, Fault> {
        let mut filled = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, name, after)) = next_place(rest) {
            filled.push_str(before);
            let value = value(name)?;
            if self == Self::Json && !ends_in_string(&filled) {
                filled.push_str(bare(name, &value)?);
            } else {
                filled.push_str(&self.write(&value));
            }
            rest = after;
        }
        filled.push_str(rest);
        Ok(filled)
    }

    fn write(self, value: &str) -> String {
        match self {
            Self::Path => utf8_percent_encode(value, UNRESERVED).to_string(),
            Self::Header => value.to_owned(),
            Self::Json => {
                let quoted = Value::from(value).to_string();
                quoted[1..quoted.len() - 1].to_owned()
            }
            Self::Xml => value
                .replace('&', "&amp;")
                .replace('<', "&lt;")
                .replace('>', "&gt;")
                .replace('"', "&quot;")
                .replace('\'', "&apos;"),
        }
    }
}

/// The text before the next place, its name, and the text after it.
fn next_place(text: &str) -> Option<(&str, &str, &str)> {
    let begin = BEGINNINGS
        .iter()
        .filter_map(|place| text.find(place))
        .min()?;
    let (before, place) = text.split_at(begin);
    let (name, after) = place[1..].split_once('}')?;
    Some((before, name, after))
}

/// Whether JSON that was cut off there was cut off in a string.
fn ends_in_string(json: &str) -> bool {
    let (mut inside, mut escaped) = (false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = inside,
            b'"' => inside = !inside,
            _ => {}
        }
    }
    inside
}

/// As it stands outside of a string, where a text could end what it is put in.
fn bare<'a>(name: &str, value: &'a str) -> Result<&'a str, Fault> {
    if let Ok(Value::Number(_) | Value::Bool(_) | Value::Null) = serde_json::from_str(value) {
        return Ok(value.trim());
    }
    let message =
        format!("the value `{name}` must be a number, for its place in a body has no quotes");
    let (code, again) = (FaultCode::NotConfigured, Again::Never);
    Err(Fault::participant(code, again, &message))
}
