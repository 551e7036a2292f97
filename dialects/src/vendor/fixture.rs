//! What the tests of providers' dialects share: calls with their bodies, and answers with theirs.

use std::fmt::Write;

use domain::{
    Evidence, Fault, Finding, NativeCall, Operation, PurgeMode, Selector,
    fault::{Again, FaultCode},
};

use crate::{Answer, Dialect, Verdict, fixture};

pub(crate) const DELETE: Operation = Operation::Purge(PurgeMode::Delete);
pub(crate) const INVALIDATE: Operation = Operation::Purge(PurgeMode::Invalidate);

/// The calls of a command as text, bodies included, or why there are none.
pub(crate) fn spoken(
    dialect: &dyn Dialect,
    operation: Operation,
    selectors: Vec<Selector>,
) -> String {
    let calls = match fixture::translate(dialect, &fixture::command(operation, selectors)) {
        Ok(calls) => calls,
        Err(error) => return error.to_string(),
    };
    let mut text = String::new();
    for call in calls {
        assert_eq!(call.host, None, "an API is called by its own name");
        write!(text, "{} {} {:?}", call.method, call.path, call.selectors).unwrap();
        for (name, value) in &call.headers {
            write!(text, " {name}: {value}").unwrap();
        }
        writeln!(text, "\n{}", call.body.unwrap_or_default()).unwrap();
    }
    text.trim_end().to_owned()
}

pub(crate) fn prefix(text: &str) -> Selector {
    Selector::Prefix(text.parse().unwrap())
}

pub(crate) fn wildcard(text: &str) -> Selector {
    Selector::Wildcard(text.parse().unwrap())
}

pub(crate) fn tag(text: &str) -> Selector {
    Selector::Tag(text.parse().unwrap())
}

pub(crate) fn host(text: &str) -> Selector {
    Selector::Host(text.parse().unwrap())
}

/// The first call of a command.
pub(crate) fn call(dialect: &dyn Dialect, operation: Operation, selector: Selector) -> NativeCall {
    let command = fixture::command(operation, vec![selector]);
    fixture::translate(dialect, &command).unwrap().remove(0)
}

pub(crate) fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Answer {
    Answer {
        body: body.to_owned(),
        ..fixture::answer(status, headers)
    }
}

pub(crate) fn done(evidence: Evidence, finding: Finding) -> Verdict {
    Verdict::Done { evidence, finding }
}

pub(crate) fn running(job: &str) -> Verdict {
    Verdict::Running {
        job: job.to_owned(),
    }
}

/// What a fault says, for comparing.
pub(crate) fn failed(verdict: Verdict) -> (FaultCode, Again, String) {
    match verdict {
        Verdict::Failed {
            fault:
                Fault {
                    code,
                    again,
                    message,
                    ..
                },
            finding: None,
        } => (code, again, message),
        other => panic!("{other:?}"),
    }
}
