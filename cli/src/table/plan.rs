//! A plan for people: who is told what, who cannot say it and why, and the calls themselves.

use std::fmt::Write as _;

use comfy_table::Cell;

use super::{Tone, paint, plain, result, tone_of, toned};
use crate::{
    view::{NativeCallView, NativeOrderView, PlanView, PlannedExecutionView},
    words,
};

/// A person reads so many calls of one dialect and so many lines of a body; the rest is in `--json`.
const CALLS_MAXIMUM: usize = 10;
const BODY_LINES_MAXIMUM: usize = 10;

/// The plan; `asked` says of what.
pub(crate) fn plan(plan: &PlanView, asked: &str) -> String {
    let mut text = format!("Plan: {asked}\n");
    if plan.executions.is_empty() {
        text.push_str("Nobody would be told.\n");
        return text;
    }
    let rows = plan.executions.iter().map(row);
    text.push('\n');
    text.push_str(&plain(&["PARTICIPANT", "FIDELITY", "SERVERS", "WHY"], rows));
    for execution in &plan.executions {
        for order in &execution.native {
            text.push('\n');
            text.push_str(&native(&execution.participant_id, order));
        }
    }
    text.push('\n');
    text.push_str(&summary(plan));
    text
}

fn row(execution: &PlannedExecutionView) -> [Cell; 4] {
    [
        Cell::new(&execution.participant_id),
        toned(
            &result::fidelity_name(&execution.fidelity),
            tone_of(&execution.fidelity.fidelity),
        ),
        Cell::new(execution.server_ids.join(", ")),
        Cell::new(execution.fidelity.why.as_deref().unwrap_or_default()),
    ]
}

fn native(participant_id: &str, order: &NativeOrderView) -> String {
    let servers = order.server_ids.join(", ");
    let mut text = format!("{participant_id} tells {servers} in {}:\n", order.dialect);
    for call in order.calls.iter().take(CALLS_MAXIMUM) {
        text.push_str(&native_call(call));
    }
    let hidden = order.calls.len().saturating_sub(CALLS_MAXIMUM);
    if hidden > 0 {
        let _ = writeln!(text, "  and {hidden} more calls; --json shows all");
    }
    text
}

fn native_call(call: &NativeCallView) -> String {
    let host = call.host.iter().map(|host| format!("    host: {host}\n"));
    let headers = call
        .headers
        .iter()
        .map(|header| format!("    {}: {}\n", header.name, header.value));
    let body = call
        .body
        .iter()
        .flat_map(|body| body.lines())
        .take(BODY_LINES_MAXIMUM);
    let body = body.map(|line| format!("    | {line}\n"));
    let lines = host.chain(headers).chain(body);
    std::iter::once(format!("  {} {}\n", call.method, call.path))
        .chain(lines)
        .collect()
}

fn summary(plan: &PlanView) -> String {
    let unable = plan
        .executions
        .iter()
        .filter(|execution| execution.fidelity.fidelity == "impossible");
    let unable: Vec<&str> = unable
        .map(|execution| execution.participant_id.as_str())
        .collect();
    let all = words::count(plan.executions.len(), "participant");
    if unable.is_empty() {
        return format!("All of {all} would be told. Nothing was sent.\n");
    }
    let names = paint(&unable.join(", "), Tone::Bad);
    let able = plan.executions.len() - unable.len();
    format!("{able} of {all} would be told; {names} cannot say it. Nothing was sent.\n")
}
