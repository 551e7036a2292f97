//! The documents that others build on: they say what the programs do, no more and no less.

mod examples;
mod guarantees;
mod schema;

use std::{collections::BTreeMap, fs, path::PathBuf};

use ::amqp::{
    LinkSettings, Provisioner, QueueLimits, Topology,
    envelope::{DISPATCH_TYPE, Dispatch, Order, REPORT_TYPE, Report, ReportedOutcome},
};
use anyhow::{Context, Result};
use domain::{
    Finding,
    fault::{Again, FaultCode},
};
use serde_json::{Value, json};
use service::telemetry::differences;
use tests::{prefix, rabbitmq::Management, shared};

use self::{
    examples::{FAULT_CODES, dispatch, fault, orders, report, reports, results},
    schema::Schemas,
};

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
    let limits = QueueLimits {
        console_copies: 100,
        ..QueueLimits::default()
    };
    let topology = Topology::new(&prefix, limits)?;
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

/// The examples have all variants: a new one does not compile until it is named here, and then it belongs into the lists.
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
