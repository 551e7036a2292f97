//! `make demo`: the main road as a person sees it. Three CDNs, five real caches, and the real `fedctl`.
//!
//! Invariant: nothing is claimed that was not looked at. Every cache is asked as a visitor asks it, before and after,
//! and the first thing that is not as it should be ends the demo with an error.
//! Not here: how servers are started (`crate::caches` and the others), what `fedctl` shows.

mod cast;
mod content;
mod fedctl;
mod keep;
mod outcome;
mod passes;
mod proof;
mod screen;
mod stage;
mod story;

use std::process::ExitCode;

use anyhow::{Error, Result};

pub use self::{keep::Keys, stage::Stage};

/// Plays the whole demo. What it returns still runs; dropping it ends everything.
pub async fn play() -> Result<Stage> {
    screen::title("Three CDNs and one command broker: a purge that reaches every cache");
    let stage = story::start().await?;
    story::introduce(&stage).await?;
    story::load(&stage).await?;
    let (part, took) = story::purge_urls(&stage).await?;
    story::purge_prefix(&stage).await?;
    story::purge_tag(&stage).await?;
    screen::line(&format!(
        "\nWhat is old above is what not everybody could purge. Part {part}, the purge by URL, in one line:"
    ));
    screen::result(&format!(
        "demo: {} servers of {} participants, {} objects: all HIT before, all fresh after, {} ms",
        stage.servers.len(),
        stage.participants().len(),
        content::OBJECTS.len(),
        took.as_millis()
    ));
    Ok(stage)
}

/// Says what was wrong.
pub fn failed(error: &Error) -> ExitCode {
    screen::error(&format!("demo: {error:#}"));
    ExitCode::FAILURE
}

/// Says that the end is near. It takes a few seconds.
pub fn stopping() {
    screen::line("\nStopping everything.");
}

/// Says that a signal ended it, when everything has been stopped.
pub fn stopped(signal: u8) -> ExitCode {
    screen::error("demo: stopped before its end; nothing is left running");
    ExitCode::from(128 + signal)
}
