//! From a document to a mapping, with every mistake by its line.
//!
//! Invariant: what passes here works: each template was filled in once for each kind of selector that it is for.

use domain::{DialectName, Fidelity, OperationName, PurgeMode, SelectorKind, fidelity::Breadth};

use super::{
    ENTRIES, Mapped, Mapping, Mistake, Poll, Said,
    answers::{Means, Rule},
    items,
    reader::{Field, Members, Reader},
    rules::rules,
    sample,
    template::{Form, Template, Templates},
    tree, word_of,
};

/// The version of the form of documents.
const FORM: usize = 1;
/// Selectors in one call.
const ITEMS: usize = 1_000;
/// Bytes of one body.
const BYTES: usize = 1024 * 1024;
/// Headers of one call.
const HEADERS: usize = 20;
/// Those that are the adapter's to write.
const RESERVED: [&str; 5] = [
    "host",
    "authorization",
    "content-length",
    "transfer-encoding",
    "connection",
];
const MODES: [(&str, PurgeMode); 3] = [
    (word_of(PurgeMode::Delete), PurgeMode::Delete),
    (word_of(PurgeMode::Invalidate), PurgeMode::Invalidate),
    (word_of(PurgeMode::Deferred), PurgeMode::Deferred),
];

/// Reads a document; one that `is_new` by the rules for those that are to be kept.
pub(super) fn read(document: &str, is_new: bool) -> Result<Mapping, Vec<Mistake>> {
    let node = tree::parse(document).map_err(|mistake| vec![mistake])?;
    let mut reader = Reader::new(is_new);
    let place = String::new();
    let mapping = mapping(&mut reader, Field { node: &node, place });
    let mistakes = reader.finish();
    match mapping {
        Some(mapping) if mistakes.is_empty() => Ok(mapping),
        _ => Err(mistakes),
    }
}

fn mapping(reader: &mut Reader, field: Field<'_>) -> Option<Mapping> {
    let known = ["mapping", "name", "calls", "answers", "poll"];
    let members = reader.members(field, &known)?;
    let form = reader.required(&members, "mapping");
    form.and_then(|field| reader.number(&field, FORM));
    let name = reader.required(&members, "name");
    let name = name.and_then(|field| name_of(reader, &field));
    let calls = calls(reader, &members);
    let answers = reader.required(&members, "answers");
    let answers = answers.map(|field| rules(reader, &field, true));
    let poll = members.get("poll");
    let runs = |rules: &[Rule]| {
        let mut means = rules.iter().map(|rule| &rule.means);
        means.any(|means| matches!(means, Means::Running { .. }))
    };
    match (&poll, answers.as_deref().is_some_and(runs)) {
        (None, true) => reader.wrong(
            members.whole(),
            "must have `poll`, for an answer names a job",
        ),
        (Some(poll), false) => reader.wrong(poll, "is for jobs, and no answer names one"),
        _ => {}
    }
    let poll = poll.map(|field| read_poll(reader, field));
    Some(Mapping {
        name: name?,
        calls,
        answers: answers?,
        poll: match poll {
            Some(poll) => Some(poll?),
            None => None,
        },
    })
}

fn name_of(reader: &mut Reader, field: &Field<'_>) -> Option<DialectName> {
    let name = reader.text(field)?.parse::<DialectName>();
    match &name {
        Err(rule) => reader.wrong(field, &rule.to_string()),
        // What is kept goes on to be read where a dialect of that name comes later.
        Ok(name) if reader.is_new && crate::by_name(name).is_some() => {
            reader.wrong(field, "must not be that of a dialect already");
        }
        Ok(_) => {}
    }
    name.ok()
}

fn calls(reader: &mut Reader, members: &Members<'_>) -> Vec<Mapped> {
    let Some(field) = reader.required(members, "calls") else {
        return Vec::new();
    };
    let mut calls: Vec<Mapped> = Vec::new();
    for field in reader.list(&field, ENTRIES) {
        let Some(call) = call(reader, field.clone()) else {
            continue;
        };
        for before in &calls {
            let both = call.selectors.iter().find(|kind| {
                call.operation.meets(&before.operation) && before.selectors.contains(kind)
            });
            if let Some(kind) = both {
                reader.wrong(
                    &field,
                    &format!("does by {kind} what a call before it does"),
                );
            }
        }
        calls.push(call);
    }
    calls
}

fn call(reader: &mut Reader, field: Field<'_>) -> Option<Mapped> {
    let known = [
        "operation",
        "modes",
        "selectors",
        "fidelity",
        "why",
        "method",
        "path",
        "headers",
        "body",
        "items",
        "bytes",
    ];
    let line = field.node.line;
    let members = reader.members(field, &known)?;
    let operation = operation(reader, &members);
    let selectors = selectors(reader, &members);
    let fidelity = fidelity(reader, &members);
    let request = request(reader, &members, &items::NAMES);
    let mut limit = |name, most, otherwise| match members.get(name) {
        Some(field) => reader.number(&field, most),
        None => Some(otherwise),
    };
    let (items, bytes) = (limit("items", ITEMS, 1), limit("bytes", BYTES, BYTES));
    // What is noted as wrong already is taken as if it had not been said, so that it hides nothing of the templates.
    let call = Mapped {
        line,
        operation: operation?,
        selectors: selectors?,
        fidelity: fidelity.unwrap_or(Fidelity::Exact),
        request: request?,
        items: items.unwrap_or(1),
        bytes: bytes.unwrap_or(BYTES),
    };
    let samples = sample::values(&call);
    try_out(reader, &members, &call.request, &samples);
    Some(call)
}

fn operation(reader: &mut Reader, members: &Members<'_>) -> Option<Said> {
    let field = reader.required(members, "operation")?;
    let text = reader.text(&field)?;
    let modes = members.get("modes");
    match (text.as_str(), modes) {
        ("purge", Some(modes)) => {
            let modes = reader.list(&modes, MODES.len());
            let modes = modes.iter().filter_map(|mode| reader.word(mode, &MODES));
            Some(Said::Purge(modes.collect()))
        }
        ("purge", None) => {
            reader.required(members, "modes");
            None
        }
        (_, Some(modes)) => {
            reader.wrong(&modes, "are of a purge alone");
            None
        }
        ("load", None) => Some(Said::Load),
        (name, None) => match name.parse::<OperationName>() {
            Ok(_) => Some(Said::Custom(text)),
            Err(rule) => {
                reader.wrong(&field, &rule.to_string());
                None
            }
        },
    }
}

fn selectors(reader: &mut Reader, members: &Members<'_>) -> Option<Vec<SelectorKind>> {
    let field = reader.required(members, "selectors")?;
    let words = SelectorKind::ALL.map(|kind| (kind.as_str(), kind));
    let fields = reader.list(&field, words.len());
    let kinds = fields.iter().filter_map(|kind| reader.word(kind, &words));
    Some(kinds.collect())
}

/// `exact` where nothing is said.
fn fidelity(reader: &mut Reader, members: &Members<'_>) -> Option<Fidelity> {
    let why = members.get("why");
    let Some(field) = members.get("fidelity") else {
        if let Some(why) = why {
            reader.wrong(&why, "is the reason of a `fidelity` that is not exact");
        }
        return Some(Fidelity::Exact);
    };
    let words = [
        ("wider-operation", Some(Breadth::Operation)),
        ("wider-host", Some(Breadth::Host)),
        ("wider-configuration", Some(Breadth::Configuration)),
        ("narrower", None),
    ];
    let to = reader.word(&field, &words);
    let why = reader.required(members, "why");
    let why = why.and_then(|field| reader.text(&field))?;
    Some(match to? {
        Some(to) => Fidelity::Widened { to, why },
        None => Fidelity::Narrowed { why },
    })
}

fn request(reader: &mut Reader, members: &Members<'_>, names: &[&str]) -> Option<Templates> {
    let method = reader.required(members, "method");
    let method = method.and_then(|field| method_of(reader, &field));
    let path = reader.required(members, "path");
    let path = path.and_then(|field| template(reader, &field, Form::Path, names));
    let (headers, form) = headers(reader, members, names);
    let body = match (members.get("body"), form) {
        (None, _) => Some(None),
        (Some(field), Some(form)) => template(reader, &field, form, names).map(Some),
        (Some(field), None) => {
            let rule = "needs a header `content-type`: application/json, application/x-www-form-urlencoded or text/plain";
            reader.wrong(&field, rule);
            None
        }
    };
    Some(Templates {
        method: method.unwrap_or_default(),
        path: path?,
        headers,
        body: body?,
    })
}

fn method_of(reader: &mut Reader, field: &Field<'_>) -> Option<String> {
    let method = reader.text(field)?;
    let letters = method.bytes().all(|byte| byte.is_ascii_uppercase());
    if !(letters && (1..=20).contains(&method.len())) {
        reader.wrong(field, "must be 1 to 20 upper-case letters");
        return None;
    }
    Some(method)
}

/// The headers, and what they say of the body.
fn headers(
    reader: &mut Reader,
    members: &Members<'_>,
    names: &[&str],
) -> (Vec<(String, Template)>, Option<Form>) {
    let (mut headers, mut form) = (Vec::new(), None);
    let Some(field) = members.get("headers") else {
        return (headers, form);
    };
    let pairs = reader.pairs(&field);
    if pairs.len() > HEADERS {
        reader.wrong(&field, &format!("must have at most {HEADERS} entries"));
    }
    for (name, field) in pairs {
        let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if !name.bytes().all(letter) || name.is_empty() {
            reader.wrong(
                &field,
                "must be called in lower-case letters, digits and `-`",
            );
        } else if RESERVED.contains(&name) {
            reader.wrong(&field, "is the adapter's to write");
        }
        if name == "content-type" {
            form = reader.text(&field).and_then(|text| form_of(&text));
        }
        if let Some(template) = template(reader, &field, Form::Header, names) {
            headers.push((name.to_owned(), template));
        }
    }
    (headers, form)
}

fn form_of(content_type: &str) -> Option<Form> {
    match content_type.split(';').next().unwrap_or_default().trim() {
        "application/json" => Some(Form::Json),
        "application/x-www-form-urlencoded" => Some(Form::UrlEncoded),
        "text/plain" => Some(Form::Text),
        _ => None,
    }
}

fn template(
    reader: &mut Reader,
    field: &Field<'_>,
    form: Form,
    names: &[&str],
) -> Option<Template> {
    let text = reader.text(field)?;
    let template = Template::new(&text, form, names);
    template.map_err(|words| reader.wrong(field, &words)).ok()
}

/// Fills in each template with each sample, and notes the first mistake of each.
fn try_out(
    reader: &mut Reader,
    members: &Members<'_>,
    request: &Templates,
    samples: &[super::Values],
) {
    let mut check = |field: Option<Field<'_>>, template: &Template| {
        let wrong = samples
            .iter()
            .find_map(|sample| template.render(sample).err());
        if let (Some(field), Some(words)) = (field, wrong) {
            reader.wrong(&field, &words);
        }
    };
    check(members.get("path"), &request.path);
    if let Some(body) = &request.body {
        check(members.get("body"), body);
    }
    for (_, template) in &request.headers {
        check(members.get("headers"), template);
    }
}

fn read_poll(reader: &mut Reader, field: Field<'_>) -> Option<Poll> {
    let members = reader.members(field, &["method", "path", "headers", "answers"])?;
    let request = request(reader, &members, &["job"]);
    let answers = reader.required(&members, "answers");
    let answers = answers.map(|field| rules(reader, &field, false));
    let request = request?;
    try_out(reader, &members, &request, &[sample::job()]);
    Some(Poll {
        request,
        answers: answers?,
    })
}
