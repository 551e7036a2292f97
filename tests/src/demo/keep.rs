//! What a person needs to go on by hand.
//!
//! Invariant: the commands can be pasted as they stand, into any shell of this machine.

use anyhow::{Context, Result};

use super::{
    cast::{CONFIGURATION, OWNER},
    content::{HOST, OBJECTS, PREFIX, TAG},
    screen,
    stage::{Stage, console_of},
};
use crate::binaries;

impl Stage {
    /// Says where everything is and what to try.
    pub fn show_keys(&self) -> Result<()> {
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
        screen::line("\nTo try, in another terminal:\n");
        screen::line(&format!(
            "export FEDCTL_BROKER=http://{broker} PATH=\"{}:$PATH\"",
            programs.display()
        ));
        for command in self.examples() {
            screen::line(&command);
        }
        Ok(())
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
        let fedctl = fedctl.map(|rest| format!("fedctl --as {OWNER} {rest}"));
        let server = self.servers[0].cache.address();
        let visit = format!("curl -i -H 'Host: {HOST}' http://{server}{path}");
        fedctl.into_iter().chain([visit])
    }
}
