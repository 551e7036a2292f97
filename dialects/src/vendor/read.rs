//! What providers answer, as far as several of them agree.
//!
//! Invariant: an answer that cannot be read is never a success, and a fault says it in the provider's own words.

use domain::{
    Fault, Finding,
    fault::{Again, FaultCode},
};
use serde_json::Value;

use crate::{Answer, Verdict, problem};

/// Characters of an unreadable body that are worth telling.
const GLIMPSE: usize = 80;
/// Characters of a job's name; the longest known has 36.
const JOB_LENGTH: usize = 256;

/// The JSON object in the body of a success, or why there is none. It may have been cut off on its way, so another try
/// makes sense.
pub(crate) fn object(who: &str, answer: &Answer) -> Result<Value, Fault> {
    match serde_json::from_str(&answer.body) {
        Ok(value @ Value::Object(_)) => Ok(value),
        Ok(_) | Err(_) => Err(unreadable(who, answer, "no JSON object")),
    }
}

/// The fault of a success that cannot be read.
pub(crate) fn unreadable(who: &str, answer: &Answer, what: &str) -> Fault {
    let glimpse: String = answer.body.chars().take(GLIMPSE).collect();
    let message = format!("{who} answered {} with {what}: {glimpse}", answer.status);
    Fault::participant(FaultCode::UnreadableAnswer, Again::Soon, &message)
}

/// It works on a job, if that is a name that can be asked after.
pub(crate) fn running(who: &str, answer: &Answer, job: Option<&str>) -> Verdict {
    let fits = |job: &&str| {
        (1..=JOB_LENGTH).contains(&job.len())
            && job.bytes().all(|byte| byte.is_ascii_graphic())
            && !job.split('/').any(|part| matches!(part, "." | ".."))
    };
    match job.filter(fits) {
        Some(job) => Verdict::Running {
            job: job.to_owned(),
        },
        None => Verdict::failed(unreadable(who, answer, "no job that could be asked after")),
    }
}

/// The text at the end of these names, if the value has it. Numbers are texts too: some write ids so.
pub(crate) fn text(value: &Value, names: &[&str]) -> Option<String> {
    let found = names
        .iter()
        .try_fold(value, |value, name| value.get(name))?;
    match found {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// The fault of whatever is no success.
pub(crate) fn refusal(who: &str, answer: &Answer) -> Fault {
    let body: Value = serde_json::from_str(&answer.body).unwrap_or(Value::Null);
    refusal_in_words(who, answer, words(&body).as_deref())
}

/// The same, where the provider's words are known.
pub(crate) fn refusal_in_words(who: &str, answer: &Answer, words: Option<&str>) -> Fault {
    let mut fault = problem::refusal(who, answer);
    if answer.status == 408 {
        (fault.code, fault.again) = (FaultCode::NativeError, Again::Soon);
    }
    let Some(words) = words else {
        return fault;
    };
    if is_about_the_clock(words) {
        let message = format!("the adapter's clock is off, says {who}: {words}");
        return Fault::participant(FaultCode::ClockOff, Again::Never, &message);
    }
    let message = format!("{who} answered {}: {words}", answer.status);
    Fault::participant(fault.code, fault.again, &message)
}

/// The call is refused, and found so in the words of a body, whatever the status.
pub(crate) fn refused_by_words(who: &str, body: &Value) -> Fault {
    let words = words(body).unwrap_or_else(|| "no reason given".to_owned());
    let message = format!("{who} did not do it: {words}");
    Fault::participant(FaultCode::Refused, Again::Never, &message)
}

/// Too many calls, jobs or items at present.
pub(crate) fn throttled(fault: &Fault, again: Again) -> Fault {
    Fault::participant(FaultCode::Throttled, again, &fault.message)
}

/// It says that it is done.
pub(crate) fn removed() -> Verdict {
    crate::http::done(Finding::Removed(None))
}

/// What a body says to people, with its code where it has one, in the forms that providers use: RFC 9457 (Akamai), `msg`
/// (Fastly), `errors` (Cloudflare), `error` (Google), `Message` (Bunny, Alibaba, Edgecast).
pub(crate) fn words(body: &Value) -> Option<String> {
    let first_error = body.get("errors").and_then(|errors| errors.get(0));
    let holders = [Some(body), body.get("error"), first_error];
    let words = holders.into_iter().flatten().find_map(|holder| {
        let says = ["detail", "message", "Message", "msg", "title"];
        let said = says.iter().find_map(|name| text(holder, &[name]))?;
        let code = ["code", "Code"]
            .iter()
            .find_map(|name| text(holder, &[name]));
        Some(code.map_or(said.clone(), |code| format!("{code}: {said}")))
    });
    words.or_else(|| text(body, &["error"]))
}

/// Signatures hold the time. Words of Amazon, Akamai and Alibaba for one that is too far off.
fn is_about_the_clock(words: &str) -> bool {
    let words = words.to_ascii_lowercase();
    [
        "requesttimetooskewed",
        "requestexpired",
        "signature expired",
        "signature not yet current",
        "invalid timestamp",
        "illegaltimestamp",
        "invalidtimestamp",
    ]
    .iter()
    .any(|sign| words.contains(sign))
}
