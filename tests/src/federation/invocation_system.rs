//! A participant's own invocation system: the example program before given servers, and the adapter that hands it
//! what arrives.

use std::{net::SocketAddr, process::Command};

use anyhow::Result;

use super::{Federation, Program, START, loopback};
use crate::{binaries, ports, process::Process};

/// What a caller of the invocation system shows. It listens on this machine only.
const TOKEN: &str = "the-token-of-this-federation";

/// One server of an invocation system.
#[derive(Debug, Clone, Copy)]
pub struct OwnServer<'a> {
    /// Its id, the same as in the registry.
    pub id: &'a str,
    /// The dialect that it speaks.
    pub dialect: &'a str,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Federation {
    /// Starts the example invocation system before these servers, and waits until it answers.
    pub async fn invocation_system(
        &self,
        name: &str,
        servers: &[OwnServer<'_>],
    ) -> Result<Program> {
        let address = loopback(ports::free()?);
        let data = self.folder().join(format!("{name}-data"));
        let own = servers.iter().map(|server| {
            let OwnServer {
                id,
                dialect,
                address,
            } = server;
            format!(
                "[[servers]]\nid = \"{id}\"\naddress = \"{address}\"\ndialect = \"{dialect}\"\n"
            )
        });
        let text = format!(
            "listen = \"{address}\"\ntoken = \"{TOKEN}\"\ndata_folder = \"{}\"\n{}",
            data.display(),
            own.collect::<String>()
        );
        let file = self.folder().join(format!("{name}.toml"));
        std::fs::write(&file, text)?;
        let mut command = Command::new(binaries::invocation_system()?);
        command.arg("--config").arg(file);
        let mut process = Process::start(name, self.folder(), command)?;
        let http = crate::http();
        // Without the token it answers too: that it wants one.
        let url = format!("http://{address}/v1/executions/none");
        let answers = async || http.get(&url).send().await.map(drop);
        process.ready(START, answers).await?;
        Ok(Program {
            process,
            address,
            signals: address,
        })
    }

    /// Starts an adapter that hands everything to this invocation system.
    pub async fn adapter_of(
        &self,
        name: &str,
        participant: &str,
        system: &Program,
    ) -> Result<Program> {
        let settings = format!(
            "kind = \"invocation-system\"\n[invocation_system]\nbase_url = \"http://{}\"\n\
             token = \"{TOKEN}\"\npoll_every = \"50ms\"\n",
            system.address
        );
        self.adapter(name, participant, &settings).await
    }
}
