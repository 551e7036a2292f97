//! Commands for people.

use std::fmt::Write as _;

use comfy_table::Cell;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{Tone, history, paint, plain, proof, result, tone_of, toned};
use crate::{
    view::{
        ApprovalView, CommandView, DraftView, ExecutionView, OperationView, ScopeView,
        ServerResultView, StandingView, text_of,
    },
    words,
};

/// A person reads so many selectors and failed findings; the rest is in `--json`.
pub(super) const LINES_MAXIMUM: usize = 20;
/// As states are told, best first.
const STATES: [&str; 10] = [
    "done",
    "failed",
    "unsupported",
    "cancelled",
    "expired",
    "unanswered",
    "unknown",
    "running",
    "dispatched",
    "accepted",
];

/// Everything about one command.
pub(crate) fn details(command: &CommandView) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{name:<10}{value}");
    };
    line("Command", &command.command_id);
    let accepted = command
        .accept_time
        .as_deref()
        .map(words::readable)
        .unwrap_or_default();
    line(
        "Accepted",
        &format!("{accepted} UTC from {}", command.originator_id),
    );
    line("Asked", &asked(command));
    for selector in shown_selectors(&command.draft) {
        line("", &selector);
    }
    if let Some(time) = &command.draft.not_before {
        line(
            "Begins",
            &format!("not before {} UTC", words::readable(time)),
        );
    }
    if let Some(time) = &command.draft.expire_time {
        let time = words::readable(time);
        line(
            "Expires",
            &format!("{time} UTC, where it has not begun by then"),
        );
    }
    if let Some(approval) = &command.approval {
        line("Approval", &self::approval(approval));
    }
    if let Some(host) = &command.part_of_participant_id {
        let whole = format!("the rest is {}'s to see", command.originator_id);
        line("Shown", &format!("the part of {host} alone; {whole}"));
    }
    line("Standing", &headline(&command.standing));
    if command.servers_omitted {
        let why =
            "left out, for it would not fit into one answer; `fedctl watch` tells it in parts";
        line("Servers", why);
    }
    if !command.executions.is_empty() {
        text.push('\n');
        text.push_str(&executions(&command.executions));
    }
    text.push_str(&unsuccessful(command));
    text.push_str(&proof::proofs(command));
    text.push_str(&history::tries(command));
    text
}

/// `waits for a second person until …`, or who gave it.
fn approval(approval: &ApprovalView) -> String {
    let time = |time: &Option<String>| time.as_deref().map(words::readable).unwrap_or_default();
    match approval.state.as_str() {
        "given" => {
            let by = approval.approved_by.as_deref().unwrap_or("a second person");
            let reason = approval.reason.as_deref();
            let reason = reason.map_or(String::new(), |reason| format!(": {reason}"));
            format!(
                "given by {by} at {} UTC{reason}",
                time(&approval.approve_time)
            )
        }
        "waiting" => {
            let than = approval.submitted_by.as_deref();
            let than = than.map_or(String::new(), |by| format!(" other than {by}"));
            format!(
                "waits for a person{than} until {} UTC",
                time(&approval.deadline)
            )
        }
        _ => "not given before it ended".to_owned(),
    }
}

/// The same as `operation`, but for a part: where else it was to be done is not shown to whoever has that.
fn asked(command: &CommandView) -> String {
    match command.part_of_participant_id {
        Some(_) => what(&command.draft),
        None => operation(&command.draft),
    }
}

/// `purge (delete) of 2 selectors of shop, only at other participants`.
pub(crate) fn operation(draft: &DraftView) -> String {
    what(draft) + &scope(&draft.scope)
}

/// `purge (delete) of 2 selectors of shop`.
fn what(draft: &DraftView) -> String {
    let operation = match &draft.operation {
        OperationView::Purge { mode } if mode == "unspecified" => "purge".to_owned(),
        OperationView::Purge { mode } => format!("purge ({mode})"),
        OperationView::Load => "load".to_owned(),
        OperationView::Custom { name, .. } => name.clone(),
        OperationView::Native { dialect } => format!("a request to {dialect}"),
        OperationView::Unrecognized => "an operation that this fedctl does not know".to_owned(),
    };
    let what = match draft.selectors.as_slice() {
        // Known to the broker alone.
        [] => String::new(),
        [only] => format!(" of {}", words::short(&text_of(only))),
        many => format!(" of {}", words::count(many.len(), "selector")),
    };
    let configuration = match &draft.configuration_id {
        Some(id) => format!(" of {id}"),
        None => String::new(),
    };
    format!("{operation}{what}{configuration}")
}

/// The standing in one sentence; `processed` says that it counts as done.
pub(crate) fn headline(standing: &StandingView) -> String {
    let counts = counts(standing);
    let overall = paint(&standing.overall, tone_of(&standing.overall));
    let evidence = standing.evidence.as_deref().unwrap_or("nothing yet");
    match standing.overall.as_str() {
        "complete" => format!("{overall}: {counts}, all {evidence}"),
        "processed" => {
            format!("{overall}: {counts}, as far as anybody can know (at least {evidence})")
        }
        "cancelled" => format!("{overall}: taken back before anything was sent"),
        "pending" => format!("{overall}: nothing has been sent yet"),
        _ if counts.is_empty() => overall,
        _ => format!("{overall}: {counts}"),
    }
}

/// `begins 2031-01-31 05:00:00 UTC, expires …; birch, cedar cannot say it`: what a caller who does not wait would not see.
pub(crate) fn schedule(command: &CommandView) -> Option<String> {
    let at = |word: &str, time: Option<&String>| {
        let time = words::readable(time?);
        Some(format!("{word} {time} UTC"))
    };
    let begins = at("begins", command.draft.not_before.as_ref());
    let times = begins
        .into_iter()
        .chain(at("expires", command.draft.expire_time.as_ref()));
    let times: Vec<String> = times.collect();
    let unable = command.executions.iter();
    let unable = unable.filter(|execution| execution.state == "unsupported");
    let unable: Vec<&str> = unable
        .map(|execution| execution.participant_id.as_str())
        .collect();
    let unable = (!unable.is_empty()).then(|| format!("{} cannot say it", unable.join(", ")));
    let times = (!times.is_empty()).then(|| times.join(", "));
    let parts: Vec<String> = times.into_iter().chain(unable).collect();
    (!parts.is_empty()).then(|| parts.join("; "))
}

/// How it stands, in a word; what is still to begin was not forgotten.
fn standing_word(command: &CommandView, now: OffsetDateTime) -> &str {
    let begins = command.draft.not_before.as_deref();
    let begins = begins.and_then(|time| OffsetDateTime::parse(time, &Rfc3339).ok());
    match command.standing.overall.as_str() {
        "pending" if command.awaits_approval().is_some() => "waits for approval",
        "pending" if begins.is_some_and(|begins| begins > now) => "scheduled",
        overall => overall,
    }
}

/// A list of commands.
pub(crate) fn commands(commands: &[CommandView]) -> String {
    let now = OffsetDateTime::now_utc();
    let rows = commands.iter().map(|command| {
        [
            Cell::new(&command.command_id),
            Cell::new(
                command
                    .accept_time
                    .as_deref()
                    .map(words::readable)
                    .unwrap_or_default(),
            ),
            toned(
                standing_word(command, now),
                tone_of(&command.standing.overall),
            ),
            Cell::new(counts(&command.standing)),
            Cell::new(operation(&command.draft)),
        ]
    });
    plain(
        &[
            "COMMAND",
            "ACCEPTED (UTC)",
            "STANDING",
            "PARTICIPANTS",
            "ASKED",
        ],
        rows,
    )
}

fn executions(executions: &[ExecutionView]) -> String {
    let rows = executions.iter().flat_map(|execution| {
        let servers = execution
            .servers
            .iter()
            .map(|server| server_row(server, execution));
        std::iter::once(execution_row(execution)).chain(servers)
    });
    plain(
        &[
            "PARTICIPANT",
            "SERVER",
            "STATE",
            "EVIDENCE",
            "TOOK",
            "RESULT",
        ],
        rows,
    )
}

fn execution_row(execution: &ExecutionView) -> [Cell; 6] {
    let took = execution
        .servers
        .iter()
        .map(|server| (server.took_ms, server.tried()))
        .max();
    [
        Cell::new(&execution.participant_id),
        Cell::new(""),
        toned(&execution.state, tone_of(&execution.state)),
        Cell::new(execution.evidence.as_deref().unwrap_or_default()),
        Cell::new(took.map_or(String::new(), |(millis, attempts)| {
            words::took(millis, attempts)
        })),
        Cell::new(result::execution_remarks(execution)),
    ]
}

fn server_row(server: &ServerResultView, execution: &ExecutionView) -> [Cell; 6] {
    let state = result::server_state(server, execution);
    [
        Cell::new(""),
        Cell::new(&server.server_id),
        toned(state, tone_of(state)),
        Cell::new(server.evidence.as_deref().unwrap_or_default()),
        Cell::new(words::took(server.took_ms, server.tried())),
        Cell::new(result::server_result(server)),
    ]
}

/// The selectors that did not reach their aim, one by one, where there are several.
fn unsuccessful(command: &CommandView) -> String {
    let found = command
        .executions
        .iter()
        .flat_map(|execution| &execution.servers)
        .flat_map(|server| {
            let failed = server.findings.iter().filter(|finding| !finding.success);
            failed.map(move |finding| {
                let index = usize::try_from(finding.selector).unwrap_or(usize::MAX);
                let selector = command
                    .draft
                    .selectors
                    .get(index)
                    .map_or(String::new(), text_of);
                [
                    Cell::new(&server.server_id),
                    toned(&result::finding_words(finding), Tone::Bad),
                    Cell::new(selector),
                ]
            })
        });
    let rows: Vec<_> = found.collect();
    if rows.is_empty() || command.draft.selectors.len() == 1 {
        return String::new();
    }
    let hidden = rows.len().saturating_sub(LINES_MAXIMUM);
    let shown = rows.into_iter().take(LINES_MAXIMUM);
    let mut text = "\n".to_owned() + &plain(&["SERVER", "NOT REACHED", "SELECTOR"], shown);
    if hidden > 0 {
        let _ = writeln!(text, "and {hidden} more; --json shows all");
    }
    text
}

/// Each selector, where there are several.
pub(crate) fn shown_selectors(draft: &DraftView) -> Vec<String> {
    if draft.selectors.len() <= 1 {
        return Vec::new();
    }
    let mut lines: Vec<String> = draft
        .selectors
        .iter()
        .take(LINES_MAXIMUM)
        .map(text_of)
        .collect();
    let hidden = draft.selectors.len().saturating_sub(LINES_MAXIMUM);
    if hidden > 0 {
        lines.push(format!("and {hidden} more; --json shows all"));
    }
    lines
}

fn scope(scope: &ScopeView) -> String {
    match scope {
        ScopeView::Everywhere => String::new(),
        ScopeView::Foreign => ", only at other participants".to_owned(),
        ScopeView::Participants { ids } => format!(", only at {}", ids.join(", ")),
        ScopeView::Servers { ids } => format!(", only on {}", ids.join(", ")),
        ScopeView::Places { places } => {
            let places: Vec<String> = places.iter().map(ToString::to_string).collect();
            format!(", only in {}", places.join(", "))
        }
    }
}

fn counts(standing: &StandingView) -> String {
    let known = STATES
        .iter()
        .copied()
        .filter_map(|state| standing.counts.get_key_value(state));
    let rest = standing
        .counts
        .iter()
        .filter(|(state, _)| !STATES.contains(&state.as_str()));
    let words = known.chain(rest).filter(|(_, count)| **count > 0);
    let words: Vec<String> = words
        .map(|(state, count)| format!("{count} {state}"))
        .collect();
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use proto::v1::{Command, CommandDraft, Execution, ExecutionState, Overall, Standing};

    use super::*;

    fn scheduled_for(begins: SystemTime) -> CommandView {
        let execution = |participant: &str, state: ExecutionState| Execution {
            participant_id: participant.to_owned(),
            state: state.into(),
            ..Execution::default()
        };
        let command = Command {
            draft: Some(CommandDraft {
                not_before: Some(begins.into()),
                expire_time: Some((begins + Duration::from_mins(30)).into()),
                ..CommandDraft::default()
            }),
            standing: Some(Standing {
                overall: Overall::Pending.into(),
                ..Standing::default()
            }),
            executions: vec![
                execution("alder", ExecutionState::Accepted),
                execution("birch", ExecutionState::Unsupported),
                execution("cedar", ExecutionState::Unsupported),
            ],
            ..Command::default()
        };
        command.into()
    }

    /// Whoever does not wait hears when it begins, and who will not do it.
    #[test]
    fn what_begins_later_is_said_with_who_cannot() {
        let begins = SystemTime::UNIX_EPOCH + Duration::from_hours(535_445);
        assert_eq!(
            schedule(&scheduled_for(begins)).as_deref(),
            Some(
                "begins 2031-01-31 05:00:00 UTC, expires 2031-01-31 05:30:00 UTC; birch, cedar cannot say it"
            )
        );
        assert_eq!(schedule(&Command::default().into()), None);
    }

    /// What is still to begin is scheduled; after that it is pending as any other.
    #[test]
    fn what_has_not_begun_is_scheduled() {
        let begins = SystemTime::UNIX_EPOCH + Duration::from_hours(535_445);
        let command = scheduled_for(begins);
        let at = |time: SystemTime| standing_word(&command, time.into());
        assert_eq!(at(begins - Duration::from_secs(1)), "scheduled");
        assert_eq!(at(begins), "pending");
    }
}
