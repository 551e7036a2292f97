//! `docs/guarantees.md`: no promise without a test that stands where the document says.

use std::{fs, path::Path};

use anyhow::{Context, Result, ensure};

use super::path;

/// A promise begins with bold type at the start of a line, and ends with a line of its tests.
fn promises(text: &str) -> Result<Vec<(String, String)>> {
    let (kept, _) = text
        .split_once("## What is not promised")
        .context("the document says what is not promised")?;
    let paragraphs = kept.split("\n\n").map(str::trim);
    let promises = paragraphs.filter(|paragraph| paragraph.starts_with("**"));
    promises
        .map(|promise| {
            let (_, tests) = promise
                .rsplit_once("\n— ")
                .with_context(|| format!("no test is named for: {promise}"))?;
            let (title, _) = promise.split_once("**\n").unwrap_or((promise, ""));
            Ok((title.to_owned(), tests.to_owned()))
        })
        .collect()
}

/// A reader who doubts a promise can read its test.
#[test]
fn every_promise_names_a_test_that_is_there() -> Result<()> {
    let text = fs::read_to_string(path("docs/guarantees.md"))?;
    let makefile = fs::read_to_string(path("Makefile"))?;
    let promises = promises(&text)?;
    ensure!(
        promises.len() > 10,
        "{} promises were found",
        promises.len()
    );
    for (promise, tests) in promises {
        let mut named = tests.split('`').skip(1).step_by(2).peekable();
        ensure!(named.peek().is_some(), "{promise}: {tests}");
        for test in named {
            let there = match test.strip_prefix("make ") {
                Some(target) => makefile.contains(&format!("\n{target}:")),
                None => Path::new(&path(test)).exists(),
            };
            ensure!(there, "{promise}: {test} is not there");
        }
    }
    Ok(())
}
