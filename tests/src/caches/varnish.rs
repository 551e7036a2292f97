//! Varnish 7.1, with `config/caches/varnish.vcl`.

use std::{fs, process::Command};

use anyhow::{Result, ensure};

use super::{Place, fill};
use crate::process::Process;

const VCL: &str = include_str!("../../../config/caches/varnish.vcl");

/// Memory for objects: enough for tests, little enough for many caches side by side.
const STORAGE: &str = "malloc,64m";

/// What removes a URL in the shipped file, and what a deaf one does instead.
const PURGES: (&str, &str) = ("purge.hard();", "\"1\";");

pub(super) fn start(place: &Place<'_>) -> Result<Process> {
    start_with(place, VCL)
}

/// The same, but a purge of a URL says `1` and removes nothing.
pub(super) fn start_deaf(place: &Place<'_>) -> Result<Process> {
    let (purges, says) = PURGES;
    ensure!(
        VCL.contains(purges),
        "the shipped file purges otherwise now"
    );
    start_with(place, &VCL.replace(purges, says))
}

fn start_with(place: &Place<'_>, vcl: &str) -> Result<Process> {
    let file = place.folder.join("varnish.vcl");
    let vcl = fill(
        vcl,
        &[
            ("ORIGIN_HOST", &place.origin.ip().to_string()),
            ("ORIGIN_PORT", &place.origin.port().to_string()),
            ("ADAPTER", &place.listen.ip().to_string()),
        ],
    )?;
    fs::write(&file, vcl)?;
    let mut command = Command::new("varnishd");
    command
        .args(["-F", "-a", &place.listen.to_string(), "-s", STORAGE])
        // No admin port: nobody needs it, and another process could find it.
        .args(["-T", "none"])
        .arg("-f")
        .arg(&file)
        .arg("-n")
        .arg(place.folder.join("varnish"));
    Process::start("varnish", place.folder, command)
}
