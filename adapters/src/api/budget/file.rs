//! The file with what an account has left: locked, read, written, unlocked.
//!
//! Invariant: one process at a time has it, whatever machine it is on, as far as the file system's locks reach. It is never
//! waited for on a disk: what a crash of the machine loses begins anew, empty.

use std::{
    fs,
    io::{self, Read, Seek, SeekFrom, Write},
    path::PathBuf,
};

use service::exit::Chain;
use tracing::warn;

use super::Levels;

/// Bytes of a file; what is longer is not ours.
const BYTES: u64 = 64 * 1024;

/// Where it is, and whether it was said already that it cannot be used.
#[derive(Debug)]
pub(super) struct File {
    path: PathBuf,
    open: Option<fs::File>,
    is_broken: bool,
}

/// The file as long as it is ours alone.
#[derive(Debug)]
pub(super) struct Locked(fs::File);

impl File {
    pub(super) fn new(path: PathBuf) -> Self {
        Self {
            path,
            open: None,
            is_broken: false,
        }
    }

    /// Waits until nobody else has it; `None` where it cannot be used.
    pub(super) fn lock(&mut self) -> Option<Locked> {
        match self.try_lock() {
            Ok(file) => {
                self.is_broken = false;
                Some(Locked(file))
            }
            Err(error) => {
                if !std::mem::replace(&mut self.is_broken, true) {
                    warn!(
                        file = %self.path.display(),
                        error = %Chain(&error),
                        "a budget is not shared: its file cannot be used"
                    );
                }
                self.open = None;
                None
            }
        }
    }

    fn try_lock(&mut self) -> io::Result<fs::File> {
        if self.open.is_none() {
            if let Some(folder) = self.path.parent() {
                fs::create_dir_all(folder)?;
            }
            let mut options = fs::OpenOptions::new();
            options.read(true).write(true).create(true).truncate(false);
            self.open = Some(options.open(&self.path)?);
        }
        let file = self.open.as_ref().ok_or(io::ErrorKind::NotFound)?;
        let file = file.try_clone()?;
        file.lock()?;
        Ok(file)
    }
}

impl Locked {
    /// What stands there, if anything that we understand does.
    pub(super) fn read(&self) -> Option<Levels> {
        let mut file = &self.0;
        let mut text = String::new();
        file.seek(SeekFrom::Start(0)).ok()?;
        file.take(BYTES).read_to_string(&mut text).ok()?;
        serde_json::from_str(&text).ok()
    }

    /// Not being able to write is the next one's to find out: he reads what was there before.
    pub(super) fn write(&self, levels: &Levels) {
        let mut file = &self.0;
        let text = serde_json::to_vec(levels).unwrap_or_default();
        let written = file
            .seek(SeekFrom::Start(0))
            .and_then(|_| file.write_all(&text))
            .and_then(|()| file.set_len(text.len() as u64));
        if let Err(error) = written {
            warn!(error = %Chain(&error), "a budget was not written down");
        }
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        // Copies of a descriptor share its lock, so closing this one would not give it back.
        let _ = self.0.unlock();
    }
}
