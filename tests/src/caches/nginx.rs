//! nginx 1.22 with the cache-purge module 2.3, with `config/caches/nginx.conf`.

use std::{fs, process::Command};

use anyhow::Result;

use super::{Place, fill};
use crate::process::Process;

const CONFIGURATION: &str = include_str!("../../../config/caches/nginx.conf");

pub(super) fn start(place: &Place<'_>) -> Result<Process> {
    let file = place.folder.join("nginx.conf");
    let configuration = fill(
        CONFIGURATION,
        &[
            ("LISTEN", &place.listen.to_string()),
            ("ORIGIN", &place.origin.to_string()),
            ("ADAPTER", &place.listen.ip().to_string()),
            ("FOLDER", &place.folder.to_string_lossy()),
        ],
    )?;
    fs::write(&file, configuration)?;
    let mut command = Command::new("nginx");
    command
        .args(["-e", "stderr", "-p", "/usr/lib/nginx", "-c"])
        .arg(&file);
    Process::start("nginx", place.folder, command)
}
