//! A submitted draft read field by field: every field that breaks a rule is named, all of them at once.

use std::{
    collections::BTreeSet,
    fmt::{Arguments, Display},
};

use domain::{
    Ceiling, Operation, Place, PurgeMode, Scope, Selector, Timestamp, Verification,
    command::WhenImpossible, fidelity::Breadth, limits, operation::CustomOperation,
    selector::HostRegex,
};
use proto::v1;
use service::trace::TraceContext;

use super::{
    identity::Identity,
    native::{self, Whose},
};
use crate::{
    directory::Directory,
    error::{Error, Violation},
    verify::Draft,
};

/// Reads what a caller submitted.
pub(super) fn read(
    draft: Option<v1::CommandDraft>,
    request_id: &str,
    caller: &Identity,
    trace: &TraceContext,
    directory: &Directory,
) -> Result<Draft, Error> {
    let draft = draft.ok_or_else(|| Error::invalid("draft", "must be given"))?;
    // The gate lets nobody else submit.
    let originator = caller.participant().ok_or(Error::Interrupted)?.clone();
    let mut problems = Vec::new();
    let configuration = optional(
        &mut problems,
        "draft.configuration_id",
        &draft.configuration_id,
    );
    let request_id = optional(&mut problems, "request_id", request_id);
    let whose = Whose {
        originator: &originator,
        configuration: configuration.as_ref(),
        directory,
    };
    let asked = Asked {
        operation: draft.operation,
        selectors: draft.selectors,
        native: draft.native,
    };
    let (operation, selectors) = what(&mut problems, asked, &whose);
    let scope = scope(&mut problems, draft.scope);
    let ceiling = ceiling(&mut problems, draft.ceiling);
    let when_impossible = when_impossible(&mut problems, draft.when_impossible);
    let verification = verification(&mut problems, draft.verify, &draft.probe_urls);
    let not_before = moment(&mut problems, "draft.not_before", draft.not_before.as_ref());
    let expires_at = moment(
        &mut problems,
        "draft.expire_time",
        draft.expire_time.as_ref(),
    );
    let Some(operation) = operation.filter(|_| problems.is_empty()) else {
        return Err(Error::Invalid(problems));
    };
    Ok(Draft {
        originator,
        submitted_by: caller.clone(),
        configuration,
        operation,
        selectors,
        scope,
        ceiling,
        when_impossible,
        verification,
        not_before,
        expires_at,
        request_id,
        traceparent: Some(trace.to_string()),
        tracestate: trace.tracestate().map(ToOwned::to_owned),
    })
}

type Problems = Vec<Violation>;

/// The two ways to say what is to be done with which content.
struct Asked {
    operation: Option<v1::Operation>,
    selectors: Vec<v1::Selector>,
    native: Option<v1::NativeCommand>,
}

fn what(
    problems: &mut Problems,
    asked: Asked,
    whose: &Whose<'_>,
) -> (Option<Operation>, Vec<Selector>) {
    let Some(request) = asked.native else {
        return (
            operation(problems, asked.operation),
            selectors(problems, asked.selectors),
        );
    };
    let read = if asked.operation.is_none() && asked.selectors.is_empty() {
        native::read(request, whose)
    } else {
        let rule = "must be given without operation and selectors";
        Err(Violation::new("draft.native", rule))
    };
    match read {
        Ok((operation, selectors)) => (Some(operation), selectors),
        Err(problem) => {
            problems.push(problem);
            (None, Vec::new())
        }
    }
}

fn verification(problems: &mut Problems, verify: bool, urls: &[String]) -> Option<Verification> {
    let field = "draft.probe_urls";
    if !verify {
        if !urls.is_empty() {
            problems.push(Violation::new(field, "must not be given without `verify`"));
        }
        return None;
    }
    if urls.len() > limits::PROBES_PER_COMMAND {
        let rule = format!(
            "must have at most {} (PROBES_PER_COMMAND)",
            limits::PROBES_PER_COMMAND
        );
        problems.push(Violation::new(field, rule));
        return None;
    }
    let numbered = urls.iter().enumerate();
    let read = numbered
        .filter_map(|(index, text)| parse(problems, format_args!("{field}[{index}]"), text));
    Some(Verification {
        urls: read.collect(),
    })
}

/// Whether it is a good one for now is asked later (`verify`): a request that is repeated was good when it came first.
fn moment(
    problems: &mut Problems,
    field: &str,
    moment: Option<&prost_types::Timestamp>,
) -> Option<Timestamp> {
    let moment = moment?;
    let millis = u64::try_from(moment.seconds)
        .ok()
        .and_then(|seconds| seconds.checked_mul(1_000))
        .zip(
            u64::try_from(moment.nanos)
                .ok()
                .filter(|nanos| *nanos < 1_000_000_000),
        );
    let Some((millis, nanos)) = millis else {
        problems.push(Violation::new(field, "must be a moment since 1970"));
        return None;
    };
    Some(Timestamp::from_millis(
        millis.saturating_add(nanos / 1_000_000),
    ))
}

/// Text that may be empty, read where it is not.
fn optional<T: std::str::FromStr<Err = domain::BrokenRule>>(
    problems: &mut Problems,
    field: &str,
    text: &str,
) -> Option<T> {
    if text.is_empty() {
        None
    } else {
        parse(problems, field, text)
    }
}

fn parse<T: std::str::FromStr<Err = domain::BrokenRule>>(
    problems: &mut Problems,
    field: impl Display,
    text: &str,
) -> Option<T> {
    noted(problems, field, text.parse())
}

/// The name of the field is made only where it is needed: a command may have a thousand of them.
fn noted<T>(
    problems: &mut Problems,
    field: impl Display,
    read: Result<T, domain::BrokenRule>,
) -> Option<T> {
    read.map_err(|rule| problems.push(Violation::new(field.to_string(), rule.to_string())))
        .ok()
}

fn operation(problems: &mut Problems, operation: Option<v1::Operation>) -> Option<Operation> {
    use v1::operation::Kind;
    match operation.and_then(|operation| operation.kind) {
        Some(Kind::Purge(purge)) => match v1::PurgeMode::try_from(purge.mode) {
            Ok(v1::PurgeMode::Unspecified | v1::PurgeMode::Delete) => {
                Some(Operation::Purge(PurgeMode::Delete))
            }
            Ok(v1::PurgeMode::Invalidate) => Some(Operation::Purge(PurgeMode::Invalidate)),
            Ok(v1::PurgeMode::Deferred) => Some(Operation::Purge(PurgeMode::Deferred)),
            Err(_) => unknown_value(problems, "draft.operation.purge.mode"),
        },
        Some(Kind::Load(v1::Load {})) => Some(Operation::Load),
        Some(Kind::Custom(custom)) => {
            let name = parse(problems, "draft.operation.custom.name", &custom.name)?;
            // Whether it may be repeated is the registration's to say (`verify`).
            let parameters = custom.parameters.into_iter().collect();
            Some(Operation::Custom(CustomOperation {
                name,
                repeatable: false,
                parameters,
            }))
        }
        None => {
            problems.push(Violation::new(
                "draft.operation",
                "must be purge, load or custom",
            ));
            None
        }
    }
}

fn selectors(problems: &mut Problems, selectors: Vec<v1::Selector>) -> Vec<Selector> {
    // Reading a million malformed ones would cost more than refusing them.
    if selectors.len() > limits::SELECTORS_PER_COMMAND {
        let rule = format!(
            "must have at most {} (SELECTORS_PER_COMMAND)",
            limits::SELECTORS_PER_COMMAND
        );
        problems.push(Violation::new("draft.selectors", rule));
        return Vec::new();
    }
    let numbered = selectors.into_iter().enumerate();
    numbered
        .filter_map(|(index, one)| {
            selector(problems, format_args!("draft.selectors[{index}]"), one)
        })
        .collect()
}

fn selector(
    problems: &mut Problems,
    field: Arguments<'_>,
    selector: v1::Selector,
) -> Option<Selector> {
    use v1::selector::Kind;
    match selector.kind {
        Some(Kind::Url(text)) => {
            parse(problems, format_args!("{field}.url"), &text).map(Selector::Url)
        }
        Some(Kind::Prefix(text)) => {
            parse(problems, format_args!("{field}.prefix"), &text).map(Selector::Prefix)
        }
        Some(Kind::Wildcard(text)) => {
            parse(problems, format_args!("{field}.wildcard"), &text).map(Selector::Wildcard)
        }
        Some(Kind::Tag(text)) => {
            parse(problems, format_args!("{field}.tag"), &text).map(Selector::Tag)
        }
        Some(Kind::Host(text)) => {
            parse(problems, format_args!("{field}.host"), &text).map(Selector::Host)
        }
        Some(Kind::Everything(v1::Everything {})) => Some(Selector::Everything),
        Some(Kind::Regex(regex)) => {
            let host = parse(problems, format_args!("{field}.regex.host"), &regex.host)?;
            let read = HostRegex::new(host, &regex.pattern);
            noted(problems, format_args!("{field}.regex.pattern"), read).map(Selector::Regex)
        }
        None => {
            problems.push(Violation::new(
                field.to_string(),
                "must be one of url, prefix, wildcard, regex, tag, host, everything",
            ));
            None
        }
    }
}

fn scope(problems: &mut Problems, scope: Option<v1::Scope>) -> Scope {
    use v1::scope::Kind;
    match scope.and_then(|scope| scope.kind) {
        None | Some(Kind::Everywhere(v1::Everywhere {})) => Scope::Everywhere,
        Some(Kind::Foreign(v1::Foreign {})) => Scope::Foreign,
        Some(Kind::Participants(named)) => {
            Scope::Participants(ids(problems, "draft.scope.participants", &named.ids))
        }
        Some(Kind::Servers(named)) => {
            Scope::Servers(ids(problems, "draft.scope.servers", &named.ids))
        }
        Some(Kind::Places(named)) => Scope::Places(places(problems, &named.places)),
    }
}

fn ids<T>(problems: &mut Problems, field: &str, texts: &[String]) -> BTreeSet<T>
where
    T: std::str::FromStr<Err = domain::BrokenRule> + Ord,
{
    check_count(problems, field, texts.len());
    let texts = texts.iter().take(limits::SCOPE_ENTRIES).enumerate();
    texts
        .filter_map(|(index, text)| parse(problems, format_args!("{field}.ids[{index}]"), text))
        .collect()
}

fn places(problems: &mut Problems, places: &[v1::Place]) -> Vec<Place> {
    check_count(problems, "draft.scope.places", places.len());
    let places = places.iter().take(limits::SCOPE_ENTRIES).enumerate();
    let read = |(index, place): (usize, &v1::Place)| {
        let field = format!("draft.scope.places.places[{index}]");
        let place = noted(
            problems,
            &field,
            Place::new(&place.region, &place.country, &place.city),
        )?;
        if place.is_empty() {
            problems.push(Violation::new(
                field,
                "must name a region, a country or a city",
            ));
        }
        Some(place)
    };
    places.filter_map(read).collect()
}

fn check_count(problems: &mut Problems, field: &str, count: usize) {
    if !(1..=limits::SCOPE_ENTRIES).contains(&count) {
        let rule = format!("must name 1 to {} (SCOPE_ENTRIES)", limits::SCOPE_ENTRIES);
        problems.push(Violation::new(field, rule));
    }
}

fn ceiling(problems: &mut Problems, ceiling: Option<v1::Ceiling>) -> Ceiling {
    let Some(ceiling) = ceiling else {
        return Ceiling::default();
    };
    let widest = match v1::Breadth::try_from(ceiling.widest) {
        Ok(v1::Breadth::Exact) => None,
        Ok(v1::Breadth::Operation) => Some(Breadth::Operation),
        Ok(v1::Breadth::Host) => Some(Breadth::Host),
        Ok(v1::Breadth::Unspecified | v1::Breadth::Configuration) => Some(Breadth::Configuration),
        Err(_) => unknown_value(problems, "draft.ceiling.widest"),
    };
    Ceiling {
        widest,
        narrowed: ceiling.allow_narrowed,
    }
}

fn when_impossible(problems: &mut Problems, value: i32) -> WhenImpossible {
    match v1::WhenImpossible::try_from(value) {
        Ok(v1::WhenImpossible::Unspecified | v1::WhenImpossible::Skip) => WhenImpossible::Skip,
        Ok(v1::WhenImpossible::Refuse) => WhenImpossible::Refuse,
        Err(_) => unknown_value(problems, "draft.when_impossible").unwrap_or_default(),
    }
}

fn unknown_value<T>(problems: &mut Problems, field: &str) -> Option<T> {
    problems.push(Violation::new(
        field,
        "must be a value that this version knows",
    ));
    None
}
