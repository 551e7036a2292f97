//! A live display on a terminal: a line per participant, and below it one per server.
//!
//! Invariant: it never grows past the screen: lines are cut, and where there are too many servers, participants count
//! theirs instead. So it is cleared at the end, and the table that follows holds everything.

use std::{collections::BTreeMap, time::Duration};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{Progress, Told};
use crate::{
    failure::Failure,
    table::{execution_result, operation, paint, server_result, server_state, tone_of},
    view::{ChangeView, CommandView, ExecutionView, ServerResultView, is_under_way},
    words,
};

const TICK: Duration = Duration::from_millis(100);
/// Fits most terminals, with room for what stood there before.
const SERVER_LINES_MAXIMUM: usize = 30;
const STATE_WIDTH: usize = 11;
const EVIDENCE_WIDTH: usize = 12;
/// Fits `12/14 servers`.
const TOOK_WIDTH: usize = 13;
const SPINNER: &str = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏ ";

/// A participant, or one of its servers.
type Key = (String, Option<String>);

/// The display.
pub(super) struct Live {
    screen: MultiProgress,
    heading: ProgressBar,
    lines: BTreeMap<Key, ProgressBar>,
    began: bool,
}

impl Live {
    pub(super) fn new() -> Self {
        let screen = MultiProgress::with_draw_target(ProgressDrawTarget::stdout());
        Self {
            heading: screen.add(ProgressBar::new_spinner()),
            lines: BTreeMap::new(),
            began: false,
            screen,
        }
    }

    /// Lays out a line for everybody who is meant, in the order in which they are shown.
    fn begin(&mut self, command: &CommandView) {
        self.began = true;
        let asked = operation(&command.draft);
        self.heading.set_style(style("{wide_msg}"));
        self.heading
            .set_message(format!("{}  {asked}", command.command_id));
        let servers: usize = command
            .executions
            .iter()
            .map(|execution| execution.servers.len())
            .sum();
        let width = width(command);
        for execution in &command.executions {
            let name = execution.participant_id.clone();
            self.add(
                &format!("{name:<width$}"),
                "{spinner} {prefix}  {wide_msg}",
                (name.clone(), None),
            );
            for server in &execution.servers {
                if servers <= SERVER_LINES_MAXIMUM {
                    let key = (name.clone(), Some(server.server_id.clone()));
                    let shown = format!("  {:<1$}", server.server_id, width - 2);
                    self.add(&shown, "{spinner} {prefix}  {wide_msg}", key);
                }
            }
        }
    }

    fn add(&mut self, prefix: &str, template: &str, key: Key) {
        let line = self.screen.add(ProgressBar::new_spinner());
        line.set_style(style(template));
        line.set_prefix(prefix.to_owned());
        line.enable_steady_tick(TICK);
        self.lines.insert(key, line);
    }

    fn show(&self, key: &Key, message: String, settled: bool) {
        let Some(line) = self.lines.get(key) else {
            return;
        };
        line.set_message(message);
        if settled {
            line.abandon();
        }
    }
}

impl Progress for Live {
    fn change(&mut self, change: &ChangeView, command: &CommandView) -> Result<(), Failure> {
        if !self.began {
            self.begin(command);
        }
        for execution in &change.executions {
            let id = &execution.participant_id;
            for server in &execution.servers {
                let key = (id.clone(), Some(server.server_id.clone()));
                let state = server_state(server, execution);
                self.show(&key, server_words(server, state), !is_under_way(state));
            }
            let message = execution_words(execution);
            self.show(&(id.clone(), None), message, !execution.is_under_way());
        }
        Ok(())
    }

    fn note(&mut self, text: &str) {
        // A message that cannot be drawn has no reader.
        let _ = self.screen.println(text);
    }

    fn finish(&mut self) {
        // What cannot be cleared is not on a terminal any more.
        let _ = self.screen.clear();
        // A bar that is dropped unfinished would draw the whole block once more.
        self.screen.set_draw_target(ProgressDrawTarget::hidden());
    }

    fn told(&self) -> Told {
        Told::Nothing
    }
}

fn execution_words(execution: &ExecutionView) -> String {
    let reported = execution
        .servers
        .iter()
        .filter(|server| !is_under_way(&server.state))
        .count();
    let servers = match execution.servers.len() {
        0 => String::new(),
        all => format!("{reported}/{}", words::count(all, "server")),
    };
    let evidence = execution.evidence.as_deref().unwrap_or_default();
    columns(
        &execution.state,
        evidence,
        &servers,
        &execution_result(execution),
    )
}

fn server_words(server: &ServerResultView, state: &str) -> String {
    let took = words::took(server.took_ms, server.tried());
    let evidence = server.evidence.as_deref().unwrap_or_default();
    columns(state, evidence, &took, &server_result(server))
}

fn columns(state: &str, evidence: &str, took: &str, result: &str) -> String {
    let painted = paint(&format!("{state:<STATE_WIDTH$}"), tone_of(state));
    let text = format!("{painted}  {evidence:<EVIDENCE_WIDTH$}  {took:<TOOK_WIDTH$}  {result}");
    if has_colour() {
        return text;
    }
    anstream::adapter::strip_str(&text).to_string()
}

fn has_colour() -> bool {
    anstream::AutoStream::choice(&std::io::stdout()) != anstream::ColorChoice::Never
}

/// The widest name that can come; servers stand two to the right.
fn width(command: &CommandView) -> usize {
    let names = command.executions.iter().flat_map(|execution| {
        let servers = execution
            .servers
            .iter()
            .map(|server| 2 + server.server_id.chars().count());
        servers.chain(std::iter::once(execution.participant_id.chars().count()))
    });
    names.max().unwrap_or(0).max(2)
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .expect("the templates here are well formed")
        .tick_chars(SPINNER)
}
