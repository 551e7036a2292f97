//! What the person sees: a title, numbered steps, lines, tables.
//!
//! Invariant: colour and bold reach only a terminal; everywhere else the same words come as plain lines. What cannot be
//! written is dropped: when the screen is gone there is nobody left to tell.

use std::{
    io::Write as _,
    sync::atomic::{AtomicU32, Ordering},
};

use anstyle::{AnsiColor, Style};
use comfy_table::{Attribute, Cell, ContentArrangement, Row, Table, presets};

const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();
const STEP: Style = AnsiColor::Cyan.on_default().bold();
const GOOD: Style = AnsiColor::Green.on_default().bold();
const BAD: Style = AnsiColor::Red.on_default().bold();

/// A longer command line is broken.
const TYPED_WIDTH: usize = 90;
/// Begins what ends a cell's colour.
const ESCAPE: &str = "\u{1b}[";
/// Between columns; the only border that we need.
const GAP: (u16, u16) = (0, 2);

static STEPS: AtomicU32 = AtomicU32::new(0);

/// The demo's first line.
pub(super) fn title(text: &str) {
    line(&format!("{BOLD}{text}{BOLD:#}"));
}

/// Announces the next step, and returns its number.
pub(super) fn step(text: &str) -> u32 {
    let number = STEPS.fetch_add(1, Ordering::Relaxed) + 1;
    line(&format!("\n{STEP}{number}.{STEP:#} {BOLD}{text}{BOLD:#}"));
    number
}

/// A plain line.
pub(super) fn line(text: &str) {
    let mut out = anstream::stdout().lock();
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}

/// A line of less weight.
pub(super) fn aside(text: &str) {
    line(&format!("{DIM}{text}{DIM:#}"));
}

/// A command line, as a person would type it: where it would grow too long, each URL has a line of its own.
pub(super) fn typed(words: &[&str]) {
    let whole = words.join(" ");
    let text = if whole.len() < TYPED_WIDTH {
        whole
    } else {
        whole.replace(" http", " \\\n    http")
    };
    line(&format!("{DIM}${DIM:#} {text}"));
}

/// The demo's last line.
pub(super) fn result(text: &str) {
    line(&format!("\n{GOOD}{text}{GOOD:#}"));
}

/// What went wrong.
pub(super) fn error(text: &str) {
    let (first, rest) = text.split_once('\n').unwrap_or((text, ""));
    let mut out = anstream::stderr().lock();
    let _ = writeln!(out, "\n{BAD}{first}{BAD:#}");
    if !rest.is_empty() {
        let _ = writeln!(out, "{}", rest.trim_end());
    }
}

/// A table without lines.
pub(super) fn table(header: &[&str], rows: Vec<Row>) {
    let titles = header
        .iter()
        .map(|title| Cell::new(title).add_attribute(Attribute::Dim));
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .enforce_styling()
        .set_header(titles)
        .add_rows(rows);
    for column in table.column_iter_mut() {
        column.set_padding(GAP);
    }
    for row in table.lines() {
        line(&trimmed(&row));
    }
}

/// Without the spaces at the end, which may stand inside the last cell's colour.
fn trimmed(row: &str) -> String {
    let row = row.trim_end();
    match row.rfind(ESCAPE) {
        Some(end) if row.ends_with('m') && !row[end..].contains(' ') => {
            format!("{}{}", row[..end].trim_end(), &row[end..])
        }
        _ => row.to_owned(),
    }
}
