//! What a status other than success says, and when to ask again: the same for everybody who speaks HTTP.
//!
//! Invariant: the fault knows whether another try makes sense, and says it in the answerer's own words where it has any.
//! Not here: what counts as success; each dialect knows its own.

use std::borrow::Cow;

use domain::{
    Fault,
    fault::{Again, FaultCode},
};
use serde::Deserialize;

use crate::Answer;

/// Characters of a page or of an address that are worth telling.
const WORDS: usize = 120;
/// Bytes of a page that are looked at.
const PAGE: usize = 4_096;

/// The fault of a refusal by `who`. Rules that said 401, 403 or 405 will say it again; 429 and 5xx may pass.
pub(crate) fn refusal(who: &str, answer: &Answer) -> Fault {
    let (code, again) = match answer.status {
        401 => (FaultCode::Unauthorized, Again::Never),
        429 => (FaultCode::Throttled, retry_after(answer)),
        400..=499 => (FaultCode::Refused, Again::Never),
        503 => (FaultCode::NativeError, retry_after(answer)),
        500..=599 => (FaultCode::NativeError, Again::Soon),
        _ => (FaultCode::UnreadableAnswer, Again::Never),
    };
    let mut message = format!("{who} answered {}", answer.status);
    if let (300..=399, Some(place)) = (answer.status, answer.header("location")) {
        message.push_str(" and sent us to ");
        message.extend(place.chars().take(WORDS));
        message.push_str(", where nobody goes");
    }
    if let Some(words) = words_of(&answer.body) {
        message.push_str(": ");
        message.push_str(&words);
    }
    Fault::participant(code, again, &message)
}

/// When to ask again. Only the form in seconds: a date would need a clock (RFC 9110, 10.2.3).
pub(crate) fn retry_after(answer: &Answer) -> Again {
    let seconds = answer
        .header("retry-after")
        .and_then(|value| value.trim().parse().ok());
    seconds.map_or(Again::Soon, Again::AfterSeconds)
}

/// A problem in the form of RFC 9457, as much of it as is for people.
#[derive(Deserialize)]
struct Problem {
    title: Option<String>,
    detail: Option<String>,
}

/// What a problem says, or the body's first line where it is text for people; of a page its title, or else its first words.
fn words_of(body: &str) -> Option<Cow<'_, str>> {
    let problem = serde_json::from_str::<Problem>(body).ok();
    if let Some(words) = problem.and_then(|problem| problem.detail.or(problem.title)) {
        return Some(Cow::Owned(words));
    }
    if body.trim_start().starts_with('<') {
        return words_of_page(body).map(Cow::Owned);
    }
    let line = body.lines().next().unwrap_or_default().trim();
    (!line.is_empty()).then_some(Cow::Borrowed(line))
}

fn words_of_page(page: &str) -> Option<String> {
    let mut end = page.len().min(PAGE);
    while !page.is_char_boundary(end) {
        end -= 1;
    }
    let page = &page[..end];
    let title = page
        .split_once("<title>")
        .or_else(|| page.split_once("<TITLE>"));
    let text = title.map_or_else(
        || without_tags(page),
        |(_, title)| without_tags(until_tag(title)),
    );
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let words: String = words.chars().take(WORDS).collect();
    (!words.is_empty()).then_some(words)
}

fn until_tag(text: &str) -> &str {
    text.split('<').next().unwrap_or_default()
}

/// What stands between tags; what follows the last `<` without its end is a tag that was cut off.
fn without_tags(page: &str) -> String {
    let mut pieces = page.split('<');
    let first = pieces.next().unwrap_or_default().to_owned();
    let texts = pieces.filter_map(|piece| piece.split_once('>').map(|(_, text)| text));
    texts.fold(first, |all, text| all + " " + text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Answer {
        Answer {
            body: body.to_owned(),
            ..crate::fixture::answer(status, headers)
        }
    }

    /// Whoever is overloaded says when it wants to be asked again; a rule will not change by asking.
    #[test]
    fn a_refusal_says_whether_to_try_again() {
        let date = ("retry-after", "Wed, 21 Oct 2026 07:28:00 GMT");
        for (status, headers, code, again) in [
            (400, &[][..], FaultCode::Refused, Again::Never),
            (401, &[], FaultCode::Unauthorized, Again::Never),
            (403, &[], FaultCode::Refused, Again::Never),
            (405, &[], FaultCode::Refused, Again::Never),
            (
                429,
                &[("retry-after", "7")],
                FaultCode::Throttled,
                Again::AfterSeconds(7),
            ),
            (
                429,
                &[("retry-after", "soon")],
                FaultCode::Throttled,
                Again::Soon,
            ),
            (
                503,
                &[("retry-after", "2")],
                FaultCode::NativeError,
                Again::AfterSeconds(2),
            ),
            (503, &[date], FaultCode::NativeError, Again::Soon),
            (500, &[], FaultCode::NativeError, Again::Soon),
            (302, &[], FaultCode::UnreadableAnswer, Again::Never),
        ] {
            let fault = refusal("it", &answer(status, headers, "no"));
            assert_eq!((fault.code, fault.again), (code, again), "{status}");
        }
    }

    /// The answerer's own words are kept; of a page its title, or what its reader would see first.
    #[test]
    fn a_refusal_keeps_the_words() {
        let said = |body| refusal("the cache", &answer(400, &[], body)).message;
        let problem = r#"{"title":"Bad Request","status":400,"detail":"no such server: b-7"}"#;
        assert_eq!(said(problem), "the cache answered 400: no such server: b-7");
        assert_eq!(
            said(r#"{"title":"Bad Request"}"#),
            "the cache answered 400: Bad Request"
        );
        assert_eq!(said("not here\nline 2"), "the cache answered 400: not here");
        assert_eq!(said("<html>"), "the cache answered 400");
        assert_eq!(said("<p"), "the cache answered 400");
        assert_eq!(said(""), "the cache answered 400");
        let page = "<!DOCTYPE html>\n<html><head><title>502 Bad\nGateway</title></head><body>no</body></html>";
        assert_eq!(said(page), "the cache answered 400: 502 Bad Gateway");
        let plain = "<html><body><h1>Sorry</h1>we are <b>closed</b><img";
        assert_eq!(said(plain), "the cache answered 400: Sorry we are closed");
        let long = format!("<p>{}", "é".repeat(10_000_000));
        assert_eq!(said(&long).chars().count(), 24 + WORDS);
    }

    /// Where somebody wants to send us is told, and not gone to.
    #[test]
    fn a_redirect_is_told() {
        let place = ("location", "https://login.example/?next=%2Fpurge");
        let fault = refusal("the cache", &answer(302, &[place], "<a href=x>here</a>"));
        assert_eq!(
            (fault.code, fault.again),
            (FaultCode::UnreadableAnswer, Again::Never)
        );
        assert_eq!(
            fault.message,
            "the cache answered 302 and sent us to https://login.example/?next=%2Fpurge, where nobody goes: here"
        );
    }
}
