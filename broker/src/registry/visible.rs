//! Who sees which record, and what still refers to it.
//!
//! Invariant: what a caller may not see does not exist for it.

use std::{collections::BTreeMap, sync::Arc};

use domain::{
    Configuration, ConfigurationId, Deployment, DeploymentId, DialectName, Participant,
    ParticipantId, Server, ServerId,
};

use crate::{
    directory::{Mapping, Tables},
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
    /// Whether it exists for this caller.
    fn is_visible(&self, identity: &Identity, tables: &Tables) -> bool;
    /// What still refers to it.
    fn referred_by(&self, tables: &Tables) -> Option<String>;
}

impl Visible for Participant {
    type Id = ParticipantId;
    const RESOURCE: &'static str = "participant";
    const KIND: RecordKind = RecordKind::Participant;

    fn table(tables: &Tables) -> &BTreeMap<ParticipantId, Arc<Self>> {
        &tables.participants
    }

    fn id_text(&self) -> &str {
        self.id.as_str()
    }

    fn is_visible(&self, identity: &Identity, _: &Tables) -> bool {
        identity.may_act_for(&self.id)
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

    fn table(tables: &Tables) -> &BTreeMap<ServerId, Arc<Self>> {
        &tables.servers
    }

    fn id_text(&self) -> &str {
        self.id.as_str()
    }

    fn is_visible(&self, identity: &Identity, _: &Tables) -> bool {
        identity.may_act_for(&self.participant)
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

    fn table(tables: &Tables) -> &BTreeMap<ConfigurationId, Arc<Self>> {
        &tables.configurations
    }

    fn id_text(&self) -> &str {
        self.id.as_str()
    }

    fn is_visible(&self, identity: &Identity, _: &Tables) -> bool {
        identity.may_act_for(&self.owner)
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

    fn table(tables: &Tables) -> &BTreeMap<DeploymentId, Arc<Self>> {
        &tables.deployments
    }

    fn id_text(&self) -> &str {
        self.id.as_str()
    }

    /// The configuration's owner placed it; the participant carries it.
    fn is_visible(&self, identity: &Identity, tables: &Tables) -> bool {
        let owner = tables
            .configurations
            .get(&self.configuration)
            .map(|configuration| &configuration.owner);
        identity.may_act_for(&self.participant)
            || owner.is_some_and(|owner| identity.may_act_for(owner))
    }

    fn referred_by(&self, _: &Tables) -> Option<String> {
        None
    }
}

impl Visible for Mapping {
    type Id = DialectName;
    const RESOURCE: &'static str = "mapping";
    const KIND: RecordKind = RecordKind::Mapping;

    fn table(tables: &Tables) -> &BTreeMap<DialectName, Arc<Self>> {
        &tables.mappings
    }

    fn id_text(&self) -> &str {
        self.name().as_str()
    }

    /// A participant sees by what it is told.
    fn is_visible(&self, identity: &Identity, tables: &Tables) -> bool {
        let mut participants = tables.participants.values();
        identity.require_operator().is_ok()
            || participants.any(|participant| {
                participant.invocation_system.as_ref() == Some(self.name())
                    && identity.may_act_for(&participant.id)
            })
    }

    fn referred_by(&self, tables: &Tables) -> Option<String> {
        let mut participants = tables.participants.values();
        let told = participants
            .find(|participant| participant.invocation_system.as_ref() == Some(self.name()));
        told.map(|participant| format!("participant {}", participant.id))
    }
}
