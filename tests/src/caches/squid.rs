//! Squid 5.7, with `config/caches/squid.conf`.

use std::{fs, process::Command};

use anyhow::Result;

use super::{Place, fill};
use crate::process::Process;

const CONFIGURATION: &str = include_str!("../../../config/caches/squid.conf");

pub(super) fn start(place: &Place<'_>) -> Result<Process> {
    let file = place.folder.join("squid.conf");
    let name = format!("squid{}", place.listen.port());
    let configuration = fill(
        CONFIGURATION,
        &[
            ("LISTEN", &place.listen.to_string()),
            ("NAME", &name),
            ("ORIGIN_HOST", &place.origin.ip().to_string()),
            ("ORIGIN_PORT", &place.origin.port().to_string()),
            ("ADAPTER", &place.listen.ip().to_string()),
        ],
    )?;
    fs::write(&file, configuration)?;
    let mut command = Command::new("squid");
    // A service name of its own: two Squids of one name share memory.
    command.args(["-N", "-n", &name, "-f"]).arg(&file);
    Process::start("squid", place.folder, command)
}
