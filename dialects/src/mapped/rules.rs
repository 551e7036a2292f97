//! The rules for answers, from the document.
//!
//! Invariant: every rule can be reached, and says all that its meaning needs and nothing else. None says `verified`, which is
//! said only of what somebody looked at afterwards, and no answer does that; none says `estimated` without a way to the time.

use std::ops::RangeInclusive;

use domain::Evidence;

use super::{
    ENTRIES,
    answers::{Means, Rule, Source},
    reader::{Field, Members, Reader},
    tree::Tree,
};

/// Seconds after which a mapping may say that something should be done: a week.
const WITHIN_SECONDS: usize = 7 * 24 * 60 * 60;

/// Reads the rules; only those of a first answer must name their jobs.
pub(super) fn rules(reader: &mut Reader, field: &Field<'_>, is_first: bool) -> Vec<Rule> {
    let mut rules: Vec<Rule> = Vec::new();
    for field in reader.list(field, ENTRIES) {
        let Some(rule) = rule(reader, field.clone(), is_first) else {
            continue;
        };
        if rules.iter().any(|before| before.hides(&rule)) {
            reader.wrong(
                &field,
                "is never reached: a rule before it takes these answers",
            );
        }
        rules.push(rule);
    }
    rules
}

fn rule(reader: &mut Reader, field: Field<'_>, is_first: bool) -> Option<Rule> {
    let known = [
        "status", "where", "equals", "means", "evidence", "estimate", "within", "job", "after",
        "words",
    ];
    let members = reader.members(field, &known)?;
    let statuses = reader.required(&members, "status");
    let statuses = statuses.map(|field| statuses_of(reader, &field));
    let is_narrower = members.get("where").is_some() || members.get("equals").is_some();
    let only = if is_narrower {
        let place = reader.required(&members, "where");
        let source = place.and_then(|field| source(reader, &field));
        let equals = reader.required(&members, "equals");
        let equals = equals.and_then(|field| reader.text(&field));
        source.zip(equals).map(Some)
    } else {
        Some(None)
    };
    let means = means(reader, &members, is_first);
    let words = members.get("words");
    let words = words.and_then(|field| source(reader, &field));
    Some(Rule {
        statuses: statuses?,
        only: only?,
        means: means?,
        words,
    })
}

/// `202`, `2xx`, or a list of them.
fn statuses_of(reader: &mut Reader, field: &Field<'_>) -> Vec<RangeInclusive<u16>> {
    let fields = match &field.node.tree {
        Tree::List(_) => reader.list(field, ENTRIES),
        _ => vec![field.clone()],
    };
    let mut statuses = Vec::new();
    for field in fields {
        let text = reader.text(&field).unwrap_or_default();
        let whole = |text: &str| {
            text.parse()
                .ok()
                .filter(|status| (100..600).contains(status))
        };
        let range = match text.strip_suffix("xx") {
            Some(class) => whole(&format!("{class}00")).map(|first: u16| first..=first + 99),
            None => whole(&text).map(|status| status..=status),
        };
        match range {
            Some(range) => statuses.push(range),
            None => reader.wrong(&field, "must be a status such as 202, or 2xx"),
        }
    }
    statuses
}

fn means(reader: &mut Reader, members: &Members<'_>, is_first: bool) -> Option<Means> {
    let field = reader.required(members, "means")?;
    let words = [
        "done",
        "nothing-held",
        "running",
        "later",
        "failed",
        "refused",
    ];
    let word = reader.word(&field, &words.map(|word| (word, word)))?;
    for (name, of) in [
        ("evidence", "done"),
        ("estimate", "done"),
        ("within", "done"),
        ("job", "running"),
        ("after", "later"),
    ] {
        if let Some(field) = members.get(name).filter(|_| of != word) {
            reader.wrong(&field, &format!("is of `{of}` alone"));
        }
    }
    Some(match word {
        "done" => done(reader, members)?,
        "nothing-held" => Means::NothingHeld,
        "running" => {
            // A job that is asked after is the one that it was.
            let job = match members.get("job") {
                None if !is_first => None,
                _ => {
                    let field = reader.required(members, "job")?;
                    Some(source(reader, &field)?)
                }
            };
            Means::Running { job }
        }
        "later" => {
            let after = members.get("after");
            let after = after.and_then(|field| source(reader, &field));
            Means::Later { after }
        }
        "failed" => Means::Failed,
        _ => Means::Refused,
    })
}

/// How sure it is that it is done, and for an estimate when.
fn done(reader: &mut Reader, members: &Members<'_>) -> Option<Means> {
    let field = reader.required(members, "evidence")?;
    let all = Evidence::ALL.map(|evidence| (evidence.as_str(), evidence));
    let evidence = reader.word(&field, &all)?;
    let estimate = members.get("estimate");
    let within = members.get("within");
    match evidence {
        Evidence::Verified => {
            let rule = "must be acknowledged, estimated or reported: verified is said only of what was looked at afterwards";
            reader.wrong(&field, rule);
            None
        }
        Evidence::Acknowledged | Evidence::Reported => {
            for field in [estimate, within].into_iter().flatten() {
                reader.wrong(&field, "is of the evidence `estimated` alone");
            }
            Some(Means::Done(evidence))
        }
        Evidence::Estimated if estimate.is_none() && within.is_none() => {
            let rule = "must say when, beside it: `estimate`, where the answer has the seconds, or `within`, a number of them";
            reader.wrong(&field, rule);
            None
        }
        Evidence::Estimated => Some(Means::Estimated {
            seconds: estimate.and_then(|field| source(reader, &field)),
            within: within
                .and_then(|field| reader.number(&field, WITHIN_SECONDS))
                .and_then(|seconds| u32::try_from(seconds).ok()),
        }),
    }
}

/// A JSON pointer or the name of a header.
fn source(reader: &mut Reader, field: &Field<'_>) -> Option<Source> {
    let text = reader.text(field)?;
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    if text.starts_with('/') {
        let escapes = text.split('~').skip(1);
        if escapes.into_iter().all(|rest| rest.starts_with(['0', '1'])) {
            return Some(Source::Pointer(text));
        }
    } else if !text.is_empty() && text.bytes().all(letter) {
        return Some(Source::Header(text.to_ascii_lowercase()));
    }
    reader.wrong(
        field,
        "must be a JSON pointer such as /job/id, or the name of a header",
    );
    None
}
