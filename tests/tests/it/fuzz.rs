//! What fuzzing starts from, and what it ever found, played again without the fuzzer.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Result;

#[allow(
    unreachable_pub,
    dead_code,
    reason = "the crate of the fuzz targets, which is a workspace of its own"
)]
#[path = "../../fuzz/src/lib.rs"]
mod targets;

fn inputs(folder: &str, target: &str) -> Vec<PathBuf> {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let files = fs::read_dir(fuzz.join(folder).join(target));
    files
        .into_iter()
        .flatten()
        .filter_map(|file| Some(file.ok()?.path()))
        .collect()
}

/// Each input that a parser once broke on is kept, and it breaks on none any more.
#[test]
fn every_input_that_was_found_is_harmless_now() -> Result<()> {
    for (target, run) in targets::ALL {
        let seeds = inputs("seeds", target);
        assert!(!seeds.is_empty(), "{target} has something to start from");
        for file in seeds.into_iter().chain(inputs("regressions", target)) {
            run(&fs::read(&file)?);
        }
    }
    Ok(())
}

/// Every target is a program of the fuzzer's.
#[test]
fn every_target_is_fuzzed() -> Result<()> {
    let manifest: toml::Table = include_str!("../../fuzz/Cargo.toml").parse()?;
    let programs = manifest["bin"].as_array().into_iter().flatten();
    let programs: Vec<_> = programs
        .filter_map(|program| program["name"].as_str())
        .collect();
    assert_eq!(programs, targets::ALL.map(|(name, _)| name));
    Ok(())
}
