//! `docs/guarantees.md` and `docs/security.md`: no promise and no defence without a test that stands where the document says.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};

use super::path;
use crate::workspace::workspace;

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

/// A reader who doubts a defence can read its test.
#[test]
fn every_threat_names_a_defence_and_a_test_that_is_there() -> Result<()> {
    let text = fs::read_to_string(path("docs/security.md"))?;
    let (defended, _) = text
        .split_once("## What is not defended")
        .context("the document says what is not defended")?;
    let sources = Sources::read()?;
    let mut threats = 0;
    for row in defended.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let [threat, defence, tests] = *cells.as_slice() else {
            anyhow::bail!("threat, defence, test: {row}");
        };
        if threat == "threat" {
            continue;
        }
        ensure!(!threat.is_empty() && !defence.is_empty(), "{row}");
        let named: Vec<&str> = tests.split('`').skip(1).step_by(2).collect();
        let refers = tests.starts_with("the same") || tests.starts_with("the first of these");
        ensure!(refers || !named.is_empty(), "{threat}: {tests}");
        for test in named {
            ensure!(sources.have(test), "{threat}: {test} is not there");
        }
        threats += 1;
    }
    ensure!(threats > 10, "{threats} threats were found");
    Ok(())
}

/// All sources of the workspace.
struct Sources(Vec<(PathBuf, String)>);

impl Sources {
    fn read() -> Result<Self> {
        let mut sources = Self(Vec::new());
        for package in workspace()?.workspace_packages() {
            let folder = package.manifest_path.parent().context("it has a folder")?;
            for inside in ["src", "tests"] {
                sources.add(&folder.join(inside).into_std_path_buf())?;
            }
        }
        Ok(sources)
    }

    fn add(&mut self, folder: &Path) -> Result<()> {
        let Ok(entries) = fs::read_dir(folder) else {
            return Ok(());
        };
        for entry in entries {
            let path = entry?.path();
            if path.is_dir() {
                self.add(&path)?;
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let text = fs::read_to_string(&path)?;
                self.0.push((path, text));
            }
        }
        Ok(())
    }

    /// Whether there is this file, `file::function`, `module::function`, function or module.
    fn have(&self, test: &str) -> bool {
        let (of, last) = test.rsplit_once("::").unwrap_or(("", test));
        let is_file = Path::new(of)
            .extension()
            .is_some_and(|ending| ending == "rs");
        let file = if is_file { of } else { "" };
        let function = format!("fn {last}(");
        let mut files = self
            .0
            .iter()
            .filter(|(path, _)| file.is_empty() || path.ends_with(file));
        let is_module = || {
            let module = test
                .split_once("::")
                .map(|(package, rest)| path(&format!("{package}/src/{}", rest.replace("::", "/"))));
            module.is_some_and(|path| path.is_dir() || path.with_extension("rs").is_file())
        };
        path(test).is_file() || files.any(|(_, text)| text.contains(&function)) || is_module()
    }
}
