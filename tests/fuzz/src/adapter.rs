//! What the adapter reads by itself: the files of it that need nothing else of it.

#[allow(
    dead_code,
    reason = "what is said when something is missing is not parsed"
)]
#[path = "../../../adapters/src/api/credential/text.rs"]
mod credential;
#[path = "../../../adapters/src/http/date.rs"]
mod date;
#[path = "../../../adapters/src/api/headers.rs"]
mod headers;
#[path = "../../../adapters/src/api/fill/places.rs"]
mod places;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use dialects::{Answer, Dialect};
use domain::{
    Fault, NativeCall,
    fault::{Again, FaultCode},
};
use serde_json::{Value, json};

/// A place that is filled here.
const ZONE: &str = "{account:zone}";
/// No provider makes anybody wait longer than this.
const LONGEST: Duration = Duration::from_hours(1);

/// A date is a moment, and a wait until then is a number of seconds; all else stays as it is.
pub(crate) fn dates(ours: u32, theirs: &str, until: &str) {
    let _ = date::read(theirs);
    let ours = UNIX_EPOCH + Duration::from_secs(ours.into());
    let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let given = vec![header("date", theirs), header("retry-after", until)];
    let read = date::in_seconds(given.clone(), ours);
    assert_eq!(read[0], given[0]);
    match date::read(until) {
        Some(_) => assert!(read[1].1.parse::<u64>().is_ok(), "{until}: {read:?}"),
        None => assert_eq!(read[1], given[1]),
    }
}

/// Whatever an answer says of its limits, nobody waits longer than the longest wait.
pub(crate) fn pace(now: SystemTime, answer: &Answer) {
    for wait in [
        headers::used_up(answer, now),
        headers::poll_after(answer, now),
    ] {
        assert!(
            wait.is_none_or(|wait| wait <= LONGEST),
            "{wait:?}: {answer:?}"
        );
    }
}

/// What is found in a file of credentials is a part of it, and one value.
pub(crate) fn credentials(file: &str, name: &str) {
    let token = credential::token(file);
    assert!(token.is_none_or(|token| file.trim() == token && !token.contains(char::is_whitespace)));
    if let Some(value) = credential::value(file, name) {
        assert!(!value.is_empty() && value == value.trim() && !value.contains('\n'));
        let is_named = |line: &str| {
            let (key, rest) = line.split_once('=').unwrap_or_default();
            key.trim() == name.trim() && rest.trim() == value
        };
        assert!(file.lines().any(is_named), "{name}: {value}");
    }
}

/// A value is one value wherever it is put, and nothing else of the call is changed by it.
pub(crate) fn places(text: &str, value: &str) {
    let known = |name: &str| match name {
        "account:zone" => Ok(value.to_owned()),
        other => Err(missing(other)),
    };
    let body = |kind: &str, body: String| {
        let call = NativeCall::new("POST", None, "/", Vec::new()).header("content-type", kind);
        let body = Some(body);
        let filled = places::fill(&NativeCall { body, ..call }, &known);
        filled.ok().and_then(|call| call.body)
    };
    if let Ok(call) = places::fill(&NativeCall::new("GET", None, text, Vec::new()), &known) {
        assert_eq!(call.path, text.replace(ZONE, &encoded(value)));
    }
    if let Some(json) = body("application/json", json!({ "a": text }).to_string()) {
        let read: Value = serde_json::from_str(&json).expect("it is still JSON");
        assert_eq!(read, json!({ "a": text.replace(ZONE, value) }));
    }
    if let Some(json) = body("application/json", format!(r#"{{"a":[{ZONE},1]}}"#)) {
        let read: Value = serde_json::from_str(&json).expect("it is still JSON");
        assert_eq!(read["a"].as_array().map(Vec::len), Some(2), "{json}");
    }
    if let Some(xml) = body("text/xml", format!("<a b=\"{ZONE}\">{text}</a>")) {
        for mark in ['<', '>', '"', '\''] {
            let of_text = text.matches(mark).count() + usize::from(mark != '\'') * 2;
            assert_eq!(xml.matches(mark).count(), of_text, "{xml}");
        }
    }
}

/// What a dialect says for a provider is whole when the account's values are in it, whatever they are.
pub(crate) fn call(dialect: &dyn Dialect, call: &NativeCall, value: &str) {
    let known = |name: &str| {
        let of_account = name.strip_prefix("account:");
        let field = dialect
            .account()
            .iter()
            .find(|field| Some(field.name) == of_account);
        match (name, field.map(|field| field.name)) {
            (_, Some("platform" | "cpcode")) => Ok("3".to_owned()),
            ("execution" | "execution:uuid", _) | (_, Some(_)) => Ok(value.to_owned()),
            (other, None) => Err(missing(other)),
        }
    };
    let filled = places::fill(call, &known).expect("it names what it declares");
    let at_account = dialect.at_account(&filled, &|_| Some(value.to_owned()));
    assert!(at_account.is_err() || at_account.is_ok_and(|calls| !calls.is_empty()));
    assert_eq!(
        filled.path.matches(['/', '?']).count(),
        call.path.matches(['/', '?']).count()
    );
    let kind = content_type(call);
    let body = filled.body.as_deref().unwrap_or_default();
    if kind.contains("json") {
        let read = serde_json::from_str::<Value>(body);
        assert!(read.is_ok(), "{}: {filled:?}", dialect.name());
    }
    if !value.contains('{') {
        let headers = filled.headers.iter().map(|(_, value)| value.as_str());
        for text in headers.chain([filled.path.as_str(), body]) {
            let is_left = text.contains("{account:") || text.contains("{execution");
            assert!(!is_left, "{}: {filled:?}", dialect.name());
        }
    }
}

/// RFC 3986, 2.3 and 2.1, octet by octet.
fn encoded(value: &str) -> String {
    let octet = |octet: u8| match octet {
        b'-' | b'.' | b'_' | b'~' => char::from(octet).to_string(),
        _ if octet.is_ascii_alphanumeric() => char::from(octet).to_string(),
        _ => format!("%{octet:02X}"),
    };
    value.bytes().map(octet).collect()
}

fn content_type(call: &NativeCall) -> &str {
    let mut headers = call.headers.iter();
    let kind = headers.find(|(name, _)| name == "content-type");
    kind.map_or("", |(_, kind)| kind.as_str())
}

fn missing(name: &str) -> Fault {
    Fault::participant(FaultCode::NotConfigured, Again::Never, name)
}
