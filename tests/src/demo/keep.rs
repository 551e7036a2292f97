//! What a person needs to go on by hand.
//!
//! Invariant: the commands can be pasted as they stand, into any shell of this machine.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use super::{
    cast::{CONFIGURATION, OWNER},
    content::{HOST, OBJECTS, PREFIX, TAG},
    passes::OPERATOR,
    screen,
    stage::{Stage, console_of},
};
use crate::binaries;

/// The file that makes a shell call the demo's broker; gone when this is dropped.
#[derive(Debug)]
pub struct Keys(PathBuf);

impl Drop for Keys {
    fn drop(&mut self) {
        // A file that is gone already is what is wanted.
        let _ = fs::remove_file(&self.0);
    }
}

impl Stage {
    /// Says where everything is and what to try.
    pub fn show_keys(&self) -> Result<Keys> {
        let programs = binaries::fedctl()?;
        let programs = programs.parent().context("a program lies in a folder")?;
        let (broker, signals) = (self.broker.address, self.broker.signals);
        screen::line("\nEverything goes on running until Ctrl-C.\n");
        screen::line(&format!("RabbitMQ  {}", console_of(&self.rabbitmq)));
        screen::line(&format!(
            "Broker    gRPC at {broker}, metrics http://{signals}/metrics"
        ));
        screen::line(&format!(
            "Logs      {}/*.log",
            self.federation.folder().display()
        ));
        screen::line(&format!(
            "Keys      {}, made by fedctl pki",
            self.passes.folder().display()
        ));
        let keys = self.write_keys(programs)?;
        screen::line("\nTo try, in another terminal:\n");
        screen::line(&format!(". {}", keys.0.display()));
        for command in self.examples() {
            screen::line(&command);
        }
        Ok(keys)
    }

    /// Beside the folder of the programs: what a shell needs in order to call as the owner, and as an operator.
    fn write_keys(&self, programs: &Path) -> Result<Keys> {
        let owner = format!("participant/{OWNER}");
        let mut text = format!(
            "export FEDCTL_BROKER=https://{} PATH=\"{}:$PATH\"\n",
            self.broker.address,
            programs.display()
        );
        for (name, path) in self.passes.variables(&owner) {
            writeln!(text, "export {name}=\"{}\"", path.display())?;
        }
        text.push_str("as_operator() { ");
        for (name, path) in self.passes.variables(OPERATOR) {
            write!(text, "{name}=\"{}\" ", path.display())?;
        }
        text.push_str("\"$@\"; }\n");
        let folder = programs.parent().unwrap_or(programs);
        let keys = Keys(folder.join("demo.env"));
        fs::write(&keys.0, text).with_context(|| keys.0.display().to_string())?;
        Ok(keys)
    }

    fn examples(&self) -> impl Iterator<Item = String> {
        let path = OBJECTS[0].path;
        let fedctl = [
            "list".to_owned(),
            format!("purge http://{HOST}{path} --watch"),
            format!("plan purge {CONFIGURATION} --tag {TAG}"),
            format!("purge --prefix {HOST}{PREFIX} --mode invalidate --place eu"),
            format!("load http://{HOST}{path}"),
        ];
        let fedctl = fedctl.map(|rest| format!("fedctl {rest}"));
        let server = self.servers[0].cache.address();
        let visit = format!("curl -i -H 'Host: {HOST}' http://{server}{path}");
        let operator = "as_operator fedctl participants".to_owned();
        fedctl.into_iter().chain([operator, visit])
    }
}
