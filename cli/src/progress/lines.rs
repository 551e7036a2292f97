//! One line per change, for logs and pipes.

use std::{fmt::Write as _, time::Instant};

use super::{
    Progress, Told,
    seen::{News, Seen},
};
use crate::{
    failure::Failure,
    output::Output,
    table::{paint, tone_of},
    view::{ChangeView, CommandView},
};

/// Wide enough for the longest state, `unsupported`.
const STATE_WIDTH: usize = 11;

/// Prints every change as a line.
pub(super) struct Lines {
    output: Output,
    seen: Seen,
    since: Instant,
    began: bool,
}

impl Lines {
    pub(super) fn new(output: Output) -> Self {
        Self {
            output,
            seen: Seen::default(),
            since: Instant::now(),
            began: false,
        }
    }
}

impl Progress for Lines {
    fn change(&mut self, change: &ChangeView, command: &CommandView) -> Result<(), Failure> {
        let mut text = String::new();
        if !std::mem::replace(&mut self.began, true) {
            let asked = crate::table::operation(&command.draft);
            text = format!("command {}: {asked}\n", command.command_id);
        }
        let width = width(command);
        let seconds = self.since.elapsed().as_secs_f64();
        for news in self.seen.news(change) {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{seconds:>7.2} s  {}", line(&news, width));
        }
        self.output.text(&text)
    }

    fn note(&mut self, text: &str) {
        self.output.note(text);
    }

    fn finish(&mut self) {}

    fn told(&self) -> Told {
        Told::Details
    }
}

fn line(news: &News, width: usize) -> String {
    let name = match &news.server_id {
        Some(server_id) => format!("{}/{server_id}", news.participant_id),
        None => news.participant_id.clone(),
    };
    let state = paint(&news.state, tone_of(&news.state));
    let gap = " ".repeat(STATE_WIDTH.saturating_sub(news.state.chars().count()));
    let text = format!("{name:<width$}  {state}{gap}  {}", news.words());
    text.trim_end().to_owned()
}

/// The widest name that can come.
fn width(command: &CommandView) -> usize {
    let names = command.executions.iter().flat_map(|execution| {
        let participant = execution.participant_id.chars().count();
        let servers = execution
            .servers
            .iter()
            .map(move |server| participant + 1 + server.server_id.chars().count());
        servers.chain(std::iter::once(participant))
    });
    names.max().unwrap_or(0)
}
