//! Dead letters as tables and text for people.
//!
//! Invariant: what a stranger wrote into a message reaches no terminal as a command to it.

use std::fmt::Write as _;

use serde_json::Value;

use super::view::{Letter, LetterDetails, Worked};
use crate::{table::Row, words};

impl Row for Letter {
    const HEADER: &'static [&'static str] = &[
        "PARTICIPANT",
        "MESSAGE",
        "REASON",
        "EXECUTIONS",
        "DIED",
        "RETRIES",
    ];

    fn cells(&self) -> Vec<String> {
        vec![
            self.participant_id.clone(),
            printable(&self.message_id),
            self.reason.replace('_', " "),
            self.execution_count.to_string(),
            self.death_time
                .as_deref()
                .map(words::readable)
                .unwrap_or_default(),
            self.retries.to_string(),
        ]
    }
}

/// One letter whole.
pub(super) fn details(details: &LetterDetails) -> String {
    let letter = &details.letter;
    let time = |time: &Option<String>| time.as_deref().map(words::readable).unwrap_or_default();
    let facts = [
        ("participant", letter.participant_id.clone()),
        ("message", letter.message_id.clone()),
        ("reason", letter.reason.replace('_', " ")),
        ("kind", letter.kind.clone()),
        ("sender", letter.sender.clone()),
        ("made", time(&letter.create_time)),
        ("died", time(&letter.death_time)),
        ("retries", letter.retries.to_string()),
        ("looks before", letter.looks.to_string()),
        ("body", format!("{} bytes", letter.body_bytes)),
    ];
    let mut text = String::new();
    for (name, value) in facts.iter().filter(|(_, value)| !value.is_empty()) {
        line(&mut text, format_args!("{name:<13} {}", printable(value)));
    }
    for (name, value) in &details.headers {
        let (name, value) = (printable(name), printable(value));
        line(&mut text, format_args!("header        {name}: {value}"));
    }
    for execution in &details.executions {
        let state = execution.state.as_deref().unwrap_or("not there");
        line(
            &mut text,
            format_args!("execution     {}  {state}", execution.execution_id),
        );
    }
    text.push('\n');
    text.push_str(&body(&details.body));
    if details.body_cut {
        line(&mut text, format_args!("… cut here"));
    }
    text
}

/// What came of working on letters, such as `3 dead letters sent again`.
pub(super) fn worked(worked: &Worked, verb: &str) -> String {
    let mut text = String::new();
    let count = words::count(worked.message_ids.len(), "dead letter");
    line(&mut text, format_args!("{count} {verb}"));
    for id in &worked.not_found {
        line(&mut text, format_args!("not found: {}", printable(id)));
    }
    if let Some(why) = &worked.ended_by {
        line(&mut text, format_args!("ended early: {why}"));
    }
    if worked.more {
        line(&mut text, format_args!("there may be more"));
    }
    text
}

fn body(body: &Value) -> String {
    let text = match body {
        Value::String(text) => text.clone(),
        value => serde_json::to_string_pretty(value).unwrap_or_default(),
    };
    let lines = text.lines().map(|line| printable(line) + "\n");
    lines.collect()
}

fn line(text: &mut String, words: std::fmt::Arguments<'_>) {
    // Writing into a text cannot fail.
    let _ = text.write_fmt(words);
    text.push('\n');
}

/// Without control characters, and without those that turn the direction of writing.
fn printable(text: &str) -> String {
    let turns = |c| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let each = text.chars().map(|c| {
        if c.is_control() || turns(c) {
            c.escape_default().to_string()
        } else {
            c.to_string()
        }
    });
    each.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Anybody with a place at RabbitMQ writes reports, and an operator looks at them in a terminal.
    #[test]
    fn what_a_stranger_wrote_is_shown_and_not_obeyed() {
        let hostile = LetterDetails {
            letter: Letter {
                message_id: "\u{1b}[2Jgone".to_owned(),
                ..Letter::default()
            },
            headers: [("a\rb".to_owned(), "\u{202e}txt".to_owned())].into(),
            executions: Vec::new(),
            body: Value::String("x\u{7}\ny\u{9b}31m".to_owned()),
            body_cut: true,
        };
        let text = details(&hostile);
        let harmless = |c: char| c == '\n' || !c.is_control();
        assert!(text.chars().all(harmless), "{text:?}");
        assert!(text.contains("\\u{1b}[2Jgone") && !text.contains('\u{202e}'));
        assert!(text.ends_with("… cut here\n"));
    }
}
