//! Two versions of broker and adapter that talk to each other, and a store that an older broker wrote.
//!
//! The files in `tests/golden` are what version 1 writes. They are never changed: what reads them today must read them
//! for as long as version 1 is out there.

use ::amqp::envelope::{Dispatch, Order, Report};
use domain::Command;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

const DISPATCH: &str = include_str!("../../golden/dispatch.v1.json");
const REPORT: &str = include_str!("../../golden/report.v1.json");
const COMMAND: &str = include_str!("../../golden/command.v1.json");

/// What was read says again all that was there: nothing is lost on the way.
fn read_whole<T: DeserializeOwned + Serialize>(text: &str) {
    let golden: Value = serde_json::from_str(text).unwrap();
    let read: T = serde_json::from_str(text).unwrap();
    assert_eq!(serde_json::to_value(read).unwrap(), golden);
}

/// The same with one more member in every object that has members of its own (an object with one member may be a choice).
fn with_a_member_more(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let each = members
                .iter()
                .map(|(name, member)| (name.clone(), with_a_member_more(member)));
            let mut more: serde_json::Map<_, _> = each.collect();
            if members.len() > 1 {
                more.insert("of_a_newer_peer".to_owned(), json!({"depth": [1, 2]}));
            }
            Value::Object(more)
        }
        Value::Array(items) => items.iter().map(with_a_member_more).collect(),
        other => other.clone(),
    }
}

/// Every way to leave out one of these members, wherever it stands.
fn with_a_member_less(value: &Value, optional: &[&str]) -> Vec<Value> {
    let leave_out = |name: &&str| {
        let mut less = value.clone();
        remove(&mut less, name);
        less
    };
    optional.iter().map(leave_out).collect()
}

fn remove(value: &mut Value, name: &str) {
    match value {
        Value::Object(members) => {
            members.remove(name);
            members.values_mut().for_each(|member| remove(member, name));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| remove(item, name)),
        _ => {}
    }
}

fn orders(dispatch: &str) -> Vec<Order> {
    let dispatch: Dispatch<'_> = serde_json::from_str(dispatch).unwrap();
    let read = |order: &&serde_json::value::RawValue| serde_json::from_str(order.get()).unwrap();
    dispatch.executions.iter().map(read).collect()
}

/// An adapter is upgraded before or after the broker; both orders happen.
#[test]
fn a_dispatch_of_version_1_is_read_with_a_member_more_and_a_member_less() {
    let golden: Value = serde_json::from_str(DISPATCH).unwrap();
    let read = orders(DISPATCH);
    assert_eq!(
        serde_json::to_value(&read).unwrap(),
        golden["executions"],
        "nothing of an order is lost"
    );
    assert_eq!(orders(&with_a_member_more(&golden).to_string()), read);
    let optional = [
        "sent_before",
        "shard",
        "absorbed",
        "cancels",
        "expires_at",
        "traceparent",
        "tracestate",
        "host",
        "headers",
        "body",
    ];
    for less in with_a_member_less(&golden, &optional) {
        assert_eq!(orders(&less.to_string()).len(), read.len());
    }
    let dispatch: Dispatch<'_> = serde_json::from_str(DISPATCH).unwrap();
    assert_eq!(serde_json::to_value(&dispatch).unwrap(), golden);
}

/// A report outlives the version that wrote it: it may wait in its queue while the brokers are upgraded.
#[test]
fn a_report_of_version_1_is_read_with_a_member_more_and_a_member_less() {
    read_whole::<Report>(REPORT);
    let golden: Value = serde_json::from_str(REPORT).unwrap();
    let report: Report = serde_json::from_str(REPORT).unwrap();
    let more = with_a_member_more(&golden).to_string();
    assert_eq!(serde_json::from_str::<Report>(&more).unwrap(), report);
    let optional = [
        "results",
        "findings",
        "attempts",
        "took_ms",
        "tries",
        "traceparent",
        "absorbed_by",
        "progress",
    ];
    for less in with_a_member_less(&golden, &optional) {
        let less: Report = serde_json::from_value(less).unwrap();
        assert_eq!(less.executions.len(), report.executions.len());
    }
}

/// A replica that is upgraded first finds commands that the others accepted, and theirs find its own.
#[test]
fn a_command_that_version_1_stored_is_read_with_a_member_more_and_a_member_less() {
    read_whole::<Command>(COMMAND);
    let golden: Value = serde_json::from_str(COMMAND).unwrap();
    let command: Command = serde_json::from_str(COMMAND).unwrap();
    let more = with_a_member_more(&golden);
    assert_eq!(serde_json::from_value::<Command>(more).unwrap(), command);
    let optional = [
        "scope",
        "ceiling",
        "when_impossible",
        "request_id",
        "not_before",
        "expires_at",
        "traceparent",
        "tracestate",
    ];
    for less in with_a_member_less(&golden, &optional) {
        assert_eq!(
            serde_json::from_value::<Command>(less).unwrap().id,
            command.id
        );
    }
}
