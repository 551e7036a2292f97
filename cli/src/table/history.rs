//! How a command came to where it stands: states, and tries that were followed by others.

use std::{fmt::Write as _, time::Duration};

use comfy_table::Cell;

use super::{Tone, command::LINES_MAXIMUM, plain, result, tone_of, toned};
use crate::{
    view::{CommandView, FailedTryView},
    words,
};

/// The states of every execution, oldest first.
pub(crate) fn history(command: &CommandView) -> String {
    let rows = command.executions.iter().flat_map(|execution| {
        let mut participant_id = execution.participant_id.as_str();
        execution.history.iter().map(move |change| {
            [
                Cell::new(std::mem::take(&mut participant_id)),
                Cell::new(
                    change
                        .time
                        .as_deref()
                        .map(words::precise)
                        .unwrap_or_default(),
                ),
                toned(&change.state, tone_of(&change.state)),
            ]
        })
    });
    let rows: Vec<_> = rows.collect();
    if rows.is_empty() {
        return "\nno history is kept of it\n".to_owned();
    }
    "\n".to_owned() + &plain(&["PARTICIPANT", "SINCE (UTC)", "STATE"], rows)
}

/// Every server's tries that were followed by another one, where there are any.
pub(super) fn tries(command: &CommandView) -> String {
    let servers = command
        .executions
        .iter()
        .flat_map(|execution| &execution.servers);
    let rows: Vec<_> = servers
        .flat_map(|server| {
            let mut server_id = server.server_id.as_str();
            server
                .tries
                .iter()
                .map(move |failed| try_row(std::mem::take(&mut server_id), failed))
        })
        .collect();
    if rows.is_empty() {
        return String::new();
    }
    let hidden = rows.len().saturating_sub(LINES_MAXIMUM);
    let shown = rows.into_iter().take(LINES_MAXIMUM);
    let header = ["SERVER", "FAILED TRY (UTC)", "THEN WAITED", "WHY"];
    let mut text = "\n".to_owned() + &plain(&header, shown);
    if hidden > 0 {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "and {hidden} more; --json shows all");
    }
    text
}

fn try_row(server_id: &str, failed: &FailedTryView) -> [Cell; 4] {
    let why = failed.fault.as_ref().map(result::fault_words);
    [
        Cell::new(server_id),
        Cell::new(
            failed
                .time
                .as_deref()
                .map(words::precise)
                .unwrap_or_default(),
        ),
        Cell::new(words::duration(Duration::from_millis(failed.pause_ms))),
        toned(&why.unwrap_or_default(), Tone::Bad),
    ]
}
