//! The federation of the tests: north with two Varnish, south with an nginx and a Squid, west with its own system.

use std::collections::HashMap;

use prost_types::Timestamp;
use proto::v1::{
    Breadth, Command, CommandDraft, Evidence, Execution, ExecutionState, FailedTry, Fault,
    Fidelity, FidelityReport, NativeCall, NativeCost, NativeHeader, NativeOrder, NativeUnits,
    Operation, Overall, Plan, PlannedExecution, Purge, Selector, SelectorFinding, ServerResult,
    Standing, StateChange, WatchCommandResponse, operation, selector,
};

/// The id of every command here.
pub(crate) const COMMAND: &str = "0198c5a2-7a1e-7c3e-9d54-3b1f0c7d2e11";

/// A purge of two URLs of shop, as the broker has just accepted it.
pub(crate) fn accepted() -> Command {
    Command {
        id: COMMAND.to_owned(),
        originator_id: "north".to_owned(),
        draft: Some(CommandDraft {
            configuration_id: "shop".to_owned(),
            operation: Some(Operation {
                kind: Some(operation::Kind::Purge(Purge { mode: 1 })),
            }),
            selectors: vec![
                url("https://www.example.com/a"),
                url("https://www.example.com/b"),
            ],
            ..CommandDraft::default()
        }),
        accept_time: Some(Timestamp {
            seconds: 1_763_827_391,
            nanos: 250_000_000,
        }),
        standing: Some(standing(Overall::Pending, false, &[("accepted", 3)])),
        executions: ["north", "south", "west"].map(waiting).to_vec(),
        revision: 1,
        servers_omitted: false,
        approval: None,
        request_id: "0198c5a2-0000-7000-8000-000000000001".to_owned(),
    }
}

/// The same when north has done it, south has failed on one server, and west cannot say it.
pub(crate) fn settled() -> Command {
    Command {
        standing: Some(partly()),
        executions: vec![north_done(), south_failed(), west_unable()],
        revision: 9,
        ..accepted()
    }
}

/// A URL.
pub(crate) fn url(url: &str) -> Selector {
    Selector {
        kind: Some(selector::Kind::Url(url.to_owned())),
    }
}

/// A standing.
pub(crate) fn standing(overall: Overall, settled: bool, counts: &[(&str, u32)]) -> Standing {
    let counts = counts
        .iter()
        .map(|(state, count)| ((*state).to_owned(), *count));
    Standing {
        overall: overall.into(),
        settled,
        counts: counts.collect::<HashMap<_, _>>(),
        evidence: if settled {
            Evidence::Reported.into()
        } else {
            0
        },
    }
}

/// Settled, done at one of three.
pub(crate) fn partly() -> Standing {
    standing(
        Overall::Partial,
        true,
        &[("done", 1), ("failed", 1), ("unsupported", 1)],
    )
}

/// A change that resumes from `token`.
pub(crate) fn change(
    standing: Standing,
    executions: Vec<Execution>,
    token: &str,
) -> WatchCommandResponse {
    WatchCommandResponse {
        standing: Some(standing),
        executions,
        approval: None,
        resume_token: token.to_owned(),
    }
}

/// What a watcher sees of the command, change by change.
pub(crate) fn story() -> Vec<WatchCommandResponse> {
    let active = |counts| standing(Overall::Active, false, counts);
    vec![
        change(
            active(&[("accepted", 2), ("unsupported", 1)]),
            vec![waiting("north"), waiting("south"), west_unable()],
            "1",
        ),
        change(
            active(&[("accepted", 1), ("dispatched", 1), ("unsupported", 1)]),
            vec![in_state(waiting("north"), ExecutionState::Dispatched)],
            "2",
        ),
        change(
            active(&[("accepted", 1), ("done", 1), ("unsupported", 1)]),
            vec![north_done()],
            "3",
        ),
        change(partly(), vec![south_failed()], "4"),
    ]
}

/// An execution that has not begun.
pub(crate) fn waiting(participant_id: &str) -> Execution {
    let servers = match participant_id {
        "north" => vec!["varnish-1", "varnish-2"],
        "south" => vec!["nginx-1", "squid-1"],
        _ => vec!["traffic-server-1"],
    };
    let servers = servers.into_iter().map(|id| ServerResult {
        server_id: id.to_owned(),
        state: ExecutionState::Accepted.into(),
        ..ServerResult::default()
    });
    Execution {
        id: format!("{COMMAND}_{participant_id}"),
        participant_id: participant_id.to_owned(),
        state: ExecutionState::Accepted.into(),
        fidelity: Some(fidelity(Fidelity::Exact, Breadth::Unspecified, "")),
        servers: servers.collect(),
        ..Execution::default()
    }
}

/// The same execution somewhere else.
pub(crate) fn in_state(execution: Execution, state: ExecutionState) -> Execution {
    Execution {
        state: state.into(),
        ..execution
    }
}

/// North has done it on both servers.
pub(crate) fn north_done() -> Execution {
    let mut execution = in_state(waiting("north"), ExecutionState::Done);
    execution.evidence = Evidence::Reported.into();
    execution.servers = vec![
        done(
            "varnish-1",
            12,
            &[
                finding(0, "removed", Some(2)),
                finding(1, "removed", Some(1)),
            ],
        ),
        done(
            "varnish-2",
            14,
            &[
                finding(0, "nothing_held", None),
                finding(1, "removed", Some(1)),
            ],
        ),
    ];
    execution
}

/// A moment of 2025-11-22, so many milliseconds after the command was accepted.
pub(crate) fn after(millis: u32) -> Timestamp {
    let millis = millis + 250;
    Timestamp {
        seconds: 1_763_827_391 + i64::from(millis / 1_000),
        nanos: i32::try_from(millis % 1_000 * 1_000_000).expect("is below a second"),
    }
}

/// The same, through these states.
pub(crate) fn through(execution: Execution, states: &[(ExecutionState, u32)]) -> Execution {
    let history = states.iter().map(|(state, millis)| StateChange {
        state: (*state).into(),
        time: Some(after(*millis)),
    });
    Execution {
        history: history.collect(),
        ..execution
    }
}

/// South's Squid was tried three times.
pub(crate) fn south_tried() -> Execution {
    let mut execution = south_failed();
    let failed = |millis, code: &str, message: &str, pause_ms| FailedTry {
        time: Some(after(millis)),
        fault: Some(Fault {
            code: code.to_owned(),
            side: "participant".to_owned(),
            retryable: true,
            message: message.to_owned(),
        }),
        pause_ms,
    };
    execution.servers[1].tries = vec![
        failed(5_010, "timed_out", "no answer in 5 s", 200),
        failed(10_215, "unreachable", "connection refused", 1_400),
    ];
    execution
}

/// South's Squid does not answer.
pub(crate) fn south_failed() -> Execution {
    let fault = Fault {
        code: "timed_out".to_owned(),
        side: "participant".to_owned(),
        retryable: true,
        message: "no answer in 5 s".to_owned(),
    };
    let mut execution = in_state(waiting("south"), ExecutionState::Failed);
    execution.fidelity = Some(fidelity(
        Fidelity::Widened,
        Breadth::Operation,
        "squid can only delete",
    ));
    execution.fault = Some(fault.clone());
    execution.servers = vec![
        done(
            "nginx-1",
            3,
            &[
                finding(0, "removed", None),
                finding(1, "nothing_held", None),
            ],
        ),
        ServerResult {
            server_id: "squid-1".to_owned(),
            state: ExecutionState::Failed.into(),
            fault: Some(fault),
            attempts: 3,
            took_ms: 15_020,
            ..ServerResult::default()
        },
    ];
    execution
}

/// West's system knows no such operation.
pub(crate) fn west_unable() -> Execution {
    let why = "the traffic-server dialect knows only whole URLs";
    Execution {
        fidelity: Some(fidelity(Fidelity::Impossible, Breadth::Unspecified, why)),
        ..in_state(waiting("west"), ExecutionState::Unsupported)
    }
}

/// A plan in which west cannot say it.
pub(crate) fn plan() -> Plan {
    let calls = vec![NativeCall {
        method: "PURGE".to_owned(),
        host: "www.example.com".to_owned(),
        path: "/".to_owned(),
        headers: vec![NativeHeader {
            name: "xkey-purge".to_owned(),
            value: "red".to_owned(),
        }],
        body: String::new(),
        selectors: vec![0],
    }];
    let servers = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>();
    Plan {
        configuration_id: "shop".to_owned(),
        executions: vec![
            PlannedExecution {
                participant_id: "north".to_owned(),
                fidelity: Some(fidelity(Fidelity::Exact, Breadth::Unspecified, "")),
                server_ids: servers(&["varnish-1", "varnish-2"]),
                native: vec![NativeOrder {
                    dialect: "varnish".to_owned(),
                    server_ids: servers(&["varnish-1", "varnish-2"]),
                    calls,
                    mapping_version: 0,
                    cost: Some(NativeCost {
                        calls: 2,
                        units: vec![NativeUnits {
                            unit: "tags".to_owned(),
                            amount: 2,
                        }],
                        may_add: vec!["each call once more on a Sunday".to_owned()],
                    }),
                }],
            },
            PlannedExecution {
                participant_id: "south".to_owned(),
                fidelity: Some(fidelity(
                    Fidelity::Widened,
                    Breadth::Host,
                    "nginx knows no tags; all of the host goes",
                )),
                server_ids: servers(&["nginx-1"]),
                native: Vec::new(),
            },
            PlannedExecution {
                participant_id: "west".to_owned(),
                fidelity: west_unable().fidelity,
                server_ids: servers(&["traffic-server-1"]),
                native: Vec::new(),
            },
        ],
        ..Plan::default()
    }
}

fn fidelity(fidelity: Fidelity, widened_to: Breadth, why: &str) -> FidelityReport {
    FidelityReport {
        fidelity: fidelity.into(),
        widened_to: widened_to.into(),
        why: why.to_owned(),
    }
}

fn done<const N: usize>(
    server_id: &str,
    took_ms: u64,
    findings: &[SelectorFinding; N],
) -> ServerResult {
    ServerResult {
        server_id: server_id.to_owned(),
        state: ExecutionState::Done.into(),
        evidence: Evidence::Reported.into(),
        findings: findings.to_vec(),
        attempts: 1,
        took_ms,
        fault: None,
        tries: Vec::new(),
        estimated_time: None,
        proof: None,
    }
}

fn finding(selector: u32, finding: &str, count: Option<u64>) -> SelectorFinding {
    SelectorFinding {
        selector,
        finding: finding.to_owned(),
        count,
        origin_status: 0,
        success: true,
    }
}
