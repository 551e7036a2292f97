//! What the canonical dialect says, letter by letter, and what it makes of answers.

use domain::{PurgeMode, Server, ServerId, operation::CustomOperation, proof::ProofVerdict};
use serde_json::json;

use super::*;
use crate::fixture::{self, command, translate_for};

const EXECUTION: &str = "01890a5d-ac96-774b-bcce-b302099a8057_cdn-b";

fn translate(command: &Command) -> NativeCall {
    let servers = ["b-1", "b-2"].map(|id| Server {
        id: id.parse().unwrap(),
        participant: "cdn-b".parse().unwrap(),
        dialect: "traffic-server".parse().unwrap(),
        address: "127.0.0.1:8080".parse().unwrap(),
        place: domain::Place::default(),
    });
    let calls = translate_for(&Canonical, command, &servers).unwrap();
    assert_eq!(calls.len(), 1);
    calls.into_iter().next().unwrap()
}

fn answer(status: u16, body: &str) -> Answer {
    Answer {
        body: body.to_owned(),
        ..fixture::answer(status, &[("retry-after", "7")])
    }
}

fn judge(answer: &Answer) -> Verdict {
    let call = NativeCall::new("PUT", None, &format!("/v1/executions/{EXECUTION}"), vec![0]);
    Canonical.judge(&call, answer)
}

fn fault_of(answer: &Answer) -> (FaultCode, Again, String) {
    match judge(answer) {
        Verdict::Failed {
            fault,
            finding: None,
        } => (fault.code, fault.again, fault.message),
        other => panic!("{other:?}"),
    }
}

/// The whole submission of a purge, as it stands in the documentation.
#[test]
fn a_purge_is_said_in_one_put() {
    let selectors = vec![
        Selector::Url("https://www.example.com/a".parse().unwrap()),
        Selector::Tag("red".parse().unwrap()),
    ];
    let call = translate(&command(Operation::Purge(PurgeMode::Delete), selectors));
    assert_eq!((call.method.as_str(), call.host.as_deref()), ("PUT", None));
    assert_eq!(call.path, format!("/v1/executions/{EXECUTION}"));
    assert_eq!(
        call.headers,
        [("content-type".to_owned(), "application/json".to_owned())]
    );
    assert_eq!(call.selectors, [0, 1]);
    let body: serde_json::Value = serde_json::from_str(&call.body.unwrap()).unwrap();
    let said = json!({
        "execution": EXECUTION,
        "originator": "cdn-a",
        "accepted_at": 1_700_000_000_000_u64,
        "operation": { "purge": "delete" },
        "selectors": [{ "url": "https://www.example.com/a" }, { "tag": "red" }],
        "ceiling": { "widest": "configuration", "narrowed": false },
        "configuration": { "id": "shop", "customer": "acme", "owner": "cdn-a", "hosts": ["www.example.com", "img.example.com"] },
        "servers": ["b-1", "b-2"],
    });
    assert_eq!(body, said);
}

/// Only the federation's own format carries what the operator registered, with all its parameters.
#[test]
fn a_custom_operation_is_said_exactly() {
    let custom = Operation::Custom(CustomOperation {
        name: "rotate-keys".parse().unwrap(),
        repeatable: false,
        parameters: [("generation".to_owned(), "7".to_owned())].into(),
    });
    assert_eq!(
        Canonical.fidelity(&custom, &Selector::Everything),
        Fidelity::Exact
    );
    let call = translate(&command(custom.clone(), vec![Selector::Everything]));
    let body = call.body.unwrap();
    let said: Submission<'_> = serde_json::from_str(&body).unwrap();
    assert_eq!(*said.operation, custom);
    assert_eq!(said.selectors.as_ref(), [Selector::Everything]);
}

/// Taken, and under way: the job is the execution itself.
#[test]
fn what_was_accepted_runs_under_the_executions_id() {
    for status in [201, 202] {
        assert_eq!(
            judge(&answer(status, "")),
            Verdict::Running {
                job: EXECUTION.to_owned()
            }
        );
    }
    let running = json!({ "execution": EXECUTION, "state": "running", "servers": [] });
    let verdict = judge(&answer(200, &running.to_string()));
    assert_eq!(
        verdict,
        Verdict::Running {
            job: EXECUTION.to_owned()
        }
    );
}

/// The answer for all servers is that of the least sure one, and one failure fails the whole.
#[test]
fn a_settled_execution_is_as_good_as_its_worst_server() {
    let settled = |second: serde_json::Value| {
        let servers = json!([{ "server": "b-1", "state": "done", "evidence": "verified" }, second]);
        json!({ "execution": EXECUTION, "state": "settled", "servers": servers }).to_string()
    };
    let done = settled(json!({ "server": "b-2", "state": "done" }));
    let evidence = Evidence::Reported;
    assert_eq!(
        judge(&answer(200, &done)),
        Verdict::Done {
            evidence,
            finding: Finding::Accepted
        }
    );
    let failed = settled(json!({
        "server": "b-2", "state": "failed", "fault": { "code": "unreachable", "message": "no route" }
    }));
    let (code, again, message) = fault_of(&answer(200, &failed));
    assert_eq!(
        (code, again, message.as_str()),
        (FaultCode::Unreachable, Again::Never, "no route")
    );
}

/// What a settled execution says of its one server, which is done.
fn done_with(more: &serde_json::Value) -> ServerResult {
    let mut server = json!({ "server": "b-1", "state": "done" });
    let more = more.as_object().unwrap().clone();
    server.as_object_mut().unwrap().extend(more);
    let body = json!({ "execution": EXECUTION, "state": "settled", "servers": [server] });
    let progress = Progress::read(&body.to_string()).unwrap();
    let asked: ServerId = "b-1".parse().unwrap();
    progress.results([&asked]).remove(0)
}

/// A URL as it was seen once, after the command.
fn seen(verdict: &str) -> serde_json::Value {
    let sighting = json!({ "at": 1_700_000_000_000_u64, "before": false, "status": 200, "hash": "0123456789abcdef" });
    json!({ "url": "https://www.example.com/a", "verdict": verdict, "seen": [sighting] })
}

/// Who says `verified` gives a proof of it, and who estimates gives the time; less is known where they do not.
#[test]
fn a_word_without_what_it_stands_for_counts_less() {
    let proof = |verdict: &str, probes: &[serde_json::Value]| json!({ "evidence": "verified", "proof": { "verdict": verdict, "probes": probes } });
    for (said, known) in [
        (json!({ "evidence": "verified" }), Evidence::Reported),
        (proof("unprobed", &[]), Evidence::Reported),
        (proof("verified", &[]), Evidence::Reported),
        (
            proof(
                "verified",
                &[json!({ "url": "https://www.example.com/a", "verdict": "verified" })],
            ),
            Evidence::Reported,
        ),
        (proof("verified", &[seen("verified")]), Evidence::Verified),
        (proof("unprobed", &[seen("verified")]), Evidence::Reported),
        (proof("unproven", &[]), Evidence::Acknowledged),
        (
            proof("verified", &[seen("verified"), seen("unproven")]),
            Evidence::Acknowledged,
        ),
        (json!({ "evidence": "estimated" }), Evidence::Acknowledged),
        (
            json!({ "evidence": "estimated", "estimated_at": 1_700_000_000_000_u64 }),
            Evidence::Estimated,
        ),
    ] {
        let outcome = done_with(&said).outcome;
        assert_eq!(outcome, Outcome::Done(known), "{said}");
    }
}

/// What was seen not to be done is never done, whatever stands above it; and its proof says the same.
#[test]
fn what_was_seen_not_to_be_done_has_failed() {
    for proof in [
        json!({ "verdict": "not_verified", "why": "an old answer was served" }),
        json!({ "verdict": "verified", "probes": [seen("verified"), seen("not_verified")] }),
    ] {
        let result = done_with(&json!({ "evidence": "verified", "proof": proof }));
        let Outcome::Failed(fault) = &result.outcome else {
            panic!("{result:?}")
        };
        assert_eq!(
            (fault.code, fault.again),
            (FaultCode::NotVerified, Again::Never)
        );
        let told = result.proof.unwrap();
        assert_eq!(told.verdict, ProofVerdict::NotVerified);
        let body = json!({ "execution": EXECUTION, "state": "settled", "servers": [
            { "server": "b-1", "state": "done", "proof": proof },
        ]});
        let (code, again, _) = fault_of(&answer(200, &body.to_string()));
        assert_eq!((code, again), (FaultCode::NotVerified, Again::Never));
    }
}

/// A server that was asked for and is not in the answer has not succeeded by silence.
#[test]
fn a_server_without_a_word_has_failed() {
    let body = json!({ "execution": EXECUTION, "state": "settled", "servers": [
        { "server": "b-1", "state": "done", "findings": [{ "selector": 0, "finding": { "removed": 3 } }], "attempts": 2, "took_ms": 14 },
        { "server": "b-9", "state": "done" },
    ]});
    let progress = Progress::read(&body.to_string()).unwrap();
    let asked: Vec<ServerId> = ["b-1", "b-2"].map(|id| id.parse().unwrap()).into();
    let results = progress.results(&asked);
    assert_eq!(results[0].outcome, Outcome::Done(Evidence::Reported));
    assert_eq!((results[0].attempts, results[0].took_ms), (2, 14));
    assert_eq!(results[0].findings[0].finding, Finding::Removed(Some(3)));
    assert!(
        matches!(&results[1].outcome, Outcome::Failed(fault) if fault.code == FaultCode::UnreadableAnswer)
    );
    assert_eq!(results.len(), 2);
}

/// Each refusal says whether another try makes sense.
#[test]
fn a_refusal_decides_about_the_retry() {
    let problem = r#"{"title":"Bad Request","status":400,"detail":"no such server: b-7"}"#;
    let (code, again, message) = fault_of(&answer(400, problem));
    assert_eq!((code, again), (FaultCode::Refused, Again::Never));
    assert_eq!(
        message,
        "the invocation system answered 400: no such server: b-7"
    );
    for (status, code, again) in [
        (409, FaultCode::Refused, Again::Never),
        (429, FaultCode::Throttled, Again::AfterSeconds(7)),
        (500, FaultCode::NativeError, Again::Soon),
    ] {
        let (found, retry, _) = fault_of(&answer(status, "no"));
        assert_eq!((found, retry), (code, again), "{status}");
    }
    let (code, again, _) = fault_of(&answer(200, "<html>"));
    assert_eq!((code, again), (FaultCode::UnreadableAnswer, Again::Never));
}

/// Whoever writes an invocation system reads the document, so it knows every word that we do.
#[test]
fn the_document_knows_every_word() {
    let document = include_str!("../../../docs/invocation-system.openapi.yaml");
    let states = [
        ServerState::Waiting,
        ServerState::Running,
        ServerState::Done,
        ServerState::Failed,
        ServerState::Unknown,
    ];
    let findings = [
        Finding::Accepted,
        Finding::Removed(None),
        Finding::Invalidated(None),
        Finding::Banned,
        Finding::NothingHeld,
        Finding::Stored,
        Finding::AlreadyThere,
        Finding::TooLarge,
        Finding::RefusedByRules,
        Finding::OriginStatus(404),
    ];
    let states = states.map(|state| serde_json::to_value(state).unwrap());
    let findings = findings.map(|finding| match serde_json::to_value(finding).unwrap() {
        serde_json::Value::Object(members) => members.keys().next().unwrap().clone().into(),
        word => word,
    });
    let words = states
        .iter()
        .chain(&findings)
        .map(|word| word.as_str().unwrap());
    let words = words.chain(Evidence::ALL.map(Evidence::as_str));
    let words = words.chain([CALLBACK_HEADER, EXECUTIONS_PATH]);
    for word in words {
        assert!(document.contains(word), "{word}");
    }
}
