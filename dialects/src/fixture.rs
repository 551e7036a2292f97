//! What the dialects' tests share: a command, its site, and calls as text.

use std::fmt::Write;

use domain::{
    Ceiling, Command, Configuration, Evidence, ExecutionId, Fault, Finding, NativeCall,
    NativeLimits, Operation, Scope, Selector, Server, Timestamp, command::WhenImpossible,
    selector::HostRegex,
};

use crate::{Answer, CannotSay, Dialect, Site, Verdict};

/// The first host name of the configuration.
pub(crate) const HOST: &str = "www.example.com";

/// A command under the default ceiling.
pub(crate) fn command(operation: Operation, selectors: Vec<Selector>) -> Command {
    Command {
        id: "01890a5d-ac96-774b-bcce-b302099a8057".parse().unwrap(),
        originator: "cdn-a".parse().unwrap(),
        configuration: "shop".parse().unwrap(),
        operation,
        selectors,
        scope: Scope::default(),
        ceiling: Ceiling::default(),
        when_impossible: WhenImpossible::default(),
        request_id: None,
        accepted_at: Timestamp::from_millis(1_700_000_000_000),
        not_before: None,
        verification: None,
        tracestate: None,
        expires_at: None,
        traceparent: None,
    }
}

/// Translates for a configuration of two host names.
pub(crate) fn translate(
    dialect: &dyn Dialect,
    command: &Command,
) -> Result<Vec<NativeCall>, CannotSay> {
    translate_for(dialect, command, &[])
}

/// The same, for these servers.
pub(crate) fn translate_for(
    dialect: &dyn Dialect,
    command: &Command,
    servers: &[Server],
) -> Result<Vec<NativeCall>, CannotSay> {
    translate_at(dialect, command, (servers, &NativeLimits::NONE))
}

/// The same, for a participant with limits of its own.
pub(crate) fn translate_within(
    dialect: &dyn Dialect,
    command: &Command,
    limits: &NativeLimits,
) -> Result<Vec<NativeCall>, CannotSay> {
    translate_at(dialect, command, (&[], limits))
}

/// What a participant's record says.
pub(crate) fn limits(own: &[(&str, u32)]) -> NativeLimits {
    let own = own.iter();
    own.map(|(unit, amount)| ((*unit).to_owned(), *amount))
        .collect()
}

fn translate_at(
    dialect: &dyn Dialect,
    command: &Command,
    (servers, limits): (&[Server], &NativeLimits),
) -> Result<Vec<NativeCall>, CannotSay> {
    let configuration = Configuration {
        id: "shop".parse().unwrap(),
        customer: "acme".parse().unwrap(),
        owner: "cdn-a".parse().unwrap(),
        hosts: vec![HOST.parse().unwrap(), "img.example.com".parse().unwrap()],
        // A rule of its owner's own, which nobody else is told.
        wide_purges_need_approval: Some(true),
    };
    let execution: ExecutionId = "01890a5d-ac96-774b-bcce-b302099a8057_cdn-b"
        .parse()
        .unwrap();
    let site = Site {
        execution: &execution,
        configuration: &configuration,
        servers,
        limits,
    };
    dialect.translate(command, &site)
}

/// The calls of a command as text, one per line, or why there are none.
pub(crate) fn said(
    dialect: &dyn Dialect,
    operation: Operation,
    selectors: Vec<Selector>,
) -> String {
    match translate(dialect, &command(operation, selectors)) {
        Ok(calls) => calls.iter().map(line).collect(),
        Err(error) => error.to_string(),
    }
}

fn line(call: &NativeCall) -> String {
    let host = call.host.as_deref().unwrap_or_default();
    let mut line = format!("{} {host} {} {:?}", call.method, call.path, call.selectors);
    for (name, value) in &call.headers {
        write!(line, " {name}: {value}").unwrap();
    }
    line.push('\n');
    line
}

/// How well an operation can be done with each kind of selector, one per line.
pub(crate) fn reasons(dialect: &dyn Dialect, operation: &Operation) -> String {
    let mut text = String::new();
    for selector in selectors() {
        let fidelity = dialect.fidelity(operation, &selector);
        let why = fidelity
            .why()
            .map_or(String::new(), |why| format!(": {why}"));
        writeln!(text, "{}{why}", fidelity.as_str()).unwrap();
    }
    text
}

/// A selector of each kind, in the order of the documentation.
pub(crate) fn selectors() -> Vec<Selector> {
    vec![
        url("https://www.example.com/a/b.html?x=1"),
        Selector::Prefix("www.example.com/img/".parse().unwrap()),
        Selector::Wildcard("www.example.com/img/*/large-*.png".parse().unwrap()),
        regex(r"^/img/\d+\.(png|jpg)$"),
        Selector::Tag("news".parse().unwrap()),
        Selector::Host(HOST.parse().unwrap()),
        Selector::Everything,
    ]
}

pub(crate) fn url(text: &str) -> Selector {
    Selector::Url(text.parse().unwrap())
}

pub(crate) fn regex(pattern: &str) -> Selector {
    Selector::Regex(HostRegex::new(HOST.parse().unwrap(), pattern).unwrap())
}

/// What a cache's answer to a load was found to mean.
pub(crate) fn loaded(
    dialect: &dyn Dialect,
    status: u16,
    headers: &[(&str, &str)],
) -> Result<(Evidence, Finding), (Fault, Option<Finding>)> {
    let call = NativeCall::new("GET", Some(HOST), "/a", vec![0]);
    match dialect.judge(&call, &answer(status, headers)) {
        Verdict::Done { evidence, finding } => Ok((evidence, finding)),
        Verdict::Failed { fault, finding } => Err((fault, finding)),
        other @ (Verdict::Estimated { .. } | Verdict::Each { .. } | Verdict::Running { .. }) => {
            panic!("{other:?}")
        }
    }
}

/// An answer without a body.
pub(crate) fn answer(status: u16, headers: &[(&str, &str)]) -> Answer {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    Answer {
        status,
        headers: headers.iter().map(owned).collect(),
        body: String::new(),
    }
}
