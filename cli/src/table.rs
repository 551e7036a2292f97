//! Tables and texts for people, made from views.
//!
//! Invariant: pure; colour is always written and stripped at the output, so a table can be tested as text.

mod command;
mod plan;
mod registry;
mod result;
mod tone;

pub(crate) use command::{cancelled, commands, details, headline, operation};
pub(crate) use plan::plan;
pub(crate) use registry::Row;
pub(crate) use result::{execution_result, server_result, server_state};
pub(crate) use tone::{Tone, paint, tone_of};

use comfy_table::{Attribute, Cell, ContentArrangement, Table, presets};

/// Between columns; the only border that we need.
const GAP: (u16, u16) = (0, 2);
/// Ends the colour of a cell.
const RESET: &str = "\u{1b}[0m";

/// A table without lines, as wide as the terminal at most.
fn plain<R: Into<comfy_table::Row>>(header: &[&str], rows: impl IntoIterator<Item = R>) -> String {
    let titles = header
        .iter()
        .map(|title| Cell::new(title).add_attribute(Attribute::Dim));
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .enforce_styling()
        .set_header(titles);
    for row in rows {
        table.add_row(row);
    }
    for column in table.column_iter_mut() {
        column.set_padding(GAP);
    }
    table.lines().map(|line| trimmed(&line) + "\n").collect()
}

/// Without the spaces at the end, which may stand inside the last cell's colour.
fn trimmed(line: &str) -> String {
    match line.trim_end().strip_suffix(RESET) {
        Some(painted) => painted.trim_end().to_owned() + RESET,
        None => line.trim_end().to_owned(),
    }
}

/// A cell in the colour of its tone.
fn toned(text: &str, tone: Tone) -> Cell {
    let cell = Cell::new(text);
    match tone.color() {
        Some(color) => cell.fg(color),
        None => cell,
    }
}

/// A table of one kind of record, as lists show it.
pub(crate) fn records<R: Row>(records: &[R]) -> String {
    plain(R::HEADER, records.iter().map(Row::cells))
}
