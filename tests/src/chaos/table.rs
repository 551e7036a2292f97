//! What a run came to: a row for each fault, and one line for all.
//!
//! Invariant: the last line is always the same words in the same order, so that a program can read it.

use std::{fmt, io::Write as _, time::Duration};

use super::{ledger::Counts, recovery::Recovery};

/// One fault and what came of it.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) counts: Counts,
    target: Option<Duration>,
    recovery: Option<Recovery>,
}

/// What a run came to.
#[derive(Debug, Clone)]
pub struct Verdict {
    /// The first stands for the time without a fault.
    pub(super) rows: Vec<Row>,
    /// Messages and entries in queues and outboxes at the end.
    pub left_over: u64,
    /// What went wrong, in words.
    pub words: Vec<String>,
}

impl Row {
    pub(super) fn new(name: &str, target: Option<Duration>) -> Self {
        Self {
            name: name.to_owned(),
            counts: Counts::default(),
            target,
            recovery: None,
        }
    }

    pub(super) fn recovered(&mut self, recovery: Recovery) {
        self.recovery = Some(recovery);
    }

    fn times(&self) -> [String; 3] {
        let target = self.target.map(|target| format!("{}", target.as_secs()));
        let (p50, p99) = match self.recovery {
            None => ("-".to_owned(), "-".to_owned()),
            Some(recovery) if recovery.complete => (tenths(recovery.p50), tenths(recovery.p99)),
            Some(recovery) => (tenths(recovery.p50), "never".to_owned()),
        };
        [p50, p99, target.unwrap_or_else(|| "-".to_owned())]
    }
}

impl fmt::Display for Row {
    /// As it is told while the run goes on.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [p50, p99, _] = self.times();
        let hit = self.recovery.map_or(0, |recovery| recovery.hit);
        write!(
            formatter,
            "{}: {hit} probes hit, recovered after {p50} s (p50), {p99} s (p99)",
            self.name
        )
    }
}

impl Verdict {
    /// Whether nothing was lost, contradicted, forbidden or left over.
    pub fn is_good(&self) -> bool {
        let [lost, contradictory, forbidden] = self.sums();
        [lost, contradictory, forbidden, self.left_over] == [0; 4]
    }

    /// How many faults there were.
    pub fn faults(&self) -> usize {
        self.rows.len().saturating_sub(1)
    }

    /// How many commands were accepted.
    pub fn commands(&self) -> u64 {
        self.rows.iter().map(|row| row.counts.accepted).sum()
    }

    /// Prints the table and the line.
    pub fn print(&self) {
        let head = [
            "fault",
            "accepted",
            "lost",
            "settled twice differently",
            "told twice per server",
            "forbidden",
            "recovery p50 s",
            "p99 s",
            "promised s",
        ];
        let rows = self.rows.iter().map(cells);
        let lines: Vec<_> = std::iter::once(head.map(str::to_owned))
            .chain(rows)
            .collect();
        let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max();
        let widths: Vec<_> = (0..head.len())
            .map(|column| width(column).unwrap_or_default())
            .collect();
        for line in &lines {
            let cells = line.iter().zip(&widths).enumerate();
            let cells = cells.map(|(column, (cell, width))| match column {
                0 => format!("{cell:<width$}"),
                _ => format!("{cell:>width$}"),
            });
            say(cells.collect::<Vec<_>>().join("  ").trim_end());
        }
        for words in &self.words {
            aside(words);
        }
        say(&self.to_string());
    }

    fn sums(&self) -> [u64; 3] {
        let sum = |count: fn(&Counts) -> u64| self.rows.iter().map(|row| count(&row.counts)).sum();
        [
            sum(|counts| counts.lost),
            sum(|counts| counts.contradictory),
            sum(|counts| counts.forbidden),
        ]
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [lost, contradictory, forbidden] = self.sums();
        write!(
            formatter,
            "chaos: {} faults, {} commands, lost {lost}, contradictory {contradictory}, \
             forbidden repeats {forbidden}, left over {}",
            self.faults(),
            self.commands(),
            self.left_over
        )
    }
}

fn cells(row: &Row) -> [String; 9] {
    let counts = &row.counts;
    let again: Vec<_> = counts.told_again.iter().map(ToString::to_string).collect();
    let [p50, p99, target] = row.times();
    [
        row.name.clone(),
        counts.accepted.to_string(),
        counts.lost.to_string(),
        counts.contradictory.to_string(),
        again.join("/"),
        counts.forbidden.to_string(),
        p50,
        p99,
        target,
    ]
}

fn tenths(duration: Duration) -> String {
    format!("{:.1}", duration.as_secs_f64())
}

/// A line of the result.
pub(super) fn say(text: &str) {
    let mut out = anstream::stdout().lock();
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}

/// A line about how it goes; it is no part of the result.
pub(super) fn aside(text: &str) {
    let _ = writeln!(anstream::stderr().lock(), "{text}");
}
