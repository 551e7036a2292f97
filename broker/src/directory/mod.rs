//! The deployment database in memory: who takes part, which servers there are, what is deployed where.
//!
//! Invariant: it holds what the registry in Redis held at [`Directory::edition`]; a lookup takes microseconds with a
//! million deployments, and never waits for the network.
//! Not here: how it learns of changes (`follow`), who may change what (`registry`).

mod follow;
mod mapping;
mod tables;

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use amqp::envelope::MappingDocument;
use domain::{
    Configuration, ConfigurationId, DialectName, HostName, Participant, ParticipantId, Server,
};

pub use follow::Follower;
pub use mapping::Mapping;
pub use tables::Tables;

use crate::store::Edition;

/// One participant that carries a configuration, with the servers that carry it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Carrier {
    /// The participant.
    pub participant: Arc<Participant>,
    /// The mapping by which its invocation system is told, as it is now.
    pub mapping: Option<Arc<Mapping>>,
    /// Its servers that carry the configuration, by id.
    pub servers: Vec<Arc<Server>>,
}

/// The database of one replica.
#[derive(Debug, Default)]
pub struct Directory(RwLock<Tables>);

impl Directory {
    /// The registry's edition that this shows.
    pub fn edition(&self) -> Edition {
        self.read().edition.clone()
    }

    /// A participant.
    pub fn participant(&self, id: &ParticipantId) -> Option<Arc<Participant>> {
        self.read().participants.get(id).cloned()
    }

    /// A configuration by its id.
    pub fn configuration(&self, id: &ConfigurationId) -> Option<Arc<Configuration>> {
        self.read().configurations.get(id).cloned()
    }

    /// The configuration that a host name belongs to.
    pub fn configuration_of_host(&self, host: &HostName) -> Option<Arc<Configuration>> {
        let tables = self.read();
        let id = tables.hosts.get(host)?;
        tables.configurations.get(id).cloned()
    }

    /// Who carries a configuration, by participant.
    pub fn carriers(&self, configuration: &ConfigurationId) -> Vec<Carrier> {
        self.read().carriers(configuration)
    }

    /// A version of a mapping for those who are told by it; `None` where it is no longer kept.
    pub fn mapping(&self, name: &DialectName, version: u32) -> Option<MappingDocument> {
        let tables = self.read();
        tables.versions.get(&(name.clone(), version))?.document()
    }

    /// All tables, for as long as the guard lives; no await meanwhile.
    pub fn read(&self) -> RwLockReadGuard<'_, Tables> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// All tables, to change them.
    pub fn write(&self) -> RwLockWriteGuard<'_, Tables> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}
