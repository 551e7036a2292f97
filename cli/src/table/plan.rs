//! A plan for people: who is told what, who cannot say it and why, and the calls themselves.

use std::{borrow::Cow, fmt::Write as _};

use comfy_table::Cell;

use super::{Tone, paint, plain, result, tone_of, toned};
use crate::{
    view::{NativeCallView, NativeCostView, NativeOrderView, PlanView, PlannedExecutionView},
    words,
};

/// A person reads so many calls of one dialect and so many lines of a body; the rest is in `--json`.
const CALLS_MAXIMUM: usize = 10;
const BODY_LINES_MAXIMUM: usize = 30;
/// So wide is a line before it is cut.
const WIDTH_MAXIMUM: usize = 120;

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
    text.push_str(&looked_at(plan));
    if let Some(line) = without_servers(&plan.participants_without_servers) {
        let _ = writeln!(text, "\n{line}");
    }
    if plan.needs_approval {
        text.push_str("\nIt would wait until a second person has approved it.\n");
    }
    text.push('\n');
    text.push_str(&summary(plan));
    text
}

/// Who carries the configuration and is not told.
pub(crate) fn without_servers(participants: &[String]) -> Option<String> {
    let (carry, have) = match participants {
        [] => return None,
        [_] => ("carries", "has"),
        _ => ("carry", "have"),
    };
    let who = participants.join(", ");
    Some(format!(
        "{who} {carry} the configuration and {have} no server in the registry: nobody is told there."
    ))
}

/// What would be looked at afterwards, and what nothing stands for.
fn looked_at(plan: &PlanView) -> String {
    let mut text = String::new();
    if plan.probes.is_empty() && plan.unprobed_selectors.is_empty() {
        return text;
    }
    text.push_str("\nEach server would be looked at afterwards, by these URLs:\n");
    for probe in &plan.probes {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {}", shortened(&probe.url));
    }
    let missing = plan.unprobed_selectors.len();
    if missing > 0 {
        let missing = words::count(missing, "selector");
        let _ = writeln!(
            text,
            "None of them stands for {missing}, so the whole would not be verified; --probe-url names more."
        );
    }
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
    let version = order.mapping_version;
    let version = version.map_or_else(String::new, |version| format!(" version {version}"));
    let dialect = &order.dialect;
    let takes = order
        .cost
        .as_ref()
        .map_or_else(String::new, |cost| format!(", which takes {}", taken(cost)));
    let mut text = format!("{participant_id} tells {servers} in {dialect}{version}{takes}:\n");
    for more in order.cost.iter().flat_map(|cost| &cost.may_add) {
        let _ = writeln!(text, "  it may take more: {more}");
    }
    for call in order.calls.iter().take(CALLS_MAXIMUM) {
        text.push_str(&native_call(call));
    }
    let hidden = order.calls.len().saturating_sub(CALLS_MAXIMUM);
    if hidden > 0 {
        let _ = writeln!(text, "  and {hidden} more calls; --json shows all");
    }
    text
}

/// `2 calls, 150 urls`.
fn taken(cost: &NativeCostView) -> String {
    let calls = words::count(usize::try_from(cost.calls).unwrap_or(usize::MAX), "call");
    let units = cost.units.iter().map(|(unit, amount)| {
        let unit = if *amount == 1 { singular(unit) } else { unit };
        format!(", {amount} {unit}")
    });
    std::iter::once(calls).chain(units).collect()
}

/// The name of one of a unit.
fn singular(unit: &str) -> &str {
    match unit {
        "prefixes" => "prefix",
        "directories" => "directory",
        unit => unit.strip_suffix('s').unwrap_or(unit),
    }
}

fn native_call(call: &NativeCallView) -> String {
    let host = call.host.iter().map(|host| format!("    host: {host}\n"));
    let headers = call
        .headers
        .iter()
        .map(|header| format!("    {}: {}\n", header.name, shortened(&header.value)));
    let first = format!("  {} {}\n", call.method, shortened(&call.path));
    let mut text: String = std::iter::once(first).chain(host).chain(headers).collect();
    if let Some(body) = &call.body {
        text.push_str(&native_body(body));
    }
    text
}

/// The body in lines that fit a screen; what is JSON on one line is laid out first.
fn native_body(body: &str) -> String {
    let laid_out = serde_json::from_str::<serde_json::Value>(body)
        .ok()
        .and_then(|value| serde_json::to_string_pretty(&value).ok())
        .filter(|_| body.chars().count() > WIDTH_MAXIMUM);
    let body = laid_out.as_deref().unwrap_or(body);
    let lines = body.lines();
    let hidden = lines.clone().count().saturating_sub(BODY_LINES_MAXIMUM);
    let shown = lines.take(BODY_LINES_MAXIMUM);
    let mut text = String::new();
    for line in shown {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "    | {}", shortened(line));
    }
    if hidden > 0 {
        let _ = writeln!(text, "    | and {hidden} more lines; --json shows all");
    }
    text
}

/// The beginning, and how much follows.
fn shortened(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(WIDTH_MAXIMUM) {
        None => Cow::Borrowed(text),
        Some((end, _)) => {
            let hidden = text[end..].chars().count();
            Cow::Owned(format!("{}… and {hidden} more characters", &text[..end]))
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The federation's own format is one long line of JSON: a person reads it laid out, and not all of it.
    #[test]
    fn a_long_body_is_laid_out_and_cut() {
        assert_eq!(native_body("<uri>/a</uri>\n"), "    | <uri>/a</uri>\n");
        assert_eq!(native_body(r#"{"a": 1}"#), "    | {\"a\": 1}\n");
        let urls: Vec<_> = (0..50)
            .map(|n| format!("https://www.example.com/{n}"))
            .collect();
        let text = native_body(&serde_json::json!({ "urls": urls }).to_string());
        assert_eq!(text.lines().count(), BODY_LINES_MAXIMUM + 1, "{text}");
        assert!(text.starts_with("    | {\n    |   \"urls\": [\n"), "{text}");
        assert!(
            text.ends_with("and 24 more lines; --json shows all\n"),
            "{text}"
        );
    }

    /// What an order takes stands in the native system's own units.
    #[test]
    fn a_cost_is_said_in_native_units() {
        let cost = |calls, units: &[(&str, u64)]| NativeCostView {
            calls,
            units: units
                .iter()
                .map(|(unit, amount)| ((*unit).to_owned(), *amount))
                .collect(),
            may_add: Vec::new(),
        };
        assert_eq!(taken(&cost(2, &[("urls", 150)])), "2 calls, 150 urls");
        let one = cost(1, &[("directories", 1), ("tags", 3)]);
        assert_eq!(taken(&one), "1 call, 1 directory, 3 tags");
        assert_eq!(taken(&cost(1, &[])), "1 call");
    }

    /// A long path or header is cut between characters, and says how much is hidden.
    #[test]
    fn a_long_line_is_cut_between_characters() {
        let long = "ä".repeat(WIDTH_MAXIMUM + 5);
        let short = shortened(&long);
        assert!(short.ends_with("ä… and 5 more characters"), "{short}");
        assert_eq!(shortened("/a"), "/a");
    }
}
