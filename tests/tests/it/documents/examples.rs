//! Messages with every variant that there is.

use ::amqp::envelope::{
    Absorbed, Dispatch, ExecutionReport, MappingDocument, NativeOrder, Order, OrderedServer,
    Progress, Report, ReportedOutcome, SignedStatements,
};
use anyhow::Result;
use domain::{
    Evidence, Fault, Finding, NativeCall, Outcome, Probes, Proof, ServerResult, Timestamp, Try,
    fault::{Again, FaultCode, Side},
    proof::{Probed, ProofVerdict, Sighting},
    receipt::Told,
    result::SelectorFinding,
    verification::{Expect, Probe},
};
use serde_json::{Value, value::RawValue};

/// One with everything, one with nothing that may be absent.
pub(super) fn orders() -> Result<[Order; 2]> {
    let call = NativeCall {
        body: Some("{}".to_owned()),
        ..NativeCall::new("PURGE", Some("www.example.com"), "/a?b=c", vec![0, 1])
            .header("x-purge-tags", "a b")
    };
    let server = |address: &str| -> Result<_> {
        Ok(OrderedServer {
            id: "b-1".parse()?,
            address: address.parse()?,
        })
    };
    let full = Order {
        expires_at: Some(Timestamp::from_millis(1_700_000_060_000)),
        tracestate: Some("vendor=1".to_owned()),
        originator: Some("a".parse()?),
        execution: EXECUTION.parse()?,
        sequence: 7,
        configuration: "shop".parse()?,
        operation: "purge".to_owned(),
        repeatable: true,
        accepted_at: Timestamp::from_millis(1_700_000_000_000),
        traceparent: Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned()),
        native: vec![NativeOrder {
            mapping: Some(3),
            limits: [("tags".to_owned(), 30)].into_iter().collect(),
            dialect: "varnish".parse()?,
            servers: vec![server("cache-1.example:80")?, server("[2001:db8::1]:8080")?],
            calls: vec![call, NativeCall::new("BAN", None, "/", vec![])],
        }],
        probes: Some(probes(Expect::Gone)?),
    };
    let bare = Order {
        expires_at: None,
        traceparent: None,
        tracestate: None,
        originator: None,
        native: Vec::new(),
        probes: None,
        ..full.clone()
    };
    Ok([full, bare])
}

pub(super) fn probes(expect: Expect) -> Result<Probes> {
    Ok(Probes {
        expect,
        probes: vec![Probe {
            url: "https://www.example.com/a?b=c".parse()?,
            selectors: vec![0, 1],
            exact: true,
        }],
        uncovered: vec![2],
    })
}

const EXECUTION: &str = "0198c5a2-7a1e-7c3e-9d54-3b1f0c7d2e11_b";

pub(super) fn dispatch(order: &Order) -> Result<Value> {
    let order: Box<RawValue> = serde_json::value::to_raw_value(order)?;
    let dispatch = Dispatch {
        absorbed: vec![Absorbed {
            execution: EXECUTION.parse()?,
            sequence: 6,
            by: 7,
        }],
        cancels: vec![EXECUTION.parse()?],
        mappings: vec![MappingDocument {
            name: "acme".parse()?,
            version: 3,
            document: "mapping: 1\n".to_owned(),
        }],
        shard: 3,
        participant: "b".parse()?,
        sent_before: vec![7],
        executions: vec![&order],
    };
    // Through text, as it travels.
    Ok(serde_json::from_str(&serde_json::to_string(&dispatch)?)?)
}

/// Every outcome, fault, finding and evidence that there is.
pub(super) fn reports() -> Result<Vec<Report>> {
    let mut outcomes = vec![
        ReportedOutcome::Running {
            job: "job 1".to_owned(),
        },
        ReportedOutcome::Unknown,
        ReportedOutcome::Cancelled,
        ReportedOutcome::Expired,
    ];
    outcomes.extend(Evidence::ALL.map(ReportedOutcome::Done));
    for code in FAULT_CODES {
        for again in [Again::Never, Again::Soon, Again::AfterSeconds(30)] {
            outcomes.push(ReportedOutcome::Failed(fault(code, again)));
        }
    }
    outcomes
        .into_iter()
        .map(|outcome| report(outcome, results()?))
        .collect()
}

pub(super) const FAULT_CODES: [FaultCode; 15] = [
    FaultCode::Unreachable,
    FaultCode::TimedOut,
    FaultCode::Refused,
    FaultCode::Unauthorized,
    FaultCode::Throttled,
    FaultCode::NativeError,
    FaultCode::UnreadableAnswer,
    FaultCode::AddressNotAllowed,
    FaultCode::UnreadableOrder,
    FaultCode::OriginError,
    FaultCode::CircuitOpen,
    FaultCode::NotConfigured,
    FaultCode::ClockOff,
    FaultCode::NotVerified,
    FaultCode::Several,
];

pub(super) fn fault(code: FaultCode, again: Again) -> Fault {
    Fault::new(code, Side::Participant, again, "it said no")
}

pub(super) fn report(outcome: ReportedOutcome, results: Vec<ServerResult>) -> Result<Report> {
    Ok(Report {
        progress: vec![Progress {
            shard: 3,
            sequence: 7,
        }],
        participant: "b".parse()?,
        executions: vec![ExecutionReport {
            execution: EXECUTION.parse()?,
            outcome,
            results,
            reported_at: Timestamp::from_millis(1_700_000_000_000),
            traceparent: Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned()),
            absorbed_by: Some("0198c5a2-7a1e-7c3e-9d54-3b1f0c7d2e12".parse()?),
            told: Some(Told {
                digest: "00".repeat(32).parse()?,
                configuration: "shop".parse()?,
            }),
        }],
        receipts: Some(SignedStatements {
            key: "0011223344556677".parse()?,
            signature: format!("{}==", "A".repeat(86)),
        }),
    })
}

pub(super) fn results() -> Result<Vec<ServerResult>> {
    let findings = [
        Finding::Accepted,
        Finding::Removed(Some(3)),
        Finding::Removed(None),
        Finding::Invalidated(Some(0)),
        Finding::Invalidated(None),
        Finding::Banned,
        Finding::NothingHeld,
        Finding::Stored,
        Finding::AlreadyThere,
        Finding::TooLarge,
        Finding::RefusedByRules,
        Finding::OriginStatus(503),
    ];
    let findings: Vec<_> = (0..)
        .zip(findings)
        .map(|(selector, finding)| SelectorFinding { selector, finding })
        .collect();
    let mut outcomes = vec![Outcome::Done(Evidence::Reported), Outcome::Unknown];
    for side in [
        Side::Originator,
        Side::Participant,
        Side::Origin,
        Side::Federation,
    ] {
        let fault = Fault::new(FaultCode::Refused, side, Again::Never, "");
        outcomes.push(Outcome::Failed(fault));
    }
    outcomes
        .into_iter()
        .map(|outcome| {
            Ok(ServerResult {
                server: "b-1".parse()?,
                outcome,
                findings: findings.clone(),
                attempts: 2,
                took_ms: 15,
                tries: vec![Try {
                    at: Timestamp::from_millis(1_700_000_000_000),
                    fault: fault(FaultCode::TimedOut, Again::Soon),
                    pause_ms: 100,
                }],
                estimated_at: Some(Timestamp::from_millis(1_700_000_005_000)),
                proof: Some(proof()?),
            })
        })
        .collect()
}

/// Every verdict, and a sighting with all that it may hold and one with no more than it must.
pub(super) fn proof() -> Result<Proof> {
    let bare = Sighting {
        at: Timestamp::from_millis(1_700_000_000_000),
        before: false,
        status: 200,
        etag: None,
        last_modified: None,
        age: None,
        date: None,
        hit: None,
        vary: None,
        hash: "e3b0c44298fc1c14".to_owned(),
    };
    let full = Sighting {
        before: true,
        etag: Some("W/\"1\"".to_owned()),
        last_modified: Some("Sun, 06 Nov 1994 08:49:37 GMT".to_owned()),
        age: Some(7),
        date: Some(Timestamp::from_millis(784_111_777_000)),
        hit: Some(true),
        vary: Some("Accept-Encoding".to_owned()),
        ..bare.clone()
    };
    let probes = ProofVerdict::ALL.into_iter().map(|verdict| {
        let is_verified = verdict == ProofVerdict::Verified;
        Ok(Probed {
            url: "https://www.example.com/a".parse()?,
            at: is_verified.then(|| "192.0.2.80:80".parse()).transpose()?,
            verdict,
            why: (!is_verified).then(|| "an answer 60 s old was served".to_owned()),
            seen: vec![full.clone(), bare.clone()],
        })
    });
    Ok(Proof::of(probes.collect::<Result<_>>()?, 2, &[]))
}
