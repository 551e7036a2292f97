//! Whose each record is, and what still refers to it.
//!
//! Not here: who may do what with it (`authorise`).

use std::{collections::BTreeMap, sync::Arc};

use domain::{
    Agreement, Configuration, ConfigurationId, Deployment, DeploymentId, DialectName, Participant,
    ParticipantId, Server, ServerId,
};

use crate::{
    authorise::{Access, Resource, Rpc, admit, authorise},
    directory::{Mapping, Tables},
    error::Error,
    ingress::Identity,
    store::RecordKind,
};

/// A kind of record that callers can look at.
pub trait Visible: Sized {
    /// Its id.
    type Id: Ord + std::str::FromStr<Err = domain::BrokenRule>;
    /// What it is called in errors.
    const RESOURCE: &'static str;
    /// Its kind.
    const KIND: RecordKind;
    /// Where it stands.
    fn table(tables: &Tables) -> &BTreeMap<Self::Id, Arc<Self>>;
    /// Its id as text.
    fn id_text(&self) -> &str;
    /// The call that looks at one.
    const GET: Rpc;
    /// The call that deletes one.
    const DELETE: Rpc;
    /// Whose it is, and on whose servers it runs.
    fn resource<'t>(&'t self, tables: &'t Tables) -> Resource<'t>;
    /// What still refers to it.
    fn referred_by(&self, tables: &Tables) -> Option<String>;

    /// Why this caller does not delete it, though it may and nothing refers to it.
    fn kept_from(&self, identity: &Identity) -> Option<String> {
        let _ = identity;
        None
    }

    /// How much of it this caller sees.
    fn seen_by(&self, identity: &Identity, tables: &Tables) -> Access {
        authorise(identity, Self::GET, &self.resource(tables))
    }

    /// The record with this id, if the caller may do this with it.
    fn admitted<'t>(
        tables: &'t Tables,
        identity: &Identity,
        rpc: Rpc,
        id: &Self::Id,
        text: &str,
    ) -> Result<(&'t Arc<Self>, Access), Error> {
        let found = Self::table(tables).get(id);
        let found = found.map(|record| (record, record.resource(tables)));
        admit(identity, rpc, (Self::RESOURCE, text), found)
    }
}

impl Visible for Participant {
    type Id = ParticipantId;
    const RESOURCE: &'static str = "participant";
    const KIND: RecordKind = RecordKind::Participant;
    const GET: Rpc = Rpc::GetParticipant;
    const DELETE: Rpc = Rpc::DeleteParticipant;

    fn table(tables: &Tables) -> &BTreeMap<ParticipantId, Arc<Self>> {
        &tables.participants
    }

    fn id_text(&self) -> &str {
        self.id.as_str()
    }

    fn resource<'t>(&'t self, _: &'t Tables) -> Resource<'t> {
        Resource::of(&self.id)
    }

    fn referred_by(&self, tables: &Tables) -> Option<String> {
        let server = tables
            .servers_of(&self.id)
            .next()
            .map(|server| format!("server {}", server.id));
        let deployment = || {
            let mut deployments = tables.deployments.values();
            let found = deployments.find(|deployment| deployment.participant == self.id);
            found.map(|deployment| format!("deployment {}", deployment.id))
        };
        let configuration = || {
            let mut configurations = tables.configurations.values();
            let found = configurations.find(|configuration| configuration.owner == self.id);
            found.map(|configuration| format!("configuration {}", configuration.id))
        };
        server.or_else(deployment).or_else(configuration)
    }
}

impl Visible for Server {
    type Id = ServerId;
    const RESOURCE: &'static str = "server";
    const KIND: RecordKind = RecordKind::Server;
    const GET: Rpc = Rpc::GetServer;
    const DELETE: Rpc = Rpc::DeleteServer;

    fn table(tables: &Tables) -> &BTreeMap<ServerId, Arc<Self>> {
        &tables.servers
    }

    fn id_text(&self) -> &str {
        self.id.as_str()
    }

    fn resource<'t>(&'t self, _: &'t Tables) -> Resource<'t> {
        Resource::of(&self.participant)
    }

    fn referred_by(&self, tables: &Tables) -> Option<String> {
        let mut deployments = tables.deployments.values();
        let deployment = deployments.find(|deployment| deployment.servers.contains(&self.id));
        deployment.map(|deployment| format!("deployment {}", deployment.id))
    }
}

impl Visible for Configuration {
    type Id = ConfigurationId;
    const RESOURCE: &'static str = "configuration";
    const KIND: RecordKind = RecordKind::Configuration;
    const GET: Rpc = Rpc::GetConfiguration;
    const DELETE: Rpc = Rpc::DeleteConfiguration;

    fn table(tables: &Tables) -> &BTreeMap<ConfigurationId, Arc<Self>> {
        &tables.configurations
    }

    fn id_text(&self) -> &str {
        self.id.as_str()
    }

    /// Whom the owner asks to carry it must see what it would carry; who has refused need not.
    fn resource<'t>(&'t self, tables: &'t Tables) -> Resource<'t> {
        let deployments = tables.deployments_of(&self.id).iter();
        let open = deployments.filter(|deployment| deployment.agreement != Agreement::Revoked);
        Resource {
            owner: Some(&self.owner),
            hosts: open.map(|deployment| &deployment.participant).collect(),
        }
    }

    /// Created anew it would ask for no second person: that is to end it, which only an operator may.
    fn kept_from(&self, identity: &Identity) -> Option<String> {
        let is_kept = self.needs_approval() && identity.participant().is_some();
        is_kept.then(|| "wide_purges_need_approval, which only an operator may end".to_owned())
    }

    fn referred_by(&self, tables: &Tables) -> Option<String> {
        tables
            .deployments_of(&self.id)
            .first()
            .map(|deployment| format!("deployment {}", deployment.id))
    }
}

impl Visible for Deployment {
    type Id = DeploymentId;
    const RESOURCE: &'static str = "deployment";
    const KIND: RecordKind = RecordKind::Deployment;
    const GET: Rpc = Rpc::GetDeployment;
    const DELETE: Rpc = Rpc::DeleteDeployment;

    fn table(tables: &Tables) -> &BTreeMap<DeploymentId, Arc<Self>> {
        &tables.deployments
    }

    fn id_text(&self) -> &str {
        self.id.as_str()
    }

    /// The configuration's owner placed it; the participant carries it.
    fn resource<'t>(&'t self, tables: &'t Tables) -> Resource<'t> {
        let configuration = tables.configurations.get(&self.configuration);
        Resource {
            owner: configuration.map(|configuration| &configuration.owner),
            hosts: vec![&self.participant],
        }
    }

    fn referred_by(&self, _: &Tables) -> Option<String> {
        None
    }
}

impl Visible for Mapping {
    type Id = DialectName;
    const RESOURCE: &'static str = "mapping";
    const KIND: RecordKind = RecordKind::Mapping;
    const GET: Rpc = Rpc::GetMapping;
    const DELETE: Rpc = Rpc::DeleteMapping;

    fn table(tables: &Tables) -> &BTreeMap<DialectName, Arc<Self>> {
        &tables.mappings
    }

    fn id_text(&self) -> &str {
        self.name().as_str()
    }

    /// It belongs to the federation, and runs at those who are told by it.
    fn resource<'t>(&'t self, tables: &'t Tables) -> Resource<'t> {
        let participants = tables.participants.values();
        let told = participants.filter(|one| one.invocation_system.as_ref() == Some(self.name()));
        Resource {
            owner: None,
            hosts: told.map(|participant| &participant.id).collect(),
        }
    }

    fn referred_by(&self, tables: &Tables) -> Option<String> {
        let mut participants = tables.participants.values();
        let told = participants
            .find(|participant| participant.invocation_system.as_ref() == Some(self.name()));
        told.map(|participant| format!("participant {}", participant.id))
    }
}
