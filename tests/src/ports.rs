//! Free loopback ports for servers, without collisions between processes that run side by side.
//!
//! Invariant: a port that was given out is given to nobody else while this process lives. Each is a locked file in
//! one folder of this machine, and the kernel drops the locks of a process that ends. The ports lie below the range
//! that the kernel uses for outgoing connections, so that no client takes one between here and the server's start.

use std::{
    fs::{self, File},
    io,
    net::{Ipv4Addr, TcpListener},
    ops::Range,
    path::PathBuf,
    sync::Mutex,
};

use anyhow::{Context, Result};

/// Below Linux's usual range of ports for outgoing connections, which starts at 32768.
const RANGE: Range<u16> = 20_000..32_000;

/// The locks of the ports that this process was given.
static TAKEN: Mutex<Vec<File>> = Mutex::new(Vec::new());

/// A free port of 127.0.0.1, kept for this process until it ends.
pub fn free() -> Result<u16> {
    let folder = folder()?;
    let first = rand::random_range(RANGE);
    for port in (first..RANGE.end).chain(RANGE.start..first) {
        let lock = File::create(folder.join(port.to_string()))?;
        if lock.try_lock().is_ok() && is_free(port) {
            TAKEN
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner)
                .push(lock);
            return Ok(port);
        }
    }
    Err(io::Error::from(io::ErrorKind::AddrInUse)).context("every port of the range is taken")
}

/// Whether nobody listens there, whoever it may be.
fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok()
}

/// One folder for all of a user's processes, wherever each keeps its temporary files; per user, so that nobody meets locks which belong to another.
fn folder() -> Result<PathBuf> {
    let user = rustix::process::getuid().as_raw();
    let folder = PathBuf::from(format!("/tmp/federation-ports-{user}"));
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(folder)
}
