//! Tables and texts for people, made from views.
//!
//! Invariant: pure; colour is always written and stripped at the output, so a table can be tested as text.

mod cancel;
mod command;
mod history;
mod plan;
mod proof;
mod registry;
mod result;
mod tone;

pub(crate) use cancel::{cancelled, raced};
pub(crate) use command::{commands, details, headline, operation, schedule, shown_selectors};
pub(crate) use history::history;
pub(crate) use plan::{plan, without_servers};
pub(crate) use registry::Row;
pub(crate) use result::{execution_result, server_result, server_state};
pub(crate) use tone::{Tone, paint, tone_of};

use comfy_table::{Attribute, Cell, ContentArrangement, Table, presets};

/// Between columns; the only border that we need.
const GAP: (u16, u16) = (0, 2);
/// Begins and ends the colour of a cell.
const ESCAPE: &str = "\u{1b}[";

/// A table without lines, as wide as the terminal at most.
fn plain<R: Into<comfy_table::Row>>(header: &[&str], rows: impl IntoIterator<Item = R>) -> String {
    let titles = header
        .iter()
        .map(|title| Cell::new(title).add_attribute(Attribute::Dim));
    let mut table = Table::new();
    // A terminal that nobody looks at may say that it has no columns.
    let arrangement = match table.width() {
        Some(0) => ContentArrangement::Disabled,
        _ => ContentArrangement::Dynamic,
    };
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(arrangement)
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

/// Without the spaces at the end, which may stand inside the last cells' colours.
fn trimmed(line: &str) -> String {
    let mut rest = line.trim_end();
    let mut colours = Vec::new();
    while let Some(at) = rest.rfind(ESCAPE).filter(|at| is_colour(&rest[*at..])) {
        colours.push(&rest[at..]);
        rest = rest[..at].trim_end();
    }
    colours.push(rest);
    colours.into_iter().rev().collect()
}

fn is_colour(text: &str) -> bool {
    let digits = text
        .strip_prefix(ESCAPE)
        .and_then(|rest| rest.strip_suffix('m'));
    digits.is_some_and(|digits| digits.chars().all(|one| one.is_ascii_digit() || one == ';'))
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
