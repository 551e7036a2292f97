//! Apache Traffic Server 9.2, with the files of `config/caches/trafficserver`.

use std::{
    fs,
    os::unix::fs::chown,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use super::{Place, fill, is_root};
use crate::process::Process;

/// The shipped files, by name.
const FILES: [(&str, &str); 7] = [
    (
        "records.config",
        include_str!("../../../config/caches/trafficserver/records.config"),
    ),
    (
        "remap.config",
        include_str!("../../../config/caches/trafficserver/remap.config"),
    ),
    (
        "parent.config",
        include_str!("../../../config/caches/trafficserver/parent.config"),
    ),
    (
        "storage.config",
        include_str!("../../../config/caches/trafficserver/storage.config"),
    ),
    (
        "ip_allow.yaml",
        include_str!("../../../config/caches/trafficserver/ip_allow.yaml"),
    ),
    (
        "plugin.config",
        include_str!("../../../config/caches/trafficserver/plugin.config"),
    ),
    (
        "too_large.lua",
        include_str!("../../../config/caches/trafficserver/too_large.lua"),
    ),
];

/// Read at the start, whether they say something or not.
const EMPTY: [&str; 6] = [
    "cache.config",
    "hosting.config",
    "volume.config",
    "ssl_multicert.config",
    "socks.config",
    "splitdns.config",
];

/// The user that Traffic Server becomes when root starts it; it refuses to stay root.
const USER: &str = "nobody";

pub(super) fn start(place: &Place<'_>) -> Result<Process> {
    let folder = place.folder;
    write_configuration(place)?;
    let root = folder.join("runroot.yaml");
    fs::write(&root, run_root(folder))?;
    give_away(folder)?;
    let mut command = Command::new("traffic_server");
    command.arg(format!("--run-root={}", root.display()));
    Process::start("trafficserver", folder, command)
}

fn write_configuration(place: &Place<'_>) -> Result<()> {
    let folder = place.folder.join("etc");
    fs::create_dir(&folder)?;
    let values = [
        ("LISTEN_HOST", place.listen.ip().to_string()),
        ("LISTEN_PORT", place.listen.port().to_string()),
        ("ORIGIN", place.origin.to_string()),
        ("ADAPTER", place.listen.ip().to_string()),
        ("FOLDER", place.folder.to_string_lossy().into_owned()),
        ("USER", user()),
    ];
    let values: Vec<_> = values
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    for (name, text) in FILES {
        fs::write(folder.join(name), fill(text, &values)?)?;
    }
    for name in EMPTY {
        fs::write(folder.join(name), "")?;
    }
    Ok(())
}

/// An id that is no user's means: stay who you are.
fn user() -> String {
    if is_root() {
        USER.to_owned()
    } else {
        "#-1".to_owned()
    }
}

/// Where everything is: programs and modules where the package put them, the rest in our folder.
fn run_root(folder: &Path) -> String {
    let own = folder.display();
    format!(
        "prefix: {own}\nexec_prefix: {own}\nbindir: /usr/bin\nsbindir: /usr/bin\nsysconfdir: {own}/etc\n\
         datadir: {own}/cache\nlibdir: /usr/lib/trafficserver\nlibexecdir: /usr/lib/trafficserver/modules\n\
         localstatedir: {own}/run\nruntimedir: {own}/run\nlogdir: {own}/log\ncachedir: {own}/cache\n\
         includedir: /usr/include\nmandir: /usr/share/man\ninfodir: /usr/share/info\n"
    )
}

/// Makes the folders that Traffic Server writes to, and gives them to its user.
fn give_away(folder: &Path) -> Result<()> {
    let owner = if is_root() { Some(id_of(USER)?) } else { None };
    for name in ["cache", "log", "run"] {
        let path: PathBuf = folder.join(name);
        fs::create_dir(&path)?;
        chown(&path, owner, None)?;
    }
    Ok(())
}

fn id_of(user: &str) -> Result<u32> {
    let users = fs::read_to_string("/etc/passwd")?;
    let id = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(user))
            .then(|| fields.nth(1))
            .flatten()
    });
    id.with_context(|| format!("there is no user {user}"))?
        .parse()
        .context("a user's id is a number")
}
