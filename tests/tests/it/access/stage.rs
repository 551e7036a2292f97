//! Who calls, and what is called about.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicU32, Ordering},
};

use anyhow::Result;
use proto::v1;
use tests::{
    federation::{Client, Federation, Program, purge},
    pki::{Defect, Pki},
    shared,
};
use tonic::Code;

/// Who calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Caller {
    Operator,
    /// `a`.
    Owner,
    /// `b`, on whose servers `a-shop` runs.
    Host,
    /// `d`, who takes part and has to do with nothing.
    Stranger,
    /// `z`, with a good certificate, in no registry.
    Unregistered,
    /// Without a certificate.
    None,
    /// `a`, but something is wrong with the certificate.
    Defect(Defect),
}

/// All of them.
pub(super) const CALLERS: [Caller; 11] = [
    Caller::Operator,
    Caller::Owner,
    Caller::Host,
    Caller::Stranger,
    Caller::Unregistered,
    Caller::None,
    Caller::Defect(Defect::Expired),
    Caller::Defect(Defect::Revoked),
    Caller::Defect(Defect::TwoUris),
    Caller::Defect(Defect::Authority),
    Caller::Defect(Defect::OtherAuthority),
];

/// What the calls are about: all of one owner.
#[derive(Debug, Clone)]
pub(super) struct About {
    pub(super) owner: String,
    pub(super) host: String,
    pub(super) server: String,
    pub(super) configuration: String,
    pub(super) host_name: String,
    pub(super) deployment: String,
    pub(super) mapping: String,
    pub(super) command: String,
}

impl About {
    fn of(owner: &str, host: &str, mapping: &str) -> Self {
        Self {
            owner: owner.to_owned(),
            host: host.to_owned(),
            server: format!("{owner}-1"),
            configuration: format!("{owner}-shop"),
            host_name: format!("www.{owner}.example"),
            deployment: format!("{owner}-shop-{host}"),
            mapping: mapping.to_owned(),
            command: String::new(),
        }
    }

    /// What nobody has.
    pub(super) fn absent() -> Self {
        Self {
            command: "0198c5a2-7a1e-7c3e-9d54-3b1f0c7d0000".to_owned(),
            ..Self::of("nobody", "noone", "nothing")
        }
    }

    /// A message without the names in it.
    pub(super) fn veil(&self, message: &str) -> String {
        // The longer ones hold the shorter ones.
        let names = [
            &self.deployment,
            &self.configuration,
            &self.server,
            &self.host_name,
            &self.mapping,
            &self.command,
        ];
        let mut veiled = message.to_owned();
        for name in names {
            veiled = veiled.replace(name.as_str(), "*");
        }
        veiled
            .replace(&format!("`{}`", self.owner), "`*`")
            .replace(&format!("/{}`", self.owner), "/*`")
    }

    /// An id for something new that this caller creates.
    pub(super) fn new_id(caller: &str) -> String {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        format!("{caller}-n{}", COUNT.fetch_add(1, Ordering::Relaxed))
    }
}

/// A broker that knows its callers by their certificates, and a client for each of them.
pub(super) struct Stage {
    own: About,
    foreign: About,
    clients: HashMap<Caller, Client>,
    /// Holds the files of the broker.
    #[expect(dead_code, reason = "it ends when it is dropped")]
    federation: Federation,
    broker: Program,
}

impl Stage {
    pub(super) async fn start() -> Result<Self> {
        let mut federation = Federation::start(shared()?).await?;
        let pki = Pki::new(federation.folder())?;
        federation.broker_settings = pki.settings();
        // Before the broker starts, so that the deny list holds what it is to refuse.
        let mut shown = Vec::new();
        for caller in CALLERS {
            let credentials = match caller {
                Caller::Operator => Some(pki.issue("operator/ops")?),
                Caller::Owner => Some(pki.issue("participant/a")?),
                Caller::Host => Some(pki.issue("participant/b")?),
                Caller::Stranger => Some(pki.issue("participant/d")?),
                Caller::Unregistered => Some(pki.issue("participant/z")?),
                Caller::None => None,
                Caller::Defect(defect) => Some(pki.issue_with("participant/a", defect)?),
            };
            shown.push((caller, credentials));
        }
        let broker = federation.broker("broker").await?;
        let mut clients = HashMap::new();
        for (caller, credentials) in shown {
            clients.insert(caller, pki.client(broker.address, credentials.as_ref())?);
        }
        let mut stage = Self {
            own: About::of("a", "b", "told-b"),
            foreign: About::of("c", "e", "told-e"),
            clients,
            federation,
            broker,
        };
        stage.restore().await?;
        let owner = pki.issue("participant/c")?;
        let mut foreign = pki.client(stage.broker.address, Some(&owner))?;
        stage.foreign.command = command(&mut foreign, &stage.foreign).await?;
        let own = stage.own.clone();
        stage.own.command = command(stage.client(Caller::Owner), &own).await?;
        Ok(stage)
    }

    pub(super) fn client(&mut self, caller: Caller) -> &mut Client {
        self.clients.get_mut(&caller).expect("every caller has one")
    }

    pub(super) fn about(&self, own: bool) -> About {
        if own { &self.own } else { &self.foreign }.clone()
    }

    /// Puts everything back that a call has removed or revoked.
    pub(super) async fn restore(&mut self) -> Result<()> {
        let (own, foreign) = (self.own.clone(), self.foreign.clone());
        let operator = self.client(Caller::Operator);
        there(operator.create_participant("d").await)?;
        for about in [own, foreign] {
            let document = document(&about.mapping);
            let mapping = v1::Mapping {
                document,
                ..v1::Mapping::default()
            };
            let request = v1::PutMappingRequest {
                mapping: Some(mapping),
            };
            operator.registry.put_mapping(request).await?;
            there(operator.create_participant(&about.owner).await)?;
            let host = v1::Participant {
                id: about.host.clone(),
                invocation_system: about.mapping.clone(),
                ..v1::Participant::default()
            };
            there(operator.put_participant(host).await)?;
            for (id, owner) in [
                (about.server.clone(), &about.owner),
                (format!("{}-1", about.host), &about.host),
            ] {
                let address = ([127, 0, 0, 1], 1).into();
                there(operator.create_server(&id, owner, "varnish", address).await)?;
            }
            let hosts = [about.host_name.as_str()];
            there(
                operator
                    .create_configuration(&about.configuration, &about.owner, &hosts)
                    .await,
            )?;
            there(operator.deploy(&about.configuration, &about.host).await)?;
            let grant = v1::GrantDeploymentRequest {
                deployment_id: about.deployment.clone(),
                server_ids: Vec::new(),
            };
            operator.registry.grant_deployment(grant).await?;
        }
        Ok(())
    }
}

/// What is there already is as good as what was created.
fn there(created: Result<()>) -> Result<()> {
    let Err(error) = created else {
        return Ok(());
    };
    match error.downcast::<tonic::Status>()? {
        status if status.code() == Code::AlreadyExists => Ok(()),
        status => Err(status.into()),
    }
}

async fn command(owner: &mut Client, about: &About) -> Result<String> {
    let url = format!("http://{}/", about.host_name);
    Ok(owner.submit(purge(&[&url])).await?.id)
}

/// A mapping for purges of URLs.
pub(super) fn document(name: &str) -> String {
    format!(
        "mapping: 1\nname: {name}\ncalls: [{{operation: purge, modes: [delete], selectors: [url], method: POST, path: \
         '/purge{{{{ item.path | safe }}}}'}}]\nanswers: [{{status: 200, means: done, evidence: reported}}]\n"
    )
}
