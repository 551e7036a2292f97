//! An error of the broker's, in lines for people.
//!
//! Invariant: nothing is swallowed and nothing is said twice: what the headline says is in no line below it.

use std::error::Error as _;

use tonic::{Code, Status};
use tonic_types::{BadRequest, ErrorInfo, ResourceInfo, StatusExt as _};

use super::{chain, flags::flag_of};
use crate::{
    broker::Unreached,
    view::{SelectorView, text_of},
    words,
};

/// What happened.
pub(super) fn headline(status: &Status) -> String {
    if let Some(unreached) = Unreached::of(status) {
        return unreached.to_string();
    }
    let name = words::code(status.code());
    match (status.code(), message(status).as_str()) {
        (Code::Unavailable, message) if status.source().is_some() => {
            format!("the broker cannot be reached: {message}")
        }
        (_, "") => format!("the broker answered {name}"),
        (_, message) => format!("the broker answered {name}: {message}"),
    }
}

/// Everything else that was said.
pub(super) fn of_status(status: &Status, selectors: &[SelectorView]) -> Vec<String> {
    if let Some(unreached) = Unreached::of(status) {
        return unreached.each();
    }
    let mut lines = status.source().map(chain).unwrap_or_default();
    lines.extend(of_details(status, selectors));
    let said = message(status);
    lines.retain(|line| !said.contains(line.as_str()));
    lines
}

/// The text that the user gave for a field of the command.
pub(super) fn given(field: &str, selectors: &[SelectorView]) -> Option<String> {
    let (_, rest) = field.split_once("selectors[")?;
    let index = rest.split_once(']')?.0.parse::<usize>().ok()?;
    let text = text_of(selectors.get(index)?);
    Some(words::short(&text))
}

/// Fields have lines of their own, so the message need not name the first of them.
fn message(status: &Status) -> String {
    let message = words::short_urls(status.message());
    let details = status.get_error_details();
    let first = details
        .bad_request()
        .and_then(|request| request.field_violations.first());
    let cut = first.and_then(|first| message.split_once(&format!(": {} ", first.field)));
    match cut {
        Some((before, _)) => before.to_owned(),
        None => message,
    }
}

fn of_details(status: &Status, selectors: &[SelectorView]) -> Vec<String> {
    let details = status.get_error_details();
    let mut lines = details
        .bad_request()
        .map_or(Vec::new(), |request| of_fields(request, selectors));
    if let Some(failure) = details.precondition_failure() {
        let violations = failure.violations.iter();
        lines.extend(violations.map(|found| format!("{}: {}", found.subject, found.description)));
    }
    if let Some(failure) = details.quota_failure() {
        let violations = failure.violations.iter();
        let violations = violations.filter(|found| found.description != status.message());
        lines.extend(violations.map(|found| format!("{}: {}", found.subject, found.description)));
    }
    let resource = details.resource_info();
    let resource = resource.filter(|resource| resource.description != status.message());
    lines.extend(resource.map(of_resource));
    if let Some(delay) = details.retry_info().and_then(|retry| retry.retry_delay) {
        lines.push(format!("try again in {}", words::duration(delay)));
    }
    lines.extend(
        details
            .error_info()
            .and_then(|info| of_reason(info, status)),
    );
    lines.iter().map(|line| words::short_urls(line)).collect()
}

fn of_fields(request: &BadRequest, selectors: &[SelectorView]) -> Vec<String> {
    let lines = request.field_violations.iter().map(|found| {
        let field = &found.field;
        let named = match (flag_of(field), given(field, selectors)) {
            (Some(flag), Some(given)) => {
                // `tag red` is typed `--tag red`.
                let kind = format!("{} ", flag.trim_start_matches('-'));
                let given = given.strip_prefix(&kind).unwrap_or(&given);
                format!("{flag} {given} ({field})")
            }
            (Some(flag), None) => format!("{flag} ({field})"),
            (None, Some(given)) => format!("{field} ({given})"),
            (None, None) => field.clone(),
        };
        format!("{named}: {}", found.description)
    });
    lines.collect()
}

fn of_resource(resource: &ResourceInfo) -> String {
    let named = format!("{} {}", resource.resource_type, resource.resource_name);
    match resource.description.as_str() {
        "" => named,
        description => format!("{named}: {description}"),
    }
}

/// The reason, unless code and message say all of it.
fn of_reason(info: &ErrorInfo, status: &Status) -> Option<String> {
    let mut metadata: Vec<_> = info.metadata.iter().collect();
    metadata.retain(|(_, value)| !status.message().contains(value.as_str()));
    metadata.sort();
    if metadata.is_empty() && info.reason == words::code(status.code()) {
        return None;
    }
    let named = metadata
        .iter()
        .map(|(name, value)| format!("{name} = {value}"));
    let reason = format!("reason: {}", info.reason);
    let words: Vec<String> = std::iter::once(reason).chain(named).collect();
    Some(words.join(", "))
}
