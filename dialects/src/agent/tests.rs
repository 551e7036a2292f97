//! What the dialect says, letter by letter, and what it makes of answers.

use domain::{PurgeMode, operation::CustomOperation};
use serde_json::{Value, json};

use super::*;
use crate::fixture::{self, command, selectors, url};

const MARKER: (&str, &str) = ("x-federation-purge", "1");
const PATH: &str = "/federation/v1/executions/01890a5d-ac96-774b-bcce-b302099a8057_cdn-b";

fn said(operation: Operation, selectors: Vec<Selector>) -> NativeCall {
    let calls = fixture::translate(&Agent, &command(operation, selectors)).unwrap();
    let [call] = <[NativeCall; 1]>::try_from(calls).unwrap();
    call
}

fn purge() -> NativeCall {
    said(Operation::Purge(PurgeMode::Delete), selectors())
}

fn rotate_keys() -> Operation {
    Operation::Custom(CustomOperation {
        name: "rotate-keys".parse().unwrap(),
        repeatable: false,
        parameters: [("generation".to_owned(), "7".to_owned())].into(),
    })
}

fn body_of(call: &NativeCall) -> Value {
    serde_json::from_str(call.body.as_deref().unwrap()).unwrap()
}

fn document() -> Value {
    serde_saphyr::from_str(include_str!("../../../docs/agent.openapi.yaml")).unwrap()
}

/// What whoever writes an agent reads and copies.
fn example(name: &str) -> Value {
    let examples = "/paths/~1federation~1v1~1executions~1{execution}/post/requestBody/content/application~1json/examples";
    document().pointer(examples).unwrap()[name]["value"].clone()
}

fn judged(call: &NativeCall, status: u16, body: &str) -> Verdict {
    let answer = Answer {
        body: body.to_owned(),
        ..fixture::answer(status, &[("retry-after", "7")])
    };
    Agent.judge(call, &answer)
}

/// The whole order of a purge, as it stands in the documentation: one call, whatever is selected.
#[test]
fn a_purge_is_said_in_one_post() {
    let call = purge();
    assert_eq!((call.method.as_str(), call.host.as_deref()), ("POST", None));
    assert_eq!(call.path, PATH);
    assert_eq!(
        call.headers,
        [("content-type".to_owned(), "application/json".to_owned())]
    );
    assert_eq!(call.selectors, [0, 1, 2, 3, 4, 5, 6]);
    assert_eq!(body_of(&call), example("purge"));
}

/// The one server that does what the operator registered is told its parameters, and whether it may be told twice.
#[test]
fn a_custom_operation_is_said_exactly() {
    assert_eq!(
        Agent.fidelity(&rotate_keys(), &Selector::Everything),
        Fidelity::Exact
    );
    let call = said(rotate_keys(), vec![Selector::Everything]);
    assert_eq!(body_of(&call), example("custom"));
}

/// A host name of another configuration is refused here too, though the broker has looked before.
#[test]
fn another_configurations_host_is_refused() {
    let other = command(Operation::Load, vec![url("https://www.other.com/a")]);
    assert!(fixture::translate(&Agent, &other).is_err());
}

/// Done is done, as sure as the agent says that it is; an answer without a word is the agent's report.
#[test]
fn a_done_order_is_as_sure_as_the_agent_says() {
    let accepted = |evidence| Verdict::Done {
        evidence,
        finding: Finding::Accepted,
    };
    for body in ["", " \n", "{}", r#"{"findings":[]}"#, r#"{"later":1}"#] {
        assert_eq!(
            judged(&purge(), 200, body),
            accepted(Evidence::Reported),
            "{body}"
        );
    }
    // Nobody has looked where no proof comes along, and an estimate has a time.
    for (body, evidence) in [
        (r#"{"evidence":"verified"}"#, Evidence::Reported),
        (r#"{"evidence":"estimated"}"#, Evidence::Acknowledged),
    ] {
        assert_eq!(judged(&purge(), 200, body), accepted(evidence), "{body}");
    }
    let in_time = judged(
        &purge(),
        200,
        r#"{"evidence":"estimated","estimated_seconds":7}"#,
    );
    assert_eq!(
        in_time,
        Verdict::Estimated {
            within: Duration::from_secs(7),
            finding: Finding::Accepted
        }
    );
    for status in [202, 204] {
        let taken = judged(&purge(), status, "anything");
        assert_eq!(taken, accepted(Evidence::Acknowledged), "{status}");
    }
}

/// Each selector has its own finding, and one that failed is not hidden by those that did not.
#[test]
fn findings_are_told_apart() {
    let call = said(
        Operation::Load,
        vec![
            url("http://www.example.com/a"),
            url("http://www.example.com/b"),
        ],
    );
    let body = |second: Value| {
        let findings = [
            json!({ "selector": 0, "finding": "stored" }),
            json!({ "selector": 1, "finding": second }),
            json!({ "selector": 9, "finding": { "origin_status": 500 } }),
        ];
        json!({ "evidence": "reported", "findings": findings }).to_string()
    };
    let each = |second: Value| match judged(&call, 200, &body(second)) {
        Verdict::Each {
            evidence: Evidence::Reported,
            within: None,
            fault,
            findings,
        } => (
            findings.len(),
            fault.map(|fault| (fault.code, fault.side, fault.again)),
        ),
        other => panic!("{other:?}"),
    };
    assert_eq!(each(json!("already_there")), (2, None));
    for (finding, code, side) in [
        (
            json!({ "origin_status": 404 }),
            FaultCode::OriginError,
            Side::Origin,
        ),
        (json!("too_large"), FaultCode::Refused, Side::Participant),
        (json!("refused_by_rules"), FaultCode::Refused, Side::Origin),
    ] {
        assert_eq!(each(finding), (2, Some((code, side, Again::Never))));
    }
}

/// Where there was nothing, a purge has reached its aim, and nothing else has.
#[test]
fn nothing_held_is_a_success_of_a_purge_alone() {
    let marked = |call: &NativeCall| Agent.judge(call, &fixture::answer(404, &[MARKER]));
    let nothing = Verdict::Done {
        evidence: Evidence::Reported,
        finding: Finding::NothingHeld,
    };
    assert_eq!(marked(&purge()), nothing);
    let load = said(Operation::Load, vec![url("http://www.example.com/a")]);
    let custom = said(rotate_keys(), vec![Selector::Everything]);
    for call in [load, custom] {
        assert!(
            matches!(marked(&call), Verdict::Failed { fault, .. } if fault.code == FaultCode::Refused)
        );
    }
}

/// A web server at the address, with no agent behind it, answers 404 to what it does not know, be it as a page or as JSON: nothing
/// was purged there, and that is no success. What marks an agent's answer is in the document that one reads who writes an agent.
#[test]
fn a_web_server_that_is_no_agent_has_purged_nothing() {
    for body in [
        "",
        "<html><title>404 Not Found</title>",
        r#"{"detail":"Not Found"}"#,
    ] {
        match judged(&purge(), 404, body) {
            Verdict::Failed { fault, .. } => {
                assert_eq!(
                    (fault.code, fault.again),
                    (FaultCode::Refused, Again::Never)
                );
                assert!(fault.message.contains("`x-federation-purge`"), "{fault:?}");
            }
            other => panic!("{body}: {other:?}"),
        }
    }
    let answer = "/paths/~1federation~1v1~1executions~1{execution}/post/responses/404";
    let document = document();
    let header = document.pointer(answer).unwrap()["headers"].get(MARKER.0);
    assert_eq!(header.unwrap()["required"], json!(true));
}

/// What is not done says why, and whether another try makes sense.
#[test]
fn a_refusal_decides_about_the_retry() {
    for (status, body, code, again) in [
        (200, "<html>", FaultCode::UnreadableAnswer, Again::Never),
        (200, "[1]", FaultCode::UnreadableAnswer, Again::Never),
        (
            200,
            r#"{"evidence":"perhaps"}"#,
            FaultCode::UnreadableAnswer,
            Again::Never,
        ),
        (302, "", FaultCode::UnreadableAnswer, Again::Never),
        (400, "", FaultCode::Refused, Again::Never),
        (401, "", FaultCode::Unauthorized, Again::Never),
        (409, "", FaultCode::Refused, Again::Never),
        (429, "", FaultCode::Throttled, Again::AfterSeconds(7)),
        (500, "", FaultCode::NativeError, Again::Soon),
        (503, "", FaultCode::NativeError, Again::AfterSeconds(7)),
    ] {
        match judged(&purge(), status, body) {
            Verdict::Failed { fault, .. } => {
                assert_eq!(
                    (fault.code, fault.again),
                    (code, again),
                    "{status} {body}: {fault:?}"
                );
            }
            other => panic!("{status} {body}: {other:?}"),
        }
    }
}

/// The largest answer that the document allows is seen whole.
#[test]
fn an_answer_with_all_findings_is_read_whole() {
    let one = |selector| SelectorFinding {
        selector,
        finding: Finding::Invalidated(Some(u64::MAX)),
    };
    let answer = AgentAnswer {
        evidence: Evidence::Acknowledged,
        estimated_seconds: Some(u32::MAX),
        findings: (0..1_000).map(one).collect(),
    };
    let length = serde_json::to_string(&answer).unwrap().len();
    assert!(length <= Agent.answer_bytes(), "{length}");
}
