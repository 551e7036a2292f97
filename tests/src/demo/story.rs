//! The steps of the demo, in the order in which a person sees them.
//!
//! Invariant: before each purge every cache holds what is to be purged and the origin has something newer; so a cache
//! that shows the newer one was told.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::{
    cast::{CONFIGURATION, OWNER, Server},
    content::{HOST, Item, PREFIX, TAG, has_prefix, has_tag, urls},
    fedctl::{self, End},
    outcome::Outcome,
    proof::{self, HIT_FRESH, HIT_OLD, MISS_FRESH},
    screen,
    stage::Stage,
};

/// Starts everything.
pub(super) async fn start() -> Result<Stage> {
    screen::step("Start a RabbitMQ, a Redis, an origin, five caches, a broker and three adapters");
    Stage::start().await
}

/// Shows who takes part.
pub(super) async fn introduce(stage: &Stage) -> Result<()> {
    screen::step("Who takes part: alder owns www.shop.example, and all three carry it");
    fedctl::run_as_operator(stage, &["participants"], End::Done).await?;
    screen::line("");
    fedctl::run_as_operator(stage, &["servers"], End::Done).await
}

/// Fills every cache, and shows that it is full.
pub(super) async fn load(stage: &Stage) -> Result<()> {
    screen::step("alder loads its customer's objects into every cache");
    let urls = urls();
    fedctl::run(stage, &with(&["load"], &urls), End::Done).await?;
    screen::line("\nEach cache, asked as a visitor asks it:");
    let loaded = proof::look(stage, "after the load", |_, _| HIT_FRESH).await?;
    proof::show(stage, &loaded);
    proof::require(stage, &loaded)
}

/// Purges every object by its URL everywhere, and returns which step that is, and how long it took.
pub(super) async fn purge_urls(stage: &Stage) -> Result<(u32, Duration)> {
    let part =
        screen::step("The origin changes all of them, and alder purges them by URL, everywhere");
    stage.shop.change(|_| true);
    let before = proof::look(stage, "before", |_, _| HIT_OLD).await?;
    let urls = urls();
    fedctl::run(stage, &with(&["purge", "--watch"], &urls), End::Done).await?;
    let outcome = Outcome::newest(stage).await?;
    let after = proof::look(stage, "after", |_, _| MISS_FRESH).await?;
    let took = outcome.took()?;
    screen::line(&format!(
        "\nThe proof: every cache, asked before and after. It took {} ms from acceptance to the last report.",
        took.as_millis()
    ));
    proof::compare(stage, &before, &outcome, &after);
    proof::require(stage, &before)?;
    proof::require(stage, &after)?;
    Ok((part, took))
}

/// Purges a directory, which only some of the servers can.
pub(super) async fn purge_prefix(stage: &Stage) -> Result<()> {
    screen::step(&format!(
        "The origin changes {PREFIX}, and alder purges the prefix: not every cache can"
    ));
    screen::line(
        "cedar has a system of its own before its server, and has declared what that can do: URLs.\n",
    );
    let prefix = format!("{HOST}{PREFIX}");
    let purge = ["purge", "--prefix", &prefix];
    purge_some(stage, has_prefix, has_prefix, &purge).await
}

/// Purges a tag, which only some of the servers can.
pub(super) async fn purge_tag(stage: &Stage) -> Result<()> {
    screen::step(&format!(
        "The origin changes what it tags \"{TAG}\", and alder purges the tag"
    ));
    // Those who could not purge the prefix still hold what was old then.
    let is_old = |item: &Item| has_prefix(item) || has_tag(item);
    let purge = ["purge", CONFIGURATION, "--tag", TAG];
    purge_some(stage, has_tag, is_old, &purge).await
}

/// Shows the plan, purges, and shows that the owner's servers did it and no more, and the others nothing. `is_meant` is
/// what the purge names, `is_old_elsewhere` what is old then at the others.
async fn purge_some(
    stage: &Stage,
    is_meant: impl Fn(&Item) -> bool,
    is_old_elsewhere: impl Fn(&Item) -> bool,
    purge: &[&str],
) -> Result<()> {
    stage.shop.change(&is_meant);
    let held = |server: &Server, item: &Item| {
        let is_own = server.participant == OWNER;
        let is_old = if is_own {
            is_meant(item)
        } else {
            is_old_elsewhere(item)
        };
        if is_old { HIT_OLD } else { HIT_FRESH }
    };
    let wanted = |server: &Server, item: &Item| {
        let is_told = server.participant == OWNER && is_meant(item);
        if is_told {
            MISS_FRESH
        } else {
            held(server, item)
        }
    };
    let before = proof::look(stage, "before", held).await?;
    fedctl::run(stage, &[&["plan"], purge].concat(), End::Done).await?;
    screen::line("");
    fedctl::run(stage, purge, End::Partly).await?;
    let outcome = Outcome::newest(stage).await?;
    let after = proof::look(stage, "after", wanted).await?;
    screen::line("");
    proof::compare(stage, &before, &outcome, &after);
    proof::require(stage, &before)?;
    proof::require(stage, &after)?;
    name_the_unable(stage, &outcome)
}

/// Says who could not, and why, in the words in which the originator was told.
fn name_the_unable(stage: &Stage, outcome: &Outcome) -> Result<()> {
    for participant in stage.participants() {
        let why_not = outcome.why_not(participant);
        ensure!(
            why_not.is_none() == (participant == OWNER),
            "{participant} should {}have been able to do that\n{}",
            if participant == OWNER { "" } else { "not " },
            stage.logs_of(participant)
        );
        if let Some(why_not) = why_not {
            screen::line(&format!(
                "{participant} cannot, and keeps the old: {why_not}"
            ));
        }
    }
    Ok(())
}

fn with<'a>(verb: &[&'a str], urls: &'a [String]) -> Vec<&'a str> {
    let urls = urls.iter().map(String::as_str);
    verb.iter().copied().chain(urls).collect()
}
