//! The authority's folder: `authority.pem`, `authority.key`, the deny list `revoked`, a key and a certificate for each holder,
//! and in `issued` each certificate by its serial number.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use super::{
    authority::{Authority, Holder, Leaf},
    read::certificate_of,
};
use crate::{failure::Failure, view::CertificateView};

/// What the deny list begins with.
const HEAD: &str = "# Certificates that count no more: a serial number on each line. Brokers have this file as listen.revoked.\n";
const SECRET: u32 = 0o600;
const PUBLIC: u32 = 0o644;

/// The folder.
pub(super) struct Folder(PathBuf);

impl Folder {
    /// Makes a folder with what belongs into it.
    pub(super) fn create(path: PathBuf, authority: &Authority) -> Result<Self, Failure> {
        let folder = Self(path);
        for own in [folder.authority(), folder.authority_key(), folder.revoked()] {
            vacant(&own)?;
        }
        let issued = folder.0.join("issued");
        fs::create_dir_all(&issued).map_err(made(&issued))?;
        write_new(&folder.authority_key(), &authority.key(), SECRET)?;
        write_new(&folder.authority(), authority.pem(), PUBLIC)?;
        write_new(&folder.revoked(), HEAD, PUBLIC)?;
        Ok(folder)
    }

    /// One that is there.
    pub(super) const fn open(path: PathBuf) -> Self {
        Self(path)
    }

    /// The authority's certificate, which brokers and callers trust.
    pub(super) fn authority(&self) -> PathBuf {
        self.0.join("authority.pem")
    }

    /// The authority's key, which nobody but the authority has.
    pub(super) fn authority_key(&self) -> PathBuf {
        self.0.join("authority.key")
    }

    /// The deny list.
    pub(super) fn revoked(&self) -> PathBuf {
        self.0.join("revoked")
    }

    /// Reads the authority.
    pub(super) fn load(&self) -> Result<Authority, Failure> {
        let (certificate, key) = (self.authority(), self.authority_key());
        let name = certificate.display().to_string();
        Authority::load(&name, &read(&certificate)?, &read(&key)?)
    }

    /// Where a holder's certificate and key go; refused where something is, unless it is to be replaced.
    pub(super) fn room_for(
        &self,
        holder: &Holder,
        renew: bool,
    ) -> Result<(PathBuf, PathBuf), Failure> {
        let stem = holder.file_stem();
        let file = |ending| self.0.join(format!("{stem}.{ending}"));
        let (certificate, key) = (file("pem"), file("key"));
        if !renew {
            vacant(&certificate)?;
            vacant(&key)?;
        }
        Ok((certificate, key))
    }

    /// Writes what was issued.
    pub(super) fn keep(&self, leaf: &Leaf, certificate: &Path, key: &Path) -> Result<(), Failure> {
        let record = self.0.join("issued").join(format!("{}.pem", leaf.serial));
        write_new(&record, &leaf.pem, PUBLIC)?;
        // Whoever reads in between finds two that do not fit, and looks again.
        replace(key, &leaf.key, SECRET)?;
        replace(certificate, &leaf.chain, PUBLIC)
    }

    /// All that was issued, who ends first above.
    pub(super) fn list(&self) -> Result<Vec<CertificateView>, Failure> {
        let revoked = self.revoked_serials()?;
        let issued = self.0.join("issued");
        let entries = fs::read_dir(&issued).map_err(unread(&issued))?;
        let mut certificates = Vec::new();
        for entry in entries {
            let path = entry.map_err(unread(&issued))?.path();
            let certificate = certificate_of(&path.display().to_string(), &read(&path)?)?;
            let is_revoked = revoked.contains(&certificate.serial);
            certificates.push(certificate.view(is_revoked));
        }
        certificates.sort_by(|one, other| {
            (&one.not_after, &one.holder, &one.serial).cmp(&(
                &other.not_after,
                &other.holder,
                &other.serial,
            ))
        });
        Ok(certificates)
    }

    /// What somebody has that still counts, where `typed` is a caller's path such as `participant/acme` and no file; of a
    /// participant, what its people have, too.
    pub(super) fn issued_to(&self, typed: &str) -> Result<Option<Vec<CertificateView>>, Failure> {
        let is_caller = matches!(
            typed.split('/').collect::<Vec<_>>()[..],
            ["participant" | "operator", _] | ["participant", _, "person", _]
        );
        if !is_caller || Path::new(typed).exists() {
            return Ok(None);
        }
        let mut certificates = self.list()?;
        let people = format!("{typed}/person/");
        let is_theirs = |holder: &str| holder == typed || holder.starts_with(&people);
        certificates.retain(|one| is_theirs(&one.holder) && one.counts());
        Ok(Some(certificates))
    }

    /// A certificate by its serial number, or by its file.
    pub(super) fn find(&self, typed: &str) -> Result<CertificateView, Failure> {
        let serial: String = typed.chars().filter(|one| *one != ':').collect();
        let serial = serial.to_ascii_lowercase();
        let serial = serial.trim_start_matches("0x").trim_start_matches('0');
        let is_serial = !serial.is_empty() && serial.bytes().all(|one| one.is_ascii_hexdigit());
        let record = self.0.join("issued").join(format!("{serial}.pem"));
        let path = if is_serial && record.exists() {
            record
        } else if is_serial && !Path::new(typed).is_file() {
            return Err(Failure::Usage(format!(
                "no certificate with the serial number {serial} was issued in {}",
                self.0.display()
            )));
        } else {
            typed.into()
        };
        let certificate = certificate_of(&path.display().to_string(), &read(&path)?)?;
        let issued = self
            .0
            .join("issued")
            .join(format!("{}.pem", certificate.serial));
        if !issued.exists() {
            return Err(Failure::Usage(format!(
                "{} was not issued in {}",
                path.display(),
                self.0.display()
            )));
        }
        let is_revoked = self.is_revoked(&certificate.serial)?;
        Ok(certificate.view(is_revoked))
    }

    /// Whether a serial number is on the deny list.
    pub(super) fn is_revoked(&self, serial: &str) -> Result<bool, Failure> {
        Ok(self.revoked_serials()?.iter().any(|one| one == serial))
    }

    /// Adds a line to the deny list.
    pub(super) fn revoke(&self, serial: &str, holder: &str) -> Result<(), Failure> {
        let path = self.revoked();
        let mut list = read(&path)?;
        if !list.is_empty() && !list.ends_with('\n') {
            list.push('\n');
        }
        // What stands behind # is for people, and must not begin a line of its own.
        let holder: String = holder.chars().filter(|one| !one.is_control()).collect();
        let line = format!("{serial}  # {holder}\n");
        list.push_str(&line);
        replace(&path, &list, PUBLIC)
    }

    fn revoked_serials(&self) -> Result<Vec<String>, Failure> {
        let list = read(&self.revoked())?;
        let entries = list.lines().map(|line| {
            let entry = line.split_once('#').map_or(line, |(entry, _)| entry);
            let entry = entry.trim().to_ascii_lowercase().replace(':', "");
            entry
                .trim_start_matches("0x")
                .trim_start_matches('0')
                .to_owned()
        });
        Ok(entries.filter(|entry| !entry.is_empty()).collect())
    }
}

fn read(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(unread(path))
}

fn unread(path: &Path) -> impl Fn(io::Error) -> Failure + use<> {
    let name = path.display().to_string();
    move |source| Failure::Read {
        name: name.clone(),
        source,
    }
}

fn made(path: &Path) -> impl Fn(io::Error) -> Failure + use<> {
    let name = path.display().to_string();
    move |source| Failure::WriteFile {
        name: name.clone(),
        source,
    }
}

fn vacant(path: &Path) -> Result<(), Failure> {
    if path.symlink_metadata().is_ok() {
        return Err(Failure::Usage(format!(
            "{} is there already, and is not overwritten",
            path.display()
        )));
    }
    Ok(())
}

/// Writes a file that is not there, on disk when this returns.
fn write_new(path: &Path, text: &str, mode: u32) -> Result<(), Failure> {
    let write = || -> io::Result<()> {
        let mut file: File = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(path)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    write().map_err(made(path))
}

/// Writes a file in one step: who reads sees the one before, or all of this one.
fn replace(path: &Path, text: &str, mode: u32) -> Result<(), Failure> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    // Left from one that was interrupted.
    let _ = fs::remove_file(&beside);
    write_new(&beside, text, mode)?;
    fs::rename(&beside, path).map_err(made(path))
}
