//! A federation whose participants are told by their providers' APIs.

use std::time::Duration;

use anyhow::Result;
use proto::v1;

use super::Peer;
use crate::{
    federation::{Client, Federation, Program},
    shared,
};

/// How long a command on this machine may take.
const SETTLES: Duration = Duration::from_mins(1);

/// A participant with its provider.
#[derive(Debug)]
pub struct Provider {
    /// The participant's id.
    pub participant: &'static str,
    /// What its invocation system speaks: a dialect or a mapping.
    pub dialect: &'static str,
    /// The provider.
    pub url: String,
    /// What its file of credentials holds.
    pub secret: String,
    /// The values of its account, as TOML: `zone = "Z1"`.
    pub values: String,
    /// Lines of the adapter's `[api]`.
    pub settings: &'static str,
}

/// `a` owns `shop`, which every provider's participant carries on two servers.
#[derive(Debug)]
pub struct Stage {
    /// An operator.
    pub operator: Client,
    /// `a`.
    pub owner: Client,
    /// The broker.
    pub broker: Program,
    /// All of it.
    pub federation: Federation,
    adapters: Vec<Program>,
}

impl Stage {
    /// A broker and the owner's configuration, and nobody else yet. `mapping` is a document that participants may be told by.
    pub async fn new(mapping: Option<&str>) -> Result<Self> {
        let federation = Federation::start(shared()?).await?;
        let broker = federation.broker("broker").await?;
        let mut operator = federation.client(&broker, "operator/ops")?;
        if let Some(document) = mapping {
            let mapping = v1::Mapping {
                document: document.to_owned(),
                ..v1::Mapping::default()
            };
            let request = v1::PutMappingRequest {
                mapping: Some(mapping),
            };
            operator.registry.put_mapping(request).await?;
        }
        operator.create_participant("a").await?;
        operator
            .create_configuration("shop", "a", &["www.shop.example"])
            .await?;
        let owner = federation.client(&broker, "participant/a")?;
        Ok(Self {
            operator,
            owner,
            broker,
            federation,
            adapters: Vec::new(),
        })
    }

    /// The participant carries the configuration, and its adapter runs.
    pub async fn add(&mut self, provider: Provider) -> Result<()> {
        let id = provider.participant;
        let participant = v1::Participant {
            id: id.to_owned(),
            invocation_system: provider.dialect.to_owned(),
            ..v1::Participant::default()
        };
        self.operator.put_participant(participant).await?;
        for server in 1..=2 {
            let address = format!("192.0.2.{server}:80").parse()?;
            self.operator
                .create_server(&format!("{id}-{server}"), id, "varnish", address)
                .await?;
        }
        self.operator.deploy("shop", id).await?;
        let secrets = self.federation.folder().join(format!("{id}-credentials"));
        std::fs::write(&secrets, provider.secret)?;
        let credentials = format!("credentials = \"{}\"\n", secrets.display());
        // What says whose content the credentials reach needs a file that no other configuration has.
        let (common, own) = if provider.values.contains("client = ") {
            ("", credentials.as_str())
        } else {
            (credentials.as_str(), "")
        };
        let (url, settings, values) = (provider.url, provider.settings, provider.values);
        let settings = format!(
            "kind = \"api\"\n[api]\nbase_url = \"{url}\"\npoll_every = \"50ms\"\n{common}{settings}\n\
             [api.accounts.shop]\n{own}values = {{ {values} }}\n"
        );
        let name = format!("adapter-{id}");
        let adapter = self.federation.adapter(&name, id, &settings).await?;
        self.adapters.push(adapter);
        Ok(())
    }

    /// Submits as the owner, and waits until it has settled.
    pub async fn settled(&mut self, draft: v1::CommandDraft) -> Result<v1::Command> {
        let command = self.owner.submit(draft).await?;
        self.owner.settled(&command.id, SETTLES).await
    }
}

impl Provider {
    /// The participant of that dialect's name, told by `peer`.
    pub fn new(
        participant: &'static str,
        dialect: &'static str,
        peer: &Peer,
        secret: &str,
        values: &str,
    ) -> Self {
        Self {
            participant,
            dialect,
            url: peer.url(),
            secret: secret.to_owned(),
            values: values.to_owned(),
            settings: "",
        }
    }
}
