//! What a process takes of the machine, as the kernel tells it.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result};

/// Memory and files of one process at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Taken {
    /// Resident memory in bytes.
    pub(super) memory: u64,
    /// Open file descriptors, sockets included.
    pub(super) descriptors: u64,
}

/// What a process takes now.
pub(super) fn taken(pid: u32) -> Result<Taken> {
    let folder = PathBuf::from(format!("/proc/{pid}"));
    let status = fs::read_to_string(folder.join("status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    Ok(Taken {
        memory: kibibytes.context("a process has memory")? * 1024,
        descriptors: fs::read_dir(folder.join("fd"))?.count() as u64,
    })
}

/// Whole mebibytes.
pub(super) const fn mebibytes(bytes: u64) -> u64 {
    bytes.div_ceil(1024 * 1024)
}
