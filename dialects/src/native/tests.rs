//! What providers' own documentation shows is read, what is meant otherwise is refused, and what we say we can read.

mod caches;
mod documented;
mod providers;
mod round_trip;

use domain::{Fidelity, operation::CustomOperation, selector::HostRegex};
use proptest::prelude::*;

use super::*;
use crate::{
    Dialect, Presence, by_name, expression, fixture,
    vendor::fixture::{DELETE, INVALIDATE, host, prefix, tag},
};

const URL: &str = "https://www.example.com/a/b?x=1";

fn hosts() -> Vec<HostName> {
    let names = [fixture::HOST, "img.example.com"];
    names.map(|name| name.parse().unwrap()).to_vec()
}

fn request(method: &str, path: &str, body: &str) -> NativeCall {
    NativeCall {
        body: (!body.is_empty()).then(|| body.to_owned()),
        ..NativeCall::new(method, None, path, Vec::new())
    }
}

/// What is asked in one line, or the mistake.
fn asked(dialect: &str, request: &NativeCall) -> String {
    match read(dialect, request, &hosts()) {
        Ok(asked) => {
            let selectors: Vec<_> = asked.selectors.iter().map(ToString::to_string).collect();
            format!("{:?} {}", asked.operation, selectors.join(" | "))
        }
        Err(mistake) => mistake.to_string(),
    }
}

/// What invocation systems and agents of the federation are told is read by them as well, but for where and how far.
#[test]
fn the_federations_own_format_is_read() {
    let ask = |dialect: &str, method: &str, path: &str, body: &str| {
        asked(dialect, &request(method, path, body))
    };
    let execution = "/v1/executions/x";
    let purge = r#"{"operation":{"purge":"invalidate"},"selectors":[{"tag":"red"}]"#;
    let lines = [
        ask("canonical", "PUT", execution, &format!("{purge}}}")),
        ask(
            "agent",
            "POST",
            "/federation/v1/executions/x",
            &format!("{purge}}}"),
        ),
        ask(
            "agent",
            "POST",
            "/federation/v1/executions/x",
            &format!(r#"{purge},"accepted_at":"now","originator":7}}"#),
        ),
        ask(
            "canonical",
            "PUT",
            execution,
            &format!(r#"{purge},"servers":["b1"]}}"#),
        ),
        ask(
            "canonical",
            "PUT",
            execution,
            &format!(r#"{purge},"ceiling":{{"widest":null,"narrowed":false}}}}"#),
        ),
        ask(
            "canonical",
            "PUT",
            execution,
            &format!(r#"{purge},"more":1}}"#),
        ),
        ask(
            "canonical",
            "PUT",
            execution,
            r#"{"operation":"load","selectors":[{"regex":{"host":"www.example.com","pattern":"(?=a)"}}]}"#,
        ),
        ask(
            "canonical",
            "PUT",
            execution,
            r#"{"operation":"load","selectors":[]}"#,
        ),
        ask("canonical", "PUT", "/v1/executions/", "{}"),
        ask("canonical", "PUT", "/v1/executions/x/y", "{}"),
        ask("canonical", "POST", execution, "{}"),
    ];
    insta::assert_snapshot!(lines.join("\n"), @r##"
    Purge(Invalidate) tag red
    Purge(Invalidate) tag red
    Purge(Invalidate) tag red
    body servers: must be said beside it, in the draft
    body ceiling: must be said beside it, in the draft
    body must be an execution: unknown field `more`, expected one of `operation`, `selectors`, `ceiling`, `servers`, `execution`, `originator`, `accepted_at`, `configuration` at line 1 column 70
    body must be a regular expression of bounded size, without look-around
    body must name 1 to 1000 things to purge (SELECTORS_PER_COMMAND)
    path must be `/v1/executions/` and an id
    path must be `/v1/executions/` and an id
    method must be PUT
    "##);
}

/// More than a command may name is refused by the field that names it.
#[test]
fn a_request_has_the_limit_of_a_command() {
    let tags = vec!["t"; limits::SELECTORS_PER_COMMAND + 1];
    let body = serde_json::json!({ "objects": tags }).to_string();
    let read = read("akamai", &request("POST", "/ccu/v3/delete/tag", &body), &[]);
    assert_eq!(read.unwrap_err().field, "body");
}
