//! The tables of the directory and the indexes over them.
//!
//! Invariant: an index holds exactly what its table implies; both change in the same function.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use domain::{
    Configuration, ConfigurationId, Deployment, DeploymentId, DialectName, HostName, Participant,
    ParticipantId, Server, ServerId,
};

use super::{Carrier, Mapping};
use crate::store::{Change, Edition, MappingVersion, Record, RecordKind};

/// The records by id, and what finds them by other roads.
#[derive(Debug, Default)]
pub struct Tables {
    /// The registry's edition.
    pub edition: Edition,
    /// All participants.
    pub participants: BTreeMap<ParticipantId, Arc<Participant>>,
    /// All servers.
    pub servers: BTreeMap<ServerId, Arc<Server>>,
    /// All configurations.
    pub configurations: BTreeMap<ConfigurationId, Arc<Configuration>>,
    /// All deployments.
    pub deployments: BTreeMap<DeploymentId, Arc<Deployment>>,
    /// All mappings, each in its current version.
    pub mappings: BTreeMap<DialectName, Arc<Mapping>>,
    /// All versions of all mappings, also of those that were deleted.
    pub versions: BTreeMap<(DialectName, u32), Arc<Mapping>>,
    /// Which configuration a host name belongs to.
    pub hosts: HashMap<HostName, ConfigurationId>,
    servers_of: HashMap<ParticipantId, BTreeMap<ServerId, Arc<Server>>>,
    deployments_of: HashMap<ConfigurationId, Vec<Arc<Deployment>>>,
}

impl Tables {
    /// Empty tables of an edition.
    pub fn at(edition: Edition) -> Self {
        Self {
            edition,
            ..Self::default()
        }
    }

    /// Takes a change in.
    pub fn apply(&mut self, change: Change) {
        match change {
            Change::Put(record) => {
                self.remove(record.kind(), &record.id());
                self.insert(record);
            }
            Change::Delete(kind, id) => self.remove(kind, &id),
        }
    }

    /// Adds a record that is not there yet.
    pub fn insert(&mut self, record: Record) {
        match record {
            Record::Participant(participant) => {
                self.participants
                    .insert(participant.id.clone(), Arc::new(participant));
            }
            Record::Server(server) => {
                let server = Arc::new(server);
                self.servers_of
                    .entry(server.participant.clone())
                    .or_default()
                    .insert(server.id.clone(), Arc::clone(&server));
                self.servers.insert(server.id.clone(), server);
            }
            Record::Configuration(configuration) => {
                for host in &configuration.hosts {
                    self.hosts.insert(host.clone(), configuration.id.clone());
                }
                self.configurations
                    .insert(configuration.id.clone(), Arc::new(configuration));
            }
            Record::Deployment(deployment) => {
                let deployment = Arc::new(deployment);
                self.deployments_of
                    .entry(deployment.configuration.clone())
                    .or_default()
                    .push(Arc::clone(&deployment));
                self.deployments.insert(deployment.id.clone(), deployment);
            }
            Record::Mapping(version) => {
                let name = version.name.clone();
                let key = (name.clone(), version.version);
                self.versions.insert(key, Arc::new(version.into()));
                self.index_mapping(name);
            }
        }
    }

    /// The highest version is the current one, unless it says that the mapping was deleted.
    fn index_mapping(&mut self, name: DialectName) {
        let latest = self.versions_of(&name).next_back();
        match latest.filter(|latest| !latest.is_deleted()).cloned() {
            Some(current) => self.mappings.insert(name, current),
            None => self.mappings.remove(&name),
        };
    }

    fn remove(&mut self, kind: RecordKind, id: &str) {
        match kind {
            RecordKind::Participant => {
                id.parse()
                    .ok()
                    .and_then(|id: ParticipantId| self.participants.remove(&id));
            }
            RecordKind::Server => {
                if let Some(server) = id
                    .parse()
                    .ok()
                    .and_then(|id: ServerId| self.servers.remove(&id))
                    && let Some(servers) = self.servers_of.get_mut(&server.participant)
                {
                    servers.remove(&server.id);
                }
            }
            RecordKind::Configuration => {
                let id = id.parse().ok();
                if let Some(configuration) =
                    id.and_then(|id: ConfigurationId| self.configurations.remove(&id))
                {
                    for host in &configuration.hosts {
                        self.hosts.remove(host);
                    }
                }
            }
            RecordKind::Deployment => {
                if let Some(deployment) = id
                    .parse()
                    .ok()
                    .and_then(|id: DeploymentId| self.deployments.remove(&id))
                    && let Some(deployments) =
                        self.deployments_of.get_mut(&deployment.configuration)
                {
                    deployments.retain(|other| other.id != deployment.id);
                }
            }
            RecordKind::Mapping => {
                if let Some(key) = MappingVersion::parts(id)
                    && self.versions.remove(&key).is_some()
                {
                    self.index_mapping(key.0);
                }
            }
        }
    }

    /// Who carries a configuration, with the servers that do, both by id.
    pub fn carriers(&self, configuration: &ConfigurationId) -> Vec<Carrier> {
        let mut carriers: BTreeMap<&ParticipantId, BTreeMap<&ServerId, &Arc<Server>>> =
            BTreeMap::new();
        let deployments = self.deployments_of(configuration).iter();
        // A wish is none yet, and what was taken back is none any more.
        for deployment in deployments.filter(|deployment| deployment.agreement.is_granted()) {
            let servers = carriers.entry(&deployment.participant).or_default();
            match self.servers_of.get(&deployment.participant) {
                Some(all) if deployment.servers.is_empty() => servers.extend(all),
                Some(all) => servers.extend(
                    deployment
                        .servers
                        .iter()
                        .filter_map(|id| all.get_key_value(id)),
                ),
                None => {}
            }
        }
        let carrier = |(id, servers): (&ParticipantId, BTreeMap<_, &Arc<Server>>)| {
            let participant = Arc::clone(self.participants.get(id)?);
            let system = participant.invocation_system.as_ref();
            let mapping = system.and_then(|name| self.mappings.get(name)).cloned();
            Some(Carrier {
                participant,
                mapping,
                servers: servers.into_values().cloned().collect(),
            })
        };
        carriers.into_iter().filter_map(carrier).collect()
    }

    /// Where a configuration is deployed.
    pub fn deployments_of(&self, configuration: &ConfigurationId) -> &[Arc<Deployment>] {
        self.deployments_of
            .get(configuration)
            .map_or(&[], Vec::as_slice)
    }

    /// All versions of a mapping that are kept, the oldest first.
    pub fn versions_of(
        &self,
        name: &DialectName,
    ) -> impl DoubleEndedIterator<Item = &Arc<Mapping>> {
        let all = (name.clone(), 0)..=(name.clone(), u32::MAX);
        self.versions.range(all).map(|(_, version)| version)
    }

    /// The servers of a participant.
    pub fn servers_of(&self, participant: &ParticipantId) -> impl Iterator<Item = &Arc<Server>> {
        self.servers_of
            .get(participant)
            .into_iter()
            .flat_map(BTreeMap::values)
    }
}

#[cfg(test)]
mod tests {
    use domain::{Agreement, Place, participant::OwnServers};

    use super::*;

    fn participant(id: &str) -> Record {
        Record::Participant(Participant {
            id: id.parse().unwrap(),
            display_name: String::new(),
            invocation_system: None,
            own_servers: OwnServers::Included,
            capabilities: Vec::new(),
            signing_keys: Vec::new(),
            native_limits: domain::NativeLimits::NONE,
        })
    }

    fn server(id: &str, participant: &str) -> Record {
        Record::Server(Server {
            id: id.parse().unwrap(),
            participant: participant.parse().unwrap(),
            dialect: "varnish".parse().unwrap(),
            address: "127.0.0.1:80".parse().unwrap(),
            place: Place::default(),
        })
    }

    fn deployment(id: &str, participant: &str, servers: &[&str]) -> Record {
        Record::Deployment(Deployment {
            id: id.parse().unwrap(),
            configuration: "shop".parse().unwrap(),
            participant: participant.parse().unwrap(),
            servers: servers.iter().map(|id| id.parse().unwrap()).collect(),
            agreement: Agreement::Granted,
        })
    }

    fn configuration(hosts: &[&str]) -> Record {
        Record::Configuration(Configuration {
            id: "shop".parse().unwrap(),
            customer: "acme".parse().unwrap(),
            owner: "a".parse().unwrap(),
            hosts: hosts.iter().map(|host| host.parse().unwrap()).collect(),
            wide_purges_need_approval: None,
        })
    }

    fn names(tables: &Tables) -> Vec<(String, Vec<String>)> {
        let carriers = tables.carriers(&"shop".parse().unwrap());
        let server = |carrier: &Carrier| {
            carrier
                .servers
                .iter()
                .map(|server| server.id.to_string())
                .collect()
        };
        carriers
            .iter()
            .map(|carrier| (carrier.participant.id.to_string(), server(carrier)))
            .collect()
    }

    /// A deployment without named servers means all, also those that come later; one that names two means those two.
    #[test]
    fn a_deployment_means_all_servers_or_the_named_ones() {
        let mut tables = Tables::default();
        for record in [
            participant("a"),
            participant("b"),
            server("a1", "a"),
            server("a2", "a"),
            server("b1", "b"),
        ] {
            tables.apply(Change::Put(record));
        }
        tables.apply(Change::Put(deployment("d1", "a", &[])));
        tables.apply(Change::Put(deployment("d2", "b", &["b1"])));
        tables.apply(Change::Put(server("a3", "a")));
        tables.apply(Change::Put(server("b2", "b")));
        let all = vec!["a1".to_owned(), "a2".to_owned(), "a3".to_owned()];
        assert_eq!(
            names(&tables),
            [
                ("a".to_owned(), all),
                ("b".to_owned(), vec!["b1".to_owned()])
            ]
        );
    }

    /// Nobody is a target by the owner's wish alone, and nobody stays one who has taken the grant back.
    #[test]
    fn only_what_is_granted_is_a_target() {
        let mut tables = Tables::default();
        tables.apply(Change::Put(participant("b")));
        tables.apply(Change::Put(server("b1", "b")));
        for (agreement, expected) in [
            (Agreement::Wished, 0),
            (Agreement::Granted, 1),
            (Agreement::Revoked, 0),
        ] {
            let Record::Deployment(wish) = deployment("d", "b", &[]) else {
                unreachable!()
            };
            let deployment = Deployment { agreement, ..wish };
            tables.apply(Change::Put(Record::Deployment(deployment)));
            assert_eq!(names(&tables).len(), expected, "{agreement:?}");
        }
    }

    fn mapping(version: u32, document: Option<&str>) -> Record {
        Record::Mapping(MappingVersion {
            name: "acme".parse().unwrap(),
            version,
            put_at: domain::Timestamp::from_millis(0),
            document: document.map(str::to_owned),
        })
    }

    /// Whatever the order in which versions are read, the highest counts, and what was deleted does not come back.
    #[test]
    fn the_highest_version_of_a_mapping_is_the_current_one() {
        let name = "acme".parse().unwrap();
        let mut tables = Tables::default();
        let current = |tables: &Tables| tables.mappings.get(&name).map(|one| one.version());
        tables.apply(Change::Put(mapping(2, Some("b"))));
        tables.apply(Change::Put(mapping(1, Some("a"))));
        assert_eq!(current(&tables), Some(2));
        tables.apply(Change::Put(mapping(3, None)));
        assert_eq!(current(&tables), None);
        assert_eq!(tables.versions_of(&name).count(), 3);
        tables.apply(Change::Delete(RecordKind::Mapping, "acme.1".to_owned()));
        tables.apply(Change::Put(mapping(4, Some("d"))));
        assert_eq!(current(&tables), Some(4));
        assert_eq!(tables.versions_of(&name).count(), 3);
    }

    /// What is changed or deleted leaves nothing behind in an index.
    #[test]
    fn a_change_leaves_nothing_of_the_old_record() {
        let mut tables = Tables::default();
        tables.apply(Change::Put(participant("a")));
        tables.apply(Change::Put(server("a1", "a")));
        tables.apply(Change::Put(configuration(&["old.example", "www.example"])));
        tables.apply(Change::Put(configuration(&["www.example"])));
        tables.apply(Change::Put(deployment("d1", "a", &[])));
        tables.apply(Change::Put(deployment("d1", "a", &["a1"])));
        assert_eq!(tables.hosts.len(), 1);
        assert_eq!(tables.deployments_of(&"shop".parse().unwrap()).len(), 1);
        tables.apply(Change::Delete(RecordKind::Server, "a1".to_owned()));
        assert_eq!(names(&tables), [("a".to_owned(), Vec::new())]);
        tables.apply(Change::Delete(RecordKind::Configuration, "shop".to_owned()));
        assert!(tables.hosts.is_empty());
    }
}
