//! Debian's RabbitMQ without the plugins that nobody enables here.
//!
//! Erlang looks for each module in every folder of its path: with all seventy plugins a node takes twice as long
//! to start. So a node gets a folder of links to what it needs.
//! Not here: what is enabled (the file that the parent writes).

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

/// Its real path tells where this machine's version lies.
const SERVER: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";

/// What of `rabbitmq_*` a node with the management console needs. Everything of another name is a library.
const NEEDED: [&str; 3] = [
    "rabbitmq_management",
    "rabbitmq_web_dispatch",
    "rabbitmq_prelaunch",
];

/// Makes `home` an installation of RabbitMQ, and gives the folder of its scripts.
pub(super) fn link(home: &Path) -> Result<PathBuf> {
    let server = fs::canonicalize(SERVER)
        .with_context(|| format!("{SERVER} is missing (`tests/install` adds it)"))?;
    let installed = server
        .ancestors()
        .nth(2)
        .context("the script lies two folders deep")?;
    let scripts = home.join("sbin");
    fs::create_dir_all(&scripts)?;
    // Copied, not linked: they look for everything else beside their real path.
    for script in fs::read_dir(installed.join("sbin"))? {
        let script = script?;
        fs::copy(script.path(), scripts.join(script.file_name()))?;
    }
    symlink(installed.join("escript"), home.join("escript"))?;
    let plugins = home.join("plugins");
    fs::create_dir_all(&plugins)?;
    for plugin in fs::read_dir(installed.join("plugins"))? {
        let plugin = plugin?;
        if is_needed(&plugin.file_name().to_string_lossy()) {
            symlink(plugin.path(), plugins.join(plugin.file_name()))?;
        }
    }
    Ok(scripts)
}

/// `rabbitmq_management` stands for its agent too.
fn is_needed(plugin: &str) -> bool {
    !plugin.starts_with("rabbitmq_") || NEEDED.iter().any(|needed| plugin.starts_with(needed))
}
