//! The documents that others build on: they say what the programs do, no more and no less.

mod schema;

use std::{collections::BTreeMap, fs, path::PathBuf};

use ::amqp::{
    LinkSettings, Provisioner, QueueLimits, Topology,
    envelope::{
        DISPATCH_TYPE, Dispatch, ExecutionReport, NativeOrder, Order, OrderedServer, REPORT_TYPE,
        Report, ReportedOutcome,
    },
};
use anyhow::{Context, Result};
use domain::{
    Evidence, Fault, Finding, NativeCall, Outcome, ServerResult, Timestamp,
    fault::{Again, FaultCode, Side},
    result::SelectorFinding,
};
use serde::Serialize;
use serde_json::{Value, json, value::RawValue};
use service::telemetry::differences;
use tests::{prefix, rabbitmq::Management, shared};

use self::schema::Schemas;

/// Operators set alerts on what `docs/metrics.md` lists.
#[test]
fn the_list_of_metrics_is_the_tables_of_the_programs() -> Result<()> {
    let document = fs::read_to_string(path("docs/metrics.md"))?;
    let tables = [broker::metrics::TABLE, adapters::metrics::TABLE];
    let differences = differences(&tables, &document);
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    Ok(())
}

/// Whoever writes an adapter in another language reads dispatches by this document.
#[test]
fn every_dispatch_that_the_broker_writes_fits_the_document() -> Result<()> {
    let schemas = schemas()?;
    for order in orders()? {
        schemas.check("Order", &serde_json::to_value(&order)?)?;
        schemas.check("Dispatch", &dispatch(&order)?)?;
    }
    Ok(())
}

/// The same adapter writes its reports by it; every variant that the broker reads is in it.
#[test]
fn every_report_that_an_adapter_writes_fits_the_document() -> Result<()> {
    let schemas = schemas()?;
    for report in reports()? {
        schemas.check("Report", &serde_json::to_value(&report)?)?;
    }
    Ok(())
}

/// A document that accepts everything documents nothing.
#[test]
fn a_broken_message_does_not_fit_the_document() -> Result<()> {
    let schemas = schemas()?;
    let order = serde_json::to_value(orders()?.first().context("there is one")?)?;
    for (place, value) in [
        ("/execution", json!("not-an-execution")),
        ("/sequence", json!(-1)),
        ("/repeatable", json!("yes")),
        ("/native/0/servers/0/address", json!("no-port")),
        ("/native/0/calls/0/path", json!("no-slash")),
        ("/native/0/calls/0/headers/0", json!(["name alone"])),
    ] {
        assert_refused(&schemas, "Order", &order, place, value);
    }
    let report = serde_json::to_value(report(
        ReportedOutcome::Failed(fault(FaultCode::Refused, Again::Never)),
        results()?,
    )?)?;
    for (place, value) in [
        ("/participant", json!("B.C")),
        ("/executions/0/outcome", json!("finished")),
        ("/executions/0/outcome", json!({ "done": "perhaps" })),
        ("/executions/0/outcome/failed/code", json!("tired")),
        ("/executions/0/outcome/failed/again", json!("later")),
        ("/executions/0/results/0/findings/0/finding", json!("gone")),
        ("/executions/0/reported_at", json!("yesterday")),
    ] {
        assert_refused(&schemas, "Report", &report, place, value);
    }
    for member in ["execution", "sequence", "native", "operation"] {
        let mut broken = order.clone();
        broken.as_object_mut().context("an object")?.remove(member);
        assert!(schemas.check("Order", &broken).is_err(), "without {member}");
    }
    Ok(())
}

/// An example is what people copy, so the programs must read it.
#[test]
fn the_examples_in_the_document_are_read_by_the_programs() -> Result<()> {
    let document = asyncapi()?;
    let messages = &document["components"]["messages"];
    for (message, schema, headers, kind) in [
        ("dispatch", "Dispatch", "DispatchHeaders", DISPATCH_TYPE),
        ("report", "Report", "ReportHeaders", REPORT_TYPE),
    ] {
        assert_eq!(messages[message]["name"], kind);
        for example in messages[message]["examples"]
            .as_array()
            .context("it has examples")?
        {
            let schemas = Schemas::of(&document);
            schemas.check(schema, &example["payload"])?;
            if let Some(given) = example.get("headers") {
                schemas.check(headers, given)?;
            }
            let text = example["payload"].to_string();
            if message == "dispatch" {
                let dispatch: Dispatch<'_> = serde_json::from_str(&text)?;
                for order in dispatch.executions {
                    serde_json::from_str::<Order>(order.get())?;
                }
            } else {
                serde_json::from_str::<Report>(&text)?;
            }
        }
    }
    Ok(())
}

/// What the document says of exchanges and queues is what RabbitMQ says after provisioning.
#[tokio::test]
async fn the_document_says_what_provisioning_declares() -> Result<()> {
    let (shared, prefix) = (shared()?, format!("{}.", prefix()));
    let topology = Topology::new(&prefix, QueueLimits::default())?;
    let link = LinkSettings::new(shared.amqp.into(), "documents");
    let provisioner = Provisioner::new(link, topology);
    provisioner.declare_base().await?;
    provisioner.declare_participant(&"b".parse()?).await?;

    let management = Management::new(&shared.management)?;
    let document = asyncapi()?;
    for (name, channel) in document["channels"].as_object().context("channels")? {
        let bindings = &channel["bindings"]["amqp"];
        if let Some(exchange) = bindings.get("exchange") {
            let declared = stood(&management, "exchanges", &prefix, exchange).await?;
            assert_eq!(declared["type"], exchange["type"], "{name}");
            assert_eq!(declared["durable"], exchange["durable"], "{name}");
        }
        if let Some(queue) = bindings.get("queue") {
            let declared = stood(&management, "queues", &prefix, queue).await?;
            assert_eq!(declared["durable"], queue["durable"], "{name}");
            let mut documented = for_b(&channel["x-queue-arguments"]);
            if let Some(exchange) = documented.get_mut("x-dead-letter-exchange") {
                *exchange = json!(format!("{prefix}{}", exchange.as_str().context("a name")?));
            }
            assert_eq!(declared["arguments"], documented, "{name}");
        }
    }
    Ok(())
}

/// What RabbitMQ says of the exchange or queue with this binding, for the participant `b`.
async fn stood(
    management: &Management,
    kind: &str,
    prefix: &str,
    binding: &Value,
) -> Result<Value> {
    let name = for_b(&binding["name"]);
    let name = name.as_str().context("a binding has a name")?;
    management.get(&format!("{kind}/%2f/{prefix}{name}")).await
}

/// The same with the participant `b` in the place of any.
fn for_b(value: &Value) -> Value {
    let text = value.to_string().replace("{participant}", "b");
    serde_json::from_str(&text).expect("an id needs no escaping in JSON")
}

#[track_caller]
fn assert_refused(schemas: &Schemas, schema: &str, good: &Value, place: &str, value: Value) {
    schemas.check(schema, good).unwrap();
    let mut broken = good.clone();
    *broken
        .pointer_mut(place)
        .unwrap_or_else(|| panic!("{place} is not in {good}")) = value;
    assert!(
        schemas.check(schema, &broken).is_err(),
        "{place} in {broken}"
    );
}

fn asyncapi() -> Result<Value> {
    let text = fs::read_to_string(path("docs/asyncapi.yaml"))?;
    Ok(serde_saphyr::from_str(&text)?)
}

fn schemas() -> Result<Schemas> {
    Ok(Schemas::of(&asyncapi()?))
}

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .join(name)
}

/// One with everything, one with nothing that may be absent.
fn orders() -> Result<[Order; 2]> {
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
        execution: EXECUTION.parse()?,
        sequence: 7,
        configuration: "shop".parse()?,
        operation: "purge".to_owned(),
        repeatable: true,
        accepted_at: Timestamp::from_millis(1_700_000_000_000),
        traceparent: Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned()),
        native: vec![NativeOrder {
            dialect: "varnish".parse()?,
            servers: vec![server("cache-1.example:80")?, server("[2001:db8::1]:8080")?],
            calls: vec![call, NativeCall::new("BAN", None, "/", vec![])],
        }],
    };
    let bare = Order {
        traceparent: None,
        native: Vec::new(),
        ..full.clone()
    };
    Ok([full, bare])
}

const EXECUTION: &str = "0198c5a2-7a1e-7c3e-9d54-3b1f0c7d2e11_b";

fn dispatch(order: &Order) -> Result<Value> {
    let order: Box<RawValue> = serde_json::value::to_raw_value(order)?;
    value(&Dispatch {
        participant: "b".parse()?,
        executions: vec![&order],
    })
}

/// Every outcome, fault, finding and evidence that there is.
fn reports() -> Result<Vec<Report>> {
    let mut outcomes = vec![
        ReportedOutcome::Running {
            job: "job 1".to_owned(),
        },
        ReportedOutcome::Unknown,
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

const FAULT_CODES: [FaultCode; 11] = [
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
    FaultCode::Several,
];

fn fault(code: FaultCode, again: Again) -> Fault {
    Fault::new(code, Side::Participant, again, "it said no")
}

fn report(outcome: ReportedOutcome, results: Vec<ServerResult>) -> Result<Report> {
    Ok(Report {
        participant: "b".parse()?,
        executions: vec![ExecutionReport {
            execution: EXECUTION.parse()?,
            outcome,
            results,
            reported_at: Timestamp::from_millis(1_700_000_000_000),
        }],
    })
}

fn results() -> Result<Vec<ServerResult>> {
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
            })
        })
        .collect()
}

/// Through text, as it travels.
fn value(message: &impl Serialize) -> Result<Value> {
    Ok(serde_json::from_str(&serde_json::to_string(message)?)?)
}

/// The variants above are all: a new one does not compile until it is named here, and then it belongs into the lists.
#[test]
fn no_variant_is_left_out_of_the_examples() -> Result<()> {
    let mut words: BTreeMap<&str, u32> = BTreeMap::new();
    for code in FAULT_CODES {
        *words.entry(code.as_str()).or_default() += 1;
    }
    assert_eq!(words.len(), FAULT_CODES.len());
    let documented = &asyncapi()?["components"]["schemas"];
    let codes = documented["Fault"]["properties"]["code"]["enum"]
        .as_array()
        .context("the codes are listed")?;
    assert_eq!(codes.len(), FAULT_CODES.len());
    for result in results()? {
        for found in result.findings {
            match found.finding {
                Finding::Accepted
                | Finding::Removed(_)
                | Finding::Invalidated(_)
                | Finding::Banned
                | Finding::NothingHeld
                | Finding::Stored
                | Finding::AlreadyThere
                | Finding::TooLarge
                | Finding::RefusedByRules
                | Finding::OriginStatus(_) => {}
            }
        }
    }
    Ok(())
}
