//! What became of a cancel, participant by participant.

use std::fmt::Write as _;

use super::{headline, paint, tone_of};
use crate::view::{CancelView, CommandView, ExecutionView};

/// What was taken back for certain, who was asked to leave it, and what had ended before.
pub(crate) fn cancelled(answer: &CancelView) -> String {
    let mut text = String::new();
    line(
        &mut text,
        "Taken back",
        &answer.cancelled_participant_ids.join(", "),
    );
    let ended = answer.of(&answer.settled_participant_ids);
    let ended: Vec<_> = ended
        .map(|execution| format!("{} ({})", execution.participant_id, execution.state))
        .collect();
    line(&mut text, "Ended before", &ended.join(", "));
    for asked in answer.of(&answer.sent_participant_ids) {
        line(&mut text, "Asked to leave", &which_won(asked));
    }
    standing(&mut text, &answer.command);
    text
}

/// Which won, where participants were asked.
pub(crate) fn raced(asked: &[String], command: &CommandView) -> String {
    let mut text = String::new();
    let executions = command.executions.iter();
    for execution in executions.filter(|one| asked.contains(&one.participant_id)) {
        line(&mut text, "Asked to leave", &which_won(execution));
    }
    standing(&mut text, command);
    text
}

fn standing(text: &mut String, command: &CommandView) {
    line(text, "Standing", &headline(&command.standing));
}

fn line(text: &mut String, what: &str, value: &str) {
    if !value.is_empty() {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{what:<16}{value}");
    }
}

/// `north: done, it had begun`.
fn which_won(execution: &ExecutionView) -> String {
    let state = execution.state.as_str();
    let won = match state {
        "accepted" | "dispatched" | "running" => "which wins is still to be seen",
        "cancelled" => "it left it in time",
        "done" | "failed" => "it had begun",
        "unanswered" | "unknown" => "nobody knows whether it had begun",
        _ => "it had not begun",
    };
    let state = paint(state, tone_of(state));
    format!("{}: {state}, {won}", execution.participant_id)
}
