//! Asks every cache for every object, as a visitor does, and compares what it says with what should be.
//!
//! Invariant: a cell of a table is what a cache answered; one that is not as it should be is red, and an error.

use std::{fmt, time::Duration};

use anyhow::{Result, bail};
use comfy_table::{Attribute, Cell, Color, Row};

use super::{
    cast::Server,
    content::{Age, HOST, Item, OBJECTS},
    outcome::Outcome,
    screen,
    stage::Stage,
};

/// What a visitor sees of one object at one cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sight {
    hit: bool,
    age: Age,
}

/// From the cache, and what the origin has.
pub(super) const HIT_FRESH: Sight = sight(true, Age::Fresh);
/// From the cache, and not what the origin has any more.
pub(super) const HIT_OLD: Sight = sight(true, Age::Old);
/// From the origin, through the cache.
pub(super) const MISS_FRESH: Sight = sight(false, Age::Fresh);

const fn sight(hit: bool, age: Age) -> Sight {
    Sight { hit, age }
}

impl fmt::Display for Sight {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hit = if self.hit { "HIT" } else { "MISS" };
        let age = match self.age {
            Age::Fresh => "fresh",
            Age::Old => "old",
            Age::Wrong => "WRONG",
        };
        write!(out, "{hit} {age}")
    }
}

/// What every cache showed of every object: a line per server, in the stage's order.
#[derive(Debug)]
pub(super) struct Look {
    when: &'static str,
    seen: Vec<[Sight; OBJECTS.len()]>,
    wanted: Vec<[Sight; OBJECTS.len()]>,
}

/// Asks all servers, those side by side, and compares with what `wanted` says of a server and an object.
pub(super) async fn look(
    stage: &Stage,
    when: &'static str,
    wanted: impl Fn(&Server, &Item) -> Sight,
) -> Result<Look> {
    let asked = stage.servers.iter().map(|server| ask(stage, server));
    let seen = futures::future::try_join_all(asked).await?;
    let wanted = |server| OBJECTS.each_ref().map(|item| wanted(server, item));
    Ok(Look {
        when,
        seen,
        wanted: stage.servers.iter().map(wanted).collect(),
    })
}

async fn ask(stage: &Stage, server: &Server) -> Result<[Sight; OBJECTS.len()]> {
    let mut sights = [sight(false, Age::Wrong); OBJECTS.len()];
    for (position, item) in OBJECTS.iter().enumerate() {
        let probe = server.cache.probe(HOST, item.path).await?;
        sights[position] = Sight {
            hit: probe.hit,
            age: stage.shop.age(position, &probe.body),
        };
    }
    Ok(sights)
}

/// Shows one look at all servers.
pub(super) fn show(stage: &Stage, look: &Look) {
    let rows = stage.servers.iter().enumerate();
    let rows = rows.map(|(index, server)| {
        let name = std::iter::once(Cell::new(server.id));
        Row::from(name.chain(look.cells(index)).collect::<Vec<_>>())
    });
    let paths = OBJECTS.iter().map(|item| item.path);
    let header: Vec<_> = std::iter::once("SERVER").chain(paths).collect();
    screen::table(&header, rows.collect());
}

/// Shows what was before and what is after, and how long each server took.
pub(super) fn compare(stage: &Stage, before: &Look, outcome: &Outcome, after: &Look) {
    let rows = stage
        .servers
        .iter()
        .enumerate()
        .flat_map(|(index, server)| {
            let took = outcome
                .took_at(server.id)
                .map_or("not told".to_owned(), milliseconds);
            [
                row(server.id, before, index, ""),
                row("", after, index, &took),
            ]
        });
    let paths = OBJECTS.iter().map(|item| item.path);
    let header = ["SERVER", ""].into_iter().chain(paths).chain(["TOOK"]);
    screen::table(&header.collect::<Vec<_>>(), rows.collect());
}

fn row(name: &str, look: &Look, index: usize, took: &str) -> Row {
    let first = [
        Cell::new(name),
        Cell::new(look.when).add_attribute(Attribute::Dim),
    ];
    let cells = first.into_iter().chain(look.cells(index));
    Row::from(cells.chain([Cell::new(took)]).collect::<Vec<_>>())
}

/// Ends the demo unless every cache showed what it should, with the logs of those that did not.
pub(super) fn require(stage: &Stage, look: &Look) -> Result<()> {
    let mut wrong = Vec::new();
    let mut logs = String::new();
    for (index, server) in stage.servers.iter().enumerate() {
        let pairs = look.seen[index].iter().zip(&look.wanted[index]);
        let misses = OBJECTS
            .iter()
            .zip(pairs)
            .filter(|(_, (seen, wanted))| seen != wanted);
        let before = wrong.len();
        wrong.extend(misses.map(|(item, (seen, wanted))| {
            format!(
                "{}{} is {seen} and should be {wanted}",
                server.id, item.path
            )
        }));
        if wrong.len() > before && !logs.contains(server.participant) {
            logs.push_str(&stage.logs_of(server.participant));
        }
    }
    if wrong.is_empty() {
        return Ok(());
    }
    bail!("{}: {}\n{logs}", look.when, wrong.join("; "))
}

impl Look {
    fn cells(&self, index: usize) -> impl Iterator<Item = Cell> {
        let pairs = self.seen[index].into_iter().zip(self.wanted[index]);
        pairs.map(|(seen, wanted)| {
            let cell = Cell::new(seen.to_string());
            if seen != wanted {
                return cell.fg(Color::Red).add_attribute(Attribute::Bold);
            }
            match seen {
                MISS_FRESH => cell.fg(Color::DarkGreen),
                HIT_OLD => cell.fg(Color::DarkYellow),
                _ => cell,
            }
        })
    }
}

fn milliseconds(took: Duration) -> String {
    match took.as_millis() {
        0 => "< 1 ms".to_owned(),
        millis => format!("{millis} ms"),
    }
}
