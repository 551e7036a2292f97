//! A file that is read at the start and again when it has changed: a key, a list of keys.
//!
//! Invariant: whoever asks gets what last could be read, whole; a new content that cannot be read is logged once and the old
//! one stays. A private file that others can read is refused, at the start and later.
//! Not here: what the file holds. No error shows anything of it.

use std::{
    fmt, fs,
    io::{self, Read as _},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use thiserror::Error;
use tracing::{error, info};

/// How often it is looked whether the file has changed.
pub const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Bytes of such a file.
pub const FILE_BYTES: u64 = 1024 * 1024;
/// What nobody but the owner may do with a private file that is ours.
const OTHERS: u32 = 0o077;
/// And with one in a folder that is closed to them, or that somebody gave us, as a container's secrets are: we could not read it
/// if its owner alone might.
const OTHERS_WRITE: u32 = 0o022;

/// Who may read the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Its owner alone (mode 600, or a folder with mode 700), where that is who we are; otherwise nobody else may write it.
    Private,
    /// Anybody.
    Public,
}

/// Why a file is not taken.
#[derive(Debug, Error)]
pub enum WatchedError {
    /// It cannot be read.
    #[error("cannot read {file}")]
    Unreadable {
        /// Which.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others may read or write it.
    #[error("{file} is private and has mode {mode:03o}: take it from group and others (chmod 600)")]
    Open {
        /// Which.
        file: PathBuf,
        /// What it has.
        mode: u32,
    },
    /// It holds something else.
    #[error("{file} {rule}")]
    Content {
        /// Which.
        file: PathBuf,
        /// As a sentence without a subject.
        rule: String,
    },
}

/// What tells that a file is another one: place on the disk, size, moment of change.
type Mark = (u64, u64, i64, i64);

type Reader<T> = Box<dyn Fn(&str) -> Result<T, String> + Send + Sync>;

/// A file and what was last read of it.
pub struct Watched<T> {
    file: PathBuf,
    access: Access,
    read: Reader<T>,
    state: Mutex<State<T>>,
}

struct State<T> {
    value: Arc<T>,
    /// Of what was last looked at, read or refused.
    mark: Option<Mark>,
    looked: Instant,
}

impl<T> Watched<T> {
    /// Reads the file; `read` says what is wrong with a content as a sentence without a subject.
    pub fn open(
        file: &Path,
        access: Access,
        read: impl Fn(&str) -> Result<T, String> + Send + Sync + 'static,
    ) -> Result<Self, WatchedError> {
        let read: Reader<T> = Box::new(read);
        let mark = mark(file).ok();
        let value = Arc::new(load(file, access, &read)?);
        let state = State {
            value,
            mark,
            looked: Instant::now(),
        };
        Ok(Self {
            file: file.to_owned(),
            access,
            read,
            state: Mutex::new(state),
        })
    }

    /// What stands in the file, as it was at most a second ago.
    pub fn current(&self) -> Arc<T> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.looked.elapsed() >= LOOK_EVERY {
            state.looked = Instant::now();
            self.look(&mut state);
        }
        Arc::clone(&state.value)
    }

    fn look(&self, state: &mut State<T>) {
        // A file that is gone for a moment, while it is replaced, has no mark; what was read of it counts on.
        let Ok(mark) = mark(&self.file) else { return };
        if state.mark == Some(mark) {
            return;
        }
        state.mark = Some(mark);
        match load(&self.file, self.access, &self.read) {
            Ok(value) => {
                state.value = Arc::new(value);
                info!(file = %self.file.display(), "a file has changed and is read again");
            }
            Err(failure) => {
                error!(
                    error = %crate::exit::Chain(&failure),
                    "a file has changed and is not taken; what it held before counts on"
                );
            }
        }
    }
}

impl<T> fmt::Debug for Watched<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watched")
            .field("file", &self.file)
            .finish_non_exhaustive()
    }
}

fn mark(file: &Path) -> io::Result<Mark> {
    let data = fs::metadata(file)?;
    Ok((data.ino(), data.size(), data.mtime(), data.mtime_nsec()))
}

fn load<T>(file: &Path, access: Access, read: &Reader<T>) -> Result<T, WatchedError> {
    let unreadable = |source| WatchedError::Unreadable {
        file: file.to_owned(),
        source,
    };
    let opened = fs::File::open(file).map_err(unreadable)?;
    let data = opened.metadata().map_err(unreadable)?;
    let mode = data.permissions().mode() & 0o777;
    let is_open = is_ours(&data) && !is_in_closed_folder(file);
    let denied = if is_open { OTHERS } else { OTHERS_WRITE };
    if access == Access::Private && mode & denied != 0 {
        let file = file.to_owned();
        return Err(WatchedError::Open { file, mode });
    }
    let mut text = String::new();
    opened
        .take(FILE_BYTES)
        .read_to_string(&mut text)
        .map_err(unreadable)?;
    read(&text).map_err(|rule| WatchedError::Content {
        file: file.to_owned(),
        rule,
    })
}

/// Whether nobody but its owner can even get to the file.
fn is_in_closed_folder(file: &Path) -> bool {
    let folder = file.parent().and_then(|folder| fs::metadata(folder).ok());
    folder.is_some_and(|folder| folder.permissions().mode() & OTHERS == 0)
}

/// Whether this process runs as the file's owner.
fn is_ours(data: &fs::Metadata) -> bool {
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == data.uid())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Result<u32, String> {
        text.trim()
            .parse()
            .map_err(|_| "must hold a number".to_owned())
    }

    /// Looks now, however short ago the last look was.
    fn now<T>(watched: &Watched<T>) -> Arc<T> {
        watched.state.lock().unwrap().looked = Instant::now().checked_sub(LOOK_EVERY).unwrap();
        watched.current()
    }

    /// A new content counts without a restart; nonsense, and a file that is gone, leave the old one.
    #[test]
    fn a_changed_file_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("number");
        fs::write(&file, "1").unwrap();
        let watched = Watched::open(&file, Access::Public, number).unwrap();
        assert_eq!(*watched.current(), 1);
        fs::write(&file, "22").unwrap();
        assert_eq!(*now(&watched), 22);
        fs::write(&file, "planted").unwrap();
        assert_eq!(*now(&watched), 22);
        fs::remove_file(&file).unwrap();
        assert_eq!(*now(&watched), 22);
        fs::write(&file, "333").unwrap();
        assert_eq!(*now(&watched), 333);
    }

    /// A private file that others may read is no secret any more.
    #[test]
    fn a_private_file_is_its_owners_alone() {
        let closed = tempfile::tempdir().unwrap();
        let folder = closed.path().join("open");
        fs::create_dir(&folder).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
        let file = folder.join("key");
        fs::write(&file, "1").unwrap();
        for (mode, is_private) in [(0o644, false), (0o640, false), (0o600, true), (0o400, true)] {
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
            let opened = Watched::open(&file, Access::Private, number);
            assert_eq!(opened.is_ok(), is_private, "{mode:o}");
        }
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
        assert!(Watched::open(&file, Access::Private, number).is_ok());
        fs::set_permissions(&file, fs::Permissions::from_mode(0o646)).unwrap();
        assert!(Watched::open(&file, Access::Private, number).is_err());
        assert!(Watched::open(&folder.join("none"), Access::Private, number).is_err());
    }
}
